"""The stand-in is a stranger to the rest of the project."""

from __future__ import annotations

import json
import subprocess
import sys

_LIST = """
import json, sys
import papayya_core
before = set(sys.modules)
import papayya_core.fake_provider.__main__
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def test_imports() -> None:
    """It imports itself and the standard library, and nothing else."""
    run = [sys.executable, "-c", _LIST]
    loaded = json.loads(subprocess.run(run, capture_output=True, check=True).stdout)
    ours = "papayya_core.fake_provider"
    own = [name for name in loaded if name == ours or name.startswith(f"{ours}.")]
    foreign = {name.split(".")[0] for name in loaded if name not in own}
    assert foreign <= sys.stdlib_module_names
    assert f"{ours}.server" in own
