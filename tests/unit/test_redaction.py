"""Secrets are taken out of what people see; the rest stays as it is."""

from __future__ import annotations

import base64
import logging
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import papayya_core
from papayya_core import redaction, rules
from papayya_core.contract import Finding
from papayya_core.redaction import logs, redact, redact_data, redact_headers
from papayya_core.redaction.people import luhn
from papayya_core.store import rows

TEXT = "aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bD1fG3hJ5kL7nP9"
HEX = "0123456789abcdef" * 4
PEM = f"-----BEGIN RSA PRIVATE KEY-----\nMIIEow{TEXT}\n{TEXT}=\n-----END RSA PRIVATE KEY-----"
JWT = f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.{TEXT}"
AGE = "AGE-SECRET-KEY-1" + ("QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L" * 2)[:58]

KNOWN = {  # what is secret, and what it is called
    f"sk-{TEXT}": "openai key",
    f"sk-{'a' * 48}": "openai key",
    f"sk-proj-{TEXT}_{TEXT}": "openai key",
    f"sk-svcacct-{TEXT}": "openai key",
    f"sk-ant-api03-{TEXT}-{TEXT}AA": "anthropic key",
    f"sk-or-v1-{HEX}": "openrouter key",
    f"AIza{TEXT[:35]}": "google key",
    f"ya29.{TEXT}": "google token",
    "AKIAIOSFODNN7EXAMPLE": "aws key",
    "ASIAIOSFODNN7EXAMPLE": "aws key",
    f"ghp_{TEXT[:36]}": "github token",
    f"gho_{TEXT[:36]}": "github token",
    f"ghs_{TEXT[:36]}": "github token",
    f"github_pat_11ABCDEFG0{TEXT}_{TEXT}": "github token",
    f"glpat-{TEXT[:20]}": "gitlab token",
    f"xoxb-123456789012-1234567890123-{TEXT[:24]}": "slack token",
    f"xoxp-123456789012-{TEXT[:24]}": "slack token",
    f"sk_live_{TEXT[:24]}": "stripe key",
    f"rk_live_{TEXT[:24]}": "stripe key",
    f"whsec_{TEXT[:32]}": "webhook secret",
    f"SK{HEX[:32]}": "twilio key",
    f"AC{HEX[:32]}": "twilio key",
    f"SG.{TEXT[:22]}.{TEXT}": "sendgrid key",
    f"npm_{TEXT[:36]}": "npm token",
    f"pypi-AgEIcHlwaS5vcmc{TEXT}": "pypi token",
    f"hf_{TEXT[:34]}": "huggingface token",
    f"gsk_{TEXT}": "groq key",
    f"xai-{TEXT}": "xai key",
    f"pplx-{TEXT}": "perplexity key",
    f"r8_{TEXT[:37]}": "replicate token",
    f"123456789:AA{TEXT[:33]}": "telegram token",
    f"dop_v1_{HEX}": "digitalocean token",
    f"shpat_{HEX[:32]}": "shopify token",
    f"dapi{HEX[:32]}": "databricks token",
    f"hvs.{TEXT}": "vault token",
    AGE: "age key",
    JWT: "jwt",
    PEM: "private key",
}
INSIDE = [  # a text, what is secret in it, and what it becomes
    ("postgres://me:hunter2@db/books", "hunter2", "postgres://me:[password]@db/books"),
    ("redis://:p@ss@db", "p@ss", "redis://:[password]@db"),
    ("https://hooks.slack.com/services/T0/B0/XXXXXXXXXXXXXXXXXXXX", "XXXX/", None),
    ("x;AccountKey=" + TEXT + "w==;EndpointSuffix=y", TEXT, None),
    ("Authorization: Bearer " + TEXT, TEXT, "Authorization: Bearer [bearer token …7nP9]"),
    ("Authorization: Basic dXNlcjpodW50ZXIy", "dXNl", "Authorization: Basic [basic credentials]"),
    (
        "{'Authorization': 'Token abc123def'}",
        "abc123",
        "{'Authorization': 'Token [authorization]'}",
    ),
    ("aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCY", "K7MD", None),
    ("password=hunter2", "hunter2", "password=[password]"),
    ("password: swordfish\nhost: db", "swordfish", "password: [password]\nhost: db"),
    ('DB_PASSWORD="hunter two"', "hunter two", 'DB_PASSWORD="[password]"'),
    ("connect(password=hunter2, x=1)", "hunter2", "connect(password=[password], x=1)"),
    ("PASSWORD=p@$$w0rd!", "p@$$w0rd!", "PASSWORD=[password]"),
    ("api_key: a1b2c3d4", "a1b2c3d4", "api_key: [api key]"),
    ("OPENAI_API_KEY=abcdef123456", "abcdef", "OPENAI_API_KEY=[api key]"),
    ("'clientSecret': 'abcdEFGH12'", "abcdEFGH12", "'clientSecret': '[client secret]'"),
    ('{"token": "a1b2c3d4e5"}', "a1b2c3d4e5", '{"token": "[token]"}'),
    (r"{\"api_key\": \"abc123def\"}", "abc123def", r"{\"api_key\": \"[api key]\"}"),
    (
        "https://x.org/?access_token=a1b2c3d4e5f6&n=1",
        "a1b2",
        "https://x.org/?access_token=[token]&n=1",
    ),
    ("Cookie: sid=abc; theme=dark\nHost: x", "sid=abc", "Cookie: [cookie]\nHost: x"),
    ("[('x-api-key', 'abc123abc')]", "abc123abc", "[('x-api-key', '[api key]')]"),
    ("[(b'set-cookie', b'sid=1; Path=/')]", "sid=1", "[(b'set-cookie', b'[set cookie]')]"),
    (
        "{'secret': '{\"api_key\": \"a1b2c3d4e5\"}'}",
        "a1b2",
        "{'secret': '{\"api_key\": \"[api key]\"}'}",
    ),
    ("'token': 'x-api-key: a1b2c3d4e5'", "a1b2", "'token': 'x-api-key: [api key]'"),
    (
        f"https://x.org/talk?key={TEXT[:32]}&alt=json",
        TEXT[:32],
        "https://x.org/talk?key=[url key …D1fG]&alt=json",
    ),
    (f"key:\\nsk-proj-{TEXT}", TEXT, "key:\\n[openai key …7nP9]"),
    (f"?k=%20ghp_{TEXT[:36]}", TEXT[:36], "?k=%20[github token …3hJ5]"),
]
ORDINARY = [
    "The password must have 8 characters, and the token: is optional.",
    "Your API key, the secret to success: be kind. It was a secret: nobody knew.",
    "max_tokens=4096, prompt_tokens: 123456789, tokens=12345678",
    '{"token": "Hello", "logprob": -0.1, "usage": {"total_tokens": 5}}',
    '{"type": "object", "properties": {"password": {"type": "string"}}}',
    "def connect(token: str, password: str | None = None, api_key: str = '') -> None:",
    "self.password = password\nclient = Client(api_key=settings.api_key)",
    'token = get_token2()\napi_key = os.environ["API_KEY"]\npassword = ${PASSWORD}',
    "Error: invalid password: rejected",
    "a basic internationalization of Basic Instrumentality, the bearer of news",
    "https://example.com:8080/path@x, user@host, git@github.com:me/x.git",
    "sk-learn-is-a-library-with-a-long-name, ask-me-anything, task-1234567890-abcdefghij-xyz",
    "PWD=/root/work1 pwd: /home/user2",
    "550e8400-e29b-41d4-a716-446655440000 " + HEX + " " + HEX[:40],
    "data:image/png;base64," + base64.b64encode(bytes(range(256)) * 40).decode(),
    "cookie: a small cake. Cookies are baked; eyJ is nothing, and SG.1 neither.",
    "me@example.com 4111 1111 1111 1111",
    "https://x.org/docs?key=a-long-and-winding-name&key=short1",
    "[openai key …x3Fq]",
]


@pytest.mark.parametrize("secret", KNOWN)
def test_known_format(secret: str) -> None:
    """A key of a known format is replaced by its kind, wherever it stands."""
    for text in (
        secret,
        f"key {secret}.",
        f'{{"a": "{secret}"}}',
        f"k={secret}&n=1",
        f"<{secret}>",
    ):
        shown = redact(text)
        assert secret not in shown
        assert KNOWN[secret] in shown
        assert secret[8:-4] not in shown


@pytest.mark.parametrize(("text", "secret", "shown"), INSIDE)
def test_in_its_place(text: str, secret: str, shown: str | None) -> None:
    """What a name or a place says is secret is taken out, and what is around it stays."""
    assert secret not in redact(text)
    assert redact(text) == (shown or redact(text))


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_stays(text: str) -> None:
    """Prose, code, hashes, ids, images and counts of tokens stay as they are."""
    assert redact(text) == text


def test_random_data_stays() -> None:
    """Base64 and hexadecimal data of any content stays."""
    data = random.Random(5).randbytes(300_000)
    for text in (base64.b64encode(data).decode(), data.hex()):
        assert redact(text) == text


def test_last_characters() -> None:
    """The last four characters are shown of long keys alone, and never of a password."""
    assert redact("api_key=abcdefgh12345678") == "api_key=[api key]"
    assert redact("api_key=abcdefgh123456789012") == "api_key=[api key …9012]"
    assert redact("password=abcdefgh123456789012") == "password=[password]"


PARTS = [*KNOWN, *(text for text, _, _ in INSIDE), *ORDINARY, "\n", " ", '"', "'", "\\", "=", ": "]


@settings(deadline=None, max_examples=300)
@given(st.lists(st.sampled_from(PARTS) | st.text(max_size=8), max_size=8))
def test_idempotent(parts: list[str]) -> None:
    """What was redacted is not redacted again."""
    once = redact("".join(parts), ("secrets", "email", "card"))

    assert redact(once, ("secrets", "email", "card")) == once


@settings(deadline=None, max_examples=300)
@given(st.lists(st.sampled_from(PARTS) | st.text(st.characters(), max_size=8), max_size=8))
def test_moderate(parts: list[str]) -> None:
    """Whatever the text, nothing is raised, and it grows by the marks at most."""
    text = "".join(parts)

    assert len(redact(text)) <= 2 * len(text) + 40


def test_people() -> None:
    """E-mail addresses and numbers of cards are taken out when that is asked for."""
    text = "me@example.com paid with 4111 1111 1111 1111, not 4111 1111 1111 1112"

    assert redact(text) == text
    assert redact(text, ("email",)) == text.replace("me@example.com", "[email]")
    assert redact(text, ("card",)) == text.replace("4111 1111 1111 1111", "[card]")
    assert redact("password=hunter2", ()) == "password=hunter2"


@pytest.mark.parametrize("card", ["378282246310005", "3782-822463-10005", "5555555555554444"])
def test_cards(card: str) -> None:
    """Cards of all lengths are known by their check digit."""
    assert luhn(card)
    assert redact(f"card {card}.", ("card",)) == "card [card]."
    assert redact(f"id-{card}", ("card",)) == f"id-{card}"


def test_data() -> None:
    """In JSON values, fields named like secrets are withheld, at any depth; numbers stay."""
    value = {
        "api_key": "abcdefgh",
        "password": "x",
        "token": "Hello",
        "max_tokens": 5,
        "headers": [["set-cookie", "sid=1; Path=/"], ["accept", "text/plain"]],
        "nested": [{"clientSecret": ["one-two-three"], "text": f"it is sk-{TEXT}"}],
    }

    assert redact_data(value) == {
        "api_key": "[api key]",
        "password": "[password]",
        "token": "Hello",
        "max_tokens": 5,
        "headers": [["set-cookie", "[set cookie]"], ["accept", "text/plain"]],
        "nested": [{"clientSecret": ["[client secret]"], "text": "it is [openai key …7nP9]"}],
    }
    assert redact_data(value, ()) == value


@pytest.mark.parametrize("secret", [*KNOWN, *(text for text, _, _ in INSIDE)])
def test_headers(secret: str) -> None:
    """A secret in one header is withheld as if it stood alone; so is what a name says is one."""
    others = [("x-limit-tokens", "99"), ("server", "edge")]
    secrets = [
        ("x-echo", f"of {secret}"),
        ("set-cookie", "sid=1; Path=/"),
        ("x-api-key", "abcdefgh"),
    ]
    shown = [
        ["x-echo", f"of {redact(secret)}"],
        ["set-cookie", "[set cookie]"],
        ["x-api-key", "[api key]"],
    ]

    assert redact_headers([*others, *secrets, *others]) == [
        *map(list, others),
        *shown,
        *map(list, others),
    ]
    assert redact_headers([*others, *secrets[1:]]) == [*map(list, others), *shown[1:]]


def test_errors() -> None:
    """Errors are described, and kept as evidence, without secrets."""
    error = ValueError(f"{'x' * 280} sk-proj-{TEXT} was refused")

    assert TEXT[:10] not in rules.describe_error(error)
    assert "[openai key …7nP9]" in rules.as_evidence(error)["message"]


def test_findings() -> None:
    """Findings are stored without secrets; two keys of one kind make one fingerprint."""
    docs = [
        rows.finding_doc(
            [Finding("c", "note", f"bad key {key}", {"api_key": "abcdefgh", "k": key})]
        )
        for key in (f"sk-proj-{TEXT}", f"sk-proj-{TEXT[::-1]}")
    ]

    assert "sk-proj" not in "".join(docs)
    assert "abcdefgh" not in "".join(docs)
    assert len({doc[doc.index("fingerprint") :] for doc in docs}) == 1


class Lines(logging.Handler):
    """Keeps what it was given to show."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)
        self.lines.append(self.format(record))


@pytest.fixture
def root() -> Iterator[Lines]:
    """Listen where applications listen."""
    lines = Lines()
    logging.getLogger().addHandler(lines)
    yield lines
    logging.getLogger().removeHandler(lines)
    redaction.use(redact)


def test_log_messages(root: Lines) -> None:
    """What our loggers say reaches an application's handlers without secrets."""
    logger = redaction.logger("papayya.test")

    logger.warning("refused %s with %d", f"sk-proj-{TEXT}", 401)
    logger.warning("served %s", "acme")

    assert root.lines == ["refused [openai key …7nP9] with 401", "served acme"]
    assert root.records[1].args == ("acme",)


def test_log_exceptions(root: Lines) -> None:
    """An exception that tells a secret is logged as redacted text only."""
    logger = redaction.logger("papayya.test")

    for message in (f"key sk-proj-{TEXT}", "plain"):
        try:
            int(message)
        except ValueError:
            logger.exception("it failed")

    assert TEXT not in root.lines[0]
    assert "[openai key …7nP9]" in root.lines[0]
    assert root.records[0].exc_info is None
    assert root.records[1].exc_info is not None


def test_log_withholds(root: Lines) -> None:
    """A message that cannot be redacted is withheld, and a redactor that logs does no harm."""
    logger = redaction.logger("papayya.test")

    def clean(text: str) -> str:
        logger.warning("asked about password=%s", "hunter2")
        raise ValueError(text)

    redaction.use(clean)
    logger.warning("one")

    assert root.lines == [
        "asked about password=[password]",
        "a message was withheld: it could not be redacted",
    ]


def test_filter_is_everywhere() -> None:
    """Every logger of ours is made by ``redaction.logger``."""
    root = Path(papayya_core.__path__[0]).parent
    folders = ("papayya_core", "adapters", "interceptors")
    files = [file for folder in folders for file in (root / folder).rglob("*.py")]
    bare = [str(f) for f in files if "logging.getLogger(" in f.read_text() and f.name != "logs.py"]

    assert files
    assert bare == []
    assert logs.logger("papayya.test").filters == [logs._filter]


HOSTILE = ["sk-", "eyJ", "eyJaaaaaaaa.", "-----BEGIN PRIVATE KEY-----", 'password="', "token:'\""]
HOSTILE += [
    "?key=",
    "?key=a",
    "'token':'",
    "\"token\":\"'token':'",
    "://a:",
    "a@",
    "4444 ",
    "Bearer a",
    "cookie:a=",
    "x-",
    'token\\\\\\"',
    "://",
    "-",
    "{",
]


@pytest.mark.parametrize("part", HOSTILE)
def test_hostile_text(part: str) -> None:
    """Text that nearly matches everywhere is got through, because no pattern starts over in a run."""
    text = part * (200_000 // len(part))

    assert len(redact(text, ("secrets", "email", "card"))) <= 2 * len(text)
