"""Many messages at once: a few round trips instead of one each."""

from __future__ import annotations

import itertools
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from papayya_celery import apps, deliveries, publishing
from papayya_celery.carried import HEADER
from papayya_celery.naming import Choice, Message, check_choice, choose
from papayya_core import codec, context
from papayya_core.errors import PapayyaError
from papayya_core.runtime import runtime

if TYPE_CHECKING:
    from celery import Task
    from celery.result import AsyncResult

    from papayya_celery.apps import Installation
    from papayya_celery.publishing import Outgoing

BATCH = 500
_NAMESPACE = uuid.UUID("5d0f5a3e-6c52-4c4c-9d0b-1c6a6a7f5b21")


def submit(
    task: Task[..., Any],
    rows: Iterable[Any],
    *,
    tenant: Choice = None,
    item: Choice = None,
    **options: Any,
) -> list[AsyncResult[Any]]:
    """Publish a task for each row, 500 at a time; return a result each, in the order of the rows.

    A row is a dict of keyword arguments, a tuple or list of positional ones, or the one argument.
    ``tenant``, ``item``: as for ``install``, for these rows. ``options``: those of ``apply_async``
    (queue, priority, countdown, …). Inside ``with papayya.run(…)`` rows with the key and arguments
    of an item of that run are that item: submitting again after a crash sends only what is new.
    Raises StoreError when Postgres is away, and what a rule or Celery raises for a row, which a
    note on the exception names: the batches before that are submitted.
    """
    inst = apps.of(task.app)
    if inst is None or not inst.manages(task.name):
        msg = f"{task.name} is not managed: call papayya_celery.install(app) first, and see only="
        raise PapayyaError(msg)
    for choice, what in ((tenant, "tenant"), (item, "item")):
        check_choice(choice, what)
    bulk = _Bulk(inst, task, tenant or inst.tenant, item or inst.item, options)
    found: list[AsyncResult[Any]] = []
    rest = iter(rows)
    while batch := list(itertools.islice(rest, BATCH)):
        found += bulk.publish(batch)
    bulk.seal()
    return found


class _Bulk:
    """Publishes batches of rows of one task into one run."""

    def __init__(
        self,
        inst: Installation,
        task: Task[..., Any],
        tenant: Choice,
        item: Choice,
        options: dict[str, Any],
    ) -> None:
        self._inst, self._task, self._options = inst, task, options
        self._tenant, self._item = tenant, item
        inherited, block = deliveries.inherited(), context.block_run()
        joined = block.name if block else inherited and inherited.run
        self._explicit = joined is not None
        self._run = joined or f"{task.name[:80]}-{uuid.uuid4()}"
        self._seen: Counter[str] = Counter()
        self._rows = 0
        self._off = runtime().settings.mode == "off"

    def publish(self, rows: list[Any]) -> list[AsyncResult[Any]]:
        """Capture a batch in one statement, then publish what is new of it."""
        with publishing.collecting() as collected:
            results = [self._apply(row) for row in rows]
        once = {out.options["headers"]["id"]: out for out in collected}
        self._send(list(once.values()))
        return results

    def _apply(self, row: Any) -> AsyncResult[Any]:
        try:
            return self._apply_one(row)
        except Exception as error:
            sent = self._rows - self._rows % BATCH
            error.add_note(
                f"in row {self._rows} of submit, counted from 0; sent are those before {sent}"
            )
            raise
        finally:
            self._rows += 1

    def _apply_one(self, row: Any) -> AsyncResult[Any]:
        args, kwargs = _arguments(row)
        if self._off:
            return self._task.apply_async(args, kwargs, **self._options)
        message = Message(self._task.name, "", args, kwargs, self._task.run)
        tenant = choose(self._tenant, message, "tenant")
        key = choose(self._item, message, "item")
        facts: dict[str, str | None] = {"run": self._run, "tenant": tenant, "item": key}
        headers = dict(self._options.get("headers") or {})
        headers[HEADER] = {name: value for name, value in facts.items() if value is not None}
        options = self._options | {"headers": headers, "task_id": self._id(facts, args, kwargs)}
        return self._task.apply_async(args, kwargs, **options)

    def _id(self, facts: Mapping[str, str | None], args: Any, kwargs: Any) -> str:
        """Name a message by its content: in a named run the same row is the same message."""
        digest = codec.arguments_digest(args, kwargs).hex()
        content = "\0".join([self._task.name, *(value or "" for value in facts.values()), digest])
        if not self._explicit:
            self._seen[content] += 1
            content += f"\0{self._seen[content]}"
        return str(uuid.uuid5(_NAMESPACE, content))

    def _send(self, batch: list[Outgoing]) -> None:
        ones = [(out, out.one) for out in batch if out.one is not None]
        if not ones:
            return
        into = ones[0][0].intake(self._inst)._replace(seal=False)
        found = runtime().engine().store.publish([one for _, one in ones], into)
        leaving: list[Outgoing] = []
        for (out, _), captured in zip(ones, found, strict=True):
            out.captured(captured)
            if captured.fresh and not captured.in_line:
                leaving.append(out)
        with self._task.app.producer_or_acquire() as producer:
            for out in leaving if self._inst.admission is None else _in_turn(leaving):
                producer.publish(out.data, **out.options)

    def seal(self) -> None:
        """A run of these rows alone has no other input."""
        if not self._explicit and not self._off:
            runtime().engine().store.fetch("seal_run_named", {"name": self._run})


def _in_turn(leaving: list[Outgoing]) -> list[Outgoing]:
    """Mix tenants: a broker serves who is first, and none of them is to be done before another."""
    turns: Counter[str | None] = Counter()

    def turn(out: Outgoing) -> int:
        whose = out.named.tenant if out.named is not None else None
        turns[whose] += 1
        return turns[whose]

    return sorted(leaving, key=turn)


def _arguments(row: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if isinstance(row, Mapping):
        return (), dict(row)
    if isinstance(row, tuple | list):
        return tuple(row), {}
    return (row,), {}
