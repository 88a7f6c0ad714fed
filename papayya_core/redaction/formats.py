"""The formats of keys and tokens that are known by their looks.

Each pattern is tried only where its hint occurs. All are linear: a pattern that can run on starts
only where a run of its characters starts, and what has no such end is bounded.
"""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

# A value may follow an escaped line break of JSON, or an escape of a URL.
_START = r"(?:(?<![A-Za-z0-9])|(?<=\\[nrt])|(?<=%[0-9A-Fa-f]{2}))"
_START_OF_RUN = r"(?:(?<![A-Za-z0-9_-])|(?<=\\[nrt])|(?<=%[0-9A-Fa-f]{2}))"
_END = r"(?![A-Za-z0-9])"


class Format(NamedTuple):
    """One format: what it is called, text that must occur, a pattern whose last group is secret."""

    name: str
    hints: tuple[str, ...]
    text: str
    tail: bool = True  # its last characters may be shown

    @property
    def pattern(self) -> re.Pattern[str]:
        """The pattern, compiled when it is needed."""
        return _compiled(self.text)


@cache
def _compiled(text: str) -> re.Pattern[str]:
    return re.compile(text)


def _run(name: str, *prefixes: str, least: int = 16) -> Format:
    """Describe a token of letters, digits, - and _ after a prefix."""
    start = "|".join(map(re.escape, prefixes))
    text = rf"{_START_OF_RUN}(?:{start})[A-Za-z0-9_-]{{{least},}}"
    return Format(name, prefixes, text)


def _word(name: str, *prefixes: str, of: str = "A-Za-z0-9", least: int = 16) -> Format:
    """Describe a token of letters and digits, or ``of`` others, after a prefix."""
    start = "|".join(map(re.escape, prefixes))
    return Format(name, prefixes, rf"{_START}(?:{start})[{of}]{{{least},}}")


def _exact(name: str, length: int, *prefixes: str, of: str) -> Format:
    start = "|".join(map(re.escape, prefixes))
    return Format(name, prefixes, rf"{_START}(?:{start})[{of}]{{{length}}}{_END}")


def _other(name: str, hint: str, pattern: str, *, tail: bool = True) -> Format:
    return Format(name, (hint,), pattern, tail)


_PEM = (
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
    r"[^-]*(?:-(?!----END )[^-]*)*(?:-----END [A-Z0-9 ]{0,60}-----)?"
)
_OPENAI = (
    _START_OF_RUN + r"sk-(?:(?:proj|svcacct|admin|None)-[A-Za-z0-9_-]{16,}"
    r"|[A-Za-z0-9]{20,}(?![A-Za-z0-9_-])|(?=[A-Za-z_-]*[0-9])[A-Za-z0-9_-]{20,})"
)
_JWT = _START_OF_RUN + r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*){0,3}"
_SLACK_HOOK = r"hooks\.slack\.com/(?:services|workflows)/([A-Za-z0-9_/-]{16,})"
_DISCORD_HOOK = r"/api/webhooks/[0-9]{5,25}/([A-Za-z0-9_-]{16,})"
_AZURE_KEY = r"(?:AccountKey|SharedAccessKey)=([A-Za-z0-9+/%]{20,}={0,2})"
_SAS = r"[?&;]sig=([A-Za-z0-9%+/]{16,}={0,2})"
_IN_A_URL = r"(?:[?&;]|u0026)key=(?=[A-Za-z._~%+/-]{0,200}[0-9])([A-Za-z0-9._~%+/-]{16,512}={0,2})"
_SENDGRID = _START_OF_RUN + r"SG\.[A-Za-z0-9_-]{16,64}\.[A-Za-z0-9_-]{16,}"
_TELEGRAM = r"(?<![A-Za-z0-9_-])[0-9]{6,12}:AA[A-Za-z0-9_-]{30,}"
_URL = r"(?<=://)[^\s/:@\"'<>]{0,256}:([^\s/\"'<>\[][^\s/\"'<>]{0,511})@"
_SCHEME = (
    r"(?<![A-Za-z0-9])[bB](?:earer|asic|EARER|ASIC)[ \t]{1,8}"
    r"(?=[A-Za-z0-9._~+/=-]{12})(?=[^\s,;\"']{0,200}?[0-9_~+/=]|[A-Za-z][a-z]*[A-Z])"
    r"([A-Za-z0-9._~+/=-]+)"
)

FORMATS: tuple[Format, ...] = (
    _other("private key", "PRIVATE KEY", _PEM, tail=False),
    _run("anthropic key", "sk-ant-", least=8),
    _run("openrouter key", "sk-or-"),
    _run("langfuse key", "sk-lf-"),
    _other("openai key", "sk-", _OPENAI),
    _run("google key", "AIza", least=24),
    _run("google token", "ya29.", "GOCSPX-"),
    _exact("aws key", 16, "AKIA", "ASIA", "ABIA", "ACCA", of="A-Z0-9"),
    _word("aws bedrock key", "ABSK", "bedrock-api-key-", of="A-Za-z0-9+/=", least=40),
    _word("github token", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", of="A-Za-z0-9_"),
    _run("gitlab token", "glpat-", "glptt-", "gldt-", "glrt-", "glcbt-", "glsoat-", "glft-"),
    _run("slack token", "xoxa-", "xoxb-", "xoxe-", "xoxo-", "xoxp-", "xoxr-", "xoxs-", "xapp-"),
    _other("slack webhook", "hooks.slack.com", _SLACK_HOOK),
    _other("discord webhook", "/api/webhooks/", _DISCORD_HOOK),
    _word("stripe key", "sk_live_", "sk_test_", "rk_live_", "rk_test_", least=10),
    _word("webhook secret", "whsec_", of="A-Za-z0-9+/="),
    _exact("twilio key", 32, "SK", "AC", of="0-9a-f"),
    _other("sendgrid key", "SG.", _SENDGRID),
    _word("npm token", "npm_", least=20),
    _run("pypi token", "pypi-AgE", "pypi-AgF", least=8),
    _word("huggingface token", "hf_", "api_org_", least=20),
    _word("groq key", "gsk_"),
    _word("xai key", "xai-"),
    _word("perplexity key", "pplx-"),
    _word("replicate token", "r8_", least=20),
    _other("telegram token", ":AA", _TELEGRAM),
    _other("azure key", "Key=", _AZURE_KEY),
    _other("url key", "key=", _IN_A_URL),
    _other("azure signature", "sig=", _SAS),
    _word("digitalocean token", "dop_v1_", "doo_v1_", "dor_v1_", of="a-f0-9", least=20),
    _word("shopify token", "shpat_", "shpca_", "shppa_", "shpss_", "shpua_", of="A-Fa-f0-9"),
    _word("databricks token", "dapi", of="a-f0-9-", least=32),
    _word("together key", "tgp_v1_", of="A-Za-z0-9_-"),
    _word("fireworks key", "fw_", least=20),
    _word("nvidia key", "nvapi-", of="A-Za-z0-9_-", least=20),
    _word("cerebras key", "csk-", least=20),
    _word("pinecone key", "pcsk_", of="A-Za-z0-9_", least=20),
    _word("langsmith key", "lsv2_pt_", "lsv2_sk_", of="A-Za-z0-9_", least=20),
    _run("tavily key", "tvly-"),
    _run("vault token", "hvs.", "hvb.", "hvr.", least=20),
    _run("doppler token", "dp.pt.", "dp.st.", "dp.sa."),
    _word("linear key", "lin_api_", least=20),
    _word("notion token", "ntn_", least=20),
    _run("figma token", "figd_"),
    _run("postman key", "PMAK-", least=24),
    _word("grafana token", "glsa_", "glc_", of="A-Za-z0-9_+/=", least=20),
    _word("sentry token", "sntrys_", "sntryu_", of="A-Za-z0-9_+/=", least=20),
    _run("docker token", "dckr_pat_"),
    _run("atlassian token", "ATATT3", least=20),
    _word("age key", "AGE-SECRET-KEY-1", of="0-9A-Z", least=40),
    _other("jwt", "eyJ", _JWT),
    _other("bearer token", "earer", _SCHEME),
    _other("basic credentials", "asic", _SCHEME, tail=False),
    _other("bearer token", "EARER", _SCHEME),
    _other("password", "://", _URL, tail=False),
)
