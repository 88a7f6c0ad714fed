"""Passages and their vectors in Postgres, with pgvector."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import LiteralString

import psycopg

from papayya import Settings
from papayya_core import embedded

SIZE = 256
TABLE: LiteralString = """
    CREATE EXTENSION IF NOT EXISTS vector;
    CREATE TABLE IF NOT EXISTS passage (name text PRIMARY KEY, body text NOT NULL, place vector(256) NOT NULL);
    CREATE INDEX IF NOT EXISTS passage_place ON passage USING hnsw (place vector_cosine_ops);
"""
KEEP: LiteralString = """
    INSERT INTO passage VALUES (%s, %s, %s::vector)
    ON CONFLICT (name) DO UPDATE SET body = excluded.body, place = excluded.place
"""
NEAREST: LiteralString = """
    SELECT name, body, round((1 - (place <=> %(place)s::vector))::numeric, 3)::float AS score
    FROM passage ORDER BY place <=> %(place)s::vector LIMIT %(most)s
"""


def connect() -> psycopg.Connection:
    """Connect to VECTORS_URL, or to the Postgres that comes with Papayya."""
    url = os.environ.get("VECTORS_URL") or embedded.ensure(Settings.load().home)
    return psycopg.connect(url, autocommit=True)


def prepare() -> None:
    """Make the table, unless it is there."""
    with connect() as connection:
        connection.execute(TABLE)


def keep(name: str, body: str, place: Sequence[float]) -> None:
    """Write a passage down."""
    with connect() as connection:
        connection.execute(KEEP, [name, body, str(list(place))])


def nearest(place: Sequence[float], most: int = 3) -> list[dict[str, str | float]]:
    """Find the passages closest to a vector, the closest first: name, text, score up to 1."""
    with connect() as connection:
        found = connection.execute(NEAREST, {"place": str(list(place)), "most": most}).fetchall()
    return [{"name": name, "text": body, "score": score} for name, body, score in found]
