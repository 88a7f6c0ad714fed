# Generated from interceptors/papayya_llm/http_async.py by tools/unasync.py: do not edit, run `make generate`.
"""An exchange over httpx or httpx2: held before it is sent, settled before its answer is seen."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from papayya_core.call import Held, Recorded
from papayya_llm import asking, endings, loops, replies
from papayya_llm.clients import sending
from papayya_llm.exchanges import Exchange
from papayya_llm.recording import begin, settle
from papayya_llm.tees import class_of, tee


class Sender:
    """Sends for one client. ``send``: the client's own way; ``stream``: it reads the answer later."""

    def __init__(
        self,
        library: ModuleType,
        client: Any,
        send: Callable[[Any], Any],
        *,
        stream: bool,
    ) -> None:
        self._library = library
        self._client = client
        self._send = send
        self._stream = stream

    def send(self, request: Any) -> Any:
        """Return the provider's answer, or the journal's.

        Raises what the client raises, the signal that keeps it from being sent, and StoreError.
        """
        exchange = replies.recognise(request)
        if exchange is None or not loops.can_wait(exchange):
            return self._send(request)
        found = begin(exchange)
        if found is None:
            return self._send(request)
        if isinstance(found, Recorded):
            return self._replay(exchange, found, request)
        return self._ask(exchange, found, request)

    def _replay(self, exchange: Exchange, found: Recorded, request: Any) -> Any:
        response = replies.replayed(self._library, self._client, exchange, found, request)
        if not self._stream:
            response.read()
        return response

    def _ask(self, exchange: Exchange, held: Held, request: Any) -> Any:
        plain, body = self._limited(exchange, held, request)
        changed, hide = self._changed(exchange, plain, body)
        response = self._sent(exchange, held, changed, request)
        if hide and asking.is_refused(exchange, response.status_code):
            response.close()
            hide = False
            response = self._sent(exchange, held, plain, request)
            asking.blame(exchange, response.status_code)
        if self._stream and replies.is_stream(exchange, response) and not response.is_closed:
            return self._watched(exchange, held, response, hide=hide)
        return self._whole(exchange, held, response, hide=hide)

    def _limited(self, exchange: Exchange, held: Held, request: Any) -> tuple[Any, Any]:
        """Lower the limit of output to what a budget leaves."""
        try:
            return asking.limited(self._library, exchange, held, request)
        except Exception as error:  # noqa: BLE001 - ours, and none of the caller's business
            exchange.fault("its output was not limited", error)
            return request, exchange.body

    def _changed(self, exchange: Exchange, request: Any, body: Any) -> tuple[Any, bool]:
        """Make a stream's request one whose answer we can read, and take out again what we add."""
        if not self._stream:
            return request, False
        try:
            changed, hide = asking.readable(self._library, exchange, request, body)
            if hide:
                replies.rehearse(exchange)
                class_of(self._library)
        except Exception as error:  # noqa: BLE001 - as above
            exchange.fault("its usage was not asked for", error)
            return request, False
        return changed, hide

    def _sent(self, exchange: Exchange, held: Held, changed: Any, request: Any) -> Any:
        """Send; the caller sees the request as it was. What is raised ends the exchange."""
        exchange.begin()
        before = sending.set(True)
        try:
            response = self._send(changed)
        except BaseException as error:
            if changed is not request and getattr(error, "_request", None) is changed:
                error.request = request  # type: ignore[attr-defined]
            self._raised(exchange, held, error)
            raise
        finally:
            sending.reset(before)
        if changed is not request and response.request is changed:
            response.request = request
        return response

    def _raised(self, exchange: Exchange, held: Held, error: BaseException) -> None:
        """Settle what raised; raise the signal by which the item leaves, if there is one."""
        ending = endings.of_error(error, exchange.seconds(), exchange.sdk_retries)
        signal = settle(exchange, held, ending)
        if signal is not None:
            raise signal from error

    def _watched(self, exchange: Exchange, held: Held, response: Any, *, hide: bool) -> Any:
        """Listen to a stream on its way to the caller."""
        try:
            watch = replies.watch(exchange, held, response, hide=hide)
            response.stream = tee(self._library, response.stream, watch)
        except Exception as error:  # noqa: BLE001 - as above
            exchange.fault("its answer is not listened to", error)
        return response

    def _whole(self, exchange: Exchange, held: Held, response: Any, *, hide: bool) -> Any:
        """Read an answer to its end, and settle, before the caller sees it."""
        try:
            body = self._body(response)
        except BaseException as error:
            self._raised(exchange, held, error)
            raise
        try:
            ending = replies.ending(exchange, held, response, body, hide=hide)
        except Exception as error:  # noqa: BLE001 - as above
            exchange.fault("its answer could not be read", error)
            ending = replies.unread(exchange, response)
        signal = settle(exchange, held, ending)
        if signal is not None:
            response.close()
            raise signal
        return response

    def _body(self, response: Any) -> bytes:
        if response.is_closed:  # by the client, or by a hook of the caller's
            read: bytes = response.content
            return read
        raw = bytearray()
        for chunk in response.iter_raw():
            raw += chunk
        return replies.again(self._library, response, bytes(raw))
