"""Vectors for texts: texts with words in common are close to each other, no two are equal."""

from __future__ import annotations

from functools import lru_cache
from math import sqrt

from papayya_core.fake_provider.dice import Dice
from papayya_core.fake_provider.words import stems

_MARKS = 24
_OWN = 0.1


def vector(text: str, size: int) -> list[float]:
    """Make a text's vector, of length 1; an empty text's is all zeros."""
    sums = [0.0] * size
    if not text:
        return sums
    weights = {word: sqrt(count) for word, count in stems(text).items()}
    own = Dice.of("text", text).hex(32)
    for word, weight in (*weights.items(), (own, _OWN)):
        for place, sign in _marks(word, size):
            sums[place] += sign * weight
    length = sqrt(sum(each * each for each in sums))
    return [each / length for each in sums] if length else [1.0, *sums[1:]]


@lru_cache(maxsize=8_192)
def _marks(word: str, size: int) -> tuple[tuple[int, int], ...]:
    """Choose where a word shows in a vector, and with which sign."""
    dice = [Dice.of("vector", word).child(n) for n in range(_MARKS)]
    return tuple((die.number(size), 1 - 2 * die.child("sign").number(2)) for die in dice)
