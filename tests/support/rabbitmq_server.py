"""A real RabbitMQ node of our own, apart from any of the system; one virtual host per test."""

from __future__ import annotations

import base64
import json
import os
import shutil
import urllib.request
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from kombu import Connection

from tests.support.processes import free_port
from tests.support.program import Program

VARIABLE = "PAPAYYA_TEST_RABBITMQ_BIN"
DEFAULT = "/usr/lib/rabbitmq/bin"  # what PATH has is a script that changes the account
CONFIG = """\
listeners.tcp.1 = 127.0.0.1:{port}
management.tcp.ip = 127.0.0.1
management.tcp.port = {management_port}
management_agent.disable_metrics_collector = true
disk_free_limit.absolute = 1MB
"""
TIMEOUT_S = 10.0


class RabbitServer:
    """One node on one port, which it keeps, like its queues, when it is started again."""

    def __init__(self, folder: Path) -> None:
        self.port, self._management_port, epmd_port = free_port(), free_port(), free_port()
        self._folder, self._hosts = folder, 0
        env = _environment(folder, epmd_port)
        epmd = [_program("epmd", None), "-port", str(epmd_port), "-address", "127.0.0.1"]
        self._epmd = Program(epmd, folder, "epmd", env)
        server = _program("rabbitmq-server", os.environ.get(VARIABLE, DEFAULT))
        self.program = Program([server], folder, "rabbitmq", env)

    def url(self, host: str = "/") -> str:
        """Name one of its virtual hosts."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}/{quote(host, '')}"

    def fresh_url(self) -> str:
        """Make a virtual host, without queues, and name it; start the node if need be."""
        self.start()
        self._hosts += 1
        host = f"test{self._hosts}"
        everything = {"configure": ".*", "write": ".*", "read": ".*"}
        self._manage("PUT", f"vhosts/{host}")
        self._manage("PUT", f"permissions/{host}/guest", everything)
        return self.url(host)

    def start(self) -> None:
        """Start it on its port; nothing to do where it runs."""
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / "enabled_plugins").write_text("[rabbitmq_management].\n")
        config = CONFIG.format(port=self.port, management_port=self._management_port)
        (self._folder / "rabbitmq.conf").write_text(config)
        self._epmd.start(lambda: True)  # the node finds it, or else starts one of its own
        self.program.start(self.answers, patience_s=60)

    def kill(self) -> None:
        """Kill the node without warning; durable queues and persistent messages last."""
        self.program.kill_group()

    def restart(self) -> None:
        """Kill it and start it on the same port."""
        self.kill()
        self.start()

    def close(self) -> None:
        """Kill all of it, for good."""
        self.kill()
        self._epmd.kill_group()

    def answers(self) -> bool:
        """Tell whether it lets us in, at both doors."""
        with suppress(OSError), Connection(self.url(), connect_timeout=TIMEOUT_S) as connection:
            connection.connect()
            self._manage("GET", "vhosts")
            return True
        return False

    def _manage(self, method: str, path: str, body: object = None) -> None:
        url = f"http://127.0.0.1:{self._management_port}/api/{path}"
        data = None if body is None else json.dumps(body).encode()
        secret = base64.b64encode(b"guest:guest").decode()
        headers = {"Authorization": f"Basic {secret}", "Content-Type": "application/json"}
        request = urllib.request.Request(url, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=TIMEOUT_S):
            pass


def _environment(folder: Path, epmd_port: int) -> dict[str, str]:
    return {
        "HOME": str(folder),  # the cookie is kept there
        "ERL_EPMD_PORT": str(epmd_port),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_CONF_ENV_FILE": str(folder / "none"),  # else that of the system
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
        "RABBITMQ_GENERATED_CONFIG_DIR": str(folder / "generated"),
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_LOG_BASE": str(folder),
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
        "RABBITMQ_NODENAME": "papayya@localhost",
        "RABBITMQ_PID_FILE": str(folder / "rabbitmq.pid"),
    }


def _program(name: str, path: str | None) -> str:
    found = shutil.which(name, path=path)
    if found is None:
        raise FileNotFoundError(
            f"the tests need RabbitMQ, and its {name} is not there: tools/brokers.sh installs it"
            f" on Debian; elsewhere name the directory that holds rabbitmq-server in {VARIABLE},"
            " and have Erlang's programs on PATH"
        )
    return found
