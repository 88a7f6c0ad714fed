"""What people and logs must not see: keys, tokens and passwords, found by their looks or names.

It takes out what can be told for certain or nearly so; ordinary text, code, hashes and images stay
as they are. A secret without a known format, and without a name that says it is one, stays too:
the hook ``redact`` is for those.
"""

from __future__ import annotations

from papayya_core.redaction.logs import logger, use
from papayya_core.redaction.texts import redact, redact_data, redact_headers

__all__ = ["logger", "redact", "redact_data", "redact_headers", "use"]
