#!/bin/sh
# Brings the programs that the proofs run and no wheel holds: borg, curl and wget, as Debian and Ubuntu package them.
# As root or through sudo; where neither may, one line says what to run, before anything was begun.
set -eu

missing=
for pair in borg:borgbackup curl:curl wget:wget; do
    command -v "${pair%%:*}" >/dev/null || missing="$missing ${pair#*:}"
done
[ -n "$missing" ] || exit 0

apt="apt-get install --yes --no-install-recommends$missing"
if ! command -v apt-get >/dev/null; then
    echo "Needed on the PATH: borg, curl and wget; install your system's packages of:$missing" >&2
    exit 1
elif [ "$(id -u)" = 0 ]; then
    root=
elif sudo -n true 2>/dev/null; then
    root="sudo -n"
else
    echo "Run this first: sudo apt-get update && sudo $apt" >&2
    exit 1
fi

echo "Installing Debian's$missing"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
quietly() {
    $root env DEBIAN_FRONTEND=noninteractive "$@" </dev/null >"$log" 2>&1
}
# The lists may be old or not there at all; another apt may be at work.
# shellcheck disable=SC2086
quietly $apt -o DPkg::Lock::Timeout=60 || { quietly apt-get update && quietly $apt -o DPkg::Lock::Timeout=60; } || {
    cat "$log" >&2
    exit 1
}
