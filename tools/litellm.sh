#!/bin/sh
# Make .venv-litellm, with LiteLLM's proxy, whose budgets the benchmark of holds measures beside
# ours. Safe to run again; without its packages the benchmark goes on without it.
set -eu
cd "$(dirname "$0")/.."
complete=.venv-litellm/.complete-1.106.2

[ -e "$complete" ] && exit 0
UV_PYTHON_DOWNLOADS=never .venv/bin/uv venv --quiet --clear --python .venv/bin/python .venv-litellm
if .venv/bin/uv pip install --quiet --python .venv-litellm/bin/python 'litellm[proxy]==1.106.2'; then
    touch "$complete"
else
    rm -rf .venv-litellm
    echo "LiteLLM cannot be had here: measuring without it" >&2
fi
