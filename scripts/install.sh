#!/usr/bin/env bash
# Makes .venv and installs dp_hf into it, once: bash scripts/install.sh [EXTRAS], e.g. "sim,fast".
set -euo pipefail
cd "$(dirname "$0")/.."
extras="${1:-sim,fast,tracking}"
stamp=".venv/.installed-${extras//,/-}"
if [ -e "$stamp" ] && [ "$stamp" -nt pyproject.toml ]; then
    exit 0
fi
[ -x .venv/bin/python ] || "${PYTHON:-python3}" -m venv .venv
echo "Installing dp_hf[$extras] into .venv: PyTorch is large, this takes a few minutes the first time."
.venv/bin/python -m pip install --quiet --disable-pip-version-check -e ".[$extras]"
touch "$stamp"
