#!/bin/sh
# Run a command quietly: one line when it succeeds, its whole output when it fails.
# Usage: step.sh NAME COMMAND...
set -u
name=$1
shift
log=$(mktemp)
trap 'rm -f "$log"' EXIT
printf '  %-28s' "$name"
began=$(date +%s)
if "$@" >"$log" 2>&1; then
    printf 'ok    %s s\n' "$(($(date +%s) - began))"
else
    code=$?
    printf 'FAILED (%s)\n' "$*"
    cat "$log"
    exit "$code"
fi
