"""Holding on to clients: nothing is imported for it, and all of it can be undone."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from types import SimpleNamespace

import httpx
import httpx2
import pytest

import papayya_llm
from papayya_core import context
from papayya_llm import google, installing

LIBRARIES = ("httpx", "httpx2", "openai", "anthropic", "botocore", "google.genai")


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """Leave the process with the clients held, as the first item leaves it."""
    yield
    papayya_llm.install()


def python(code: str) -> str:
    """Run code in a process of its own; return what it printed."""
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_imports_no_client() -> None:
    """Installing imports none of the libraries that it waits for."""
    code = f"""
        import sys, papayya_llm
        papayya_llm.install()
        print([name for name in {LIBRARIES} if name in sys.modules])
    """
    assert python(code) == "[]"


def test_later_imports() -> None:
    """A library that is imported later is held on to then, and its loader stays its own."""
    methods = {
        "httpx": ("Client.send", "AsyncClient.send"),
        "httpx2": ("Client.send", "AsyncClient.send"),
        "botocore.httpsession": ("URLLib3Session.send",),
        "openai._models": ("FinalRequestOptions.get_max_retries",),
        "anthropic._models": ("FinalRequestOptions.get_max_retries",),
        "google.genai._api_client": ("BaseApiClient._use_aiohttp",),
    }
    code = f"""
        import importlib, operator, papayya_llm
        papayya_llm.install()
        for name, methods in {methods}.items():
            module = importlib.import_module(name)
            assert type(module.__loader__).__name__ == "SourceFileLoader", name
            assert "exec_module" not in vars(module.__loader__), name
            for method in methods:
                assert hasattr(operator.attrgetter(method)(module), "papayya_wraps"), method
    """
    assert not python(code)


def test_aliased_library() -> None:
    """Two names of one library are held on to once."""
    code = """
        import papayya_llm, httpx2
        papayya_llm.install()
        httpx2.alias_httpx()
        import httpx
        send = httpx.Client.send
        print(httpx is httpx2, hasattr(send.papayya_wraps, "papayya_wraps"))
    """
    assert python(code) == "True False"


@pytest.fixture
def left_as_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the next test's first item take hold of the clients again."""
    monkeypatch.setattr(installing, "_declined", False)


def test_declined(left_as_found: None) -> None:
    """Who has let go of the clients keeps them, whatever item comes first; install() takes hold."""
    papayya_llm.uninstall()
    installing.install_by_default()
    assert not installing.is_installed()
    papayya_llm.install()
    assert installing.is_installed()
    papayya_llm.uninstall()


@pytest.mark.usefixtures("left_as_found")
@pytest.mark.parametrize("library", [httpx, httpx2])
def test_undone(library: object) -> None:
    """Installing twice wraps once, and uninstalling gives the library its own methods back."""
    client = library.Client  # type: ignore[attr-defined]
    papayya_llm.install()
    papayya_llm.install()
    original = client.send.papayya_wraps
    assert not hasattr(original, "papayya_wraps")
    papayya_llm.uninstall()
    assert client.send is original
    papayya_llm.uninstall()


def test_wrapped_by_others(left_as_found: None) -> None:
    """Where somebody has wrapped our wrapper, uninstalling leaves theirs; ours is idle."""
    papayya_llm.install()
    ours = httpx.Client.send

    def theirs(self: httpx.Client, request: httpx.Request, **kwargs: object) -> httpx.Response:
        return ours(self, request, **kwargs)  # type: ignore[arg-type]

    httpx.Client.send = theirs  # type: ignore[method-assign]
    try:
        papayya_llm.uninstall()
        assert httpx.Client.send is theirs
        with httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(204))) as client:
            assert client.post("http://somewhere/v1/messages").status_code == 204
    finally:
        httpx.Client.send = ours.papayya_wraps  # type: ignore[method-assign,attr-defined]


def test_broken_library(caplog: pytest.LogCaptureFixture) -> None:
    """A library that is not what we know is left alone, with a log line that names it."""
    code = """
        import sys, types, logging
        logging.basicConfig(stream=sys.stdout, format="%(message)s")
        sys.modules["httpx"] = types.ModuleType("httpx")
        import papayya_llm
        papayya_llm.install()
    """
    assert python(code).startswith("calls through httpx will not be recorded")


class _Client:
    """As much of google-genai's client as the choice between aiohttp and httpx looks at."""

    _async_httpx_client: object = object()
    _http_options = SimpleNamespace(aiohttp_client=None)

    def _use_aiohttp(self) -> bool:
        return True


def test_google_goes_through_httpx(monkeypatch: pytest.MonkeyPatch) -> None:
    """Inside items, google-genai is kept from aiohttp; not while it is made, not outside."""
    papayya_llm.install()
    kind = type("Client", (_Client,), {"_use_aiohttp": _Client._use_aiohttp})
    google.patch(SimpleNamespace(BaseApiClient=kind))  # type: ignore[arg-type]
    client = kind()
    assert client._use_aiohttp()
    monkeypatch.setattr(google, "current", object)
    assert client._use_aiohttp(), "its constructor has not ended"
    client._async_retry = object()
    assert not client._use_aiohttp()
    client._http_options = SimpleNamespace(aiohttp_client=object())
    assert client._use_aiohttp(), "it was given a session of aiohttp"
    assert context.current() is None
