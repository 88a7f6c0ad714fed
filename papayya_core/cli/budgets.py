"""`papayya budget`: caps that hold, set and changed at any time. Each act may be repeated."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any, get_args

import click
from rich.text import Text

from papayya_core.cli import documents, show
from papayya_core.cli.act import Ambiguous
from papayya_core.cli.budgetwords import amount, document, left, next_steps, renews, words
from papayya_core.cli.state import NAME, Cli, Command, Section, names, pass_cli
from papayya_core.store import accounts, budgets, reads
from papayya_core.store.budgets import Account, Budget, Period, Unit, parked_by
from papayya_core.store.reads import Connection

COLUMNS = (">ID", "OF", ">AMOUNT", "PER", ">SPENT", ">HELD", ">LEFT", ">PARKED", "RENEWS")
EXAMPLE = "papayya budget set --tenant acme --usd 40 --per month"
PERIODS = click.Choice(get_args(Period))


class Dollars(click.ParamType[Any]):
    """An amount of US dollars: 40, 40.5 or '$40'."""

    name = "amount"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Say what is wrong as wrong usage."""
        try:
            return budgets.dollars(value)
        except budgets.InvalidBudget as error:
            self.fail(str(error), param, ctx)


account_options = names(
    ("tenant", "Of this tenant."),
    ("run", "Of this run."),
    ("agent", "Of this agent."),
    ("key", "Of this key of a provider: its name, or PROVIDER/PRINT."),
)


@click.group("budget", cls=Section, invoke_without_command=True)
@account_options
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="How many.")
@documents.json_option
@pass_cli
@click.pass_context
def budget(ctx: click.Context, cli: Cli, /, limit: int, as_json: bool, **account: Any) -> None:
    """List budgets: caps on what is spent, in US dollars or tokens.

    \b
    papayya budget set --tenant acme --usd 40 --per month
    papayya budget set --run nightly --agent tag --tokens 2000000
    papayya budget remove --tenant acme

    What nothing is left for is parked, not failed, and goes on when its budget is raised or a new
    day or month begins. HELD: by calls under way, and those of which nobody knows the end. LEFT: to
    be held by further calls. PARKED: items that wait for it.
    """
    if ctx.invoked_subcommand is not None:
        return
    found = budgets.list_budgets(cli.connection, limit=limit + 1, **account)
    shown = found[:limit]
    if as_json:
        documents.emit({"budgets": [document(one) for one in shown], "more": len(found) > limit})
        return
    out = show.console()
    if not shown:
        whose = accounts.words(account)
        out.print(f"no budgets{f' of {show.safe(whose)}' if whose else ''}; {EXAMPLE} sets one")
        return
    show.grid(out, COLUMNS, map(_line, shown))
    if len(found) > limit:
        out.print(f"older ones are not shown; --limit {limit * 5} shows more", style="dim")


def _line(one: Budget) -> tuple[show.Cell, ...]:
    cells = (amount(one, one.spent, bare=True), amount(one, one.held, bare=True))
    rest = Text(left(one, bare=True), style="" if one.left > 0 else "bold yellow")
    whose = show.name(accounts.words(one.account))
    return (
        str(one.id),
        whose,
        amount(one, one.amount),
        one.per,
        *cells,
        rest,
        one.parked,
        renews(one),
    )


@budget.command("set", cls=Command)
@account_options
@click.option("--usd", type=Dollars(), help="US dollars: 40 or 40.5.")
@click.option("--tokens", type=click.IntRange(0), help="Tokens, of prompts and answers.")
@click.option("--per", type=PERIODS, default="ever", show_default=True, help="Starts anew each …")
@click.option("--timezone", type=NAME, help="Where its days begin: Europe/Berlin; else UTC.")
@documents.json_option
@pass_cli
def set_(cli: Cli, /, as_json: bool, **what: Any) -> None:
    """Set a budget, or change it; it counts at once, in all workers.

    All of --tenant, --run, --agent and --key that are given must fit: --run R --agent A caps that
    agent within that run. What was spent before counts, in a day or month what was spent in it.
    Lowered below what is spent, it shows as overdraft, and nothing fails.
    """
    account: Account = {name: what[name] for name in Account.__annotations__}  # type: ignore[assignment]
    if (what["usd"] is None) == (what["tokens"] is None):
        raise click.UsageError("give one amount: --usd or --tokens")
    if not any(account.values()):
        raise click.UsageError("say whose it is: --tenant, --run, --agent or --key")
    connection = cli.first_connection
    new = [*_new(connection, "tenant", account), *_new(connection, "agent", account)]
    change = budgets.set_budget(connection, **what)
    after = change.after
    spent = f"{amount(after, after.spent)} spent, {left(after)}"
    if change.before is None:
        said = f"{words(after)}: {spent}"
    elif change.changed:
        was = amount(change.before, change.before.amount)
        said = f"{words(after)} from now on, {was} before: {spent}"
    else:
        said = f"nothing to do: {words(after)} already; {spent}"
    then = [*new, *_also(connection, after)]
    then += next_steps(connection, after, parked_by(connection, after.id))
    facts = {"act": "set", "changed": int(change.changed), "said": said, "next": then}
    documents.report(as_json, {**facts, "budget": document(after)})


def _also(connection: Connection, one: Budget) -> list[str]:
    """Name the other budgets of the same account: one may have been meant."""
    near = budgets.list_budgets(connection, **one.account)  # type: ignore[arg-type]
    others = [words(each) for each in near if each.account == one.account and each.id != one.id]
    return [f"It has others, and all of them hold: {', '.join(others)}"] if others else []


def _new(connection: Connection, what: str, account: Account) -> list[str]:
    """Say that a tenant or agent is made: it may be a slip of the pen."""
    name = account.get(what)
    if not isinstance(name, str) or reads.values(connection, f"{what}_id", name=name):
        return []
    near = get_close_matches(name, reads.values(connection, f"{what}_names"), n=1)
    maybe = f"; did you mean {near[0]!r}?" if near else ""
    return [f"{what.capitalize()} {name} is new: no item of it was seen yet{maybe}"]


@budget.command("remove", cls=Command)
@click.argument("number", metavar="[ID]", type=int, required=False)
@account_options
@click.option("--unit", type=click.Choice(get_args(Unit)), help="That in money, or in tokens.")
@click.option("--per", type=PERIODS, help="That for ever, per day or per month.")
@documents.json_option
@pass_cli
def remove(
    cli: Cli,
    /,
    number: int | None,
    unit: Unit | None,
    per: Period | None,
    as_json: bool,
    **who: Any,
) -> None:
    """Take a budget away, by its ID or as it was set; what it has parked goes on."""
    connection = cli.connection
    if (number is None) == (not any(who.values())):
        raise click.UsageError("give the ID of a budget, or whose it is: --tenant, --run, …")
    if number is not None:
        one = budgets.budget_of_id(connection, number)
        found = [] if one is None else [one]
    else:
        found = budgets.find_budgets(connection, unit=unit, per=per, **who)
    if len(found) > 1:
        raise Ambiguous(_how_to_tell(found))
    parked = parked_by(connection, found[0].id) if found else []
    if not found or not budgets.remove_budget(connection, found[0].id):
        which = f"#{number}" if number is not None else f"of {accounts.words(who)}"
        said = f"nothing to do: there is no budget {which}; papayya budget lists them"
        facts = {"act": "remove", "changed": 0, "said": said, "next": []}
        documents.report(as_json, {**facts, "budget": None})
        return
    [one] = found
    said = f"{words(one)} is taken away"
    then = next_steps(connection, one, parked, gone=True)
    facts = {"act": "remove", "changed": 1, "said": said, "next": then}
    documents.report(as_json, {**facts, "budget": document(one)})


def _how_to_tell(found: Sequence[Budget]) -> str:
    each = "; ".join(f"--unit {one.unit} --per {one.per} (ID {one.id})" for one in found)
    return f"{len(found)} budgets could be meant; give the ID, or: {each}"
