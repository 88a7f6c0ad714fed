"""Which number a request of a step has."""

from __future__ import annotations

from papayya_core.callbook import CallBook

STEP, KEY = b"s" * 16, b"k" * 16


def test_numbers() -> None:
    """Equal requests are samples, each with the lowest number that is free."""
    book = CallBook()
    assert [book.take(STEP, KEY)[0] for _ in range(3)] == [1, 2, 3]
    assert book.take(STEP, b"other")[0] == book.take(b"", KEY)[0] == 1
    book.free(STEP, KEY, 2, 0)
    assert [book.take(STEP, KEY)[0] for _ in range(2)] == [2, 4]


def test_another_try() -> None:
    """A request that an earlier try left running does not give away the number of a later one."""
    book = CallBook()
    left = book.take(STEP, KEY)
    book.restart(STEP)
    assert book.take(STEP, KEY)[0] == 1
    book.free(STEP, KEY, *left)
    assert book.take(STEP, KEY)[0] == 2


def test_asked() -> None:
    """A step has asked something in this try, or not."""
    book = CallBook()
    assert not book.has(STEP)
    book.free(STEP, KEY, *book.take(STEP, KEY))
    assert book.has(STEP)
    book.restart(STEP)
    assert not book.has(STEP)
