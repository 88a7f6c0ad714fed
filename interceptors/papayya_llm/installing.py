"""``install()``: hold on to the clients that are imported, and to the others when they are.

Nothing of a client library is imported here; a process that has none pays for a look at a table.
"""

from __future__ import annotations

import functools
import importlib
import sys
import threading
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from papayya_core.redaction import logger as redacting

logger = redacting("papayya.llm")

STAINLESS = ("openai", "anthropic", "groq", "together", "cerebras.cloud.sdk")
TARGETS = {
    "httpx": "papayya_llm.clients",
    "httpx2": "papayya_llm.clients",
    "botocore.httpsession": "papayya_llm.botocore",
    "botocore.endpoint": "papayya_llm.botocore",
    "google.genai._api_client": "papayya_llm.google",
    **{f"{name}._models": "papayya_llm.sdks" for name in STAINLESS},
}
_lock = threading.RLock()
_undo: list[Callable[[], None]] = []
_finder: _Finder | None = None
_declined = False  # by uninstall(): then only install() takes hold again


def install() -> None:
    """Record the calls of model clients inside items, of clients made before or after; again is
    nothing."""
    global _finder, _declined  # noqa: PLW0603 - one per process
    with _lock:
        _declined = False
        if _finder is not None:
            return
        _finder = _Finder()
        sys.meta_path.insert(0, _finder)
        for name in TARGETS:
            if (module := sys.modules.get(name)) is not None:
                _patch(module, name)


def install_by_default() -> None:
    """Do so with the first item, unless the program has let go of the clients."""
    if not _declined:
        install()


def uninstall() -> None:
    """Let go of all clients, for as long as nobody calls ``install()``."""
    global _finder, _declined  # noqa: PLW0603
    with _lock:
        _declined = True
        if _finder in sys.meta_path:
            sys.meta_path.remove(_finder)
        _finder = None
        while _undo:
            _undo.pop()()


def is_installed() -> bool:
    """Tell whether clients are held."""
    return _finder is not None


def register_host(host: str, provider: str | None = None) -> None:
    """Record the calls to a host whatever client makes them: a proxy, a gateway, a server of one's
    own. ``provider``: whose prices apply."""
    from papayya_llm import schemas

    schemas.register(host, provider or "")


def replace(owner: type, name: str, make: Callable[[Any], Any]) -> None:
    """Put ``make(original)`` in the place of a method; once, whatever the class is called."""
    original = getattr(owner, name)
    if getattr(original, "papayya_wraps", None) is not None:
        return
    wrapper = make(original)
    wrapper.papayya_wraps = original
    inherited = name not in vars(owner)
    setattr(owner, name, wrapper)
    _undo.append(functools.partial(_restore, owner, name, wrapper, original, inherited))


def _restore(owner: type, name: str, wrapper: Any, original: Any, inherited: bool) -> None:
    """Put the original back, unless somebody else has wrapped ours: then ours stays, and is idle."""
    if vars(owner).get(name) is wrapper:
        if inherited:
            delattr(owner, name)
        else:
            setattr(owner, name, original)


def _patch(module: ModuleType, name: str) -> None:
    try:
        importlib.import_module(TARGETS[name]).patch(module)
    except Exception:
        logger.exception("calls through %s will not be recorded: it cannot be held on to", name)


class _Finder(MetaPathFinder):
    """Finds nothing by itself: lets the others find a client, and patches it once it is loaded."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of a client that patches; None for everything else."""
        if fullname not in TARGETS:
            return None
        for finder in sys.meta_path:
            find = getattr(finder, "find_spec", None)
            if finder is self or find is None:
                continue
            spec: ModuleSpec | None = find(fullname, path, target)
            if spec is not None:
                _then_patch(spec)
                return spec
        return None


def _then_patch(spec: ModuleSpec) -> None:
    """Make the loader patch what it has loaded; it stays what it is for everybody who looks."""
    loader: Any = spec.loader
    load = getattr(loader, "exec_module", None)
    if load is None:
        return

    def exec_module(module: ModuleType) -> None:
        vars(loader).pop("exec_module", None)
        load(module)
        with _lock:
            if is_installed():
                _patch(module, spec.name)

    try:
        loader.exec_module = exec_module
    except AttributeError:
        logger.warning("calls through %s will not be recorded: %r takes no hook", spec.name, loader)
