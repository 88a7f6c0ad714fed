"""On which terms a call may go: what it may cost at most, and what its item and process allow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from papayya_core import bounds
from papayya_core.call import PriceQuestion, Tokens

if TYPE_CHECKING:
    from papayya_core.bounds import Bound
    from papayya_core.call import Asked, Held, Priced
    from papayya_core.execution import Execution
    from papayya_core.plugins import Plugins
    from papayya_core.settings import Settings

_ONE = Tokens(input=1, output=1)


class CallTerms:
    """Prices calls, and says what is asked of ``hold``."""

    def __init__(self, plugins: Plugins, settings: Settings) -> None:
        self._plugins = plugins
        self._settings = settings

    def price(
        self, asked: Asked, models: tuple[str | None, ...], tokens: Tokens, held: Held
    ) -> Priced | None:
        """Price tokens by the first of the models that has a price."""
        for model in dict.fromkeys(models):
            if model:
                question = PriceQuestion(asked.provider, model, tokens, held.at)
                priced = self._plugins.price(question)
                if priced is not None:
                    return priced
        return None

    def bound(self, asked: Asked, most: Bound, held: Held) -> int | None:
        """Price the most that a request may use; None where that cannot be known."""
        if asked.unbounded is not None or most.output is None:
            return None
        ways = [self.price(asked, (asked.model,), way, held) for way in bounds.dearest(most)]
        return max((priced.nusd for priced in ways if priced is not None), default=None)

    def of(
        self,
        execution: Execution,
        held: Held,
        most: Bound,
        bound_nusd: int | None,
        *,
        clampable: bool,
    ) -> dict[str, Any]:
        """Name the parameters of ``hold`` that say on which terms it may go."""
        asked, settings = held.asked, self._settings
        wanted = settings.clamp if execution.agent.clamp is None else execution.agent.clamp
        clamp = wanted and clampable and bound_nusd is not None and execution.enforce
        return {
            "floor": self.bound(asked, most._replace(output=0), held) if clamp else None,
            "clamp": clamp,
            "priced": bound_nusd is not None
            or self.price(asked, (asked.model,), _ONE, held) is not None,
            "unpriced": settings.unpriced == "allow",
            "enforce": execution.enforce,
            "fact": False,
            "guess": bounds.guess(asked) if settings.throttle else None,
            "passes": list(execution.passes),
        }
