"""The contract of tenants, runs, items, steps and budgets in Postgres, and the engine that keeps it.

Applications import `papayya`; this package is for adapters, plugins and tools.
"""

from __future__ import annotations


def __getattr__(name: str) -> str:
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import version

    return version("papayya-core")
