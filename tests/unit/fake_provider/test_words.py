"""Labels follow the text, and prose follows the dice."""

from __future__ import annotations

import pytest

from papayya_core.fake_provider.dice import Dice
from papayya_core.fake_provider.words import best_label, paragraph, stem

TAGS = ["billing", "technical", "account", "shipping"]


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("I was charged twice and want my money back", "billing"),
        ("The app crashes with an error after the update", "technical"),
        ("I can't sign in, my password is not accepted", "account"),
        ("My parcel has not arrived, what does the courier say?", "shipping"),
        ("Technical question", "technical"),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_affinity(text: str, label: str, seed: int) -> None:
    """A text that speaks of one label gets it, whatever the seed."""
    assert best_label(TAGS, text, Dice.of(seed)) == label


def test_affinity_by_own_words() -> None:
    """A label's own words decide, and rare ones more than those that many labels share."""
    labels = ["card_arrival", "card_linking", "lost_or_stolen_card"]
    assert best_label(labels, "When will my card arrive?", Dice.of(0)) == "card_arrival"
    assert best_label(labels, "Someone stole it. My card was stolen!", Dice.of(0)) == labels[2]


def test_affinity_of_instructions() -> None:
    """A text that lists all labels speaks of the one that it mentions once more."""
    text = f"Answer with one of {', '.join(TAGS)}. Ticket: a technical matter."
    assert best_label(TAGS, text, Dice.of(0)) == "technical"


def test_no_affinity() -> None:
    """A text that speaks of none gets one by hash: the same for the same dice."""
    picked = [best_label(TAGS, "Hm.", Dice.of(seed)) for seed in range(40)]
    assert set(picked) == set(TAGS)
    assert picked == [best_label(TAGS, "Hm.", Dice.of(seed)) for seed in range(40)]


def test_stem() -> None:
    """Forms of a word have one stem, and short words stay."""
    assert len({stem(word) for word in ("arrive", "arrived", "arrival", "arrives")}) == 1
    assert stem("bill") == stem("billing")
    assert stem("pay") == stem("payments") == "pay"


def test_paragraph() -> None:
    """Prose is the same for the same dice, and about the topic."""
    text = paragraph("Where is my parcel?", Dice.of(1))
    assert text == paragraph("Where is my parcel?", Dice.of(1))
    assert text != paragraph("Where is my parcel?", Dice.of(2))
    assert "parcel" in text


def test_paragraph_about_nothing() -> None:
    """A topic without words gives prose all the same."""
    assert "this request" in paragraph("?! {0}", Dice.of(0))
