"""Settings from the environment and from arguments."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

import pytest

from papayya_core.errors import SettingsError
from papayya_core.settings import Settings, SettingsWarning, variables

KEY = "c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0ICEhISE="
OTHER_KEY = "b3RoZXIgb3RoZXIgb3RoZXIgb3RoZXIgb3RoZXIgISE="
GOOD: Mapping[str, tuple[str, object]] = {
    "PAPAYYA_DATABASE_URL": ("postgresql://me@db/books", "postgresql://me@db/books"),
    "PAPAYYA_MODE": ("Observe", "observe"),
    "PAPAYYA_HOME": ("/srv/papayya", Path("/srv/papayya")),
    "PAPAYYA_RUN_ID": ("nightly", "nightly"),
    "PAPAYYA_PLUGINS": ("celery, otel", ("celery", "otel")),
    "PAPAYYA_HEARTBEAT": ("thread", "thread"),
    "PAPAYYA_HEARTBEAT_SECONDS": ("0.5", 0.5),
    "PAPAYYA_LEASE_SECONDS": ("90", 90.0),
    "PAPAYYA_MAX_DELIVERIES": ("1", 1),
    "PAPAYYA_STEP_ATTEMPTS": ("9", 9),
    "PAPAYYA_RETRY_INLINE_SECONDS": ("0", 0.0),
    "PAPAYYA_MAX_PAYLOAD_BYTES": ("1024", 1024),
    "PAPAYYA_INLINE_BYTES": ("0", 0),
    "PAPAYYA_DB_PATIENCE": ("1e3", 1000.0),
    "PAPAYYA_AWAY": ("Continue", "continue"),
    "PAPAYYA_CAPTURE_SECONDS": ("0.2", 0.2),
    "PAPAYYA_POOL_SIZE": (" 3 ", 3),
    "PAPAYYA_PREPARE": ("off", False),
    "PAPAYYA_CAPTURE": ("Hash", "hash"),
    "PAPAYYA_ENCRYPTION_KEY": (f"{KEY}, {OTHER_KEY}", (KEY, OTHER_KEY)),
    "PAPAYYA_REDACT": ("secrets, Email,card,email", ("secrets", "email", "card")),
    "PAPAYYA_LLM": ("no", False),
    "PAPAYYA_LLM_HOSTS": ("llm.lan, gate.lan=openai", ("llm.lan", "gate.lan=openai")),
    "PAPAYYA_LLM_USAGE": ("0", False),
    "PAPAYYA_SDK_RETRIES": ("false", False),
    "PAPAYYA_UNPRICED": ("Allow", "allow"),
    "PAPAYYA_CLAMP": ("1", True),
    "PAPAYYA_THROTTLE": ("off", False),
    "PAPAYYA_MAX_ITEM_USD": ("$0.50", Decimal("0.50")),
    "PAPAYYA_OUTLIER_SCORE": ("0", 0.0),
    "PAPAYYA_IMPORT": ("shop.tasks, shop.mail", ("shop.tasks", "shop.mail")),
}
BAD: Mapping[str, str] = {
    "PAPAYYA_DATABASE_URL": "postgresql+psycopg://me:hunter2@db/books",
    "PAPAYYA_MODE": "strict",
    "PAPAYYA_HEARTBEAT": "fiber",
    "PAPAYYA_HEARTBEAT_SECONDS": "0",
    "PAPAYYA_LEASE_SECONDS": "inf",
    "PAPAYYA_MAX_DELIVERIES": "0",
    "PAPAYYA_STEP_ATTEMPTS": "1.5",
    "PAPAYYA_RETRY_INLINE_SECONDS": "-1",
    "PAPAYYA_MAX_PAYLOAD_BYTES": "8MB",
    "PAPAYYA_INLINE_BYTES": "-1",
    "PAPAYYA_DB_PATIENCE": "nan",
    "PAPAYYA_AWAY": "wait",
    "PAPAYYA_CAPTURE_SECONDS": "0",
    "PAPAYYA_POOL_SIZE": "many",
    "PAPAYYA_PREPARE": "maybe",
    "PAPAYYA_CAPTURE": "some",
    "PAPAYYA_ENCRYPTION_KEY": f"{KEY},hunter2",
    "PAPAYYA_REDACT": "secrets,phone",
    "PAPAYYA_LLM": "2",
    "PAPAYYA_LLM_USAGE": "auto",
    "PAPAYYA_SDK_RETRIES": "3",
    "PAPAYYA_UNPRICED": "fail",
    "PAPAYYA_CLAMP": "maybe",
    "PAPAYYA_THROTTLE": "2",
    "PAPAYYA_MAX_ITEM_USD": "0",
    "PAPAYYA_OUTLIER_SCORE": "-1",
}


def test_table_is_complete() -> None:
    """Every setting has a variable, a sentence of documentation and a test here."""
    rows = list(variables())
    assert list(GOOD) == [row.env for row in rows]
    assert all(row.doc.endswith(".") and row.accepts for row in rows)


def test_defaults() -> None:
    """With an empty environment every setting has its default."""
    settings = Settings.load({})
    assert settings == Settings()
    assert settings.database_url is None
    assert (settings.heartbeat_seconds, settings.lease_seconds) == (15.0, 60.0)


@pytest.mark.parametrize("name", GOOD)
def test_variable(name: str) -> None:
    """A variable sets its field, in the field's type."""
    text, value = GOOD[name]
    settings = Settings.load({name: text})
    [field] = [row.field for row in variables() if row.env == name]
    found = getattr(settings, field)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("name", BAD)
def test_bad_value(name: str) -> None:
    """A value that is not accepted is named together with what is."""
    with pytest.raises(SettingsError, match=f"{name} is .*; accepted: ") as caught:
        Settings.load({name: BAD[name]})
    assert "hunter2" not in str(caught.value)


def test_secrets_are_hidden() -> None:
    """What is secret is in neither the settings' repr nor an error."""
    url = "postgresql://me:hunter2@db/books"
    shown = repr(Settings.load({"PAPAYYA_ENCRYPTION_KEY": KEY, "PAPAYYA_DATABASE_URL": url}))
    with pytest.raises(SettingsError) as caught:
        Settings.load({}, encryption_key=(KEY, "short"))

    assert KEY not in shown
    assert "hunter2" not in shown
    assert KEY not in str(caught.value)


def test_no_redaction() -> None:
    """The word none redacts nothing, while not set takes secrets out."""
    assert Settings.load({"PAPAYYA_REDACT": "none"}).redact == ()
    assert Settings.load({}).redact == ("secrets",)


def test_empty_is_unset() -> None:
    """An empty variable counts as not set."""
    assert Settings.load({"PAPAYYA_POOL_SIZE": "", "PAPAYYA_DATABASE_URL": ""}) == Settings()


def test_overrides() -> None:
    """An argument wins over the environment, unless it is None."""
    env = {"PAPAYYA_POOL_SIZE": "3", "PAPAYYA_MODE": "off"}
    settings = Settings.load(env, pool_size=4, mode=None, plugins=())
    assert (settings.pool_size, settings.mode, settings.plugins) == (4, "off", ())


def test_override_is_checked() -> None:
    """An argument is held to the same rules as a variable."""
    with pytest.raises(SettingsError, match="PAPAYYA_POOL_SIZE is 0"):
        Settings.load({}, pool_size=0)


def test_unknown_override() -> None:
    """An argument that is no setting is a TypeError that lists the settings."""
    with pytest.raises(TypeError, match="no poolsize; it has database_url"):
        Settings.load({}, poolsize=4)


def test_no_plugins() -> None:
    """The word none loads no plugin, while not set loads all."""
    assert Settings.load({"PAPAYYA_PLUGINS": "none"}).plugins == ()
    assert Settings.load({}).plugins is None


def test_unknown_variable() -> None:
    """A variable that nothing reads warns, and names the nearest that exists."""
    with pytest.warns(SettingsWarning, match="did you mean PAPAYYA_POOL_SIZE"):
        Settings.load({"PAPAYYA_POOLSIZE": "3"})


def test_foreign_variables() -> None:
    """Variables of the test fixtures, and of others, do not warn."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Settings.load({"PAPAYYA_TEST_DATABASE_URL": "x", "PATH": "/bin"})


def test_lease_outlasts_heartbeat() -> None:
    """A lease shorter than two heartbeats is refused, whoever sets it."""
    with pytest.raises(SettingsError, match="two heartbeats"):
        Settings(lease_seconds=20)
