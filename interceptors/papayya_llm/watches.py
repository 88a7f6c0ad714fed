"""What is heard of a streamed answer while it passes."""

from __future__ import annotations

import _thread
import gc
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from papayya_core import rules
from papayya_core.call import Answered, Ending, Held
from papayya_llm import endings, eventstream
from papayya_llm.exchanges import Exchange
from papayya_llm.foreign import Foreign
from papayya_llm.recording import settle
from papayya_llm.streams import KEPT, Watched, Watcher

_NEARLY_LAST = b'"message_delta"'
_LAST = (b"[DONE]", b"message_stop", b"response.completed", b"response.incomplete")

_collecting = threading.local()


def _note_collection(phase: str, _: Any) -> None:
    _collecting.now = phase == "start"


gc.callbacks.append(_note_collection)


class Watch:
    """Listens to one answer; nothing in here disturbs it.

    ``hide``: take out the event of usage, which only we have asked for. ``keep``: bytes of it, else
    what may be stored.
    """

    def __init__(
        self,
        exchange: Exchange,
        held: Held,
        status: int,
        fields: Mapping[str, str],
        *,
        hide: bool = False,
        keep: int | None = None,
    ) -> None:
        self.exchange = exchange
        self.held = held
        self._status = status
        self._fields = fields
        self._hide = hide
        self._kind = fields.get("content-type") or "text/event-stream"
        encoding = fields.get("content-encoding") or ""
        limit = max(KEPT, exchange.home.settings.max_payload_bytes) if keep is None else keep
        self._watcher = Watcher(exchange.schema, self._kind, encoding, drop_usage=hide, keep=limit)
        self._first: float | None = None
        self._unsettled = [True]
        self._ended = False
        self._faulty = False

    def feed(self, chunk: bytes) -> bytes:
        """Hear a piece; return what is to be passed on."""
        try:
            passed = self._watcher.feed(chunk)
            if self._first is None and self._watcher.wrote:
                self._first = self.exchange.seconds()
        except Exception as error:  # noqa: BLE001 - ours, and none of the caller's business
            self._fault(error)
            return chunk
        return passed

    def is_over(self, chunk: bytes) -> bool:
        """Tell whether an answer is whole with this piece: callers stop reading there."""
        return any(mark in chunk for mark in _LAST) and self._is_whole(chunk)

    def is_nearly_over(self, chunk: bytes) -> bool:
        """Tell whether only the mark of the end is to come: some callers stop reading there."""
        return _NEARLY_LAST in chunk and self._is_whole(chunk)

    def _is_whole(self, chunk: bytes) -> bool:
        return chunk.endswith((b"\n\n", b"\r\n\r\n")) and self._watcher.whole

    def tail(self) -> bytes:
        """At the end: return what was held back until now."""
        self._ended = True
        try:
            return self._watcher.flush()
        except Exception as error:  # noqa: BLE001 - as above
            self._fault(error)
            return b""

    def _fault(self, error: Exception) -> None:
        """Note the first fault of our own."""
        if not self._faulty:
            self._faulty = True
            self.exchange.fault("its answer could not be listened to", error)

    def claim(self) -> bool:
        """Tell whether nobody has settled it, and that the caller will."""
        try:
            return self._unsettled.pop()
        except IndexError:
            return False

    def abandon(self) -> None:
        """Nobody reads on or closes it: settle it elsewhere, as a finalizer must not wait."""
        if self.claim():
            with suppress(Exception):
                _thread.start_new_thread(self._settle, ())

    def is_collected(self) -> bool:
        """Tell whether this is the garbage collector, which may have stopped anybody anywhere."""
        return getattr(_collecting, "now", False)

    def _settle(self) -> None:
        settle(self.exchange, self.held, self.ending(None))

    def ending(self, error: BaseException | None) -> Ending:
        """Say how it ended: whole, or broken off."""
        try:
            return self._ending(error)
        except Exception as fault:  # noqa: BLE001 - as above
            self._fault(fault)
            return endings.of_answer(
                self._status,
                self._fields,
                None,
                None,
                self.exchange.seconds(),
                state="answered" if self._ended else "broken",
            )

    def _ending(self, error: BaseException | None) -> Ending:
        heard = self._watcher.finish()
        if heard.error is not None:
            self.exchange.execution.note("observer_error", heard.error)
        answered = self._answered(heard)
        whole = answered.whole if answered is not None else self._ended
        ending = endings.of_answer(
            self._status,
            self._fields,
            self._stored(heard) if whole else None,
            answered,
            self.exchange.seconds(),
            state="answered" if whole else "broken",
            first=self._first,
            sdk_retries=self.exchange.sdk_retries,
            error=None if error is None or whole else rules.describe_error(error),
        )
        return endings.hiding_usage(ending) if self._hide else ending

    def _answered(self, heard: Watched) -> Answered | None:
        """A plugin reads a whole stream at its end."""
        if isinstance(self.exchange.schema, Foreign) and self._ended and heard.body is not None:
            return self.exchange.read(heard.body, self._fields)
        return heard.answered

    def _stored(self, heard: Watched) -> bytes | None:
        if heard.body is not None and eventstream.is_named(self._fields.items()):
            return eventstream.text(heard.body)
        return heard.body
