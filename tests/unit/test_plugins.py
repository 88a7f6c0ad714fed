"""Plugins: found, loaded one by one, guarded; and hooks that say when, what and what if."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import click
import pluggy
import pytest

from papayya_core import hookspecs
from papayya_core import plugins as loading
from papayya_core.checks import CheckContext, Identity
from papayya_core.contract import Agent, Finding, Transition
from papayya_core.hookspecs import hookimpl
from papayya_core.plugins import Plugins, PluginStatus
from papayya_core.rules import RetryDecision

CONTEXT = CheckContext("r", "t", "k", Agent("a", "v"), {"out": 1})
TRANSITION = Transition("r", "t", "a", "k", 1, "completed", "ok", None, 0)


def status(plugins: Plugins, name: str) -> PluginStatus:
    [found] = [one for one in plugins.statuses if one.name == name]
    return found


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[dict[str, str]]:
    """What the test says is installed: the text of a module by name."""
    sources: dict[str, str] = {}

    def entries(group: str) -> list[EntryPoint]:
        for name, text in sources.items():
            (tmp_path / f"installed_{name}.py").write_text(text)
        return [EntryPoint(name, f"installed_{name}", group) for name in sources]

    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(loading, "entry_points", entries)
    yield sources
    for name in [name for name in sys.modules if name.startswith("installed_")]:
        del sys.modules[name]


GOOD = """
from papayya_core.hookspecs import hookimpl
@hookimpl
def classify_error(error):
    return "permanent" if str(error) == "good" else None
"""


def test_installed_plugins(installed: dict[str, str]) -> None:
    """A plugin that is installed is on, with its hooks; ours are always there."""
    installed["good"] = GOOD
    plugins = Plugins()
    assert status(plugins, "good") == PluginStatus("good", "?", True, None, ("classify_error",))
    assert status(plugins, "defaults").hooks == ("check", "classify_error", "decide_retry")
    assert plugins.classify_error(OSError("good")) == "permanent"
    assert plugins.classify_error(OSError("other")) == "transient"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("import nowhere_to_be_found.sub", "nowhere_to_be_found is not installed"),
        ("1 / 0", "its import failed: ZeroDivisionError: division by zero"),
        ("def", "its import failed: SyntaxError"),
        ("x = 1", "malformed: TypeError: it has no hooks"),
        (
            GOOD.replace("classify_error(error)", "clasify_error(error)"),
            "malformed: PluginValidationError",
        ),
        (GOOD.replace("(error)", "(eror)", 1), "malformed: PluginValidationError"),
        (GOOD.replace("(error):", "(error=None):"), "parameters must not have defaults"),
        (
            GOOD.replace("@hookimpl", "@hookimpl(wrapper=True)").replace("return", "x = yield;"),
            "wrappers are not supported",
        ),
    ],
)
def test_plugins_that_are_off(installed: dict[str, str], text: str, why: str) -> None:
    """What is missing, broken or malformed turns its plugin off and says why; the others are on."""
    installed.update(a_bad=text, z_good=GOOD)
    plugins = Plugins()
    bad = status(plugins, "a_bad")
    assert (bad.on, bad.hooks) == (False, ())
    assert bad.why is not None
    assert why in bad.why
    assert status(plugins, "z_good").on
    assert plugins.classify_error(OSError("good")) == "permanent"


def test_chosen_plugins(installed: dict[str, str]) -> None:
    """PAPAYYA_PLUGINS loads those it names, and none when it names none."""
    installed.update(one=GOOD, two=GOOD)
    plugins = Plugins(only=["two"])
    assert (status(plugins, "one").on, status(plugins, "two").on) == (False, True)
    assert status(plugins, "one").why == "not named in PAPAYYA_PLUGINS"
    none = Plugins(only=[])
    assert [one.name for one in none.statuses if one.on] == ["defaults"]
    assert none.decide_retry(ConnectionError(), 1, 5, "l").delay == 1


class Judge:
    """A plugin as an object: checks and watches."""

    def __init__(self, *findings: Any) -> None:
        self.findings = findings
        self.seen: list[Any] = []

    @hookimpl
    def check(self, context: CheckContext) -> Any:
        """Return or raise what was given."""
        for one in self.findings:
            if isinstance(one, Exception):
                raise one
            yield one

    @hookimpl
    def on_transition(self, transition: Transition) -> None:
        """Note it, and fail."""
        self.seen.append(transition)
        raise RuntimeError("observer")


def test_two_of_a_kind() -> None:
    """Two plugins of one class, or one name, both work."""
    one, two = Judge(Finding("a", "note", "a")), Judge(Finding("b", "note", "b"))
    plugins = Plugins(only=[], extra=[one, two])
    assert sorted(each.check for each in plugins.check(CONTEXT)) == ["a", "b"]
    given = {each.name: each.on for each in plugins.statuses if each.version == "given"}
    assert given == {"Judge": True, "Judge#2": True}


def test_given_twice() -> None:
    """The same plugin given twice stays on once."""
    judge = Judge(Finding("a", "note", "a"))
    plugins = Plugins(only=[], extra=[judge, judge])
    assert [each.check for each in plugins.check(CONTEXT)] == ["a"]


def test_observers_are_guarded(caplog: pytest.LogCaptureFixture) -> None:
    """An observer that raises is logged by name, and the others are still told."""
    one, two = Judge(), Judge()
    plugins = Plugins(only=[], extra=[one, two])
    plugins.on_transition(TRANSITION)
    assert one.seen == two.seen == [TRANSITION]
    assert "on_transition" in caplog.text
    assert "Judge" in caplog.text


def test_broken_checks() -> None:
    """A check that raises, or returns what is no finding, becomes a note and spoils no other."""
    good = Finding("good", "degraded", "g")
    bad: list[Any] = [ValueError("broken"), "a text", Finding("x", "fatal", "no such severity")]  # type: ignore[arg-type]
    for fault in bad:
        plugins = Plugins(only=[], extra=[Judge(good), Judge(fault)])
        found = {each.check: each.severity for each in plugins.check(CONTEXT)}
        assert found == {"good": "degraded", "check_error": "note"}


class Decider:
    """A plugin that answers as it was told."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    @hookimpl
    def decide_retry(self, error: BaseException, attempts: int) -> Any:
        """Return or raise the answer."""
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.parametrize(
    "answer",
    [
        ValueError("broken"),
        3.0,
        "soon",
        RetryDecision(float("nan"), "?"),
        RetryDecision(float("inf"), "?"),
        RetryDecision(-1.0, "?"),
        RetryDecision("soon", "?"),  # type: ignore[arg-type]
    ],
)
def test_broken_deciders(answer: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A decider that raises or makes no sense counts as no answer, and is logged."""
    plugins = Plugins(only=[], extra=[Decider(answer)])
    assert plugins.decide_retry(ConnectionError("reset"), 2, 5, "l").delay == 2
    assert "decide_retry" in caplog.text


def test_deciders() -> None:
    """A decider's answer wins over ours; None leaves it to us; the permanent stays permanent."""
    mine = RetryDecision(7.0, "mine")
    plugins = Plugins(only=[], extra=[Decider(mine)])
    assert plugins.decide_retry(ConnectionError(), 1, 5, "l") == mine
    assert plugins.decide_retry(ValueError(), 1, 5, "l").delay is None
    assert Plugins(only=[], extra=[Decider(None)]).decide_retry(OSError(), 3, 5, "l").delay == 4


class Classifier:
    """A plugin that knows better."""

    @hookimpl
    def classify_error(self, error: BaseException) -> str | None:
        """Say that a ValueError can pass; fail at a KeyError."""
        if isinstance(error, KeyError):
            raise TypeError("broken")
        return "transient" if isinstance(error, ValueError) else None


def test_classifiers() -> None:
    """A plugin may say that an error can pass which we take for permanent."""
    plugins = Plugins(only=[], extra=[Classifier()])
    assert plugins.classify_error(ValueError()) == "transient"
    assert plugins.decide_retry(ValueError(), 1, 5, "l").delay == 1
    assert plugins.classify_error(TypeError()) == "permanent"


class Everything:
    """A plugin with the remaining hooks."""

    name = "mine"

    @hookimpl
    def identify(self, agent: str, args: tuple[Any, ...]) -> Identity | None:
        """Take the tenant from the input."""
        return Identity(tenant=args[0]) if agent == "a" else None

    @hookimpl
    def register_carriers(self, register: Any) -> None:
        """Offer itself."""
        register(self)

    @hookimpl
    def register_commands(self, group: click.Group) -> None:
        """Add a command."""
        group.add_command(click.Command("mine"))

    @hookimpl
    def encode(self, value: object) -> tuple[str, Any] | None:
        """Store complex numbers."""
        return ("complex", [value.real, value.imag]) if isinstance(value, complex) else None

    @hookimpl
    def decode(self, tag: str, data: Any) -> Any:
        """Read them."""
        return complex(*data) if tag == "complex" else None


def test_the_other_hooks() -> None:
    """Identification, carriers, commands and types of plugins are used."""
    everything: Any = Everything()
    plugins = Plugins(only=[], extra=[everything])
    assert plugins.identify("a", ("acme",), {}) == Identity("acme", None)
    assert plugins.identify("b", ("acme",), {}) == Identity()
    assert plugins.carriers()["mine"] is everything
    group = click.Group()
    plugins.register_commands(group)
    assert list(group.commands) == ["mine"]
    assert plugins.encoders is not None
    assert plugins.encoders.encode(1j) == ("complex", [0.0, 1.0])
    assert plugins.encoders.decode("complex", [0, 1]) == 1j
    assert Plugins(only=[]).encoders is None


SPECS = {
    name: spec
    for name, spec in vars(hookspecs).items()
    if inspect.isfunction(spec) and hasattr(spec, f"{hookspecs.PROJECT}_spec")
}


@pytest.mark.parametrize("name", SPECS)
def test_hooks_are_documented(name: str) -> None:
    """Each hook says when it is called, what is returned, what an exception does, since when."""
    text = inspect.getdoc(SPECS[name]) or ""
    for word in ("When:", "Returns:", "n exception", "Since"):
        assert word in text, word
    hints = inspect.get_annotations(SPECS[name])
    assert {"return", *inspect.signature(SPECS[name]).parameters} == set(hints)


def test_hooks_are_few_and_called() -> None:
    """There are at most 20 hooks, and Plugins has one function for each."""
    assert len(SPECS) <= 20
    functions = {name for name, _ in inspect.getmembers(Plugins, inspect.isfunction)}
    missing = {name.replace("register_carriers", "carriers") for name in SPECS} - functions
    assert missing == set()
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    assert {name for name in SPECS if hasattr(manager.hook, name)} == set(SPECS)
