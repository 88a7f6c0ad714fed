"""Between the nouns and the documents and rows of the SQL functions. No I/O."""

from __future__ import annotations

import json
from functools import lru_cache
from math import isfinite
from typing import TYPE_CHECKING, Any

from papayya_core import redaction, rules, vault
from papayya_core.codec import Undecodable, compress, expand
from papayya_core.contract import Body, Finding, Known, StepKey

if TYPE_CHECKING:
    from collections.abc import Sequence

    from papayya_core.contract import Intake, StepRow, Submission

PLAIN, ENCRYPTED = 0, 2  # payload codecs; encrypted is the number of another, then its body
_dumps = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


def pack(text: str) -> Body:
    """Turn codec text into a payload."""
    return pack_bytes(text.encode())


def pack_bytes(data: bytes) -> Body:
    """Turn bytes into a payload: named by its content, small, encrypted when a key is set."""
    codec, body = compress(data)
    if (safe := vault.current()) is not None:
        codec, body = ENCRYPTED, safe.encrypt(bytes([codec]) + body)
    return Body(vault.name(data), codec, len(data), body)


def unpack(codec: int, data: bytes) -> str:
    """Turn a payload back into codec text. Raises Undecodable or vault.Locked."""
    try:
        return unpack_bytes(codec, data).decode()
    except UnicodeDecodeError as error:
        raise Undecodable(f"the stored payload is damaged: {error}") from error


def unpack_bytes(codec: int, data: bytes) -> bytes:
    """Turn a payload back into its bytes. Raises Undecodable or vault.Locked."""
    data = bytes(data)
    if codec == ENCRYPTED:
        opened = vault.decrypt(data)
        codec, data = opened[0], opened[1:]
    return expand(codec, data)


def plain_params(row: StepRow) -> tuple[Any, ...]:
    """List the parameters of ``checkpoint_plain``."""
    label, args_hash, ordinal = row.key
    return (
        row.fence,
        label,
        args_hash,
        ordinal,
        row.n,
        row.kind,
        row.state,
        row.result,
        row.attempts,
        row.cost_nusd,
        row.tokens,
        row.seconds,
        row.budgeted,
    )


def step_params(row: StepRow) -> dict[str, Any]:
    """Name the parameters of ``checkpoint_one_v1``."""
    key, body = row.key, row.body
    return {
        "fence": row.fence,
        "label": key.label,
        "args_hash": key.args_hash,
        "ordinal": key.ordinal,
        "n": row.n,
        "kind": row.kind,
        "state": row.state,
        "result": row.result,
        "attempts": row.attempts,
        "cost_nusd": row.cost_nusd,
        "tokens": row.tokens,
        "seconds": row.seconds,
        "budgeted": row.budgeted,
        "parent_n": row.parent_n,
        "error": None if row.error is None else _dumps(row.error),
        "hash": body.hash if body else None,
        "codec": body.codec if body else None,
        "size": body.size if body else None,
        "body": body.data if body else None,
    }


def step_doc(rows: Sequence[StepRow]) -> tuple[str, list[bytes | None] | None]:
    """Build the document and bodies of ``checkpoint_v1`` for a batch of steps."""
    doc = "[" + ",".join(_step(seq, row) for seq, row in enumerate(rows)) + "]"
    bodies = [row.body.data if row.body else None for row in rows]
    return doc, bodies if any(body is not None for body in bodies) else None


@lru_cache(1024)
def _quoted(text: str) -> str:
    return _dumps(text)


def _step(seq: int, row: StepRow) -> str:
    label, args_hash, ordinal = row.key
    head = (
        f'{{"q":{seq},"d":{row.fence},"l":{_quoted(label)},"h":"{args_hash.hex()}","o":{ordinal},"n":{row.n},'
        f'"k":{_quoted(row.kind)},"s":"{row.state}","a":{row.attempts},"c":{row.cost_nusd},"t":{row.tokens},"m":{row.seconds:.6f}'
    )
    if row.parent_n is not None:
        head += f',"p":{row.parent_n}'
    if row.error is not None:
        head += f',"e":{_dumps(row.error)}'
    if row.body is not None:
        head += f',"x":"{row.body.hash.hex()}","y":{row.body.codec},"z":{row.body.size}'
    return head + "}" if row.result is None else f'{head},"r":{row.result}}}'


def submission_doc(batch: Sequence[Submission]) -> tuple[str, list[bytes | None] | None]:
    """Build the document and bodies of ``capture_v1`` for a batch of items."""
    doc = _dumps([_submission(seq, one) for seq, one in enumerate(batch)])
    bodies = [one.body.data if one.body else None for one in batch]
    return doc, bodies if any(body is not None for body in bodies) else None


def _submission(seq: int, one: Submission) -> dict[str, Any]:
    fields: dict[str, Any] = {"s": seq, "t": one.tenant, "k": one.key, "g": one.digest.hex()}
    if one.body is not None:
        fields |= {"h": one.body.hash.hex(), "c": one.body.codec, "z": one.body.size}
    if one.ordinal is not None:
        fields["o"] = one.ordinal
    if one.parent_id is not None:
        fields["p"] = one.parent_id
    if one.refusal is not None:
        fields["r"] = one.refusal
    if one.envelope is not None:
        envelope = one.envelope
        fields |= {"e": envelope.hash.hex(), "n": envelope.codec, "y": envelope.size}
    if one.cohort is not None:
        fields |= {"co": one.cohort, "cp": one.place}
    if one.follows is not None:
        fields["cf"] = one.follows
    return fields


def message_params(one: Submission, into: Intake, source: str) -> tuple[Any, ...]:
    """List the parameters of ``publish_one``."""
    input_ = one.body or (None, None, None, None)
    envelope = one.envelope or (None, None, None, None)
    place = (one.cohort, one.place, one.follows, one.again)
    where = (into.run, into.label, into.seal, into.carrier, into.agent, source, into.resend)
    return (
        *where,
        one.tenant,
        one.key,
        one.digest,
        one.parent_id,
        *input_,
        *envelope,
        *place,
    )


def finding_doc(findings: Sequence[Finding]) -> str:
    """Build the document of findings; evidence that is not JSON is shown as text."""
    return json.dumps(
        [
            {
                "check": f.check,
                "severity": f.severity,
                "reason": rules.presentable(f.reason),
                "evidence": _clean(redaction.redact_data(f.evidence)) or None,
                "n": f.n,
                "fingerprint": rules.fingerprint(f.check, rules.presentable(f.reason)).hex(),
            }
            for f in findings
        ],
        allow_nan=False,
        default=lambda value: rules.presentable(str(value)),
    )


def _clean(value: Any) -> Any:
    """Replace what JSON in Postgres has no place for: NUL, lone surrogates, NaN."""
    match value:
        case str():
            return rules.storable(value)
        case float():
            return value if isfinite(value) else str(value)
        case dict():
            return {rules.storable(str(key)): _clean(part) for key, part in value.items()}
        case list() | tuple():
            return [_clean(part) for part in value]
    return value


def known_steps(rows: list[list[Any]] | None) -> tuple[Known, ...]:
    """Read the ``known`` column of open: label, args hash, ordinal, n, state, result, …"""
    return tuple(
        Known(
            StepKey(label, bytes.fromhex(args), ordinal),
            n,
            state,
            text,
            bytes.fromhex(result_hash) if result_hash else None,
            attempts,
            _failure(error),
            parent_n,
        )
        for label, args, ordinal, n, state, text, result_hash, attempts, error, parent_n in rows
        or ()
    )


def _failure(error: dict[str, Any] | None) -> str | None:
    """Say what made a step fail, in the words of ``rules.describe_error``."""
    if error is None:
        return None
    status = f" {error['status']}" if error.get("status") else ""
    message = " ".join(error["message"].split())[:300] or "(no message)"
    return f"{error['type'].rpartition('.')[2]}{status}: {message}"


def findings_of(rows: list[list[Any]] | None) -> tuple[Finding, ...]:
    """Read the ``findings`` column of load_items."""
    return tuple(
        Finding(check, severity, reason, evidence or {}, n)
        for check, severity, reason, evidence, n in rows or ()
    )
