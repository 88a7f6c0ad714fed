"""What the statements of calls answer, by the names of their columns. No I/O."""

from __future__ import annotations

from typing import Literal, NamedTuple

from papayya_core.refusals import Refusal

GoOn = Literal["go", "pause", "cancelled", "lost"]


class HoldRow(NamedTuple):
    """What ``hold`` answers: an answer of the journal, a hold, or a refusal.

    Money in nano-dollars, ``delay`` in seconds, ``clamped`` in tokens. Columns that say nothing
    with a verdict are None.
    """

    verdict: GoOn | Literal["exhausted", "wait", "unpriced", "ended"]
    call_id: int | None
    bound_nusd: int | None
    resampled: bool
    status: int
    headers: list[tuple[str, str]] | None
    codec: int
    body: bytes | None
    near_codec: int
    near_body: bytes | None
    unkept: bool
    reason: str | None
    budget_id: int | None
    wants: int | None
    delay: float | None
    rate_id: int | None
    clamped: int | None

    @property
    def refusal(self) -> Refusal:
        """Why nothing may be sent, where the verdict says so."""
        return Refusal(
            self.verdict, self.reason, self.budget_id, self.wants, self.delay, self.rate_id
        )


class SettleRow(NamedTuple):
    """What ``settle`` answers: how the item may go on, and the rate limit that cools."""

    verdict: GoOn
    cost_nusd: int | None
    rate_id: int | None
