"""`papayya limits` and `papayya limit`: requests and tokens per minute. Each act may be repeated."""

from __future__ import annotations

from typing import Any

import click
from rich.text import Text

from papayya_core.cli import documents, show
from papayya_core.cli.state import Cli, Command, Section, names, pass_cli
from papayya_core.store import accounts, limits
from papayya_core.store.limits import RateLimit, Scope

COLUMNS = (
    ">ID",
    "OF",
    ">REQUESTS",
    ">TOKENS",
    ">BURST",
    ">FULL",
    ">WAITING",
    "COOLING UNTIL",
    "FROM",
)
EXAMPLE = "papayya limit set --tenant acme --tokens 100000"
ABOVE_ZERO = click.FloatRange(0, min_open=True)
scope_options = names(
    ("tenant", "Of this tenant; else it is shared by all."),
    ("key", "Of this key of a provider: its name, or PROVIDER/PRINT."),
    ("provider", "Of this provider: openai, anthropic, aws.bedrock, …"),
    ("model", "Of models by pattern: 'gpt-5*'."),
)


@click.command("limits", cls=Command)
@scope_options
@documents.json_option
@pass_cli
def limits_(cli: Cli, /, as_json: bool, **scope: Any) -> None:
    """List rate limits, set and learned: how full they are, and who waits.

    REQUESTS and TOKENS are per minute. BURST: seconds of them that may come at once. FULL: how much
    of the burst is taken; at 100 % items wait, in Postgres, and go on in fair turns. Learned limits
    are what a provider said of itself; COOLING: it asked to wait.
    """
    found = limits.list_limits(cli.connection, **scope)
    if as_json:
        documents.emit({"limits": [document(one) for one in found]})
    elif found:
        show.grid(show.console(), COLUMNS, map(_line, found))
    else:
        of = accounts.words(scope)
        said = f"no limits{f' of {show.safe(of)}' if of else ''} were set or learned"
        show.console().print(f"{said}; {EXAMPLE} sets one", soft_wrap=True)


def _line(one: RateLimit) -> tuple[show.Cell, ...]:
    full = Text(show.rate(min(one.full, 1.0)), style="yellow" if one.full >= 1 else "")
    rates = (_number(one.requests), _number(one.tokens), f"{one.burst:g} s")
    cooling = Text("" if one.cool_until is None else show.moment(one.cool_until), style="yellow")
    whose = show.name(_whose(one.scope))
    return (
        str(one.id),
        whose,
        *rates,
        full,
        one.waiting,
        cooling,
        "learned" if one.learned else "set",
    )


def _number(value: float | None) -> str:
    return show.NONE if value is None else f"{value:,.10g}" if value % 1 else f"{value:,.0f}"


def _whose(scope: dict[str, str | None]) -> str:
    return accounts.words(scope) if scope["tenant"] else f"all tenants, {accounts.words(scope)}"


def document(one: RateLimit) -> dict[str, Any]:
    """Shape a limit for --json."""
    return {**documents.shape(one), "full": round(one.full, 6)}


@click.group("limit", cls=Section)
def limit() -> None:
    """Set rate limits, in requests and tokens per minute; `papayya limits` lists them.

    \b
    papayya limit set --tenant acme --tokens 100000
    papayya limit set --provider openai --model 'gpt-5*' --requests 500
    papayya limit remove --tenant acme

    What is over a limit waits in Postgres, without a worker, and is let in when there is room: the
    tenant first that has had least, by its weight (`papayya tenants set acme --weight 2`).
    """


@limit.command("set", cls=Command)
@scope_options
@click.option("--requests", type=ABOVE_ZERO, help="Requests per minute.")
@click.option("--tokens", type=ABOVE_ZERO, help="Tokens per minute, of prompts and answers.")
@click.option(
    "--burst",
    type=ABOVE_ZERO,
    default=limits.BURST,
    show_default=True,
    metavar="SECONDS",
    help="How much of it may come at once.",
)
@documents.json_option
@pass_cli
def set_(cli: Cli, /, as_json: bool, **what: Any) -> None:
    """Set a limit, or change it; it counts at once, in all workers.

    All of --tenant, --key, --provider and --model that are given must fit. Without --tenant all
    tenants share it, fairly. Of --requests and --tokens, what is not given is not limited.
    """
    if what["requests"] is None and what["tokens"] is None:
        raise click.UsageError("give --requests, --tokens, or both")
    scope = {name: what[name] for name in Scope.__annotations__}
    if not any(scope.values()):
        raise click.UsageError("say of what: --tenant, --key, --provider or --model")
    connection = cli.first_connection
    change = limits.set_limit(connection, **what)
    one = change.after
    said = words(one) if change.changed else f"nothing to do: {words(one)} already"
    if change.changed and change.before is not None:
        said += f" from now on; {rates(change.before)} before"
    facts = {"act": "set", "changed": int(change.changed), "said": said, "next": _waiting(one)}
    if change.changed and change.before is None and not facts["next"]:
        facts["next"] = _unseen(one, limits.providers_seen(connection))
    documents.report(as_json, {**facts, "limit": document(one)})


def rates(one: RateLimit) -> str:
    """Say what a limit is: 60 requests and 100,000 tokens a minute."""
    both = ((one.requests, "requests"), (one.tokens, "tokens"))
    said = " and ".join(f"{_number(most)} {unit}" for most, unit in both if most is not None)
    return f"{said} a minute" if said else "no numbers"


def words(one: RateLimit) -> str:
    """Say what a limit is, and of what."""
    return f"{rates(one)} for {_whose(one.scope)}"


def _waiting(one: RateLimit) -> str:
    if not one.waiting:
        return ""
    waits = "item waits" if one.waiting == 1 else "items wait"
    return f"{one.waiting:,} {waits} for it; the pump lets them in as there is room."


def _unseen(one: RateLimit, seen: list[str]) -> str:
    """Say so when it may be a slip: of this provider no key was seen yet, but of others."""
    if one.provider is None or not seen or one.provider in seen:
        return ""
    return f"No key of {one.provider} was seen yet, but of {', '.join(seen)}."


@limit.command("remove", cls=Command)
@click.argument("number", metavar="[ID]", type=int, required=False)
@scope_options
@documents.json_option
@pass_cli
def remove(cli: Cli, /, number: int | None, as_json: bool, **scope: Any) -> None:
    """Take a limit away, by its ID or as it was set; what waits for it goes on.

    One that was learned goes by its ID, and comes back when the provider speaks of it again.
    """
    if (number is None) == (not any(scope.values())):
        raise click.UsageError("give the ID of a limit, or of what it is: --tenant, --key, …")
    connection = cli.connection
    if number is not None:
        one = limits.limit_of_id(connection, number)
    else:
        one = limits.get_limit(connection, **scope)
    if one is None or not limits.remove_limit(connection, one.id):
        which = f"#{number}" if number is not None else f"of {accounts.words(scope)}"
        said = f"nothing to do: no limit {which} was set; papayya limits lists them"
        facts = {"act": "remove", "changed": 0, "said": said, "next": ""}
        documents.report(as_json, {**facts, "limit": None})
        return
    said = f"{words(one)} is taken away"
    then = f"{show.count(one.waiting, 'item')} that waited for it may go on." if one.waiting else ""
    facts = {"act": "remove", "changed": 1, "said": said, "next": then}
    documents.report(as_json, {**facts, "limit": document(one)})
