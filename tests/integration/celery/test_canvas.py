"""Every canvas primitive with one of its tasks held, paused, retried or killed: the right result
once, what follows once, in order, and nothing paid for twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from celery import chain, chord, group

import papayya
from papayya_core.errors import ItemFailed
from papayya_core.testing.databases import Databases
from tests.integration.celery.scene import Scene, Servers, scene

PLANS = ("held", "pause", "retry", "kill")
Sign = Callable[..., Any]


Playing = dict[tuple[str, str], tuple["Cast", Any]]


@pytest.fixture(scope="module")
def stage(
    request: pytest.FixtureRequest,
    papayya_databases: Databases,
    papayya_template: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Scene]:
    """One worker: on Redis, which counts the parts of a chord, or on RabbitMQ with results in files,
    where a task of Celery's own asks again and again whether the parts are ready.
    """
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "polling":
        (folder / "results").mkdir()
        broker = request.getfixturevalue("rabbitmq_server").fresh_url()
        results = f"file://{folder / 'results'}"
    else:
        broker = results = request.getfixturevalue("redis_server").fresh_url()
    with (
        papayya_databases.copy_of(papayya_template) as name,
        scene(Servers(papayya_databases.dsn(name), broker, results), folder) as made,
    ):
        made.start()
        yield made


@pytest.fixture(scope="module")
def playing(stage: Scene) -> Playing:
    """The canvases that were sent, by shape and plan."""
    return {}


def on(stage: str) -> pytest.MarkDecorator:
    """Name the stage of a test."""
    return pytest.mark.parametrize("stage", [stage], indirect=True, scope="module")


class Cast:
    """The tasks of one canvas: names of their own, and one of them with a plan."""

    def __init__(self, stage: Scene, name: str, plan: str) -> None:
        self.stage, self.name, self.plan = stage, name, plan
        self.tenant = f"{name}-{plan}"
        self.names: list[str] = []
        self.star = ""

    def kwargs(self, who: str, *, star: bool) -> dict[str, Any]:
        """Name a task; the star is the one with the plan."""
        name = f"{self.tenant}-{who}"
        self.names.append(name)
        if star:
            self.star = name
        plan = self.plan if star and self.plan != "held" else "go"
        tenant = self.tenant if star and self.plan == "held" else None
        return {"name": name, "plan": plan, "tenant": tenant}

    def work(self, who: str, *, star: bool = False) -> Any:
        """Sign a task that puts its name to what came before."""
        return self.stage.tasks.work.s(**self.kwargs(who, star=star))

    def gather(self, who: str = "all", *, star: bool = False) -> Any:
        """Sign a task that follows from others."""
        return self.stage.tasks.gather.s(**self.kwargs(who, star=star))

    def fail(self, who: str, *, star: bool = False) -> Any:
        """Sign a task that fails."""
        return self.stage.tasks.fail.s(**self.kwargs(who, star=star))

    def said(self, *whos: str) -> list[str]:
        """Return the full names of tasks."""
        return [f"{self.tenant}-{who}" for who in whos]


class Shape(NamedTuple):
    """A canvas and the names it results in."""

    canvas: Callable[[Cast], Any]
    result: list[str]
    bodies: tuple[str, ...] = ()


def trio(cast: Cast, prefix: str = "", star: int | None = 1) -> list[Any]:
    """Sign three tasks, of which one has the plan."""
    return [cast.work(f"{prefix}{n}", star=n == star) for n in range(3)]


CHORDS = {
    "chord header": Shape(lambda c: chord(trio(c), c.gather()), ["0", "1", "2"], ("all",)),
    "chord body": Shape(
        lambda c: chord(trio(c, star=None), c.gather(star=True)), ["0", "1", "2"], ("all",)
    ),
    "chain, group, body": Shape(
        lambda c: chain(c.work("first"), group(trio(c)), c.gather()),
        ["first", "0", "first", "1", "first", "2"],
        ("all",),
    ),
    "group, body first": Shape(
        lambda c: chain(c.work("first", star=True), group(trio(c, star=None)), c.gather()),
        ["first", "0", "first", "1", "first", "2"],
        ("all",),
    ),
    "nested chord": Shape(
        lambda c: chord(
            [c.work("left"), chord(trio(c), c.gather("inner")), c.work("right")], c.gather()
        ),
        ["left", "0", "1", "2", "right"],
        ("inner", "all"),
    ),
    "chord of chains": Shape(
        lambda c: chord(
            [
                chain(c.work("a"), c.work("b")),
                chain(c.work("c"), c.work("d", star=True)),
                chain(c.work("e"), c.work("f")),
            ],
            c.gather(),
        ),
        ["a", "b", "c", "d", "e", "f"],
        ("all",),
    ),
    "chord in a chain": Shape(
        lambda c: chain(chord(trio(c), c.gather()), c.work("last")),
        ["0", "1", "2", "last"],
        ("all",),
    ),
}
SHAPES = {
    "plain": Shape(lambda c: c.work("one", star=True), ["one"]),
    "chain first": Shape(
        lambda c: chain(c.work("a", star=True), c.work("b"), c.work("c")), ["a", "b", "c"]
    ),
    "chain middle": Shape(
        lambda c: chain(c.work("a"), c.work("b", star=True), c.work("c")), ["a", "b", "c"]
    ),
    "chain last": Shape(
        lambda c: chain(c.work("a"), c.work("b"), c.work("c", star=True)), ["a", "b", "c"]
    ),
    "group": Shape(lambda c: group(trio(c)), ["0", "1", "2"]),
    **CHORDS,
}


def launch(stage: Scene, playing: Playing, plan: str, shapes: dict[str, Shape]) -> None:
    """Send the canvases of all shapes at once, when the first of them is asked for."""
    for name, shape in shapes.items():
        cast = Cast(stage, name.replace(" ", "-"), plan)
        if plan == "held":
            stage.hold(cast.tenant)
        playing[name, plan] = cast, shape.canvas(cast).apply_async()


def play(stage: Scene, cast: Cast, result: Any) -> None:
    """Bring the star of a canvas through what is planned for it."""
    if cast.plan not in ("held", "pause"):
        return
    stage.until(lambda: paused(stage, cast), "its star is parked")
    assert not result.ready()
    what = {"tenant": cast.tenant} if cast.plan == "held" else {"items": paused(stage, cast)}
    assert stage.resume(**what) == 1


def paused(stage: Scene, cast: Cast) -> list[int]:
    """List the items of a canvas that are parked."""
    rows = stage.rows(
        "SELECT id FROM papayya.item WHERE key = ANY (%(keys)s) AND state = 'paused'",
        keys=cast.names,
    )
    return [row.id for row in rows]


def check(stage: Scene, cast: Cast, shape: Shape, result: Any) -> None:
    """Compare what came of a canvas with what should."""
    found = result.get(timeout=30)
    assert stage.tasks.flat([found]) == cast.said(*shape.result)
    gathered = [name for name in stage.lines("gathered") if name in cast.names]
    assert sorted(gathered) == sorted(cast.said(*shape.bodies))
    begun = Counter(name for name in stage.lines("begun") if name in cast.names)
    again = Counter([cast.star] if cast.star in gathered and cast.plan != "held" else [])
    assert begun == Counter(gathered) + again
    paid = Counter(name for name in stage.lines("paid") if name in cast.names)
    assert paid == Counter(cast.names)
    stage.until(lambda: ended(stage, cast) == len(cast.names), "every item has ended, and is told")


def ended(stage: Scene, cast: Cast) -> int:
    """Count the items of a canvas that completed well, and whose end Celery knows."""
    rows = stage.rows(
        "SELECT id FROM papayya.item WHERE key = ANY (%(keys)s) AND outcome = 'ok'"
        " AND send_at IS NULL",
        keys=cast.names,
    )
    return len(rows)


@on("native")
@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("plan", PLANS)
def test_canvas(stage: Scene, playing: Playing, name: str, plan: str) -> None:
    """A canvas of each shape ends as if nothing had happened to one of its tasks."""
    if (name, plan) not in playing:
        launch(stage, playing, plan, SHAPES)
    cast, result = playing[name, plan]
    play(stage, cast, result)
    check(stage, cast, SHAPES[name], result)


@on("native")
@pytest.mark.parametrize("plan", PLANS)
def test_link(stage: Scene, plan: str) -> None:
    """A link hears of the result once."""
    cast = Cast(stage, "link", plan)
    link = stage.tasks.heard.s(name=f"{plan} link")
    result = launch_one(stage, cast, cast.work("one", star=True).set(link=[link]))
    assert result.get(timeout=30) == cast.said("one")
    stage.until(lambda: told(stage, "heard", plan), "the link has heard")
    assert told(stage, "heard", plan) == [f"{plan} link {cast.said('one')}"]


@on("native")
@pytest.mark.parametrize("plan", PLANS)
def test_link_error(stage: Scene, plan: str) -> None:
    """An errback hears of the failure once, and the item has failed."""
    cast = Cast(stage, "error", plan)
    errback = stage.tasks.missed.s(name=f"{plan} errback")
    result = launch_one(stage, cast, cast.fail("one", star=True).set(link_error=[errback]))
    # a worker that is slower than a lease is told the end once more, as what the item says of it
    with pytest.raises((ValueError, ItemFailed), match=cast.names[0]):
        result.get(timeout=30)
    stage.until(lambda: told(stage, "missed", plan), "the errback has heard")
    assert told(stage, "missed", plan) == [f"{plan} errback {cast.names[0]}"]
    assert stage.state(result.id) == "failed"


@on("native")
@pytest.mark.parametrize("plan", ["held", "pause", "kill"])
@pytest.mark.parametrize("kind", ["map", "starmap", "chunks"])
def test_bulk_canvas(stage: Scene, kind: str, plan: str) -> None:
    """A chunk of map, starmap or chunks is one item: it parks and goes on, with what it paid for."""
    names = [f"{kind}-{plan}-{n}" for n in range(3)]
    rows = [(name, plan if n == 1 and plan != "held" else "go") for n, name in enumerate(names)]
    tasks = stage.tasks
    canvas = {
        "map": lambda: tasks.single.map([f"{name}:{word}" for name, word in rows]),
        "starmap": lambda: tasks.pair.starmap(rows),
        "chunks": lambda: tasks.pair.chunks(rows, 3).group(),
    }[kind]()
    with papayya.run(names[0]) as run:
        if plan == "held":
            stage.pause(run=run.id)
        result = canvas.apply_async()
    if plan != "kill":
        items = "SELECT id FROM papayya.item_now WHERE run = %(run)s AND state = 'paused'"
        found = stage.until(lambda: stage.rows(items, run=run.id), "it is parked")
        stage.resume(**({"run": run.id} if plan == "held" else {"items": [found[0].id]}))
    assert stage.tasks.flat([result.get(timeout=30)]) == names
    assert sorted(name for name in stage.lines("paid") if name in names) == names


@on("polling")
@pytest.mark.parametrize("name", CHORDS)
@pytest.mark.parametrize("plan", PLANS)
def test_polled_chord(stage: Scene, playing: Playing, name: str, plan: str) -> None:
    """Chords end so too where a task of Celery's own asks for their parts, on RabbitMQ."""
    if (name, plan) not in playing:
        launch(stage, playing, plan, CHORDS)
    cast, result = playing[name, plan]
    play(stage, cast, result)
    check(stage, cast, CHORDS[name], result)


def launch_one(stage: Scene, cast: Cast, canvas: Any) -> Any:
    """Send one canvas, and bring its star through its plan."""
    if cast.plan == "held":
        stage.hold(cast.tenant)
    result = canvas.apply_async()
    play(stage, cast, result)
    return result


def told(stage: Scene, file: str, plan: str) -> list[str]:
    """Read what callbacks have noted of a plan."""
    return [line for line in stage.lines(file) if line.startswith(plan)]
