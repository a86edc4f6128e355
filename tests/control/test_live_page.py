"""The page that shows a run as it goes: what it is told, by whom it may be asked, and how it looks."""

import json
import re
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from io import BytesIO

import numpy as np
import pytest
from control_fakes import HOME, FakeClock, FakeExecutor, FakeRobot, as_policy, at_time
from PIL import Image

from dp_hf.arms.mycobot_280 import MYCOBOT_280
from dp_hf.cli.run_policy import main as run_policy
from dp_hf.control.controller import Controller
from dp_hf.control.live_page import LivePage
from dp_hf.errors import UserError

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture
def page():
    """Of a run of 3 s, which was held from 1 s on until 2 s."""
    clock = FakeClock()
    robot = FakeRobot(clock)
    policy = as_policy(lambda image, state: state + np.arange(8)[:, None])
    controller = Controller(
        robot, policy, MYCOBOT_280.limits, n_action_steps=4, clock=clock, executor=FakeExecutor(clock)
    )
    at_time(controller, {1.0: lambda: controller.emergency_stop("button"), 2.0: controller.reset})
    with LivePage(controller) as page:
        controller.observers.append(page)
        controller.run(duration=3)
        yield page


def fetch(address: str, **headers: str) -> bytes:
    with urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=10) as answer:
        return answer.read()


def test_it_tells_what_came_since(page):
    now = json.loads(fetch(f"{page.address}since?after=0"))
    assert now["labels"][6] == "gripper (0..100)"
    assert now["number"] == len(now["times"]) == 151
    assert np.array(now["states"]).shape == np.array(now["commands"]).shape == (151, 7)
    assert now["states"][0] == HOME.tolist()
    assert {hold for hold in now["holds"] if hold} == {"emergency stop: button"}
    assert sum(hold is not None for hold in now["holds"]) == pytest.approx(50, abs=2)
    assert np.array(now["chunk"]["positions"]).shape == (len(now["chunk"]["times"]), 7)
    later = json.loads(fetch(f"{page.address}since?after=140"))
    assert (later["number"], later["times"]) == (151, now["times"][140:])
    assert json.loads(fetch(f"{page.address}since?after=-1;DROP"))["times"] == now["times"]


def test_it_shows_the_latest_picture(page):
    (camera,) = json.loads(fetch(f"{page.address}since?after=0"))["cameras"]
    image = page._controller.robot.read_image().value
    assert Image.open(BytesIO(fetch(f"{page.address}picture/{camera}"))).size == image.shape[1::-1]
    for unknown in ("picture/../secret", "picture/other", "live_page.py"):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            fetch(page.address + unknown)


def test_only_this_computer_by_its_own_name_is_answered(page):
    with pytest.raises(urllib.error.HTTPError, match="403"):
        fetch(page.address, Host="evil.example:80")
    assert b"<title>a run</title>" in fetch(page.address)
    assert page._server.server_address[0] == "127.0.0.1"


def test_numbers_that_are_none_do_not_break_it(page):
    page._controller.robot.state = np.full(7, np.nan)
    page._controller.robot.camera = "off"
    with pytest.raises(UserError, match="cannot start"):
        page._controller.run(duration=1)
    from dp_hf.control.robot import Stamped
    from dp_hf.control.tick import Tick

    page(Tick(200.0, None, Stamped(np.array([np.nan, np.inf, 0, 0, 0, 0, 0]), 200.0), None, "late", "person"))
    now = json.loads(fetch(f"{page.address}since?after=151"))
    assert now["states"] == [[None, None, 0, 0, 0, 0, 0]]
    assert now["cameras"] == []
    assert now["commands"] == [None]
    assert now["actors"] == ["person"]


def test_a_port_that_is_taken_is_said(make_pipeline, tmp_path, capsys):
    make_pipeline().save_pretrained(tmp_path / "pipeline")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert run_policy(["--pipeline", str(tmp_path / "pipeline"), "--duration", "1", "--view", port]) == 2
    assert f"port {port} of this computer cannot be had" in capsys.readouterr().err
    assert run_policy(["--pipeline", str(tmp_path / "pipeline"), "--robot", "none", "--view", "0"]) == 2
    assert "--view: there is no arm" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no chromium on this machine")
def test_a_browser_shows_a_run_of_the_command(make_pipeline, tmp_path):
    make_pipeline(horizon=8, n_action_steps=2, use_proprioception=True).save_pretrained(tmp_path / "pipeline")
    command = [sys.executable, "-m", "dp_hf.cli.main", "run-policy", "--pipeline", str(tmp_path / "pipeline")]
    with subprocess.Popen([*command, "--view", "0", "--duration", "60"], stdout=subprocess.PIPE, text=True) as run:
        address = next(line.split()[-1] for line in run.stdout if line.startswith("see the run"))
        profile = f"--user-data-dir={tmp_path / 'profile'}"
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", profile, "--virtual-time-budget=5000"]
        shown = subprocess.run([BROWSER, *options, "--dump-dom", address], timeout=300, capture_output=True, text=True)
        run.terminate()
    assert re.search(r'role="status"[^>]*>(moving|holding: )', shown.stdout)
    assert shown.stdout.count('<canvas class="curve"') == 7
    assert 'src="picture/image?' in shown.stdout
    assert "commands (" in shown.stdout  # of the report
