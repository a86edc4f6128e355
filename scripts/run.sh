#!/usr/bin/env bash
# Trains with accelerate: bash scripts/run.sh --data_dir DATA --output_dir OUT [--config FILE] [more flags of train.py]
# ACCELERATE names accelerate's configuration; default configs/accelerate/gpu.yaml where there is a GPU, else cpu.yaml.
set -euo pipefail
root="$(cd "$(dirname "$0")/.." && pwd)"
python="$root/.venv/bin/python"
[ -x "$python" ] || python=python3
if [ -z "${ACCELERATE:-}" ]; then
    nvidia-smi >/dev/null 2>&1 && device=gpu || device=cpu
    ACCELERATE="$root/configs/accelerate/$device.yaml"
fi
case "$(basename "$ACCELERATE")" in cpu*) export ACCELERATE_USE_CPU=true ;; esac
processes="$(sed -n 's/^num_processes: *//p' "$ACCELERATE")"
exec "$python" -m accelerate.commands.launch --quiet --config_file "$ACCELERATE" \
    "$root/scripts/train.py" --num_processes "$processes" "$@"
