import os
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dp_hf.control.robots.ros2_network import choose_domain_id, cyclone_configuration
from dp_hf.errors import UserError


def parts(**environment) -> str:
    """The configuration as one XML document."""
    text = f"<all>{cyclone_configuration(environment).replace('>,<', '><')}</all>"
    return ElementTree.tostring(ElementTree.fromstring(text), encoding="unicode")


def peers(**environment) -> list[str]:
    return [peer.get("Address") for peer in ElementTree.fromstring(parts(**environment)).iter("Peer")]


def test_the_domain_is_the_one_asked_for_else_that_of_ros():
    assert choose_domain_id(None, {}) == choose_domain_id(None, {"ROS_DOMAIN_ID": ""}) == 0
    assert choose_domain_id(None, {"ROS_DOMAIN_ID": "42"}) == 42
    assert choose_domain_id(7, {"ROS_DOMAIN_ID": "42"}) == 7


@pytest.mark.parametrize("text", ["233", "-1", "robot", "4.0", "²"])
def test_a_domain_that_ros_does_not_have_is_named(text):
    with pytest.raises(UserError, match=f"ROS_DOMAIN_ID is '{text}', not a number from 0 to 232"):
        choose_domain_id(None, {"ROS_DOMAIN_ID": text})


def test_the_discovery_range_is_ros_own():
    assert "NetworkInterface" not in parts()
    for environment in ({"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}, {"ROS_LOCALHOST_ONLY": "1"}):
        assert '<NetworkInterface address="127.0.0.1"' in parts(**environment)
    assert peers() == peers(ROS_LOCALHOST_ONLY="0") == ["127.0.0.1"]
    assert peers(ROS_STATIC_PEERS="10.0.0.7; robot.local") == ["127.0.0.1", "10.0.0.7", "robot.local"]
    assert peers(ROS_AUTOMATIC_DISCOVERY_RANGE="SYSTEM_DEFAULT", ROS_STATIC_PEERS="10.0.0.7") == []


@pytest.mark.parametrize(("name", "words"), [("OFF", "finds no robot"), ("localhost", "is not known")])
def test_a_range_in_which_nothing_is_found_is_refused(name, words):
    with pytest.raises(UserError, match=f"ROS_AUTOMATIC_DISCOVERY_RANGE={name} {words}: set it to"):
        cyclone_configuration({"ROS_AUTOMATIC_DISCOVERY_RANGE": name})


@given(st.text(st.characters(exclude_characters=";\0", exclude_categories=["Cs", "Cc"])))
def test_a_peers_name_stays_a_name(name):
    assert len(peers(ROS_STATIC_PEERS=name)) == (2 if name else 1)


def test_the_users_configuration_comes_last():
    assert cyclone_configuration({"CYCLONEDDS_URI": "file:///mine.xml"}).endswith("</CycloneDDS>,file:///mine.xml")
    assert "file" not in cyclone_configuration({"CYCLONEDDS_URI": ""})


@pytest.mark.parametrize("uri", ["<CycloneDDS><Domain", "file:///nowhere.xml", '<General><Interfaces nosuch="0"/>'])
def test_a_configuration_that_cannot_be_is_one_sentence_and_stays_in_the_environment(uri, monkeypatch):
    pytest.importorskip("cyclonedds")
    from dp_hf.control.robots.dds import Dds

    monkeypatch.setenv("CYCLONEDDS_URI", uri)
    with pytest.raises(UserError, match=r"ROS domain 231 cannot be entered.*CYCLONEDDS_URI is at fault"):
        Dds(231)
    assert os.environ["CYCLONEDDS_URI"] == uri
