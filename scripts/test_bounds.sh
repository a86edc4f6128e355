#!/usr/bin/env bash
# Runs the tests with the oldest packages that dp_hf allows: PYTHON=python3.10 bash scripts/test_bounds.sh [PYTEST ARGUMENTS].
# On Python 3.10 these are the lower bounds of pyproject.toml; on a newer Python the lowest releases from there on that
# have wheels for it. Needs uv. Makes .venv-bounds (6 GB) anew; without arguments it leaves out the tests marked slow.
set -euo pipefail
cd "$(dirname "$0")/.."
python="${PYTHON:-python3.10}" venv=.venv-bounds
uv venv --quiet --clear --python "$python" "$venv"
# Of empy, which colcon needs, there are no wheels.
uv pip install --quiet --python "$venv" --resolution lowest-direct --only-binary :all: --no-binary empy --no-binary dp_hf \
    -e ".[dev]"
"$venv/bin/python" --version
uv pip freeze --quiet --python "$venv"
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}" TOKENIZERS_PARALLELISM=false
if [ $# -eq 0 ]; then
    set -- -m "not slow"
fi
exec "$venv/bin/python" -m pytest -n 2 --dist loadfile "$@"
