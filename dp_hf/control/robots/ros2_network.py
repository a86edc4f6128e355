"""Which ROS 2 network to speak on, by ROS's own environment variables, as a configuration of Cyclone DDS."""

import os
from collections.abc import Mapping
from xml.sax.saxutils import quoteattr

from dp_hf.errors import UserError

MAX_DOMAIN_ID = 232

# Fast DDS 3 (Kilted) announces types in a form that Cyclone cannot read, and then nothing is matched: the vendor is
# told by 1.15. A camera's images are larger than the kernel's usual buffer.
_DEFAULTS = """<CycloneDDS><Domain>
<Compatibility><IgnoreTypeInformation>1.15</IgnoreTypeInformation></Compatibility>
<Internal><SocketReceiveBufferSize max="10MB"/></Internal>
</Domain></CycloneDDS>"""
_ONLY_THIS_COMPUTER = """<CycloneDDS><Domain><General>
<Interfaces><NetworkInterface address="127.0.0.1" multicast="false"/></Interfaces><AllowMulticast>false</AllowMulticast>
</General></Domain></CycloneDDS>"""
_PEERS = """<CycloneDDS><Domain><Discovery>
<ParticipantIndex>auto</ParticipantIndex><MaxAutoParticipantIndex>32</MaxAutoParticipantIndex>
<Peers>{}</Peers></Discovery></Domain></CycloneDDS>"""


def choose_domain_id(asked: int | None, environment: Mapping[str, str] = os.environ) -> int:
    """`asked`, or else $ROS_DOMAIN_ID, or else 0.

    Raises:
        UserError: ROS_DOMAIN_ID is no number from 0 to 232.
    """
    if asked is not None:
        return asked
    text = environment.get("ROS_DOMAIN_ID") or "0"
    if not (text.isascii() and text.isdigit() and int(text) <= MAX_DOMAIN_ID):
        raise UserError(f"ROS_DOMAIN_ID is {text!r}, not a number from 0 to {MAX_DOMAIN_ID}; set it to the robot's")
    return int(text)


def cyclone_configuration(environment: Mapping[str, str] = os.environ) -> str:
    """What CYCLONEDDS_URI is to be; the user's own is its last part, which wins.

    $ROS_AUTOMATIC_DISCOVERY_RANGE (LOCALHOST, SUBNET, SYSTEM_DEFAULT), its predecessor $ROS_LOCALHOST_ONLY and
    $ROS_STATIC_PEERS mean what they mean to ROS 2.

    Raises:
        UserError: nothing could be found in such a range, or there is none of that name.
    """
    reach = environment.get("ROS_AUTOMATIC_DISCOVERY_RANGE") or (
        "LOCALHOST" if environment.get("ROS_LOCALHOST_ONLY") == "1" else "SUBNET"
    )
    if reach not in ("LOCALHOST", "SUBNET", "SYSTEM_DEFAULT"):
        what = "finds no robot" if reach == "OFF" else "is not known"
        raise UserError(f"ROS_AUTOMATIC_DISCOVERY_RANGE={reach} {what}: set it to SUBNET, or to LOCALHOST")
    parts = [_DEFAULTS]
    if reach == "LOCALHOST":
        parts.append(_ONLY_THIS_COMPUTER)
    if reach != "SYSTEM_DEFAULT":
        peers = ["127.0.0.1", *filter(None, environment.get("ROS_STATIC_PEERS", "").split(";"))]
        parts.append(_PEERS.format("".join(f"<Peer Address={quoteattr(peer.strip())}/>" for peer in peers)))
    return ",".join([*parts, *filter(None, [environment.get("CYCLONEDDS_URI")])])
