"""
A stand-in for model providers: one local process that answers like OpenAI and Anthropic.

Run it with ``python -m papayya_core.fake_provider --ledger ledger.jsonl --port 0``. It answers
``POST /v1/chat/completions``, ``/v1/responses`` and ``/v1/messages`` (JSON and SSE) and
``GET /v1/models``; the same request gives the same answer for the same ``--seed``. Faults are
asked for at start-up, over ``/_control/faults`` or by the header ``x-fake-fault`` (see
``faults``). What it processed and billed is in its own ledger (see ``ledger``), at its own
prices (see ``prices``). It imports nothing else of this project, so that an audit against it
proves something.
"""
