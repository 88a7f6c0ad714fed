#!/bin/sh
# Make .venv from uv.lock, with nothing but Python >= 3.11 to start from. Safe to run again.
set -eu
cd "$(dirname "$0")/.."

say() { printf 'setup: %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }

is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    for candidate in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11 python; do
        if is_new_enough "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    fail "no Python >= 3.11 found; install one, or name it: make setup PYTHON=/path/to/python3"
}

# Debian ships Python without the means to make a venv, and says so only when asked for one.
make_venv() {
    rm -rf .venv
    "$1" -m venv .venv >/dev/null 2>&1 && return
    rm -rf .venv
    package="python$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv"
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null \
        || fail "$1 cannot make a venv; install it (on Debian and Ubuntu: sudo apt-get install $package)"
    say "installing $package"
    tools/apt_install.sh "$package"
    "$1" -m venv .venv || fail "$1 cannot make a venv, even with $package installed"
}

locked_uv() {
    sed -n '/^name = "uv"$/{n;s/^version = "\(.*\)"$/\1/p;}' uv.lock
}

if ! is_new_enough .venv/bin/python; then
    python=$(find_python)
    say "making .venv with $python"
    make_venv "$python"
fi
uv="uv==$(locked_uv)"
if [ "$(.venv/bin/uv --version 2>/dev/null | cut -d' ' -f2)" != "${uv#uv==}" ]; then
    say "installing $uv"
    .venv/bin/python -m pip --version >/dev/null 2>&1 || .venv/bin/python -m ensurepip >/dev/null
    .venv/bin/python -m pip install --quiet --disable-pip-version-check "$uv"
fi
say "installing what uv.lock names"
UV_PYTHON_DOWNLOADS=never UV_PROJECT_ENVIRONMENT=.venv \
    .venv/bin/uv sync --quiet --locked --all-extras --python .venv/bin/python
touch .venv/.complete
say "done: .venv is ready"
