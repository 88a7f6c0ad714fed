"""The bucket of a rate limit, on a clock of the test's own."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from papayya_core.fake_provider.bucket import MINUTE_US, Bucket

SECOND_US = MINUTE_US // 60


def test_full_at_first() -> None:
    """A new bucket holds one minute's amount, and no more however long one waits."""
    bucket = Bucket(60, at=0)
    assert (bucket.left(0), bucket.full_in(0)) == (60, 0)
    assert bucket.left(MINUTE_US) == 60


def test_fills_without_a_break() -> None:
    """What was taken comes back unit by unit, and is there when the wait is over."""
    bucket = Bucket(60, at=0)
    bucket.take(60, 0)
    assert (bucket.left(0), bucket.wait(1, 0), bucket.wait(60, 0)) == (0, SECOND_US, MINUTE_US)
    assert bucket.wait(1, SECOND_US - 1) == 1
    assert bucket.left(SECOND_US) == 1
    assert bucket.left(30 * SECOND_US) == 30
    assert bucket.full_in(30 * SECOND_US) == 30 * SECOND_US


def test_too_much() -> None:
    """What is more than a minute's amount never fits."""
    assert Bucket(60, at=0).wait(61, 0) is None
    assert Bucket(60, at=0).wait(60, 0) == 0


def test_corrections() -> None:
    """What comes back makes room at once, but no more than there can be; a debt is waited for."""
    bucket = Bucket(60, at=0)
    bucket.take(50, 0)
    bucket.take(-20, 0)
    assert bucket.left(0) == 30
    bucket.take(-100, 0)
    assert bucket.left(0) == 60
    bucket.take(70, 0)
    assert (bucket.left(0), bucket.wait(1, 0)) == (0, 11 * SECOND_US)


def test_clock_that_goes_back() -> None:
    """A clock that goes back brings nothing and takes nothing."""
    bucket = Bucket(60, at=MINUTE_US)
    bucket.take(60, MINUTE_US)
    assert bucket.left(0) == 0
    assert bucket.left(SECOND_US) == 1


@settings(deadline=None, max_examples=100)
@given(st.integers(1, 500), st.lists(st.tuples(st.integers(0, 2_000_000), st.integers(1, 40))))
def test_limit_of_any_window(per_minute: int, asked: list[tuple[int, int]]) -> None:
    """In any window no more gets in than what the bucket held, and what came meanwhile."""
    bucket, now, taken = Bucket(per_minute, at=0), 0, list[tuple[int, int]]()
    for pause, amount in asked:
        now += pause
        if bucket.wait(amount, now) == 0:
            bucket.take(amount, now)
            taken.append((now, amount))
    for start, _ in taken:
        for end, _ in taken:
            used = sum(amount for at, amount in taken if start <= at <= end)
            assert end < start or used * MINUTE_US <= per_minute * (MINUTE_US + end - start)
