"""Requests and answers of httpx and httpx2, and what they are to us."""

from __future__ import annotations

from datetime import timedelta
from types import ModuleType
from typing import Any

from papayya_core.call import Ending, Held, Recorded
from papayya_llm import asking, endings, eventstream, exchanges, streams
from papayya_llm.exchanges import Exchange
from papayya_llm.streams import Watcher
from papayya_llm.watches import Watch


def recognise(request: Any) -> Exchange | None:
    """Return the exchange that a request is, None for one that is none of ours."""
    url = request.url
    return exchanges.recognise(
        url.netloc.decode("ascii", "replace"),
        url.path,
        url.query.decode("ascii", "replace"),
        request.headers,
        lambda: request.content,
    )


def replayed(
    library: ModuleType, client: Any, exchange: Exchange, found: Recorded, request: Any
) -> Any:
    """Make the answer of the journal the client's; its body is still to be read."""
    fields, added = endings.without_mark(found.headers)
    body = found.body
    if added and asking.hides_usage(exchange):
        body = streams.without_usage(body)
    elif eventstream.is_named(fields):
        body = eventstream.binary(body)
    response = library.Response(
        found.status,
        headers=fields,
        stream=library.ByteStream(body),
        request=request,
        extensions={"http_version": b"HTTP/1.1"},
        default_encoding=getattr(client, "_default_encoding", "utf-8"),
    )
    response.elapsed = timedelta(0)
    return response


def is_stream(exchange: Exchange, response: Any) -> bool:
    """Tell whether an answer is to be watched while it passes."""
    return exchange.asked.stream and response.status_code in endings.OK


def watch(exchange: Exchange, held: Held, response: Any, *, hide: bool) -> Watch:
    """Begin to listen to an answer."""
    return Watch(exchange, held, response.status_code, response.headers, hide=hide)


def rehearse(exchange: Exchange) -> None:
    """Raise now what would be raised when the answer comes."""
    Watcher(exchange.schema, drop_usage=True)


def again(library: ModuleType, response: Any, raw: bytes) -> bytes:
    """Make an answer that we have read raw as good as unread; return its decoded body."""
    response.elapsed = response.elapsed
    response.stream = library.ByteStream(raw)
    response.is_stream_consumed = response.is_closed = False
    encoding = response.headers.get("content-encoding")
    if not encoding:
        return raw
    copy = library.Response(200, headers={"content-encoding": encoding}, content=raw)
    body: bytes = copy.content
    return body


def ending(exchange: Exchange, held: Held, response: Any, body: bytes, *, hide: bool) -> Ending:
    """Say how a plain exchange ended, or one whose stream the client has read at once."""
    if is_stream(exchange, response):
        fields = _plain(response.headers)
        heard = Watch(exchange, held, response.status_code, fields, hide=hide, keep=len(body))
        passed = heard.feed(body) + heard.tail()
        if hide and hasattr(response, "_content"):
            response._content = passed  # noqa: SLF001 - there is no other way to take a part out
        return heard.ending(None)
    fields = dict(response.headers.items())
    return endings.of_answer(
        response.status_code,
        fields,
        body,
        exchange.read(body, fields) if response.status_code in endings.OK else None,
        exchange.seconds(),
        sdk_retries=exchange.sdk_retries,
    )


def unread(exchange: Exchange, response: Any) -> Ending:
    """Say how an exchange ended whose answer we cannot read."""
    return endings.of_answer(response.status_code, response.headers, None, None, exchange.seconds())


def _plain(fields: Any) -> dict[str, str]:
    return {name: text for name, text in fields.items() if name != "content-encoding"}
