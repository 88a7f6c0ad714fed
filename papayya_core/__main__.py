"""``python -m papayya_core`` is the ``papayya`` command."""

from __future__ import annotations

from papayya_core.cli.main import main

main()
