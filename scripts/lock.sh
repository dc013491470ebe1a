#!/bin/sh
# Renews the pins from pyproject.toml: constraints.txt for every .venv, two hashed locks for the container image.
# The locks follow constraints.txt, so that the image runs what the tests ran. pip itself is not ours to pin.
set -eu

compile() {
    .venv/bin/uv pip compile --quiet --universal --no-header --no-annotate --python-version 3.11 "$@" >/dev/null
}
compile --upgrade --all-extras --no-emit-package pip pyproject.toml -o constraints.txt
compile --generate-hashes -c constraints.txt pyproject.toml -o requirements-container.txt
echo 'setuptools>=77' | compile --upgrade --generate-hashes - -o requirements-build.txt

if grep -nE '://|--(extra-)?index-url|--find-links' constraints.txt requirements-container.txt requirements-build.txt; then
    echo "The pins name a host or a folder of this machine; they must not." >&2
    exit 1
fi
