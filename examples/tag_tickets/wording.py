"""What the generated tickets say."""

from __future__ import annotations

import random

CATEGORIES = ("billing", "technical", "account", "shipping", "cancellation")
PRIORITIES = ("low", "normal", "high")

_ASKS = {
    "billing": (
        "I was charged twice for invoice {number}. Please send the second payment back.",
        "The price on my receipt of {day} is not the one on your page; I paid {amount} too much.",
        "Can you put our VAT number on invoice {number} and send it again?",
        "My card was debited {amount} on {day}, but I have no open invoice.",
    ),
    "technical": (
        "Since the update of {day} the app crashes when I open the export. Error {number}.",
        "Loading the dashboard fails with a timeout and error {number}, on every browser.",
        "The mobile app is slow and then broken: it stops at the second page since {day}.",
        "Your server answers our webhook with error 500; request {number} is one of them.",
    ),
    "account": (
        "I cannot sign in any more: the password reset mail for user {number} never comes.",
        "Please change the email of profile {number}, I have no access to the old one.",
        "My account {number} is locked since {day} and I don't know why.",
        "How do I verify a second user? The settings of account {number} do not offer it.",
    ),
    "shipping": (
        "Parcel {number} should have come on {day}. The courier says it was never handed over.",
        "The tracking page of order {number} has not changed since {day}.",
        "Package {number} arrived, but half of the delivery is missing.",
        "Can order {number} go to another address? It has not left your house yet.",
    ),
    "cancellation": (
        "Please cancel my subscription {number} at the end of the month.",
        "I want to close contract {number}; stop all further renewals.",
        "How do I unsubscribe team {number}? We stop using it on {day}.",
        "I asked you on {day} to terminate plan {number} and it is still running.",
    ),
}
_OPENINGS = ("Hello,", "Hi there,", "Good morning,", "To whom it may concern,", "Hey,")
_CLOSINGS = (
    "It is urgent: we are down until then.",
    "There is no hurry.",
    "Thanks!",
    "This is the third time I write.",
    "Kind regards",
    "Please answer today.",
)
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "the 1st", "the 15th")


def compose(dice: random.Random) -> str:
    """Write one ticket."""
    ask = dice.choice(_ASKS[dice.choice(CATEGORIES)])
    filled = ask.format(
        number=dice.randrange(10_000, 100_000),
        day=dice.choice(_DAYS),
        amount=f"${dice.randrange(500, 20_000) / 100:.2f}",
    )
    return f"{dice.choice(_OPENINGS)} {filled} {dice.choice(_CLOSINGS)}"
