"""The Celery app: settings as any small team has them, and the one line."""

from __future__ import annotations

import os

from celery import Celery

import papayya_celery

URL = os.environ.get("REDIS_URL", "redis://localhost:6379/0")

app = Celery("tickets", broker=URL, backend=URL, include=["tasks"])
app.conf.update(result_expires=24 * 3600, task_time_limit=300, task_track_started=True)

papayya_celery.install(app, tenant="tenant", item="ticket_id")
