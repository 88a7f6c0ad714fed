"""The entry point `papayya`, and the page that `papayya --help` prints."""

from __future__ import annotations

import click

from papayya_core.cli.group import Group, Lazy
from papayya_core.cli.state import Cli, global_options

COMMANDS = {
    "Look": {
        "runs": Lazy("runs:runs", "the newest runs: how far, how well, what they cost"),
        "run": Lazy("runs:run", "one run: counts, budget, what went wrong, how to go on"),
        "items": Lazy("items:items", "items by run, tenant, state or outcome"),
        "item": Lazy("item:item", "everything about one item, found by its key over all runs"),
        "calls": Lazy("calls:calls", "calls to models and tools, and what they come to"),
        "results": Lazy("results:results", "the outputs of a run, as text, JSON or JSON lines"),
        "outliers": Lazy("outliers:outliers_", "what stands out in a run, also while it runs"),
        "watch": Lazy("watch:watch", "one run live: progress, money, tenants, outliers"),
        "tenants": Lazy("tenants:tenants_", "who spends, who waits and who is starved, live"),
        "limits": Lazy("limits:limits_", "requests and tokens per minute, set and learned"),
        "keys": Lazy("keys:keys_", "keys of providers, by fingerprint and name"),
        "audit": Lazy("audit:audit", "prove that nothing was dropped, nor a cent lost, or name it"),
    },
    "Act": {
        "retry": Lazy("act:retry", "queue failed items again; finished steps are kept"),
        "pause": Lazy("pauses:pause", "hold a run, a tenant or an item until it is resumed"),
        "resume": Lazy("pauses:resume", "let go on what is paused; finished steps are kept"),
        "kill": Lazy("kill:kill", "end a run, a tenant's open items or one item, also at work"),
        "cancel": Lazy("kill:kill", "the same as kill"),
        "drain": Lazy("act:drain", "let a run finish what it has in hand, and start no more"),
        "budget": Lazy("budgets:budget", "caps in dollars or tokens: list, set, change, remove"),
        "limit": Lazy("limits:limit", "set or remove a limit of requests and tokens per minute"),
        "prices": Lazy("prices:prices_", "what models cost where the list prices are not yours"),
        "reconcile": Lazy("reconcile:reconcile", "say what a call cost whose end nobody knows"),
    },
    "Operate": {
        "doctor": Lazy("doctor:doctor", "what is installed, reachable and migrated; what to do"),
        "migrate": Lazy("migrate:migrate", "bring the database to the schema of this version"),
        "spool": Lazy("spool:spool", "what was paid while Postgres was away, and waits for it"),
        "pump": Lazy("pump:pump", "bring back what was lost, wake what is due"),
        "plugins": Lazy("plugins:plugins", "which plugins are on, which are off, and why"),
        "fake-provider": Lazy("fake_provider:fake_provider", "a model provider that costs nothing"),
    },
}

HELP = """Per-item checkpoints, budgets and replay for LLM pipelines.

A run is one execution of an agent over items. Each item has a state (did it run?) and an
outcome (did it get what it was sent to do?). What was submitted is counted at entry, so that
nothing can be dropped silently, and what finished is never paid for twice.
"""

EPILOG = """\b
Examples:
  papayya runs                            what ran lately
  papayya run nightly                     one run, and how to go on with it
  papayya items --run nightly --flagged   what needs a look
  papayya item ticket-0042                why it needs one
  papayya retry nightly                   queue what failed
  papayya pause --tenant acme             hold all work for a tenant
  papayya budget set --tenant acme --usd 40 --per month
  papayya results nightly --jsonl > out   the outputs, a document a line
  papayya audit nightly                   prove that nothing was dropped
  PAPAYYA_RUN_ID=nightly python tag.py    go on where a run stopped

\b
Where the database comes from:
  1. --database-url, before or after the command
  2. the variable PAPAYYA_DATABASE_URL
  3. else the embedded Postgres (pip install 'papayya-core[embedded]') in
     --home, in PAPAYYA_HOME, or in the platform's data directory; it starts
     when it is needed
  `papayya doctor` says which one it is, and whether it works.

\b
Output:
  Tables for people, --json for programs. Amounts are exact: "cost_usd" is
  text, "cost_nusd" a whole number of nano-dollars. Times are local in
  tables, UTC in JSON.

\b
Exit codes:
  0 done · 1 failed, or the audit found something · 2 wrong usage
  130 interrupted
"""


@click.group(
    name="papayya",
    cls=Group,
    sections=COMMANDS,
    help=HELP,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 96},
)
@global_options
@click.version_option(package_name="papayya-core", message="papayya-core %(version)s")
@click.pass_context
def cli(ctx: click.Context) -> None:
    ctx.ensure_object(Cli)


def main() -> None:
    """Run the command line."""
    cli.main(prog_name="papayya")
