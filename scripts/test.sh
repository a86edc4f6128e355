#!/usr/bin/env bash
# Installs dp_hf for development into .venv and runs the tests: bash scripts/test.sh [PYTEST ARGUMENTS].
# Without arguments it leaves out the tests marked slow; `bash scripts/test.sh -m slow` runs those.
set -euo pipefail
cd "$(dirname "$0")/.."
bash scripts/install.sh dev
# One thread a test process: the networks are tiny, and two processes share the cores.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}" TOKENIZERS_PARALLELISM=false
if [ $# -eq 0 ]; then
    set -- -m "not slow"
fi
exec .venv/bin/python -m pytest -n 2 --dist loadfile "$@"
