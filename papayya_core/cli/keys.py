"""`papayya keys`: keys of providers, by fingerprint and name; the keys themselves are not kept."""

from __future__ import annotations

import os
import shlex
import sys
from typing import Any

import click

from papayya_core import keyprints, redaction
from papayya_core.cli import callwords, documents, show
from papayya_core.cli.state import NAME, Cli, Command, Section, pass_cli
from papayya_core.errors import PapayyaError
from papayya_core.store import keys
from papayya_core.store.keys import KeyRow

COLUMNS = ("KEY", "NAME", ">CALLS", ">SPENT", "LAST USED", ">BUDGETS", ">LIMITS")


class NoKey(PapayyaError):
    """There was no key to read; the message says where it was looked for."""


@click.group("keys", cls=Section, invoke_without_command=True)
@documents.json_option
@pass_cli
@click.pass_context
def keys_(ctx: click.Context, cli: Cli, /, as_json: bool) -> None:
    """List the keys that calls were made with: what was spent, how many budgets and limits.

    \b
    papayya keys print --provider openai --env OPENAI_API_KEY
    papayya keys name openai/0123456789abcdef production
    papayya budget set --key production --usd 500 --per month

    KEY is PROVIDER/PRINT. A print is a fingerprint: the key can't be had from it, and is nowhere
    kept. Budgets and limits take it, or the name that you give it.
    """
    if ctx.invoked_subcommand is not None:
        return
    found = keys.list_keys(cli.connection)
    if as_json:
        documents.emit({"keys": list(map(_document, found))})
    elif found:
        show.grid(show.console(), COLUMNS, map(_line, found))
    else:
        said = "no call was made with a key yet; papayya keys print says the print of yours"
        show.console().print(said, soft_wrap=True)


def _document(one: KeyRow) -> dict[str, Any]:
    return {"key": one.key, **documents.shape(one)}


def _line(one: KeyRow) -> tuple[show.Cell, ...]:
    spent, used = callwords.sum_of(one.cost_nusd, one), show.moment(one.used_at)
    return one.key, show.name(one.name), one.calls, spent, used, one.budgets, one.limits


@keys_.command("name", cls=Command)
@click.argument("key", metavar="PROVIDER/PRINT", type=NAME)
@click.argument("name", type=NAME)
@documents.json_option
@pass_cli
def name_(cli: Cli, /, key: str, name: str, as_json: bool) -> None:
    """Give a key a NAME; one that was not used yet, too. The old name also says which key."""
    one, changed = keys.name_key(cli.first_connection, key, name)
    said = f"key {one.key} is {name}" + (" from now on" if changed else ": nothing to do")
    then = f"Cap it with: papayya budget set --key {shlex.quote(show.safe(name))} --usd 500"
    facts = {"act": "name", "changed": int(changed), "said": said}
    documents.report(as_json, {**facts, **_document(one)})
    if not as_json:
        show.console().print(then, soft_wrap=True)


@keys_.command("print", cls=Command)
@click.option("--provider", type=NAME, required=True, help="openai, anthropic, aws.bedrock, …")
@click.option("--env", metavar="VARIABLE", help="Read the key from this variable, not stdin.")
@documents.json_option
def print_(provider: str, env: str | None, as_json: bool) -> None:
    """Say the print of a key that is read from stdin, or from a variable (--env).

    The key is not kept, sent or shown. Of AWS give the access key id. With the print a budget can
    be set before the first call: papayya budget set --key "$(papayya keys print …)" --usd 5
    """
    secret = _read(env)
    kept = keyprints.lasting(secret)
    if not kept:
        raise NoKey(
            "this is a token that lives for an hour and does not say whose it is: calls with it"
            " have no key. Budgets of tenants, runs and agents count them"
        )
    key = f"{provider.lower()}/{keyprints.fingerprint(kept)}"
    if not keys.is_print(key):
        raise click.UsageError(f"{provider!r} is no provider's name; papayya calls shows them")
    if as_json:
        documents.emit({"key": key, "provider": provider.lower(), "print": key.rpartition("/")[2]})
        return
    click.echo(key)
    if sys.stdout.isatty():
        click.echo(f"Give it a name: papayya keys name {key} NAME", err=True)


def _read(env: str | None) -> str:
    if env is not None:
        secret = os.environ.get(env, "").strip()
        if not secret:
            raise NoKey(
                f"the variable {redaction.redact(show.short(env))} is not set; name another"
            )
        return secret
    if sys.stdin.isatty():
        secret = str(click.prompt("Key", hide_input=True, err=True)).strip()
    else:
        secret = sys.stdin.read().strip()
    if not secret:
        raise NoKey("stdin is empty; pipe the key into it, or name a variable with --env")
    return secret
