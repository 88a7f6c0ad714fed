"""Embeddings, seen through OpenAI's client."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from papayya_core.fake_provider.prices import Usage, price
from tests.acceptance.fake_provider.stand_in import KEY, TICKET, StandIn, item

pytestmark = pytest.mark.acceptance

SMALL = "text-embedding-3-small"


def embed(stand_in: StandIn, name: str, **more: Any) -> Any:
    """Ask for embeddings."""
    asked = {"model": SMALL, "input": TICKET, "extra_headers": item(name), **more}
    return stand_in.openai().embeddings.create(**asked)


def test_embeddings(shared: StandIn) -> None:
    """Texts become vectors of the model's size, at the price of their tokens alone."""
    made = embed(shared, "embed", input=[TICKET, "The parcel is late."])
    assert [len(each.embedding) for each in made.data] == [1_536, 1_536]
    entry = shared.entry("embed")
    assert entry["cost_nusd"] == price(SMALL, Usage(input=made.usage.prompt_tokens)) > 0
    assert (entry["output_tokens"], entry["response_id"]) == (0, None)


def test_formats(shared: StandIn) -> None:
    """The client's own format, base64, holds the numbers of a list of floats."""
    packed = embed(shared, "packed", dimensions=8).data[0].embedding
    plain = embed(shared, "plain", dimensions=8, encoding_format="float").data[0].embedding
    assert packed == pytest.approx(plain, abs=1e-7)
    assert len(plain) == 8


def test_azure(shared: StandIn) -> None:
    """Azure's client is answered under the deployment's name."""
    with openai.AzureOpenAI(
        azure_endpoint=shared.url, api_key=KEY, api_version="2025-01-01", max_retries=0
    ) as client:
        made = client.embeddings.create(model=SMALL, input="x", extra_headers=item("azure"))
    assert made.model == SMALL
    assert shared.entry("azure")["path"] == f"/openai/deployments/{SMALL}/embeddings"


def test_errors(shared: StandIn) -> None:
    """Errors reach the client as such, and cost nothing."""
    with pytest.raises(openai.RateLimitError):
        embed(shared, "embed-429", extra_headers=item("embed-429", "rate_limit"))
    with pytest.raises(openai.BadRequestError, match="'input'"):
        embed(shared, "embed-400", input=[])
    for name in ("embed-429", "embed-400"):
        assert shared.entry(name)["cost_nusd"] == 0
