"""Keys of many formats, as they look in the wild: made up here, none of them opens anything."""

from __future__ import annotations

import base64
import json
import random
import string
from collections.abc import Iterator
from dataclasses import dataclass

ALNUM = string.ascii_letters + string.digits
LOWER = string.ascii_lowercase + string.digits
UPPER = string.ascii_uppercase + string.digits
HEX = "0123456789abcdef"
SHOWN = 4  # the last characters of a secret may be shown
WINDOW, STRIDE = 10, 3


@dataclass(frozen=True, slots=True)
class Planted:
    """A key: its kind, the text that it stands in, and the part that nobody may see."""

    kind: str
    text: str
    secret: str

    def pieces(self) -> Iterator[str]:
        """Cut the secret into pieces, so that half a secret is found as well."""
        hidden = self.secret[:-SHOWN]
        for start in range(0, max(len(hidden) - WINDOW, 0) + 1, STRIDE):
            yield hidden[start : start + WINDOW]


def keys(seed: int = 7) -> list[Planted]:
    """Make a key of each kind."""
    made = _Maker(random.Random(seed))
    return [*made.prefixed(), *made.named(), *made.composed()]


class _Maker:
    def __init__(self, rolls: random.Random) -> None:
        self._rolls = rolls

    def _some(self, length: int, of: str = ALNUM) -> str:
        return "".join(self._rolls.choices(of, k=length))

    def prefixed(self) -> Iterator[Planted]:
        """Make keys that are known by how they begin."""
        for kind, prefix, length, of in PREFIXED:
            text = prefix + self._some(length, of)
            yield Planted(kind, text, text)

    def named(self) -> Iterator[Planted]:
        """Make keys that are known by the name before them."""
        for kind, before, length, after in NAMED:
            secret = self._some(length)
            yield Planted(kind, f"{before}{secret}{after}", secret)

    def composed(self) -> Iterator[Planted]:
        """Make keys of several parts."""
        parts = [self._encoded({"alg": "HS256"}), self._encoded({"sub": self._some(12)})]
        token = ".".join([*parts, self._some(43)])
        yield Planted("jwt", token, ".".join([parts[1], token.rpartition(".")[2]]))
        basic = base64.b64encode(f"admin:{self._some(16)}".encode()).decode()
        yield Planted("basic", f"Authorization: Basic {basic}", basic)
        body = "\n".join(self._some(64) for _ in range(4))
        pem = f"-----BEGIN RSA PRIVATE KEY-----\n{body}\n-----END RSA PRIVATE KEY-----"
        yield Planted("pem", pem, body.replace("\n", ""))
        bot = f"{self._some(10, '123456789')}:AA{self._some(33)}"
        yield Planted("telegram", bot, bot)
        hook = f"T{self._some(8, UPPER)}/B{self._some(8, UPPER)}/{self._some(24)}"
        yield Planted("slack webhook", f"https://hooks.slack.com/services/{hook}", hook)

    def _encoded(self, value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


PREFIXED = (
    ("openai", "sk-", 48, ALNUM),
    ("openai project", "sk-proj-", 120, ALNUM),
    ("openai service account", "sk-svcacct-", 60, ALNUM),
    ("anthropic", "sk-ant-api03-", 93, ALNUM),
    ("openrouter", "sk-or-v1-", 64, HEX),
    ("google", "AIzaSy", 33, ALNUM),
    ("google client", "GOCSPX-", 28, ALNUM),
    ("aws id", "AKIA", 16, UPPER),
    ("aws session", "ASIA", 16, UPPER),
    ("bedrock", "ABSK", 128, ALNUM),
    ("github", "ghp_", 36, ALNUM),
    ("github fine-grained", "github_pat_", 82, ALNUM),
    ("gitlab", "glpat-", 20, ALNUM),
    ("slack", "xoxb-", 50, ALNUM),
    ("stripe", "sk_live_", 24, ALNUM),
    ("webhook", "whsec_", 32, ALNUM),
    ("twilio", "SK", 32, HEX),
    ("sendgrid", "SG.aBcDeFgHiJkLmNoPqRsTuV.", 43, ALNUM),
    ("npm", "npm_", 36, ALNUM),
    ("pypi", "pypi-AgEIcHlwaS5vcmc", 120, ALNUM),
    ("huggingface", "hf_", 34, ALNUM),
    ("groq", "gsk_", 52, ALNUM),
    ("xai", "xai-", 80, ALNUM),
    ("perplexity", "pplx-", 48, ALNUM),
    ("replicate", "r8_", 37, ALNUM),
    ("digitalocean", "dop_v1_", 64, HEX),
    ("shopify", "shpat_", 32, HEX),
    ("databricks", "dapi", 32, HEX),
    ("vault", "hvs.", 90, ALNUM),
    ("atlassian", "ATATT3xFfGF0", 180, ALNUM),
    ("age", "AGE-SECRET-KEY-1", 58, UPPER),
)
NAMED = (
    ("aws secret", "aws_secret_access_key=", 40, ""),
    ("azure", "DefaultEndpointsProtocol=https;AccountKey=", 86, "=="),
    ("azure signature", "https://a.example/b?sv=2024&sig=", 43, "%3D"),
    ("bearer", "Authorization: Bearer ", 40, ""),
    ("api key", '{"api_key": "', 32, '"}'),
    ("header", "x-api-key: ", 32, ""),
    ("query", "https://models.example/v1/talk?key=", 32, "&alt=json"),
    ("password", "password=", 18, ""),
    ("dsn", "postgresql://papa:", 18, "@db.example/app"),
)
