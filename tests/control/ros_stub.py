"""As much of rclpy, launch and the messages as the ROS 2 package uses: topics, services and actions in memory."""

import sys
import threading
import time
from concurrent.futures import Future
from types import ModuleType, SimpleNamespace


class World:
    """What goes over the wire: callbacks by topic or service, messages published, goals sent, parameters given."""

    def __init__(self):
        self.subscriptions: dict[str, tuple] = {}
        self.published: dict[str, list] = {}
        self.services: dict[str, object] = {}
        self.goals: dict[str, list] = {}
        self.action_servers: set[str] = set()
        self.parameters: dict[str, object] = {}
        self.log: list[str] = []
        self.is_initialized = False

    def publish(self, topic: str, **fields) -> None:
        """Gives a message to the node that listens."""
        message_type, callback, _ = self.subscriptions[topic]
        callback(message_type(**fields))

    def call(self, service: str, **fields):
        request = SimpleNamespace(**fields)
        return self.services[service](request, SimpleNamespace(success=False, message=""))


world = World()


class Message:
    """Keyword arguments as attributes; fields that are not given read as None."""

    def __init__(self, **fields):
        vars(self).update(fields)


def message(name: str) -> type:
    return type(name, (Message,), {})


class Node:
    def __init__(self, name: str):
        self.name = name

    def declare_parameter(self, name: str, default, descriptor=None):
        assert not isinstance(default, type(None))
        value = world.parameters.get(name, default)
        if not getattr(descriptor, "dynamic_typing", False) and type(value) is not type(default):
            raise TypeError(f"{name}: rclpy takes no {type(value).__name__} for a {type(default).__name__}")
        return SimpleNamespace(value=value)

    def create_subscription(self, message_type, topic, callback, qos):
        world.subscriptions[topic] = (message_type, callback, qos)

    def create_publisher(self, message_type, topic, qos):
        sent = world.published.setdefault(topic, [])

        def publish(message):
            message.sent_at = time.monotonic()
            sent.append(message)

        return SimpleNamespace(publish=publish)

    def create_service(self, service_type, name, callback):
        world.services[name.replace("~", self.name)] = callback

    def get_logger(self):
        return SimpleNamespace(info=world.log.append, warning=world.log.append, error=world.log.append)

    def destroy_node(self):
        pass


class ActionFuture(Future):
    """rclpy's futures have the same methods, but for this."""


class GoalHandle:
    accepted = True

    def __init__(self, goal):
        self.goal = goal
        self.cancelled = False

    def cancel_goal_async(self):
        self.cancelled = True


class ActionClient:
    def __init__(self, node, action_type, name):
        self.name = name

    def wait_for_server(self, timeout_sec):
        return self.name in world.action_servers

    def send_goal_async(self, goal):
        handle = GoalHandle(goal)
        world.goals.setdefault(self.name, []).append(handle)
        future = ActionFuture()
        future.set_result(handle)
        return future

    def destroy(self):
        pass


class SingleThreadedExecutor:
    def __init__(self):
        self.stopped = threading.Event()

    def add_node(self, node):
        pass

    def spin(self):
        self.stopped.wait()

    def shutdown(self):
        self.stopped.set()


class GripperGoal(Message):
    def __init__(self):
        self.command = Message()


def init(args=None, signal_handler_options=None):
    world.is_initialized = True


def shutdown():
    world.is_initialized = False


def launch_action(name: str) -> type:
    """Keeps its arguments: `args` and the keywords as attributes."""

    def construct(self, *args, **keywords):
        vars(self).update(args=args, **keywords)

    return type(name, (), {"__init__": construct})


MODULES = {
    "rclpy": {"init": init, "shutdown": shutdown},
    "rclpy.node": {"Node": Node},
    "rclpy.action": {"ActionClient": ActionClient},
    "rclpy.executors": {"SingleThreadedExecutor": SingleThreadedExecutor},
    "rclpy.qos": {"qos_profile_sensor_data": "best effort"},
    "rclpy.signals": {"SignalHandlerOptions": SimpleNamespace(NO=0)},
    "builtin_interfaces.msg": {"Duration": message("Duration")},
    "rcl_interfaces.msg": {"ParameterDescriptor": message("ParameterDescriptor")},
    "sensor_msgs.msg": {"Image": message("Image"), "JointState": message("JointState")},
    "std_msgs.msg": {"Bool": message("Bool")},
    "std_srvs.srv": {
        "SetBool": SimpleNamespace(Request=1, Response=1),
        "Trigger": SimpleNamespace(Request=1, Response=1),
    },
    "trajectory_msgs.msg": {
        "JointTrajectory": message("JointTrajectory"),
        "JointTrajectoryPoint": message("JointTrajectoryPoint"),
    },
    "control_msgs.action": {
        "FollowJointTrajectory": SimpleNamespace(Goal=message("Goal")),
        "GripperCommand": SimpleNamespace(Goal=GripperGoal),
    },
    "launch": {"LaunchDescription": launch_action("LaunchDescription")},
    "launch.actions": {"DeclareLaunchArgument": launch_action("DeclareLaunchArgument")},
    "launch.substitutions": {"LaunchConfiguration": launch_action("LaunchConfiguration")},
    "launch_ros.actions": {"Node": launch_action("Node")},
    "launch_ros.parameter_descriptions": {"ParameterValue": launch_action("ParameterValue")},
}


def install(monkeypatch) -> World:
    """Puts the stub in place of ROS for one test; returns its empty world."""
    vars(world).update(vars(World()))
    modules = {name: ModuleType(name) for path in MODULES for name in (path.split(".")[0], path)}
    for name, module in modules.items():
        vars(module).update(MODULES.get(name, {}))
        monkeypatch.setitem(sys.modules, name, module)
    return world
