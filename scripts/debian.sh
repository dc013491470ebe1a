#!/bin/sh
# Brings programs that the tests run and no wheel holds, as Debian and Ubuntu package them: `debian.sh borg:borgbackup curl` is the
# program borg of the package borgbackup, and curl of curl. What is on the PATH already costs nothing.
# As root or through sudo; where neither may, one line says what to run, before anything was begun.
set -eu

missing=
programs=
for pair in "$@"; do
    programs="$programs ${pair%%:*}"
    PATH="$PATH:/usr/sbin" command -v "${pair%%:*}" >/dev/null || missing="$missing ${pair#*:}"
done
[ -n "$missing" ] || exit 0

apt="apt-get install --yes --no-install-recommends$missing"
if ! command -v apt-get >/dev/null; then
    echo "Needed on the PATH:$programs; install your system's packages of:$missing" >&2
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
policy=/usr/sbin/policy-rc.d
ours=
tidy() {
    rm -f "$log"
    [ -z "$ours" ] || $root rm -f "$policy"
}
trap tidy EXIT
trap 'exit 130' INT TERM
# The tests start servers of their own: the packages' services are to stay off, on their well-known ports as well.
if [ ! -e "$policy" ]; then
    ours=yes
    printf '#!/bin/sh\nexit 101\n' | $root tee "$policy" >/dev/null
    $root chmod 755 "$policy"
fi
quietly() {
    $root env DEBIAN_FRONTEND=noninteractive "$@" </dev/null >"$log" 2>&1
}
# The lists may be old or not there at all; another apt may be at work.
# shellcheck disable=SC2086
quietly $apt -o DPkg::Lock::Timeout=60 || { quietly apt-get update && quietly $apt -o DPkg::Lock::Timeout=60; } || {
    cat "$log" >&2
    exit 1
}
if command -v systemctl >/dev/null; then
    for package in $missing; do
        $root systemctl disable "$package" >/dev/null 2>&1 || true  # nor at the next boot
    done
fi
