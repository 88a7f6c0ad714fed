"""The programs that tests start: none outlives them, and none can be missing unnoticed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from kombu import Connection

from tests.support import rabbitmq_server as rabbitmq
from tests.support import redis_server as redis
from tests.support.processes import members, until

SCRIPT = """
import os, sys
from pathlib import Path
from tests.support.redis_server import RedisServer
server = RedisServer(Path(sys.argv[1]))
server.start()
print(server.program.pid, flush=True)
os.kill(os.getpid(), 9)
"""


def test_nothing_outlives_us(tmp_path: Path) -> None:
    """A server ends when the process that started it is killed."""
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == -9, done.stderr
    until(lambda: not members(int(done.stdout)), "the server is gone")


def test_redis_is_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without redis-server there is an error that says what to do."""
    monkeypatch.setenv(redis.VARIABLE, str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"tools/brokers\.sh installs it on Debian"):
        redis.RedisServer(tmp_path)


def test_rabbitmq_is_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without rabbitmq-server there is an error that says what to do."""
    monkeypatch.setenv(rabbitmq.VARIABLE, str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"tools/brokers\.sh installs it on Debian"):
        rabbitmq.RabbitServer(tmp_path)


def test_redis_restart(redis_server: redis.RedisServer, redis_url: str) -> None:
    """A killed Redis comes back on its port, empty."""
    with redis_server.client() as client:
        client.set("key", "value")
    redis_server.kill()
    assert not redis_server.answers()
    redis_server.start()
    with redis_server.client() as client:
        assert client.get("key") is None


def test_rabbitmq_restart(rabbitmq_server: rabbitmq.RabbitServer, amqp_url: str) -> None:
    """A killed RabbitMQ comes back on its port, with its persistent messages, and leaves nothing."""
    options = {"confirm_publish": True}
    with (
        Connection(amqp_url, transport_options=options) as connection,
        connection.SimpleQueue("lasting") as queue,
    ):
        queue.put({"n": 1})
    first = rabbitmq_server.program.pid
    rabbitmq_server.restart()
    assert not members(first)
    with Connection(amqp_url) as connection, connection.SimpleQueue("lasting") as queue:
        assert queue.get(timeout=20).payload == {"n": 1}
