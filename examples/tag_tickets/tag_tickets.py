"""Tag support tickets with a category and a priority, every one of them accounted for.

Kill it at any moment and start it again with the run id that it prints: it goes on where it
stopped, and an answer that was paid for is not paid for twice. Nothing in here counts tokens or
knows a price: the calls of the model's own client are seen as they are made.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Literal

import psycopg
from model import Model, header
from options import STAND_IN, again, choose, command, parse
from provider import StandInError, stand_in
from pydantic import BaseModel, ConfigDict, create_model
from screen import Screen, money
from tickets import Ticket, Tickets, TicketsError, generated, read
from wording import CATEGORIES, PRIORITIES

from papayya import (
    AgentFunction,
    PapayyaError,
    Reject,
    Settings,
    Transition,
    agent,
    configure,
    hookimpl,
    run,
)
from papayya_core.audit import Audit, UnknownRun, audit
from papayya_core.contract import ENDED
from papayya_core.rules import usd
from papayya_core.store.callviews import CallFilter, CallSums, sum_calls
from papayya_core.store.reads import find_run

INSTRUCTIONS = (
    "You sort the mail of a support desk. Read the ticket and answer in JSON: the category that"
    " fits it best, and its priority: high if something is down or money is at stake, low if the"
    " customer says that it can wait, else normal."
)


class Refused(Reject):
    """The model would not answer."""


class Truncated(Reject):
    """The answer stops in the middle."""


class Tag(BaseModel):
    """What every ticket gets."""

    model_config = ConfigDict(extra="forbid")
    category: Literal[CATEGORIES]  # type: ignore[valid-type]
    priority: Literal[PRIORITIES]  # type: ignore[valid-type]


def tagger(model: Model, tag: type[BaseModel]) -> AgentFunction[[Ticket], dict[str, str]]:
    """Make the agent; everything else in this file is about running it."""
    schema = tag.model_json_schema()

    def ask(text: str) -> Any:
        reply = model.ask(INSTRUCTIONS, text, schema, run.key)
        if reply.refusal:
            raise Refused(reply.refusal)
        if reply.cut:
            raise Truncated("the answer stops in the middle")
        return json.loads(reply.text)

    @agent(name="tag_tickets", model=model.name, instructions=INSTRUCTIONS, output=tag)
    def tag_tickets(ticket: Ticket) -> Any:
        return run.task("tag", ask, ticket.text)

    return tag_tickets


def tag_of(tickets: Tickets) -> type[BaseModel]:
    """Return the shape of a tag; a file may bring its own categories."""
    if tickets.categories == CATEGORIES:
        return Tag
    fields: dict[str, Any] = {"category": (Literal[tickets.categories], ...)}
    return create_model("Tag", __base__=Tag, **fields)


class Watch:
    """Remembers what happened in this process: which items ended, and why some had to wait."""

    def __init__(self) -> None:
        self.ended: set[tuple[str, str]] = set()
        self.waited: dict[tuple[str, str], str] = {}

    @hookimpl
    def on_transition(self, transition: Transition) -> None:
        """Note an end or a wait."""
        item = transition.tenant, transition.key
        if transition.state in ENDED:
            self.ended.add(item)
        elif transition.state == "waiting":
            self.waited[item] = transition.reason or ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo: 0 when all items have ended, 1 if not or for an error, 130 for Ctrl-C."""
    options = parse(arguments)
    try:
        return demo(options)
    except (PapayyaError, TicketsError, StandInError) as error:
        print(f"tag_tickets: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\nstopped; nothing is lost. Go on with:\n  {again(options)}", file=sys.stderr)
        return 130


def demo(options: Namespace) -> int:
    """Tag the tickets and report."""
    tickets = generated(options.n or 1000, options.seed)
    if options.tickets is not None:
        tickets = read(options.tickets, options.n)
    watch = Watch()
    here = configure(Settings.load(run_id=options.run_id), [watch])
    kind, key = choose(options)
    head(options, tickets, kind)
    with psycopg.connect(here.dsn, autocommit=True) as connection:
        before = _audit(connection, options.run_id)
        home = here.settings.home / "tag_tickets" / options.run_id
        with address(options, home, tickets) as url, _screen(tickets, before) as screen:
            agent_fn = tagger(Model(options.model, key, url), tag_of(tickets))
            tag_all(agent_fn, tickets, options, screen, watch)
        calls = sum_calls(connection, CallFilter(run=find_run(connection, options.run_id)))
        return report(screen, before, audit(connection, options.run_id), calls, options)


def head(options: Namespace, tickets: Tickets, kind: str) -> None:
    """Print what is about to happen, and how to go on if it stops."""
    number, orgs = len(tickets.all), tickets.orgs
    items = f"{number:,} {'item' if number == 1 else 'items'}"
    whose = f"{orgs} {'org' if orgs == 1 else 'orgs'}"
    lines = [
        f"▸ tag_tickets · {items} · {whose} · {options.model} ({kind})",
        f"  run {options.run_id}; stop it as you like, and go on with:",
        f"  {again(options)}",
    ]
    if options.provider != STAND_IN:
        lines.append(f"  this asks a real provider, who bills it; --provider={STAND_IN} does not")
    print("\n".join(lines), end="\n\n", flush=True)


def tag_all(
    agent_fn: AgentFunction[[Ticket], Any],
    tickets: Tickets,
    options: Namespace,
    screen: Screen,
    watch: Watch,
) -> None:
    """Put all tickets through the agent, side by side."""
    with run("tag_tickets", run_id=options.run_id, expect=len(tickets.all)):
        results = agent_fn.map(
            tickets.all,
            tenant=lambda ticket: ticket.org,
            item=lambda ticket: ticket.id,
            concurrency=options.concurrency,
        )
        with closing(results) as each:  # type: ignore[type-var]
            for result in each:
                item = result.tenant, result.key
                waited = watch.waited.get(item, "")
                screen.result(result, fresh=item in watch.ended, waited=waited)


def report(
    screen: Screen, before: Audit | None, after: Audit, calls: CallSums, options: Namespace
) -> int:
    """Print the end: counts, cost and what was dropped are the audit's."""
    screen.close(after, calls)
    if before is not None:
        ended = before.totals.accounted - before.totals.open
        paid = after.totals.cost_nusd - before.totals.cost_nusd
        spent = f"{money(usd(paid))} paid this time" if paid else "nothing paid this time"
        screen.say(f"  {ended:,} of them had ended before; {spent}")
    if after.lost:
        screen.say(
            f"  {len(after.lost):,} deliveries were cut off on the way; the audit lists them"
        )
    papayya, name = command("papayya"), options.run_id
    if os.environ.get("PAPAYYA_HOME"):
        papayya += f" --home {shlex.quote(os.environ['PAPAYYA_HOME'])}"
    screen.say("\nLook further:")
    screen.say(f"  {papayya} run {name}")
    screen.say(f"  {papayya} items --run {name} --flagged")
    if screen.example is not None:
        screen.say(f"  {papayya} item {shlex.quote(screen.example)} --run {name}")
    screen.say(f"  {papayya} audit {name}")
    return 0 if after.explained and not after.totals.open else 1


def _screen(tickets: Tickets, before: Audit | None) -> Screen:
    ended = 0 if before is None else before.totals.accounted - before.totals.open
    return Screen(len(tickets.all), ended)


def _audit(connection: psycopg.Connection[Any], name: str) -> Audit | None:
    try:
        return audit(connection, name)
    except UnknownRun:
        return None


@contextmanager
def address(options: Namespace, home: Path, tickets: Tickets) -> Iterator[str | None]:
    """Yield where the model is asked; None is the provider itself."""
    items = [header(ticket.id) for ticket in tickets.all]
    own = options.provider == STAND_IN
    with (
        stand_in(home, items, options.seed) if own else nullcontext(options.provider or None)
    ) as url:
        yield url


if __name__ == "__main__":
    sys.exit(main())
