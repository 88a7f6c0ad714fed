"""Plugins: found, loaded one by one, and called through one typed function per hook.

A plugin whose library is missing is off and says why; a malformed one is off and says what is
wrong; neither stops anything else. Pluggy's own entry-point loader does stop, hence this one.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, get_args

import click
import pluggy

from papayya_core import defaults, hookspecs, redaction, rules
from papayya_core.call import CallFacts, Priced, PriceQuestion
from papayya_core.carriers import Carrier
from papayya_core.checks import CheckContext, Identity
from papayya_core.contract import Finding, Severity, Transition
from papayya_core.hookspecs import PROJECT
from papayya_core.rules import RetryDecision
from papayya_core.settings import Settings

logger = redaction.logger("papayya.plugins")


@dataclass(frozen=True, slots=True)
class PluginStatus:
    """One plugin as ``papayya plugins`` shows it; ``why`` says what keeps it off."""

    name: str
    version: str
    on: bool
    why: str | None
    hooks: tuple[str, ...]


class Plugins:
    """The loaded plugins. ``only``: load these names, None for all that are installed."""

    def __init__(self, only: Iterable[str] | None = None, extra: Iterable[object] = ()) -> None:
        self._manager = pluggy.PluginManager(PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self.statuses: list[PluginStatus] = []
        self._add("defaults", "built in", defaults)
        wanted = None if only is None else set(only)
        for entry in sorted(entry_points(group=PROJECT), key=lambda entry: entry.name):
            if wanted is None or entry.name in wanted:
                self._load(entry)
            else:
                self._off(entry.name, _version(entry), "not named in PAPAYYA_PLUGINS")
        for plugin in extra:
            self._add(getattr(plugin, "__name__", type(plugin).__name__), "given", plugin)
        self._carriers: dict[str, Carrier] | None = None
        self._instrumented = False
        self.encoders = _Encoders(self) if self._stores_types() else None

    def _load(self, entry: EntryPoint) -> None:
        try:
            module = entry.load()
        except ModuleNotFoundError as error:
            missing = (error.name or "?").partition(".")[0]
            self._off(entry.name, _version(entry), f"{missing} is not installed")
        except Exception as error:  # noqa: BLE001 - a plugin's fault must not stop anything
            self._off(
                entry.name, _version(entry), f"its import failed: {rules.describe_error(error)}"
            )
        else:
            self._add(entry.name, _version(entry), module)

    def _add(self, name: str, version: str, plugin: object) -> None:
        if self._manager.is_registered(plugin):
            return
        name = self._free(name)
        try:
            self._manager.register(plugin, name)
            hooks = tuple(sorted(h.name for h in self._manager.get_hookcallers(plugin) or ()))
            _refuse_faults(self._manager, plugin, hooks)
        except Exception as error:  # noqa: BLE001 - as above
            if self._manager.has_plugin(name):
                self._manager.unregister(name=name)
            self._off(name, version, f"malformed: {rules.describe_error(error)}")
        else:
            self.statuses.append(PluginStatus(name, version, True, None, hooks))

    def _free(self, name: str) -> str:
        """Tell plugins of one name apart: the second is ``name#2``."""
        taken = {status.name for status in self.statuses}
        numbered = (f"{name}#{n}" for n in itertools.count(2))
        return next(one for one in itertools.chain([name], numbered) if one not in taken)

    def _off(self, name: str, version: str, why: str) -> None:
        self.statuses.append(PluginStatus(name, version, False, why, ()))

    def _stores_types(self) -> bool:
        return bool(self._manager.hook.encode.get_hookimpls())

    # -- one typed function per hook ------------------------------------------------------------

    def carriers(self) -> dict[str, Carrier]:
        """Collect the carriers by name, once."""
        if self._carriers is None:
            found: dict[str, Carrier] = {}
            self._observe("register_carriers", register=lambda c: found.__setitem__(c.name, c))
            self._carriers = found
        return self._carriers

    def instrument(self, settings: Settings) -> None:
        """Let plugins hold on to the libraries that work is done with, once."""
        if not self._instrumented:
            self._instrumented = True
            self._observe("instrument", settings=settings)

    def register_commands(self, group: click.Group) -> None:
        """Let plugins add commands."""
        self._observe("register_commands", group=group)

    def identify(self, agent: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Identity:
        """Ask for whom a call is; an exception is the caller's to handle."""
        found = self._manager.hook.identify(agent=agent, args=args, kwargs=kwargs)
        return found if found is not None else Identity()

    def classify_error(self, error: BaseException) -> str:
        """Ask whether an error can pass."""
        return str(self._decide("classify_error", _is_class, error=error) or "transient")

    def decide_retry(
        self, error: BaseException, attempts: int, limit: int, label: str
    ) -> RetryDecision:
        """Ask whether a step is tried again; what is permanent never is."""
        if self.classify_error(error) == "permanent":
            return RetryDecision(None, f"{type(error).__name__} is not worth another try")
        facts: dict[str, Any] = {"attempts": attempts, "limit": limit, "label": label}
        found = self._decide("decide_retry", _is_decision, error=error, **facts)
        return found if found is not None else rules.default_retry(error, attempts, limit)

    def normalise_call(self, url: str, request: Any, response: Any) -> CallFacts | None:
        """Ask what a call is."""
        facts = {"url": url, "request": request, "response": response}
        found: CallFacts | None = self._decide("normalise_call", _is(CallFacts), **facts)
        return found

    def price(self, question: PriceQuestion) -> Priced | None:
        """Ask what tokens cost."""
        found: Priced | None = self._decide("price", _is_price, question=question)
        return found

    def redact(self, text: str) -> str:
        """Let plugins take out of a text what people must not see."""
        for impl in self._manager.hook.redact.get_hookimpls():
            try:
                found = _call(impl, {"text": text})
            except Exception:
                logger.exception(
                    "plugin %s failed in redact; the text is withheld", impl.plugin_name
                )
                return "[withheld: the redactor failed]"
            text = found if isinstance(found, str) else text
        return text

    def check(self, context: CheckContext) -> list[Finding]:
        """Collect what all checks find; a broken check becomes a note."""
        findings: list[Finding] = []
        for impl in self._manager.hook.check.get_hookimpls():
            try:
                findings += map(_finding, _call(impl, {"context": context}) or ())
            except Exception as error:  # noqa: BLE001 - a broken check never changes an item
                reason = f"{impl.plugin_name}: {rules.describe_error(error)}"
                findings.append(Finding("check_error", "note", reason))
        return findings

    def on_transition(self, transition: Transition) -> None:
        """Tell all observers."""
        self._observe("on_transition", transition=transition)

    # -- how they are called --------------------------------------------------------------------

    def _decide(self, name: str, is_answer: Callable[[Any], bool], **facts: Any) -> Any:
        """Return the first answer; an exception, or nonsense, counts as none."""
        for impl in reversed(getattr(self._manager.hook, name).get_hookimpls()):
            try:
                found = _call(impl, facts)
            except Exception:
                logger.exception("plugin %s failed in %s; going on", impl.plugin_name, name)
                continue
            if found is not None and is_answer(found):
                return found
            if found is not None:
                logger.error("plugin %s: %s cannot return %r", impl.plugin_name, name, found)
        return None

    def _observe(self, name: str, **facts: Any) -> None:
        for impl in getattr(self._manager.hook, name).get_hookimpls():
            try:
                _call(impl, facts)
            except Exception:
                logger.exception("plugin %s failed in %s", impl.plugin_name, name)

    def encode(self, value: object) -> tuple[str, Any] | None:
        """Ask how to store a value of an unknown type."""
        found: tuple[str, Any] | None = self._manager.hook.encode(value=value)
        return found

    def decode(self, tag: str, data: Any) -> Any:
        """Ask for the value behind a stored tag."""
        return self._manager.hook.decode(tag=tag, data=data)


class _Encoders:
    """The codec's view of the encode and decode hooks."""

    def __init__(self, plugins: Plugins) -> None:
        self.encode = plugins.encode
        self.decode = plugins.decode


def _call(impl: pluggy.HookImpl, facts: dict[str, Any]) -> Any:
    return impl.function(**{name: facts[name] for name in (*impl.argnames, *impl.kwargnames)})


def _is(kind: type) -> Callable[[Any], bool]:
    return lambda answer: isinstance(answer, kind)


def _is_price(answer: object) -> bool:
    return isinstance(answer, Priced) and answer.nusd >= 0


def _is_class(answer: object) -> bool:
    return answer in ("transient", "permanent")


def _is_decision(answer: object) -> bool:
    if not isinstance(answer, RetryDecision):
        return False
    delay: object = answer.delay
    return delay is None or (isinstance(delay, int | float) and 0 <= delay < math.inf)


def _finding(found: object) -> Finding:
    if not isinstance(found, Finding) or found.severity not in get_args(Severity):
        msg = f"a check returns findings, not {found!r}"
        raise TypeError(msg)
    return found


def _refuse_faults(manager: pluggy.PluginManager, plugin: object, hooks: tuple[str, ...]) -> None:
    """Refuse what pluggy lets pass: no hooks at all, unknown hooks, defaults, wrappers."""
    if not hooks:
        msg = "it has no hooks; mark them with papayya.hookimpl"
        raise TypeError(msg)
    manager.check_pending()
    for caller in manager.get_hookcallers(plugin) or ():
        for impl in caller.get_hookimpls():
            if impl.plugin is plugin and impl.kwargnames:
                msg = f"{caller.name}: parameters must not have defaults"
                raise TypeError(msg)
            if impl.plugin is plugin and (impl.hookwrapper or impl.wrapper):
                msg = f"{caller.name}: wrappers are not supported"
                raise TypeError(msg)


def _version(entry: EntryPoint) -> str:
    return entry.dist.version if entry.dist is not None else "?"
