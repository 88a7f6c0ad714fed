"""What an error is about: a model's answer, the way to it, or a time that is up. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from papayya_core import rules
from papayya_core.errors import PapayyaError, Reject

_PROVIDERS = frozenset(
    {"openai", "anthropic", "httpx", "httpx2", "httpcore", "google", "botocore", "litellm", "groq"}
)
_QUEUES = frozenset({"billiard", "dramatiq", "huey", "rq"})
_READERS = frozenset({"instructor", "pydantic_ai", "langchain_core", "jsonschema"})
_UNREADABLE = frozenset(
    {
        "APIResponseValidationError",
        "ContentFilterFinishReasonError",
        "JSONSchemaValidationError",
        "LengthFinishReasonError",
        "UnknownApiResponseError",
    }
)
"""Errors of providers' libraries that are about an answer, not about getting one."""
_UNUSABLE = (
    *(ValueError, LookupError, TypeError, AttributeError, AssertionError, ArithmeticError),
    StopIteration,  # next() has found nothing
)
_LINKS = 10  # of a chain of causes


def asks_anew(error: BaseException) -> bool:
    """Tell whether an error says that a model's answer was no good, so that it is asked again.

    It does when it, or what caused it, is a Reject or a fault in reading (a JSON, validation or
    lookup error, next() in vain, a parser's own); it does not when a provider, the network or
    Postgres failed. Of a group of errors, one is enough.
    """
    if isinstance(error, BaseExceptionGroup):
        return any(map(asks_anew, error.exceptions))
    links = list(chain(error))
    if _root(error) in _READERS:  # they wrap a provider's errors as well
        return not any(map(_is_outage, links[1:]))
    for link in links:
        if isinstance(link, Reject) or type(link).__name__ in _UNREADABLE:
            return True
        if _is_outage(link):
            return False
        if isinstance(link, _UNUSABLE) or _root(link) in _READERS:
            return True
    return False


def _is_outage(error: BaseException) -> bool:
    ours = isinstance(error, PapayyaError) and not isinstance(error, Reject)
    return (
        ours
        or isinstance(error, OSError)
        or _root(error) in _PROVIDERS
        or bool(rules.status_of(error))
    )


def _root(error: BaseException) -> str:
    return type(error).__module__.partition(".")[0]


def chain(error: BaseException, *, hidden: bool = False) -> Iterator[BaseException]:
    """Go through an error and what caused it; ``hidden``: what ``from None`` hides as well."""
    link: BaseException | None = error
    for _ in range(_LINKS):
        if link is None:
            return
        yield link
        shown = hidden or not link.__suppress_context__
        link = link.__cause__ or (link.__context__ if shown else None)


def is_interrupt(error: BaseException) -> bool:
    """Tell whether an error comes from outside, at whatever line: a time limit of a queue."""
    return _root(error) in _QUEUES
