"""Deterministic prose, and which label fits a text best."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from papayya_core.fake_provider.dice import Dice

MOST_READ = 4_000
_WORD = re.compile(r"[^\W\d_]+")
_SUFFIX = re.compile(r"(?:ations?|ments?|ings?|ies|ied|als?|ed|es|s|e|y)$")
_SHORTEST_STEM = 3
_COMMON = frozenset(
    _WORD.findall("""
    about after also been could does from have just like more most only other please since some
    than that their them then there these they this very want were what when where which while
    will with would your yours
""")
)
_RELATED = {
    "billing": "invoice charge refund payment paid pay subscription price receipt fee debit",
    "payment": "pay paid charge card declined transfer billing checkout",
    "refund": "refund money back return reimburse",
    "technical": "error crash bug broken fail slow loading timeout app install update server",
    "bug": "error crash broken fail wrong glitch",
    "account": "password login sign username profile email locked verify access settings",
    "login": "password sign locked access verify",
    "shipping": "parcel package delivery tracking arrive courier order late",
    "delivery": "parcel package shipping tracking arrive courier order late",
    "cancellation": "cancel stop unsubscribe terminate close",
    "security": "stolen hacked phishing fraud suspicious compromised unauthorised breach",
    "fraud": "stolen hacked phishing suspicious unauthorised",
    "feature": "wish suggestion idea add support roadmap request",
    "sales": "quote demo pricing upgrade plan discount enterprise seats",
    "complaint": "terrible awful angry disappointed unacceptable worst",
    "negative": "terrible awful angry disappointed unacceptable worst broken frustrated hate",
    "positive": "thanks great love excellent perfect happy wonderful awesome",
    "urgent": "urgent asap immediately emergency critical outage down now",
    "high": "urgent asap immediately emergency critical outage down",
}
_SENTENCES = (
    "Thank you for writing to us about {a}.",
    "We looked into {a} and found that {b} is the part that matters here.",
    "Please check {a} once more and tell us if {b} still occurs.",
    "Our notes on {a} say that it was changed last week.",
    "As for {b}, nothing else is needed from your side.",
    "In short: {a} is explained by {b}.",
)


@lru_cache(maxsize=8_192)
def stem(word: str) -> str:
    """Fold a lower-case word's usual endings, so that "arrived" meets "arrival"."""
    short = _SUFFIX.sub("", word)
    kept = short if len(short) >= _SHORTEST_STEM else word
    return kept[:-1] if len(kept) > _SHORTEST_STEM and kept[-1] == kept[-2] else kept


def stems(text: str) -> Counter[str]:
    """Count the stems of a text (of its beginning, when it is long)."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text[:MOST_READ])
    return Counter(stem(word.lower()) for word in _WORD.findall(spaced))


_RELATED_STEMS = {stem(name): frozenset(stems(line)) for name, line in _RELATED.items()}


@lru_cache(maxsize=256)
def _keywords(labels: tuple[str, ...]) -> tuple[tuple[frozenset[str], frozenset[str]], ...]:
    """Give each label its own stems and the related ones."""
    own = [frozenset(stems(label)) for label in labels]
    none: frozenset[str] = frozenset()
    return tuple(
        (words, none.union(*(_RELATED_STEMS.get(word, none) for word in words)) - words)
        for words in own
    )


def best_label(labels: Sequence[Any], text: str, dice: Dice) -> Any:
    """
    Pick the label that the text speaks of; by hash if it speaks of none.

    A rare word counts more than one shared by many labels. Where the text lists all the labels,
    as an instruction does, one mention of each is not counted.
    """
    keywords = _keywords(tuple(str(label) for label in labels))
    seen = stems(text)
    listed = len(labels) > 1 and all(words and words <= seen.keys() for words, _ in keywords)
    if listed:
        seen -= Counter(word for words, _ in keywords for word in words)
    shared = Counter(word for own, related in keywords for word in own | related)
    scores = [
        sum(2 / shared[word] for word in own if seen[word] > 0)
        + sum(1 / shared[word] for word in related if seen[word] > 0)
        for own, related in keywords
    ]
    top = max(scores)
    fitting = [label for label, score in zip(labels, scores, strict=True) if score == top]
    return fitting[0] if len(fitting) == 1 else dice.pick(fitting)


def _topics(text: str) -> list[str]:
    """List the telling words of a text."""
    found = [word.lower() for word in _WORD.findall(text[:MOST_READ])]
    return [word for word in found if len(word) > _SHORTEST_STEM and word not in _COMMON] or [
        "this request"
    ]


def phrase(topic: str, dice: Dice) -> str:
    """Write one sentence about a topic."""
    words = _topics(topic)
    template = dice.child("sentence").pick(_SENTENCES)
    return template.format(a=dice.child("a").pick(words), b=dice.child("b").pick(words))


def paragraph(topic: str, dice: Dice) -> str:
    """Write three to six sentences about a topic."""
    return " ".join(phrase(topic, dice.child(n)) for n in range(3 + dice.number(4)))
