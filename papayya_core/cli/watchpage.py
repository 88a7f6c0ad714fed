"""How a run that is watched looks: a page on a terminal, a line elsewhere, a document."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console, Group, RenderableType
from rich.text import Text

from papayya_core.cli import documents, outliers, show
from papayya_core.store.watching import Look, WatchedBudget, WatchedTenant

_WINDOW, _LEAST = 60.0, 3.0  # seconds that the pace is measured over, at most and at least
_TENANTS, _OUTLIERS = 8, 5
_BAR = (
    *(("ok", "█", "green"), ("degraded", "█", "yellow"), ("outcome_failed", "█", "red")),
    *(("cancelled", "█", "bright_black"), ("running", "▓", "cyan"), ("waiting", "▒", "cyan")),
    *(("paused", "▒", "yellow"), ("queued", "░", "bright_black")),
)
_WIDEST = 100


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a run is: per minute, and the seconds that it still takes; None: not known yet."""

    burn_nusd: int | None = None
    items: float | None = None
    eta: float | None = None


class Paces:
    """Measures the pace over the last minute of looks."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int, int]] = deque()

    def at(self, now: float, look: Look) -> Pace:
        """Take in a look at ``now`` seconds; return the pace."""
        self._seen.append((now, look.money.cost_nusd, look.ended))
        while now - self._seen[0][0] > _WINDOW:
            self._seen.popleft()
        then, cost, ended = self._seen[0]
        if now - then < _LEAST:
            return Pace()
        per_minute = 60 / (now - then)
        items = (look.ended - ended) * per_minute
        burn = round((look.money.cost_nusd - cost) * per_minute)
        return Pace(burn, items, to_do(look) * 60 / items if items > 0 else None)


def to_do(look: Look) -> int:
    """Count what goes on by itself, with what is still expected."""
    missing = max((look.run.expect_count or 0) - look.count("items"), 0)
    return look.count("queued", "running", "waiting") - look.held_back + missing


def page(look: Look, pace: Pace, out: Console) -> RenderableType:
    """Make the page of a terminal."""
    return Group(*_parts(look, pace, out))


def _parts(look: Look, pace: Pace, out: Console) -> Iterator[RenderableType]:
    yield Text.assemble((show.safe(look.run.run), "bold"), "  ", (_how(look), "dim"))
    yield _bar(look, min(out.width, _WIDEST))
    yield _counts(look)
    yield Text(f"{_money(look)} · {_pace(pace)}")
    yield from map(_budget, look.budgets)
    if len(look.tenants) > 1 or any(one.throttled or one.starved for one in look.tenants):
        yield Text()
        yield _tenants(look, out)
    if look.findings:
        yield Text("\nNewest findings", style="bold")
        yield show.laid_out(
            out,
            ("SEVERITY", "CHECK", "KEY", "WHY"),
            [
                (show.word(f.severity), f.check, show.short(f.key or "", 30), show.short(f.reason))
                for f in look.findings
            ],
        )
    if look.outliers:
        yield Text("\nOutliers by cost", style="bold")
        yield show.laid_out(
            out, outliers.COLUMNS, [outliers.line(one) for one in look.outliers[:_OUTLIERS]]
        )


def _how(look: Look) -> str:
    run = look.run
    states = {
        "cancelled": run.cancelled_at is not None,
        "paused": run.paused_at is not None,
        "draining": run.draining,
        "its input is still being read": run.sealed_at is None,
    }
    return ", ".join(
        [f"on {show.safe(run.carrier)}", *(name for name, is_so in states.items() if is_so)]
    )


def _bar(look: Look, width: int) -> Text:
    total = max(look.count("items"), look.run.expect_count or 0, 1)
    bar, begun, drawn = Text(), 0, 0
    for state, mark, style in _BAR:
        begun += look.count(state)
        to = max(round(begun * width / total), drawn)
        bar.append(mark * (to - drawn), style=style)
        drawn = to
    return bar.append(" " * (width - drawn))


def _counts(look: Look) -> Text:
    parts = [f"{look.ended:,} of {look.count('items'):,} ended: {look.count('ok'):,} ok"]
    states = (state for state, _, _ in _BAR[1:])
    parts += [f"{n:,} {state.split('_')[-1]}" for state in states if (n := look.count(state))]
    if look.run.expect_count is not None:
        parts.append(f"{look.run.expect_count:,} expected")
    return Text(", ".join(parts))


def _money(look: Look) -> str:
    money = look.money
    said = f"{show.money(money.cost_nusd)} spent, {show.money(money.held_nusd)} held"
    said += f", ≤ {show.money(money.uncertain_nusd)} uncertain" if money.uncertain_nusd else ""
    return said + (f", {money.unpriced_calls:,} unpriced" if money.unpriced_calls else "")


def _pace(pace: Pace) -> str:
    if pace.burn_nusd is None or pace.items is None:
        return "measuring the pace"
    rest = "" if pace.eta is None else f", about {duration(pace.eta)} to go"
    return f"{show.money(pace.burn_nusd)} and {pace.items:,.0f} items a minute{rest}"


def duration(seconds: float) -> str:
    """Say roughly how long: ``40 s``, ``12 min``, ``3 h 05 min``."""
    minutes = round(seconds / 60)
    if minutes < 2:  # noqa: PLR2004
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60:,} h {minutes % 60:02} min"  # noqa: PLR2004


def _budget(one: WatchedBudget) -> Text:
    per = "" if one.period == "ever" else f" a {one.period}"
    left = (
        f"{_amount(one, one.left)} left" if one.left >= 0 else f"over by {_amount(one, -one.left)}"
    )
    said = f"budget of {show.safe(one.account)}: {left} of {_amount(one, one.amount)}{per}"
    said += f", {_amount(one, one.held)} held" if one.held else ""
    said += f", {one.parked:,} items parked" if one.parked else ""
    return Text(said, style="" if one.left > 0 else "yellow")


def _amount(one: WatchedBudget, amount: int) -> str:
    return show.money(amount) if one.unit == "usd" else f"{amount:,} tokens"


def _tenants(look: Look, out: Console) -> RenderableType:
    shown = sorted(look.tenants, key=lambda one: (not one.starved, -one.throttled, -one.items))
    lines: list[tuple[show.Cell, ...]] = [
        (show.name(t.tenant), _plight(t, look), t.items, t.ok, t.degraded + t.outcome_failed, t.running,
         t.waiting, t.paused, t.queued, show.money(t.cost_nusd))
        for t in shown[:_TENANTS]
    ]  # fmt: skip
    if len(shown) > _TENANTS:
        lines.append((f"and {len(shown) - _TENANTS:,} more", *[""] * 9))
    states = (">RUNNING", ">WAITING", ">PAUSED", ">QUEUED")
    return show.laid_out(out, ("TENANT", "", ">ITEMS", ">OK", ">FLAGGED", *states, ">COST"), lines)


def _plight(one: WatchedTenant, look: Look) -> Text:
    since = ""
    if one.waiting_since is not None:
        since = f" {duration((look.run.at - one.waiting_since).total_seconds())}"
    if one.starved:
        return Text(f"starved{since}", style="red")
    if one.throttled:
        return Text(f"throttled{since}", style="cyan")
    return show.word("paused") if one.paused_at is not None else Text("")


def line(look: Look, pace: Pace) -> str:
    """Say how a run is on one line."""
    at = look.run.at.astimezone().strftime("%H:%M:%S")
    left = "".join(f"; {_budget(one).plain}" for one in look.budgets[:1])
    waits = [one for one in look.tenants if one.starved]
    starved = f"; {len(waits):,} tenants starved" if waits else ""
    name = show.safe(look.run.run)
    return f"{at} {name}: {_counts(look).plain}; {_money(look)}{left}{starved}; {_pace(pace)}"


def document(look: Look, pace: Pace, verdict: str | None) -> dict[str, object]:
    """Shape a look for programs. ``over``: why there is nothing more to see, if so."""
    states = ("items", "queued", "running", "paused", "waiting", "completed", "failed")
    counts = {
        name: look.count(name)
        for name in (*states, "cancelled", "ok", "degraded", "outcome_failed")
    }
    return {
        **documents.shape(look.run),
        "counts": counts | {"ended": look.ended, "held_back": look.held_back},
        "money": look.money,
        "pace": {
            "burn_nusd": pace.burn_nusd,
            "items": None if pace.items is None else round(pace.items, 1),
            "eta_seconds": None if pace.eta is None else round(pace.eta, 1),
        },
        "budgets": look.budgets,
        "tenants": look.tenants,
        "findings": look.findings,
        "outliers": [outliers.shape(one) for one in look.outliers],
        "over": verdict,
    }
