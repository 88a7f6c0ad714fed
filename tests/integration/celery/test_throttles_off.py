"""A provider's 429 where nobody waits for it: what Celery makes of it, nothing else."""

from __future__ import annotations

import pytest

from tests.integration.celery.pumping import pumping
from tests.integration.celery.scene import MakeScene
from tests.integration.celery.test_throttles import APP


def test_switched_off(make_scene: MakeScene) -> None:
    """With PAPAYYA_THROTTLE=0 a refusal is what it was: an error like any other."""
    with make_scene("off", module=APP, PAPAYYA_THROTTLE="0") as stage:
        stage.start()
        ways = ("plain", "automatic", "by_hand")
        with pumping():
            results = [getattr(stage.tasks, way).delay(name=way, refusals=5) for way in ways]
            for result in results:
                with pytest.raises(Exception, match="is refused"):
                    result.get(timeout=20)
        assert [len(stage.lines(f"tries-{way}")) for way in ways] == [1, 3, 3]
