"""What a process has once: settings, plugins, the way to Postgres, the heartbeat, the pump.

Made at first use; made anew in a forked child, where threads and connections do not live on.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import threading
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import psycopg

from papayya_core import embedded, migrate, redaction, spool_files, spool_replay, vault
from papayya_core.engine import Engine
from papayya_core.engine_async import AsyncEngine
from papayya_core.errors import StoreError, StoreUnavailable
from papayya_core.heartbeat import Heartbeat
from papayya_core.owner import owner
from papayya_core.plugins import Plugins
from papayya_core.pump import Pump
from papayya_core.settings import Settings
from papayya_core.spool import Spool
from papayya_core.spool_replay import Replayer
from papayya_core.store.store import Store
from papayya_core.store.store_async import AsyncStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from papayya_core.contract import Agent, AgentRef


_KEEPER = "papayya-keeper"
_POOLS = ("AsyncConnectionPool.", "AsyncScheduler.")
_LAST_WRITES = 10.0  # seconds for cancelled items to go back
_LAST_REPLAY = 2.0  # seconds for what is spooled


def prepare_database(settings: Settings) -> str:
    """Return the DSN of a reachable, up-to-date database.

    The embedded database is ours alone, so it is migrated here; any other is only verified.
    Raises StoreUnavailable or a MigrationError that says what to run.
    """
    if settings.database_url is None:
        dsn = embedded.ensure(settings.home)
        migrate.apply(dsn)
        return dsn
    try:
        with psycopg.connect(settings.database_url, autocommit=True) as connection:
            migrate.verify(connection).check()
    except psycopg.OperationalError as error:
        msg = f"PAPAYYA_DATABASE_URL cannot be reached: {error}. `papayya doctor` says more."
        raise StoreUnavailable(msg) from error
    except psycopg.errors.InsufficientPrivilege as error:
        msg = f"{error.diag.message_primary}: the role lacks the grants in docs/operations.md"
        raise StoreError(msg) from error
    return settings.database_url


class Runtime:
    """The process's settings, plugins and engines."""

    def __init__(self, settings: Settings | None = None, plugins: Iterable[object] = ()) -> None:
        self.settings = settings or Settings.load()
        vault.use(self.settings.encryption_key)
        if self.settings.mode != "off":
            vault.current()  # a process that cannot encrypt must not start to work
        self.given = tuple(plugins)
        self.plugins = Plugins(self.settings.plugins, self.given)
        redaction.use(self._clean)
        self.owner = owner()
        self.pid = os.getpid()
        self._lock = threading.RLock()
        self._dsn: str | None = None
        self._engine: Engine | None = None
        self._async: WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncEngine] = WeakKeyDictionary()
        self._keepers: set[asyncio.Task[None]] = set()
        self._refs: dict[Agent, AgentRef] = {}
        self.capped: set[tuple[int, int]] = set()  # run and version whose budget is set
        self._heartbeat: Heartbeat | None = None
        self._spool: Spool | None = None
        self._replayer: Replayer | None = None
        self._pump: threading.Thread | None = None
        self._stop = threading.Event()
        self._at_exit: list[Callable[[], None]] = []

    def _clean(self, text: str) -> str:
        """Redact what is logged: secrets always, more by setting and plugins."""
        return self.plugins.redact(redaction.redact(text, ("secrets", *self.settings.redact)))

    @property
    def dsn(self) -> str:
        """Where Postgres is; started, migrated or verified at first use."""
        with self._lock:
            if self._dsn is None:
                self._dsn = prepare_database(self.settings)
                # registered after the embedded server's own exit, so it runs before that
                atexit.register(self.close)
                spool_replay.adopt(self.settings.home, self._dsn)  # before its items run again
            return self._dsn

    @property
    def spool(self) -> Spool:
        """What this process keeps while Postgres is away; replayed by itself."""
        with self._lock:
            if self._spool is None:
                self._spool = Spool(self.settings.home, spool_files.database_of(self.dsn))
                self._replayer = Replayer(self._spool, self.dsn, self._revive())
                self._spool.on_first = self._replayer.start
            return self._spool

    def beat(self) -> None:
        """Renew the leases of this process from now on; a process that only submits has none."""
        if self._heartbeat is None:
            with self._lock:
                if self._heartbeat is None and self._dsn is not None:
                    self._heartbeat = Heartbeat(self._dsn, self.settings, self.owner)

    def engine(self) -> Engine:
        """Return the engine for threads."""
        if self._engine is None:
            with self._lock:
                if self._engine is None:
                    store = Store(self.dsn, self.settings, self.owner)
                    store.revive = self._revive()
                    store.before_lease = self.beat
                    store.spool = self.spool
                    store.open_pool()
                    self._engine = Engine(store, self.plugins, self.settings)
        return self._engine

    async def async_engine(self) -> AsyncEngine:
        """Return the engine of the running event loop; it ends with the loop."""
        loop = asyncio.get_running_loop()
        engine = self._async.get(loop)
        if engine is None:
            dsn = self.dsn if self._dsn else await asyncio.to_thread(lambda: self.dsn)
            store = AsyncStore(dsn, self.settings, self.owner)
            store.revive = self._revive()
            store.before_lease = self.beat
            store.spool = self.spool
            engine = self._async.setdefault(loop, AsyncEngine(store, self.plugins, self.settings))
            if engine.store is store:
                await store.open_pool()
                keeper = loop.create_task(_close_with_loop(store), name=_KEEPER)
                self._keepers.add(keeper)  # a loop keeps only weak references to its tasks
                keeper.add_done_callback(self._keepers.discard)
        return engine

    def engine_here(self) -> AsyncEngine | None:
        """Return the engine of the running event loop, if it has one."""
        return self._async.get(asyncio.get_running_loop())

    def _revive(self) -> Callable[[], object] | None:
        """Return what starts the embedded server again; another's server is theirs to start."""
        home = self.settings.home
        return None if self.settings.database_url else lambda: embedded.ensure(home)

    def register(self, agent: Agent) -> AgentRef:
        """Make an agent known to Postgres, once per process."""
        ref = self._refs.get(agent)
        if ref is None:
            ref = self._refs[agent] = self.engine().store.register_agent(agent)
        return ref

    def start_pump(self) -> None:
        """Run the pump in the background, once per process."""
        with self._lock:
            if self._pump is None:
                pump = Pump(self.engine().store, self.plugins, self.settings, self.owner)
                self._pump = threading.Thread(
                    target=pump.run, args=(self._stop,), name="papayya-pump", daemon=True
                )
                self._pump.start()

    def at_exit(self, fn: Callable[[], None]) -> Callable[[], None]:
        """Run ``fn`` before the engines are closed; return what takes that back."""
        self._at_exit.append(fn)

        def forget() -> None:
            with contextlib.suppress(ValueError):
                self._at_exit.remove(fn)

        return forget

    def close(self) -> None:
        """Give back what is held; what is unfinished stays resumable."""
        if self.pid != os.getpid() or self._dsn is None:
            return
        atexit.unregister(self.close)
        if self._engine is not None:
            self._engine.store.patience = 1.0
            self._engine.store.revive = None
        while self._at_exit:
            with contextlib.suppress(Exception):
                self._at_exit.pop()()
        if self._pump is not None:
            self._stop.set()
            self._pump.join(timeout=5.0)
        if self._spool is not None and self._replayer is not None:
            self._replayer.finish(_LAST_REPLAY)
            self._spool.close()
            self._spool = self._replayer = None
        if self._engine is not None:
            self._engine.store.close_pool()
            self._engine = None
        if self._heartbeat is not None:
            self._heartbeat.stop()
            self._heartbeat = None
        self._dsn = None


async def _close_with_loop(store: AsyncStore) -> None:
    """Close the pool when asyncio.run cancels what is left at its end, after what still needs it."""
    try:
        await asyncio.Event().wait()
    finally:
        try:
            if leaving := _leaving():
                await asyncio.wait(leaving, timeout=_LAST_WRITES)
        finally:
            await store.close_pool()


def _leaving() -> list[asyncio.Task[Any]]:
    """Return the tasks of this loop that were cancelled and put their items back right now."""
    return [task for task in asyncio.all_tasks() if task.cancelling() and not _is_ours(task)]


def _is_ours(task: asyncio.Task[Any]) -> bool:
    """Tell keepers, and the pool's own tasks: they may survive being cancelled until it closes."""
    made_of = getattr(task.get_coro(), "__qualname__", "")
    return task.get_name() == _KEEPER or made_of.startswith(_POOLS)


_runtime: Runtime | None = None
_lock = threading.Lock()
_inherited: list[Runtime] = []  # of the parent: not collected here, its pool may be locked for ever


def runtime() -> Runtime:
    """Return this process's runtime."""
    global _runtime  # noqa: PLW0603 - one per process is the point
    if _runtime is None or _runtime.pid != os.getpid():
        with _lock:
            if _runtime is None:
                _runtime = Runtime()
            elif _runtime.pid != os.getpid():  # a forked child goes on with what was configured
                _inherited.append(_runtime)
                _runtime = Runtime(_runtime.settings, _runtime.given)
    return _runtime


def reset() -> None:
    """Close this process's runtime; the next use makes a new one from the environment."""
    global _runtime  # noqa: PLW0603
    with _lock:
        if _runtime is not None:
            _runtime.close()
        _runtime = None


def configure(settings: Settings | None = None, plugins: Iterable[object] = ()) -> Runtime:
    """Replace this process's runtime: for tests, and for programs that set things by hand."""
    global _runtime  # noqa: PLW0603
    with _lock:
        if _runtime is not None:
            _runtime.close()
        _runtime = Runtime(settings, plugins)
        return _runtime


def _renew_lock() -> None:
    """A thread of the parent may have held the lock when this child was forked."""
    global _lock  # noqa: PLW0603
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)
