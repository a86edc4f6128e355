#!/usr/bin/env bash
# Continues a training exactly where its latest checkpoint was: bash scripts/resume_training.sh OUTPUT_DIR [more flags]
# Data and options are those in OUTPUT_DIR/train_config.yaml, flags win over them; ACCELERATE as in run.sh.
set -euo pipefail
if [ $# -lt 1 ] || [ ! -f "$1/train_config.yaml" ]; then
    sed -n '2,3s/^# //p' "$0" >&2
    exit 2
fi
output_dir="$1"
shift
exec bash "$(dirname "$0")/run.sh" \
    --config "$output_dir/train_config.yaml" --output_dir "$output_dir" --resume_from_checkpoint latest "$@"
