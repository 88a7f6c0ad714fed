"""What a model writes, gathered piece by piece: a whole answer is one of a single piece."""

from __future__ import annotations

from collections.abc import Hashable

from papayya_core.call import Answered, Finish, Tokens, ToolCall
from papayya_llm.schemas.base import known, written

LIMIT = 4_000_000
"""Characters of one answer that are kept for people; beyond them they are only counted."""
MOST_CALLS = 1_000


class _Call:
    """A tool call under way."""

    __slots__ = ("arguments", "id", "name")

    def __init__(self) -> None:
        self.id: str | None = None
        self.name = ""
        self.arguments: list[str] = []


class Writing:
    """The text of each sample, the tool calls, and how much was seen of both and of thoughts."""

    __slots__ = ("_calls", "_kept", "_texts", "seen")

    def __init__(self) -> None:
        self.seen = 0
        self._kept = 0
        self._texts: dict[int, list[str]] = {}
        self._calls: dict[Hashable, _Call] = {}

    def say(self, piece: object, sample: int = 0) -> bool:
        """Add to what people read; say whether there was anything."""
        if self._keeps(piece):
            self._texts.setdefault(sample, []).append(str(piece))
        return known(piece) is not None

    def think(self, piece: object) -> bool:
        """Count what is billed and not read: thoughts, audio's transcript."""
        self._count(piece)
        return known(piece) is not None

    def call(
        self, slot: Hashable, id_: object = None, name: object = None, arguments: object = None
    ) -> bool:
        """Begin a tool call, or add to the one in this slot."""
        call = self._slot(slot, known(id_))
        if call is not None:
            call.id = call.id or known(id_)
            call.name = call.name or known(name) or ""
            piece = written(arguments)
            if self._keeps(piece):
                call.arguments.append(piece)
        return True

    def _slot(self, slot: Hashable, id_: str | None) -> _Call | None:
        """Find the call; some servers give each the same index, and only the ids differ."""
        taken = self._calls.get(slot)
        if taken is not None and id_ and taken.id and taken.id != id_:
            slot = (slot, id_)
        if slot not in self._calls and len(self._calls) >= MOST_CALLS:
            return None
        return self._calls.setdefault(slot, _Call())

    def _keeps(self, piece: object) -> bool:
        """Count a piece; say whether there is room for it."""
        if not self._count(piece):
            return False
        self._kept += len(str(piece))
        return self._kept <= LIMIT

    def _count(self, piece: object) -> bool:
        """Count the characters that are not white space."""
        if not isinstance(piece, str) or not piece:
            return False
        self.seen += len("".join(piece.split()))
        return True

    @property
    def calls(self) -> bool:
        """Whether a tool was asked for."""
        return bool(self._calls)

    @property
    def empty(self) -> bool:
        """Whether nothing was said and no tool asked for."""
        return not self._texts and not self._calls

    def answered(
        self,
        *,
        model: str | None = None,
        response_id: str | None = None,
        finish: Finish | None = None,
        tokens: Tokens | None = None,
        whole: bool = True,
    ) -> Answered:
        """Put together what was gathered."""
        texts = ("".join(self._texts[sample]) for sample in sorted(self._texts))
        calls = (ToolCall(c.id, c.name, "".join(c.arguments)) for c in self._calls.values())
        return Answered(
            model=model,
            response_id=response_id,
            finish=finish,
            tokens=tokens,
            text="\n\n".join(texts),
            tool_calls=tuple(calls),
            whole=whole,
            seen=self.seen,
        )
