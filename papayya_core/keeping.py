"""What is kept of requests and answers, and what is said where something is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from papayya_core import codec
from papayya_core.store import callparams

if TYPE_CHECKING:
    from papayya_core.contract import Body, Capture
    from papayya_core.execution import Execution
    from papayya_core.settings import Settings


class Keeping:
    """Packs requests and answers as their agent's ``capture`` says."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def _capture(self, execution: Execution) -> Capture:
        return execution.agent.capture or self._settings.capture

    def kept(self, execution: Execution, data: bytes | None) -> Body | None:
        """Pack what is kept of a request or an answer."""
        return callparams.kept(data, self._capture(execution), self._settings.max_payload_bytes)

    def value(
        self, execution: Execution, value: object, encoders: codec.Encoders | None
    ) -> Body | None:
        """Pack what went into or came out of a tool; None for what cannot be stored."""
        try:
            data = codec.encode(value, encoders).encode()
        except Exception:  # noqa: BLE001 - user code (properties, plugins) runs in here
            return None
        return self.kept(execution, data)

    def asked(self, execution: Execution, data: bytes) -> Body | None:
        """Pack a request; say so when it cannot be kept whole."""
        return self._noted(execution, self.kept(execution, data), "a request", "nobody can see it")

    def answer(self, execution: Execution, data: bytes | None) -> Body | None:
        """Pack an answer for the journal; say so when it cannot be kept whole."""
        then = "if the item runs again, it is paid again"
        if data is None and self._capture(execution) == "full":
            execution.note("unstored", f"an answer was not kept: {then}")
        return self._noted(execution, self.kept(execution, data), "an answer", then)

    def _noted(self, execution: Execution, body: Body | None, what: str, then: str) -> Body | None:
        limit = self._settings.max_payload_bytes
        if body is not None and body.size > limit and self._capture(execution) == "full":
            why = f"{body.size:,} bytes are more than PAPAYYA_MAX_PAYLOAD_BYTES={limit:,}"
            execution.note("too_large", f"{what} was not kept: {why}; {then}")
        return body

    def paid_again(self, execution: Execution, n: int | None) -> None:
        """Say, once for each step, that an answer is bought a second time."""
        capture = self._capture(execution)
        why = "" if capture == "full" else f" (capture is {capture})"
        reason = f"a request that was answered before is paid again: its answer was not kept{why}"
        execution.note_once("paid_again", reason, n)
