"""Fetch a ticket, have a model tag it, report on all tickets of a tenant."""

from __future__ import annotations

from collections import Counter
from typing import Any

import inbox
import model
from app import app


@app.task
def fetch(tenant: str, ticket_id: str) -> str:
    """Read a ticket's text from where tickets are kept."""
    return inbox.text(tenant, ticket_id)


@app.task(autoretry_for=model.UNAVAILABLE, retry_backoff=True, max_retries=8)
def tag(text: str, tenant: str, ticket_id: str) -> str:
    """Ask the model for a category. The provider bills every answer."""
    return model.category_of(text, f"{tenant}/{ticket_id}")


@app.task
def report(categories: list[str], tenant: str) -> dict[str, Any]:
    """Sum up what a tenant's customers write about."""
    return {"tenant": tenant, "tickets": len(categories), **Counter(categories)}
