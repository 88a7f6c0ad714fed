"""A provider's 429 where nobody waits for it: what Celery makes of it, nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from papayya_core.testing.databases import Databases
from tests.integration.celery.pumping import pumping
from tests.integration.celery.scene import Servers, scene
from tests.integration.celery.test_throttles import APP
from tests.support.redis_server import RedisServer


def test_switched_off(
    papayya_databases: Databases, papayya_template: str, redis_server: RedisServer, tmp_path: Path
) -> None:
    """With PAPAYYA_THROTTLE=0 a refusal is what it was: an error like any other."""
    url, off = redis_server.fresh_url(), {"PAPAYYA_THROTTLE": "0"}
    with (
        papayya_databases.copy_of(papayya_template) as name,
        scene(Servers(papayya_databases.dsn(name), url, url), tmp_path, module=APP, **off) as stage,
    ):
        stage.start()
        ways = ("plain", "automatic", "by_hand")
        with pumping():
            results = [getattr(stage.tasks, way).delay(name=way, refusals=5) for way in ways]
            for result in results:
                with pytest.raises(Exception, match="is refused"):
                    result.get(timeout=20)
        assert [len(stage.lines(f"tries-{way}")) for way in ways] == [1, 3, 3]
