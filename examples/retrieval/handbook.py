"""The handbook of a campsite that does not exist, and what its guests ask."""

from __future__ import annotations

PASSAGES = {
    "arrival": "Arrival is from three in the afternoon; the gate closes at ten in the evening.",
    "late": "Guests who come after the gate closes call the warden and wait at the small car park.",
    "departure": "Departure is before eleven in the morning. Leave the key card in the box.",
    "dogs": "Dogs are welcome on the meadow, on a lead. The beach is closed to dogs in summer.",
    "fire": "Fires burn only in the iron bowls, which the kiosk lends for a deposit of ten euros.",
    "quiet": "Quiet hours are from ten in the evening until seven; music stays inside the tent.",
    "power": "Every pitch has a power socket of ten amperes. Electric heaters are not allowed.",
    "water": "Drinking water comes from the taps with a blue ring, next to each wash house.",
    "boats": "Canoes and paddles are rented by the hour at the jetty; life jackets are free.",
    "swimming": "Swimming in the lake is at your own risk. The raft marks the end of the shallow water.",
    "bread": "Bread is ordered at the kiosk until eight in the evening and fetched from seven.",
    "laundry": "The laundry has four machines. Tokens for a wash cost four euros at the kiosk.",
    "children": "Children under six stay for free. The playground closes at sunset.",
    "bicycles": "Bicycles are lent at the gate, with a lock and a helmet, for a day or a week.",
    "wifi": "Wireless network is free around the reception. On the meadow there is none.",
    "storms": "When a storm comes, the siren sounds for a minute: leave the tents for the barn.",
}
QUESTIONS = (
    "May my dogs swim at the beach in summer?",
    "When does the gate close in the evening?",
    "Where are fires allowed?",
    "How are bicycles lent?",
    "What do children cost?",
    "Is there a socket for power on every pitch?",
)
