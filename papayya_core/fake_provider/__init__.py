"""
A stand-in for model providers: one local process that answers like OpenAI, Anthropic, Google and
Amazon Bedrock.

Run it with ``python -m papayya_core.fake_provider --ledger ledger.jsonl --port 0``. It answers
OpenAI's chat completions, responses and embeddings, Anthropic's messages, Google's generateContent
and Bedrock's Converse and InvokeModel (see ``routes``), each as JSON and as the provider's stream;
the same request gives the same answer for the same ``--seed``. Faults are asked for at start-up,
over ``/_control/faults`` or by the header ``x-fake-fault`` (see ``faults``); ``x-fake-gzip: 1``
asks for gzip. API keys may have rate limits (see ``limits``). What it processed and billed is in
its own ledger (see ``ledger``), at its own prices (see ``prices``; ``--prices`` prints them). It
imports nothing else of this project, so that an audit against it proves something.
"""
