#!/usr/bin/env bash
# From a bare clone to a policy that stacks cubes, in simulation: bash scripts/quickstart.sh [--full|--smoke] [DIR]
#
# Makes .venv, records demonstrations, converts them, trains, evaluates in closed loop, and leaves the pipeline, the
# curves, a video and report.html in DIR (default: quickstart). Started again, it continues where it was.
#   --full   three times the training, by the recipe that the other figures stand on (stack_cpu)
#   --smoke  hardly anything, for continuous integration: shows that all works, not a good policy
set -euo pipefail
here="$PWD"
cd "$(dirname "$0")/.."

mode=fast
while [ $# -gt 0 ]; do
    case "$1" in
        --full | --smoke) mode="${1#--}" ;;
        -h | --help) sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 0 ;;
        -*) echo "quickstart.sh: unknown option $1" >&2; exit 2 ;;
        *) [ "${1#/}" != "$1" ] && out="$1" || out="$here/$1" ;;
    esac
    shift
done
case "$mode" in
    fast) demonstrations=200 rollouts=100 recipe=stack_fast train=() ;;
    full) demonstrations=200 rollouts=100 recipe=stack_cpu train=() ;;
    smoke) demonstrations=6 rollouts=2 recipe=stack_fast train=(--num_epochs 2 --validation_interval 1) ;;
esac
out="${out:-$PWD/quickstart}"
[ "$mode" = fast ] || out="$out-$mode"

bash scripts/install.sh sim,fast,tracking
python="$PWD/.venv/bin/python"
cores="$(getconf _NPROCESSORS_ONLN)"
# The networks are small: a second thread costs as much as it brings, and stalls beside anything else that runs.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"

step() { printf '\n== %s\n' "$1"; }

step "1/5 Record $demonstrations demonstrations of the expert"
"$python" scripts/record_demonstrations.py --num_episodes "$demonstrations" --output_dir "$out/demonstrations" \
    --num_workers "$cores"

step "2/5 Check them and convert them to a dataset"
"$python" scripts/check_episodes.py scan "$out/demonstrations"
"$python" scripts/convert_episodes.py --data_dir "$out/demonstrations" --output_dir "$out/dataset"

step "3/5 Train"
if [ ! -e "$out/policy/final/model_index.json" ]; then
    resume=()
    [ -e "$out/policy/train_config.yaml" ] && resume=(--resume_from_checkpoint latest)
    "$PWD/.venv/bin/accelerate" launch --quiet --config_file configs/accelerate/cpu.yaml scripts/train.py \
        --config "configs/train/$recipe.yaml" --data_dir "$out/dataset" --output_dir "$out/policy" \
        ${train[@]+"${train[@]}"} ${resume[@]+"${resume[@]}"}
fi

step "4/5 Evaluate on $rollouts layouts that no demonstration showed"
"$python" scripts/evaluate.py --pipeline "$out/policy/final" --num_episodes "$rollouts" --output_dir "$out/evaluation" \
    --num_workers "$cores"

step "5/5 Report"
"$python" scripts/report.py --training "$out/policy" --evaluation "$out/evaluation" --data_dir "$out/dataset" \
    --output "$out/report.html"
