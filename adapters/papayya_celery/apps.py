"""The apps that this process has installed us on, and what was said about each."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from papayya_core.contract import Agent
from papayya_core.fingerprints import version_of

if TYPE_CHECKING:
    from papayya_celery.naming import Choice

Only = Callable[[str], bool] | Iterable[str] | str | None
_MAPS = ("celery.map", "celery.starmap")


@dataclass(eq=False)
class Installation:
    """What was given to ``install`` for one app."""

    app: Any
    tenant: Choice = None
    item: Choice = None
    run: Choice = None
    only: Only = None
    recover: Mapping[str, bool] = field(default_factory=dict)
    pump: bool = True
    admission: int | None = None
    number: int = field(default_factory=itertools.count().__next__)
    _agents: dict[str, Agent] = field(default_factory=dict)

    @property
    def carrier(self) -> str:
        """Who carries the app's items: other apps may keep their books in the same Postgres."""
        return f"celery:{self.app.main or 'app'}"

    def manages(self, name: str) -> bool:
        """Tell whether the messages of this task are items."""
        if name.startswith("celery."):
            return False
        if self.only is None:
            return True
        if callable(self.only):
            return bool(self.only(name))
        patterns = (self.only,) if isinstance(self.only, str) else self.only
        return any(fnmatchcase(name, pattern) for pattern in patterns)

    def agent_name(self, name: str, args: Any, kwargs: Any) -> str | None:
        """Name the agent of a message; None when it is no item.

        A chunk of ``task.map``, ``starmap`` or ``chunks`` is one message, and so one item.
        """
        if name in _MAPS:
            inner = kwargs.get("task") or (args[0] if args else None)
            inner_name = inner.get("task") if isinstance(inner, Mapping) else None
            if isinstance(inner_name, str) and self.manages(inner_name):
                return f"{name}({inner_name})"
            return None
        return name if self.manages(name) else None

    def recovers(self, task: Any) -> bool:
        """Tell whether a body whose worker died is run again."""
        own = getattr(task, "papayya_recover", None)
        if own is not None:
            return bool(own)
        found = (flag for name, flag in self.recover.items() if fnmatchcase(task.name, name))
        return next(found, True)

    def agent(self, name: str, task: Any) -> Agent:
        """Define the agent of a task, once per process; its version is that of its code."""
        agent = self._agents.get(name)
        if agent is None:
            run = task.run
            place = f"{task.__module__}:{getattr(run, '__qualname__', type(task).__qualname__)}"
            agent = self._agents[name] = Agent(name, version_of(run), place)
        return agent


_SLOT = "_papayya"
_apps: WeakSet[Any] = WeakSet()


def remember(installation: Installation) -> None:
    """Keep an installation with its app, for as long as that lives."""
    setattr(installation.app, _SLOT, installation)
    _apps.add(installation.app)


def of(app: Any) -> Installation | None:
    """Return what was installed on an app."""
    found: Installation | None = getattr(app, _SLOT, None)
    return found


def forget(app: Any) -> None:
    """Leave an app to itself from now on; its messages are no items any more."""
    _apps.discard(app)
    vars(app).pop(_SLOT, None)


def every() -> list[Installation]:
    """List the installations of this process, in their order."""
    found = [inst for inst in map(of, list(_apps)) if inst is not None]
    return sorted(found, key=lambda inst: inst.number)


def by_carrier() -> dict[str, Installation]:
    """Find the installations by the names that their items are carried under.

    Of two apps of one name the later is meant: tests and reloads make an app anew.
    """
    return {found.carrier: found for found in every()}
