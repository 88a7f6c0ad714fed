"""What budgets and limits are set on: tenants, runs, agents and keys by name, and their words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from papayya_core import rules
from papayya_core.store import keys
from papayya_core.store.reads import Connection, UnknownName, find_agent, find_run, find_tenant

_WHAT = {
    "tenant": "a tenant",
    "run": "a run",
    "agent": "an agent's name",
    "key": "a key",
    "provider": "a provider",
    "model": "a model",
}


def checked(names: Iterable[str], given: Mapping[str, object]) -> dict[str, str | None]:
    """Return the part of an account that is meant, None for what is not given. Raises InvalidKey."""
    values = ((name, given.get(name)) for name in names)
    return {
        name: None if value is None else rules.check_name(value, _WHAT[name])
        for name, value in values
    }


def find(connection: Connection, account: Mapping[str, str | None]) -> dict[str, int | None]:
    """Look up the ids of an account. Raises UnknownName, naming near ones."""
    finders = {"tenant": find_tenant, "run": find_run, "agent": find_agent}
    found: dict[str, int | None] = {}
    for name, value in account.items():
        if value is None:
            found[name] = None
        elif name == "key":
            found[name] = keys.find_key(connection, value)
            if found[name] is None:
                raise UnknownName(f"no key {value!r} was seen yet; papayya keys lists them")
        else:
            found[name] = finders[name](connection, value)
    return found


def words(account: Mapping[str, str | None]) -> str:
    """Say whose a budget or limit is: tenant acme, agent tag."""
    return ", ".join(f"{name} {value}" for name, value in account.items() if value is not None)
