"""Amazon Bedrock, one attempt of botocore's: held before it is sent, settled before it is seen."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from papayya_core.call import Ending, Held, Recorded
from papayya_llm import asking, endings, eventstream, exchanges
from papayya_llm.botocore import AGAIN
from papayya_llm.clients import sending
from papayya_llm.eventstream import Raw, Wire
from papayya_llm.exchanges import Exchange
from papayya_llm.recording import begin, end, settle
from papayya_llm.watches import Watch

_ATTEMPT = "amz-sdk-request"


def send(own: Callable[[Any], Any], request: Any) -> Any:
    """Return AWS's answer, or the journal's. ``own``: the session's way to send."""
    exchange = _recognise(request)
    return own(request) if exchange is None else _Sender(exchange, own, request).send()


def _recognise(request: Any) -> Exchange | None:
    url = urlsplit(request.url)
    fields = {name.lower(): _text(value) for name, value in request.headers.items()}
    exchange = exchanges.recognise(
        url.netloc, url.path, url.query, fields, lambda: _bytes(request.body)
    )
    if exchange is not None:
        exchange.sdk_retries = _retries(fields)
        can_sign = hasattr(request, AGAIN)
        exchange.clampable = can_sign and exchange.schema.can_clamp(exchange.body)
    return exchange


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _bytes(body: Any) -> bytes:
    if isinstance(body, str):
        return body.encode()
    if isinstance(body, bytes | bytearray):
        return bytes(body)
    msg = f"its body is {type(body).__name__}"
    raise TypeError(msg)


def _retries(fields: Mapping[str, str]) -> int:
    """Read how often botocore has tried before: ``attempt=2; max=5``."""
    number = fields.get(_ATTEMPT, "").partition("attempt=")[2].partition(";")[0]
    return int(number) - 1 if number.isascii() and number.isdigit() and int(number) else 0


class _Sender:
    """Sends one attempt."""

    def __init__(self, exchange: Exchange, send: Callable[[Any], Any], request: Any) -> None:
        self._exchange = exchange
        self._send = send
        self._request = request

    def send(self) -> Any:
        """Return AWS's answer, or the journal's."""
        found = begin(self._exchange)
        if found is None:
            return self._send(self._request)
        if isinstance(found, Recorded):
            return self._replayed(found)
        response = self._sent(found)
        if self._exchange.asked.stream and response.status_code in endings.OK:
            self._watch(found, response)
        else:
            self._settle(found, response)
        return response

    def _replayed(self, found: Recorded) -> Any:
        kind = importlib.import_module("botocore.awsrequest").AWSResponse
        is_stream = eventstream.is_named(found.headers)
        body = eventstream.binary(found.body) if is_stream else found.body
        return kind(self._request.url, found.status, dict(found.headers), Raw(body))

    def _sent(self, held: Held) -> Any:
        """Send, and read a plain answer to its end."""
        self._exchange.begin()
        before = sending.set(True)
        try:
            response = self._send(self._limited(held))
            if not self._exchange.asked.stream or response.status_code not in endings.OK:
                response.raw = Raw(response.content)
        except BaseException as error:
            seconds, tries = self._exchange.seconds(), self._exchange.sdk_retries
            signal = settle(self._exchange, held, endings.of_error(error, seconds, tries))
            if signal is not None:
                raise signal from error
            raise
        finally:
            sending.reset(before)
        return response

    def _limited(self, held: Held) -> Any:
        """Lower the limit of output to what a budget leaves, and have that signed."""
        exchange = self._exchange
        try:
            body = exchange.limited(held)
            if body is not exchange.body:
                return getattr(self._request, AGAIN)(asking.written(body))
        except Exception as error:  # noqa: BLE001 - ours, and none of the caller's business
            exchange.fault("its output was not limited", error)
        return self._request

    def _settle(self, held: Held, response: Any) -> None:
        exchange, body = self._exchange, response.content
        fields = {name.lower(): _text(value) for name, value in response.headers.items()}
        answered = None
        try:
            if response.status_code in endings.OK:
                answered = exchange.read(body, fields)
        except Exception as error:  # noqa: BLE001 - as above
            exchange.fault("its answer could not be read", error)
        ending: Ending = endings.of_answer(
            response.status_code,
            fields,
            body,
            answered,
            exchange.seconds(),
            sdk_retries=exchange.sdk_retries,
        )
        signal = settle(exchange, held, ending)
        if signal is not None:
            response.raw.close()
            raise signal

    def _watch(self, held: Held, response: Any) -> None:
        """Listen to a stream on its way to the caller."""
        try:
            fields = {name.lower(): _text(value) for name, value in response.headers.items()}
            tee = _Tee(response.raw, Watch(self._exchange, held, response.status_code, fields))
            response.raw = Wire(response.raw, tee.pieces, tee.close)
        except Exception as error:  # noqa: BLE001 - as above
            self._exchange.fault("its answer is not listened to", error)


class _Tee:
    """A body that is heard while it passes, and settled once."""

    def __init__(self, raw: Any, watch: Watch) -> None:
        self._raw = raw
        self._watch = watch

    def pieces(self) -> Iterator[bytes]:
        """Pass the pieces on as they come."""
        try:
            for piece in self._raw.stream():
                self._watch.feed(piece)
                yield piece
            self._watch.tail()
        except Exception as error:
            end(self._watch, error)
            raise
        finally:
            end(self._watch, None)

    def close(self) -> None:
        """Leave the stream, read to its end or not."""
        try:
            self._raw.close()
        finally:
            end(self._watch, None)

    def __del__(self) -> None:
        self._watch.abandon()
