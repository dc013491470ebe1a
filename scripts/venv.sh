#!/bin/sh
# Makes .venv with the first Python that is new enough and able to, or says in one line what is missing.
# PYTHON=/path/to/python chooses.
set -eu

usable='import pip, sys; sys.exit(sys.version_info < (3, 11))'
if grep -qsF "$PWD/.venv" .venv/bin/activate && .venv/bin/python -c "$usable" 2>/dev/null; then
    exit 0
fi

if [ -n "${PYTHON:-}" ]; then
    set -- "$PYTHON"
else
    set -- python3 python3.14 python3.13 python3.12 python3.11
fi

complaint="Missedbeat needs Python 3.11 or newer; no $1 was found."
for python in "$@"; do
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
    if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
        complaint="Missedbeat needs Python 3.11 or newer; $python is $version. Another one: make PYTHON=/path/to/python3.11"
    elif ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        complaint="Missedbeat needs Python's venv module, which $python ($version) lacks. On Debian or Ubuntu: apt install python3-venv"
    else
        echo "Making .venv with Python $version"
        exec "$python" -m venv --clear .venv
    fi
done
echo "$complaint" >&2
exit 1
