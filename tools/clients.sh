#!/bin/sh
# Make the environments of the model clients that cannot share .venv: .venv-openai2 and
# .venv-openai3, each with the group of its name in uv.lock. Safe to run again.
set -eu
cd "$(dirname "$0")/.."

make_environment() {
    name=.venv-$1 complete=.venv-$1/.complete
    [ -n "$(find "$complete" -newer uv.lock -newer pyproject.toml 2>/dev/null)" ] && return
    UV_PYTHON_DOWNLOADS=never UV_PROJECT_ENVIRONMENT=$name VIRTUAL_ENV='' \
        .venv/bin/uv sync --quiet --locked --no-dev --group "$1" --extra celery --extra llm \
        --python .venv/bin/python
    touch "$complete"
}

make_environment openai2
make_environment openai3
