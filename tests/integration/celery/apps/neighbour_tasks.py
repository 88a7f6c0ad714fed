"""An app with other people's integrations beside us: Sentry's and OpenTelemetry's, in either order.

What they record is written to files.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import sentry_sdk
from celery import Celery, Task
from opentelemetry import trace
from opentelemetry.instrumentation.celery import CeleryInstrumentor
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from sentry_sdk.integrations.celery import CeleryIntegration

import papayya
import papayya_celery

FOLDER = Path(os.environ["FOLDER"])
app = Celery("neighbours", broker=os.environ["BROKER_URL"], backend=os.environ["RESULT_URL"])


def note(file: str, facts: dict[str, Any]) -> None:
    """Add a line to a file."""
    with (FOLDER / file).open("a") as out:
        out.write(json.dumps(facts) + "\n")


class Spans(SpanExporter):
    """Writes spans to a file."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Write."""
        for span in spans:
            context = span.get_span_context()
            note(
                "spans", {"name": span.name, "trace": f"{context.trace_id:032x}" if context else ""}
            )
        return SpanExportResult.SUCCESS


def sentry_event(event: Any, hint: Any) -> None:
    """Write an event to a file, and send nothing."""
    values = event["exception"]["values"]
    note("events", {"type": values[-1]["type"], "value": values[-1]["value"]})


def sentry_transaction(event: Any, hint: Any) -> None:
    """Write a transaction to a file, and send nothing."""
    note("transactions", {"name": event["transaction"]})


def neighbours() -> None:
    """Let the others in."""
    sentry_sdk.init(
        dsn="http://key@127.0.0.1:9/1",
        before_send=sentry_event,
        traces_sample_rate=1.0,
        before_send_transaction=sentry_transaction,
        integrations=[CeleryIntegration()],
        default_integrations=False,
    )
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(Spans()))
    trace.set_tracer_provider(provider)
    CeleryInstrumentor().instrument()  # type: ignore[no-untyped-call]


if os.environ["ORDER"] == "before":
    neighbours()
papayya_celery.install(app, tenant="tenant", item="doc")
if os.environ["ORDER"] == "after":
    neighbours()


@app.task(bind=True)
def tag(self: Task[..., Any], doc: str, tenant: str, fate: str = "") -> dict[str, Any]:
    """Do as its fate says, and return what of its headers is for tracing."""
    papayya.run.task("pay", note, "paid", {"doc": doc})
    if fate == "boom":
        raise ValueError(doc)
    if fate == "park" and not (FOLDER / "parked").exists():
        (FOLDER / "parked").touch()
        raise papayya.Throttled("not now", delay=0.0)
    headers = {**(self.request.headers or {}), **self.request.__dict__}
    found = {name: headers.get(name) for name in ("traceparent", "sentry-trace")}
    span = trace.get_current_span().get_span_context()
    return {**found, "trace": f"{span.trace_id:032x}"}
