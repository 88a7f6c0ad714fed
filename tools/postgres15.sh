#!/bin/sh
# See to it that the tests find the programs of Postgres 15, the oldest that is supported.
# No cluster of the system is used or started; the tests make their own.
set -eu
cd "$(dirname "$0")/.."
bin=${PAPAYYA_TEST_PG15_BIN:-/usr/lib/postgresql/15/bin}

# An example uses pgvector. Its package is taken where apt knows it (apt.postgresql.org has it,
# Debian 12 has not); without it that example's test runs on the embedded Postgres alone.
add_pgvector() {
    [ -z "${PAPAYYA_TEST_PG15_BIN:-}" ] && [ "$(id -u)" = 0 ] || return 0
    [ ! -e "$("$bin/pg_config" --sharedir)/extension/vector.control" ] || return 0
    apt-cache show postgresql-15-pgvector >/dev/null 2>&1 || return 0
    tools/apt_install.sh postgresql-15-pgvector
}

if [ -x "$bin/initdb" ]; then
    add_pgvector
    exit 0
fi

fail() {
    cat >&2 <<END
The tests need the programs of Postgres 15, and there are none in $bin.
$1
  Debian, Ubuntu   sudo apt-get install postgresql-15 (apt.postgresql.org has it for every release)
  macOS            brew install postgresql@15
                   export PAPAYYA_TEST_PG15_BIN="\$(brew --prefix postgresql@15)/bin"
  elsewhere        set PAPAYYA_TEST_PG15_BIN to the directory that holds initdb
Without them, make check runs everything that needs no server.
END
    exit 1
}

[ -z "${PAPAYYA_TEST_PG15_BIN:-}" ] || fail "PAPAYYA_TEST_PG15_BIN is set to that directory."
[ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || fail "Install them:"
# The package would make and start a cluster of its own.
if ! [ -e /etc/postgresql-common/createcluster.conf ]; then
    mkdir -p /etc/postgresql-common
    echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
fi
tools/apt_install.sh postgresql-15 || fail "apt-get could not install them (see above):"
add_pgvector
