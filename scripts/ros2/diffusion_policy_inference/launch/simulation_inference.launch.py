"""Drives the simulated arm, which runs already (Gazebo and its controllers), with a policy."""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

ARGUMENTS = {
    "use_sim_time": ("true", bool, "stamp the node's log with the simulator's clock"),
    "robot_name": ("mycobot_280", str, "the arm: a YAML file, or the name of one of configs/arms"),
    "checkpoint_path": ("", str, "pipeline folder, or repository on the Hub"),
    "model_dir": ("", str, "folder that checkpoint_path is in"),
    "inference_rate": ("0.0", float, "actions per second (Hz); 0 is the policy's own rate"),
}


def generate_launch_description() -> LaunchDescription:
    parameters = {
        name: ParameterValue(LaunchConfiguration(name), value_type=kind) for name, (_, kind, _) in ARGUMENTS.items()
    }
    node = Node(
        package="diffusion_policy_inference",
        executable="model_inference_node",
        output="screen",
        # A simulated arm may be moved at once, and its camera may see the same picture for long.
        parameters=[parameters, {"execute": True, "camera_has_noise": False}],
        arguments=["--ros-args", "--log-level", LaunchConfiguration("log_level")],
    )
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=text)
        for name, (default, _, text) in ARGUMENTS.items()
    ]
    log_level = DeclareLaunchArgument("log_level", default_value="info", description="debug, info, warn or error")
    return LaunchDescription([*arguments, log_level, node])
