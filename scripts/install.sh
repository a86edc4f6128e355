#!/usr/bin/env bash
# Makes .venv and installs dp_hf into it, once: bash scripts/install.sh [EXTRAS], e.g. "sim,fast".
# Takes uv where there is one, else pip; PYTHON names the Python for a new .venv.
set -euo pipefail
cd "$(dirname "$0")/.."
fail() { echo "install.sh: $1" >&2; exit 1; }

extras="${1:-sim,fast,tracking}"
stamp=".venv/.installed-${extras//,/-}"
if [ -e "$stamp" ] && [ "$stamp" -nt pyproject.toml ]; then
    exit 0
fi
echo "Installing dp_hf[$extras] into .venv: PyTorch is large, this takes a few minutes the first time."
if command -v flock > /dev/null; then  # a second one waits, also for the pip that a killed one left running
    exec 9< pyproject.toml
    flock 9 || true
fi

# pip takes a package that was cut off for a whole one, so a new .venv is finished in one go or made again.
unfinished=.venv/.unfinished
in_venv='import sys; sys.exit(sys.prefix == sys.base_prefix)'
if [ -e "$unfinished" ] || ! .venv/bin/python -c "$in_venv" 2> /dev/null; then
    python="${PYTHON:-python3}"
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2> /dev/null ||
        fail "$python is not Python 3.10 or newer: name one that is, as in PYTHON=python3.12 bash scripts/install.sh"
    rm -rf .venv
    mkdir .venv
    touch "$unfinished"
    "$python" -m venv --without-pip .venv
fi

if uv --version &> /dev/null; then
    uv pip install --quiet --python .venv/bin/python -e ".[$extras]"
else
    pip=(.venv/bin/python -m pip --disable-pip-version-check --quiet)
    "${pip[@]}" --version &> /dev/null || .venv/bin/python -m ensurepip > /dev/null ||
        fail "this Python came without pip: apt-get install python3-venv, or install uv, and start again"
    # The pip that comes with Python 3.10 does not get to the end of choosing versions.
    "${pip[@]}" install --upgrade pip
    "${pip[@]}" install -e ".[$extras]"
fi
touch "$stamp"
rm -f "$unfinished"
