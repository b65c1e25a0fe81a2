#!/usr/bin/env bash
# Tests of the program that Python holds: builds its module in the target folder of the other tests, puts it into a virtual
# environment, and runs python/tests there. Any CPython from 3.10 on: PYTHON names it.
#   python.sh [built|wheel] [TEST]...     built: the module is there; wheel: through pip and a release build, as a user does
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || {
    echo "\`$python\` is no Python 3.10 or later: name one with PYTHON=…" >&2
    exit 1
}
target=${CARGO_TARGET_DIR:-$PWD/target}
venv=$target/python-tests
rm -rf "$venv"

if [ "${1:-}" = wheel ]; then
    shift
    "$python" -m venv "$venv"
    "$venv/bin/pip" install --quiet .
else
    "$python" -m venv --without-pip "$venv"
    if [ "${1:-}" = built ]; then
        shift
    else
        # With the tests, since their features are those of the other suites: alone it would build every dependency once more.
        ${CARGO:-cargo} build --quiet --workspace --lib --tests
    fi
    package=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/bareflight
    mkdir "$package"
    ln -s "$PWD"/python/bareflight/*.py "$package"
    ln -s "$target/debug/lib_native.so" "$package/_native.abi3.so"
    # As pip writes it.
    cat >"$venv/bin/bareflight" <<SCRIPT
#!$venv/bin/python
import sys
from bareflight.__main__ import run
if __name__ == "__main__":
    sys.exit(run())
SCRIPT
    chmod +x "$venv/bin/bareflight"
fi

cd python/tests
if [ $# -gt 0 ]; then
    exec "$venv/bin/python" -m unittest "$@"
fi
exec "$venv/bin/python" side_by_side.py
