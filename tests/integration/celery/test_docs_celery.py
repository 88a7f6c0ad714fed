"""The page on Celery does what it says: its app runs in a worker, its code and commands follow."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.integration.test_docs_run import compare, environment, run
from tests.support.celery_worker import StartWorker
from tests.unit.docs_pages import ROOT, blocks, script, todo

PAGE = ROOT / "docs" / "celery.md"
REDIS = "redis://localhost:6379/0"


def test_page_runs(
    papayya_database: str,
    papayya_postgres: str,
    redis_url: str,
    celery_worker: StartWorker,
    tmp_path: Path,
) -> None:
    """The app of the page works; what is sent to it, and commands after that, give what is shown."""
    found = [block for block in blocks(PAGE) if block.file is not None]
    for block in found:
        text = block.text.replace(REDIS, redis_url)
        (tmp_path / str(block.file)).write_text(text, encoding="utf-8")
    assert found
    celery_worker(tmp_path / "app.py")
    (tmp_path / "page.py").write_text(script(PAGE), encoding="utf-8")
    env = environment(papayya_postgres)
    code, output = run([sys.executable, "page.py"], tmp_path, env)
    assert code == 0, output
    for command in todo(PAGE):
        extra, (name, *words) = command.words()
        program = str(Path(sys.executable).with_name(name))
        compare(command, *run([program, *words], tmp_path, env | extra))
