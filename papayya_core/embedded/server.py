"""One Postgres server on one data directory, reached by a Unix socket only."""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from papayya_core.embedded.account import Account

DATABASE = USER = "papayya"
PORT = 5432  # names the socket; no port is opened
SOCKET_LIMIT = 103  # bytes; macOS has the smallest
PATIENCE = 60.0  # seconds
POLL = 0.02  # seconds
CONFIG: Mapping[str, str] = {
    "listen_addresses": "''",
    "max_connections": "200",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "log_checkpoints": "off",
    "timezone": "'UTC'",
    "log_timezone": "'UTC'",
}


class Server:
    """Start, stop and reach the server of a data directory. Callers see to it that one acts."""

    def __init__(
        self,
        bin_dir: Path,
        data: Path,
        account: Account | None,
        config: Mapping[str, str] = CONFIG,
    ) -> None:
        self.bin_dir = bin_dir
        self.data = data
        self.log = data / "server.log"
        self._account = account
        self._config = config
        self._socket_dir = _socket_dir(data)

    @property
    def dsn(self) -> str:
        return self.database(DATABASE)

    @property
    def initialised(self) -> bool:
        return (self.data / "PG_VERSION").exists()

    def database(self, name: str) -> str:
        """Return the DSN of one of its databases."""
        return f"postgresql://{USER}@/{name}?host={quote(str(self._socket_dir), '')}&port={PORT}"

    def answers(self) -> bool:
        """Say whether the server lets us in."""
        return self._knock(DATABASE) is None

    def start(self) -> None:
        """Initialise if need be, start, and wait until the database answers.

        Raises RuntimeError with what the server said.
        """
        self._claim_socket_dir()
        if self.answers():
            return
        if not self.initialised:
            self._initialise()
        deadline = time.monotonic() + PATIENCE
        while (problem := self._knock("postgres")) is not None:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{problem}\n{self._last_words()}")
            if not self._alive():
                self._launch(deadline)
            time.sleep(POLL)
        self._create_database()

    def stop(self) -> bool:
        """Stop the server; its clients are disconnected. False when it did not run."""
        pid = self.pid()
        if pid is None or not self._alive():
            return False
        os.kill(pid, signal.SIGINT)  # what Postgres calls a fast shutdown
        deadline = time.monotonic() + PATIENCE
        while self._alive():
            if time.monotonic() > deadline:
                raise RuntimeError(f"Postgres (pid {pid}) does not stop; see {self.log}")
            time.sleep(POLL)
        return True

    def pid(self) -> int | None:
        """Read the process id the server wrote down, running or not."""
        try:
            return int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])
        except (OSError, ValueError):
            return None

    def _alive(self) -> bool:
        pid = self.pid()
        return pid is not None and str(self.data) in _command_line(pid)

    def _knock(self, database: str) -> psycopg.Error | None:
        try:
            psycopg.connect(self.database(database), connect_timeout=10).close()
        except psycopg.Error as exc:
            return exc
        return None

    def _initialise(self) -> None:
        new = self.data.with_name(f"{self.data.name}.new")  # a killed initdb leaves no half cluster
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        self._give(new)
        self._run(
            *("initdb", "--no-locale", "--encoding=UTF8", "--auth=trust"),
            *("--username", USER, "-D", str(new)),
        )
        with (new / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = {value}\n" for name, value in self._config.items())
        new.rename(self.data)

    def _launch(self, deadline: float) -> None:
        pid = self.pid()
        if pid is not None and process_exists(pid) and not self._alive():
            # The number was given to another program, which would keep Postgres from starting.
            (self.data / "postmaster.pid").unlink()
        options = f"-p {PORT} -k {shlex.quote(str(self._socket_dir))}"
        try:
            self._run(
                *("pg_ctl", "start", "-w", "-t", str(int(PATIENCE)), "-D", str(self.data)),
                *("-l", str(self.log), "-o", options),
            )
        except RuntimeError:  # after a crash, until the last of the old backends is gone
            if time.monotonic() > deadline:
                raise

    def _create_database(self) -> None:
        with psycopg.connect(self.database("postgres"), autocommit=True) as conn:
            found = conn.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE])
            if found.fetchone() is None:
                conn.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))

    def _claim_socket_dir(self) -> None:
        if self._socket_dir == self.data:
            return
        with suppress(FileExistsError):
            self._socket_dir.mkdir(mode=0o700)
            self._give(self._socket_dir)
        found = self._socket_dir.lstat()
        owner = os.geteuid() if self._account is None else self._account.uid
        if found.st_uid != owner or not stat.S_ISDIR(found.st_mode):
            raise RuntimeError(f"{self._socket_dir} is not ours; remove it")

    def _give(self, directory: Path) -> None:
        if self._account is not None:
            os.chown(directory, self._account.uid, self._account.gid)

    def _run(self, program: str, *arguments: str) -> None:
        env = {k: v for k, v in os.environ.items() if not k.startswith("PG")} | {"LC_ALL": "C"}
        who = self._account
        with tempfile.TemporaryFile() as output:  # a pipe would stay open in the server
            done = subprocess.run(  # noqa: S603 - our own programs, no shell
                [str(self.bin_dir / program), *arguments],
                cwd="/",
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                check=False,
                user=None if who is None else who.uid,
                group=None if who is None else who.gid,
                extra_groups=None if who is None else [],
            )
            output.seek(0)
            said = output.read().decode(errors="replace").strip()
        if done.returncode:
            raise RuntimeError(f"{program} failed: {said}\n{self._last_words()}")

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join([f"The end of {self.log}:", *lines[-10:]]) if lines else ""


def _socket_dir(data: Path) -> Path:
    if len(os.fsencode(data / f".s.PGSQL.{PORT}")) <= SOCKET_LIMIT:
        return data
    name = hashlib.sha256(os.fsencode(data)).hexdigest()[:12]
    return Path(f"/tmp/papayya-{name}")  # noqa: S108 - _claim_socket_dir checks whose it is


def _command_line(pid: int) -> str:
    if Path("/proc/self").exists():
        try:
            return os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes())
        except OSError:
            return ""
    ps = ["/bin/ps", "-ww", "-o", "args=", "-p", str(pid)]
    return subprocess.run(ps, capture_output=True, text=True, check=False).stdout  # noqa: S603


def process_exists(pid: int) -> bool:
    """Say whether a process has this id, be it ours or not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
