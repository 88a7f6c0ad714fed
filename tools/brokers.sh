#!/bin/sh
# See to it that the tests find the programs of Redis and RabbitMQ.
# No service of the system is used or started; the tests run their own.
set -eu
cd "$(dirname "$0")/.."
packages= misplaced=
has() { PATH=$1 command -v "$2" >/dev/null; }
if ! has "${PAPAYYA_TEST_REDIS_BIN:-$PATH}" redis-server; then
    packages=redis-server misplaced=${PAPAYYA_TEST_REDIS_BIN:-}
fi
if ! has "${PAPAYYA_TEST_RABBITMQ_BIN:-/usr/lib/rabbitmq/bin}" rabbitmq-server || ! has "$PATH" epmd; then
    packages="$packages rabbitmq-server" misplaced="$misplaced${PAPAYYA_TEST_RABBITMQ_BIN:-}"
fi
[ -n "$packages" ] || exit 0

fail() {
    cat >&2 <<END
The tests need the programs of Redis and RabbitMQ; missing: ${packages# }.
$1
  Debian, Ubuntu   sudo apt-get install redis-server rabbitmq-server
  macOS            brew install redis rabbitmq
                   export PAPAYYA_TEST_RABBITMQ_BIN="\$(brew --prefix rabbitmq)/sbin"
  elsewhere        set PAPAYYA_TEST_REDIS_BIN to the directory that holds redis-server,
                   PAPAYYA_TEST_RABBITMQ_BIN to the one that holds rabbitmq-server (the script of
                   RabbitMQ itself, not one that changes the account), and have epmd on PATH
Without them, make check runs everything that needs no server.
END
    exit 1
}

[ -z "$misplaced" ] || fail "They are not where PAPAYYA_TEST_REDIS_BIN and PAPAYYA_TEST_RABBITMQ_BIN point."
[ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || fail "Install them:"
# The packages would start services of their own; an existing policy is the machine's business.
policy=/usr/sbin/policy-rc.d
if ! [ -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 1' INT TERM HUP
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
fi
# shellcheck disable=SC2086
tools/apt_install.sh $packages || fail "apt-get could not install them (see above):"
