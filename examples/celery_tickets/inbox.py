"""Where the tickets are kept; here they are made up."""

from __future__ import annotations

_ASKS = (
    "I was charged twice for invoice {number}. Please send the second payment back.",
    "The app crashes since the last update when I open export {number}.",
    "I can't sign in any more: the password mail for user {number} never comes.",
    "Where is parcel {number}? The courier says it was never handed over.",
    "Please cancel contract {number} at the end of the month.",
)


def new_tickets(tenant: str, count: int) -> list[str]:
    """List the ids of a tenant's tickets of today."""
    return [f"{tenant}-{number:04}" for number in range(1, count + 1)]


def text(tenant: str, ticket_id: str) -> str:
    """Read a ticket."""
    number = int(ticket_id.removeprefix(f"{tenant}-"))
    return _ASKS[number % len(_ASKS)].format(number=10_000 + number)
