"""An exchange over httpx or httpx2: held before it is sent, settled before its answer is seen."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import ModuleType
from typing import Any

from papayya_core.call import Held, Recorded
from papayya_llm import asking, endings, loops, replies
from papayya_llm.clients import sending
from papayya_llm.exchanges import Exchange
from papayya_llm.recording_async import begin_async, settle_async
from papayya_llm.tees_async import class_of_async, tee_async


class AsyncSender:
    """Sends for one client. ``send``: the client's own way; ``stream``: it reads the answer later."""

    def __init__(
        self,
        library: ModuleType,
        client: Any,
        send: Callable[[Any], Awaitable[Any]],
        *,
        stream: bool,
    ) -> None:
        self._library = library
        self._client = client
        self._send = send
        self._stream = stream

    async def send(self, request: Any) -> Any:
        """Return the provider's answer, or the journal's.

        Raises what the client raises, the signal that keeps it from being sent, and StoreError.
        """
        exchange = replies.recognise(request)
        if exchange is None or not loops.can_wait_async(exchange):
            return await self._send(request)
        found = await begin_async(exchange)
        if found is None:
            return await self._send(request)
        if isinstance(found, Recorded):
            return await self._replay(exchange, found, request)
        return await self._ask(exchange, found, request)

    async def _replay(self, exchange: Exchange, found: Recorded, request: Any) -> Any:
        response = replies.replayed(self._library, self._client, exchange, found, request)
        if not self._stream:
            await response.aread()
        return response

    async def _ask(self, exchange: Exchange, held: Held, request: Any) -> Any:
        plain, body = self._limited(exchange, held, request)
        changed, hide = self._changed(exchange, plain, body)
        response = await self._sent(exchange, held, changed, request)
        if hide and asking.is_refused(exchange, response.status_code):
            await response.aclose()
            hide = False
            response = await self._sent(exchange, held, plain, request)
            asking.blame(exchange, response.status_code)
        if self._stream and replies.is_stream(exchange, response) and not response.is_closed:
            return self._watched(exchange, held, response, hide=hide)
        return await self._whole(exchange, held, response, hide=hide)

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
                class_of_async(self._library)
        except Exception as error:  # noqa: BLE001 - as above
            exchange.fault("its usage was not asked for", error)
            return request, False
        return changed, hide

    async def _sent(self, exchange: Exchange, held: Held, changed: Any, request: Any) -> Any:
        """Send; the caller sees the request as it was. What is raised ends the exchange."""
        exchange.begin()
        before = sending.set(True)
        try:
            response = await self._send(changed)
        except BaseException as error:
            if changed is not request and getattr(error, "_request", None) is changed:
                error.request = request  # type: ignore[attr-defined]
            await self._raised(exchange, held, error)
            raise
        finally:
            sending.reset(before)
        if changed is not request and response.request is changed:
            response.request = request
        return response

    async def _raised(self, exchange: Exchange, held: Held, error: BaseException) -> None:
        """Settle what raised; raise the signal by which the item leaves, if there is one."""
        ending = endings.of_error(error, exchange.seconds(), exchange.sdk_retries)
        signal = await settle_async(exchange, held, ending)
        if signal is not None:
            raise signal from error

    def _watched(self, exchange: Exchange, held: Held, response: Any, *, hide: bool) -> Any:
        """Listen to a stream on its way to the caller."""
        try:
            watch = replies.watch(exchange, held, response, hide=hide)
            response.stream = tee_async(self._library, response.stream, watch)
        except Exception as error:  # noqa: BLE001 - as above
            exchange.fault("its answer is not listened to", error)
        return response

    async def _whole(self, exchange: Exchange, held: Held, response: Any, *, hide: bool) -> Any:
        """Read an answer to its end, and settle, before the caller sees it."""
        try:
            body = await self._body(response)
        except BaseException as error:
            await self._raised(exchange, held, error)
            raise
        try:
            ending = replies.ending(exchange, held, response, body, hide=hide)
        except Exception as error:  # noqa: BLE001 - as above
            exchange.fault("its answer could not be read", error)
            ending = replies.unread(exchange, response)
        signal = await settle_async(exchange, held, ending)
        if signal is not None:
            await response.aclose()
            raise signal
        return response

    async def _body(self, response: Any) -> bytes:
        if response.is_closed:  # by the client, or by a hook of the caller's
            read: bytes = response.content
            return read
        raw = bytearray()
        async for chunk in response.aiter_raw():
            raw += chunk
        return replies.again(self._library, response, bytes(raw))
