"""What checks and identification pass around, and the check that Papayya brings itself."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from papayya_core.contract import Agent, Finding


@dataclass(frozen=True, slots=True)
class Identity:
    """For whom a call is, and which item it is; None leaves it undecided."""

    tenant: str | None = None
    item: str | None = None


@dataclass(frozen=True, slots=True)
class CheckContext:
    """The facts a check judges: the item, its agent, and what the agent returned."""

    run: str
    tenant: str
    key: str
    agent: Agent
    output: Any
    findings: tuple[Finding, ...] = ()


def schema_findings(context: CheckContext) -> Iterable[Finding]:
    """Report where the output breaks the schema that the agent declared (``output=``).

    The output itself stays as it is: a check judges, it never changes an item.
    """
    schema = context.agent.output
    if schema is None:
        return
    from pydantic import BaseModel, TypeAdapter, ValidationError

    if isinstance(schema, type) and isinstance(context.output, schema):
        if not isinstance(context.output, BaseModel):
            return
        value: Any = context.output.model_dump()
    else:
        value = context.output
    try:
        TypeAdapter(schema).validate_python(value)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
        first = faults[0]
        place = ".".join(map(str, first["loc"])) or "output"
        reason = f"{place}: {first['msg']}"
        yield Finding("schema_violation", "failed", reason, {"faults": faults[:20]})
