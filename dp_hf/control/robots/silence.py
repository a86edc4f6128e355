"""Why nothing comes on a ROS topic, for those who speak DDS and those who have rclpy."""

from collections.abc import Iterable

SILENCE = 3.0  # seconds, after which the reason is looked for


def why_silent(topic: str, wanted: str, published: Iterable[tuple[str, str]]) -> str:
    """What is on `topic` in place of messages of the type `wanted`, and where those are.

    Args:
        published: names of topics, with a type that is on each.
    """
    published = sorted(set(published))
    kinds = [kind for name, kind in published if name.strip("/") == topic.strip("/")]
    what = f"holds {', '.join(kinds)}" if kinds else "has no publisher"
    where = ", ".join(name for name, kind in published if kind == wanted) or "no topic"
    return f"{topic} {what}; {wanted} is on {where}"
