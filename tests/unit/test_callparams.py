"""What of a call goes into its row."""

from __future__ import annotations

import pytest

from papayya_core.bounds import Bound
from papayya_core.call import Asked
from papayya_core.store.callparams import hold_params
from papayya_core.store.callrows import HoldRow, SettleRow
from papayya_core.store.sql import statements


def test_key_in_a_path() -> None:
    """Where a gateway takes its key in the path, the row does not have it."""
    key = "sk-proj-" + "aB3dE5gH" * 6
    url = f"gateway.example.com/{key}/v1/chat/completions"
    shown = hold_params(Asked("p", "s", "m"), Bound(1, 1), None, url, None)["url"]
    assert key not in shown
    assert shown.startswith("gateway.example.com/")
    assert shown.endswith("/v1/chat/completions")


def test_more_samples_than_a_row_can_count() -> None:
    """A number that no provider would take is one that Postgres takes."""
    asked = Asked("p", "s", "m", samples=10**12)
    assert hold_params(asked, Bound(1, 1), None, "", None)["samples"] == 2**31 - 1


@pytest.mark.parametrize(("name", "row"), [("hold", HoldRow), ("settle", SettleRow)])
def test_columns(name: str, row: type[HoldRow | SettleRow]) -> None:
    """A row has the columns of its statement, in their order."""
    columns, _, _ = statements()[name].removeprefix("SELECT").partition("FROM")
    assert tuple(column.strip() for column in columns.split(",")) == row._fields
