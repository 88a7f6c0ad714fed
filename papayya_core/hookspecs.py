"""Every hook that Papayya calls. Group ``papayya``; mark implementations with ``papayya.hookimpl``.

Observers collect, and each is guarded: what it raises is logged and changes nothing. Deciders are
first-result: the first answer that is not None wins, and our own default answers last. All hooks
are called synchronously, from the thread that does the work; none is called per row or per chunk.
Implementations may take any subset of the parameters, without defaults.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import click
import pluggy

from papayya_core.call import CallFacts, Priced, PriceQuestion
from papayya_core.carriers import Carrier
from papayya_core.checks import CheckContext, Identity
from papayya_core.contract import Finding, Transition
from papayya_core.rules import RetryDecision
from papayya_core.settings import Settings

PROJECT = "papayya"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


# -- start-up -----------------------------------------------------------------------------------


@hookspec
def register_carriers(register: Callable[[Carrier], None]) -> None:
    """Offer ways to send an item again.

    When: once per process, before the pump's first turn. ``register``: call it with each carrier.
    Returns: ignored. An exception turns the plugin's carriers off and is logged. Since 0.1.
    """


@hookspec
def register_commands(group: click.Group) -> None:
    """Add commands to the ``papayya`` command line.

    When: once, when ``papayya --help`` or a command that is not built in is asked for. ``group``:
    the root click group; a built-in command of the same name wins.
    Returns: ignored. An exception is logged; the other commands work. Since 0.1.
    """


@hookspec
def instrument(settings: Settings) -> None:
    """Hold on to the libraries that work is done with, so that it is recorded.

    When: once per process, before the first item's code runs in it; never in mode ``off``. Fast: it
    imports nothing large. ``settings``: the process's own.
    Returns: ignored. An exception is logged; what was not held on to is not recorded. Since 0.1.
    """


# -- the way in ---------------------------------------------------------------------------------


@hookspec(firstresult=True)
def identify(agent: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Identity | None:
    """Say for whom a call is, and which item it is, when the caller did not.

    When: before an item is captured. ``agent``: its name; ``args``, ``kwargs``: the call's own.
    Returns: the first Identity wins; its fields that are None stay undecided.
    An exception refuses the item: it is counted, and ends as failed. Since 0.1.
    """


# -- inside the item ----------------------------------------------------------------------------


@hookspec(firstresult=True)
def classify_error(error: BaseException) -> str | None:
    """Say whether an error can pass: ``"transient"`` or ``"permanent"``.

    When: a step raised, before decide_retry, which is not asked about permanent errors. Returns:
    the first answer wins.
    An exception counts as no answer and is logged. Since 0.1.
    """


@hookspec(firstresult=True)
def decide_retry(
    error: BaseException, attempts: int, limit: int, label: str
) -> RetryDecision | None:
    """Decide whether a step that raised is tried again, and when.

    When: after the failed attempt, before it is recorded. ``attempts``: how many failed so far, over
    all deliveries; ``limit``: the setting PAPAYYA_STEP_ATTEMPTS. Returns: the first RetryDecision
    wins (``delay`` in seconds, None to give up). An exception counts as no answer. Since 0.1.
    """


@hookspec(firstresult=True)
def normalise_call(url: str, request: Any, response: Any | None) -> CallFacts | None:
    """Read a call to a provider whose wire format Papayya does not know.

    When: before a POST with a JSON body to a registered host is sent (``response`` None), after its
    answer came, and when a person looks at the call. ``url``: without its query; ``request``,
    ``response``: the parsed JSON, or the text of what is none. Returns: the first wins; None leaves
    the exchange alone. An exception counts as no answer and is logged. Since 0.1.
    """


@hookspec(firstresult=True)
def price(question: PriceQuestion) -> Priced | None:
    """Say what tokens cost, where the table of `papayya prices` does not.

    When: before a call is sent (for its upper bound) and after it was answered. Returns: the first
    Priced wins; None everywhere: the call is unpriced, its cost is not known.
    An exception counts as no answer and is logged. Since 0.1.
    """


@hookspec
def redact(text: str) -> str | None:
    """Take out of a text what people must not see, beyond what Papayya knows.

    When: before a prompt, an answer, an error or a finding is shown or logged. Returns: the text to
    show, None to leave it; one plugin after the other is asked. An exception: the text is withheld.
    Since 0.1.
    """


@hookspec(firstresult=True)
def encode(value: object) -> tuple[str, Any] | None:
    """Store a value that Papayya cannot store by itself.

    When: an input, argument, step result or output of an unknown type is encoded.
    Returns: (tag, JSON data); the first wins. An exception: the value is recorded as unstored.
    Since 0.1.
    """


@hookspec(firstresult=True)
def decode(tag: str, data: Any) -> Any | None:
    """Give back the value that ``encode`` stored under ``tag``.

    When: a stored result is read. Returns: the value; the first that is not None wins.
    An exception: the step runs again. Since 0.1.
    """


# -- the end ------------------------------------------------------------------------------------


@hookspec
def check(context: CheckContext) -> Iterable[Finding] | None:
    """Find out whether the item got what it was sent to do.

    When: the agent returned, before its outcome is decided and committed. ``context``: item, agent,
    input-independent facts and the output. Returns: findings, collected from all plugins.
    An exception becomes a note ``check_error``; it never changes the item. Since 0.1.
    """


@hookspec
def on_transition(transition: Transition) -> None:
    """Learn that an item moved to another state, or that it stands out in its run.

    When: after the commit, in the process that caused it: completed, failed, cancelled, paused,
    waiting, queued. ``event`` "outlier": in the process whose pump leads, once for each measure by
    which an item has passed PAPAYYA_OUTLIER_SCORE, also while it runs; its state is as before.
    Returns: ignored. An exception is logged. Since 0.1.
    """
