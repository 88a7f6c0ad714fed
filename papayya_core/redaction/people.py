"""E-mail addresses and numbers of payment cards, which are taken out only when asked for."""

from __future__ import annotations

import re

_EMAIL = re.compile(
    r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]{1,64}@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}"
    r"(?![A-Za-z0-9-])"
)
_CARD = re.compile(
    r"(?<![A-Za-z0-9.-])(?:[2-6][0-9]{12,18}|[2-6][0-9]{3}([ -])[0-9]{4}\1[0-9]{4}\1[0-9]{1,7}"
    r"|3[47][0-9]{2}([ -])[0-9]{6}\2[0-9]{5})(?![A-Za-z0-9])"
)


def emails(text: str) -> str:
    """Take out e-mail addresses."""
    return _EMAIL.sub("[email]", text) if "@" in text else text


def cards(text: str) -> str:
    """Take out numbers of payment cards, whose check digit must be right."""
    return _CARD.sub(lambda found: "[card]" if luhn(found.group()) else found.group(), text)


def luhn(number: str) -> bool:
    """Check the check digit of a number."""
    digits = [int(char) for char in reversed(number) if char.isdigit()]
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[1::2])
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0
