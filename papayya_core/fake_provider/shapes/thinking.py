"""How much a request wants the model to think, in each provider's words."""

from __future__ import annotations

from papayya_core.fake_provider.ask import BadRequest, JsonObject, Thinking, field

_PARAGRAPHS = {
    "none": 0,
    "minimal": 1,
    "low": 1,
    "medium": 2,
    "high": 4,
    "xhigh": 6,
    "max": 8,
}
_USUAL = "medium"


def openai(effort: str | None, *, shown: bool = False) -> Thinking:
    """Read an effort; nothing asked, nothing thought."""
    return _level(effort or "none", shown=shown)


def anthropic(config: JsonObject | None, effort: str | None) -> Thinking:
    """Read `thinking`: a budget of tokens, or as much as the effort says."""
    kind = config.get("type") if config else "disabled"
    if config is None or kind == "disabled":
        return Thinking()
    shown = config.get("display") != "omitted"
    if kind in ("adaptive", "between_tools"):
        return _level(effort or _USUAL, shown=shown)
    if kind != "enabled":
        raise BadRequest(f"'thinking.type' must be enabled, adaptive or disabled, not {kind!r}.")
    most = field(config, "budget_tokens", int)
    if most is None or most < 1:
        raise BadRequest("'thinking.budget_tokens' is required, and must be at least 1.")
    return Thinking(_PARAGRAPHS[_USUAL], most, shown)


def google(config: JsonObject | None) -> Thinking:
    """Read `thinkingConfig`: a level, or a budget of tokens (0: none, -1: as many as needed)."""
    if config is None:
        return Thinking()
    shown = field(config, "includeThoughts", bool, default=False)
    budget = field(config, "thinkingBudget", int, default=-1)
    level = field(config, "thinkingLevel", str, default=_USUAL if budget else "none")
    found = _level(level.lower(), shown=shown)
    return Thinking(found.paragraphs, budget, shown) if budget > 0 else found


def _level(effort: str, *, shown: bool) -> Thinking:
    """Think as much as a level says."""
    if effort not in _PARAGRAPHS:
        known = ", ".join(_PARAGRAPHS)
        raise BadRequest(f"There is no reasoning effort {effort!r}; there are {known}.")
    return Thinking(_PARAGRAPHS[effort], None, shown)
