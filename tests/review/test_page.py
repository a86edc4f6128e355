"""The page holds what was recorded and what is wrong with it, and a browser shows it from the disk."""

import json
import shutil
import subprocess

import numpy as np
import pytest
from moving_spot import course, write_course
from PIL import Image

from dp_hf.cli.view import main
from dp_hf.episodes.conversion import convert_episodes
from dp_hf.episodes.run_file import Alarm, Chunk, Hold, Run, Score
from dp_hf.errors import UserError
from dp_hf.review.page import write_page
from dp_hf.review.tracks import read_tracks

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def script(file):
    text = file.read_text("utf-8")
    return json.loads(text[text.index("{") : text.rindex("}") + 1])


@pytest.fixture
def recordings(tmp_path):
    """Six episodes; a frame of the first has no picture, and the second stands still for a second."""
    folder = tmp_path / "recordings"
    for seed in range(6):
        rows = [*range(8), *[8] * 11, *range(8, 30)] if seed == 1 else [*range(30)]
        write_course(folder, f"episode_{seed}", course(seed)[rows])
    (folder / "episode_0/frame_dir/image_00005.png").write_bytes(b"")
    return folder


def test_frames_are_named_and_marked_as_they_were_recorded(recordings, tmp_path, capsys):
    assert main([str(recordings), "--output_dir", str(tmp_path / "page")]) == 0
    assert f"open file://{tmp_path}/page/index.html" in capsys.readouterr().out
    index = script(tmp_path / "page/data/index.js")
    assert [row["name"] for row in index["episodes"]] == [f"episode_{number}" for number in range(6)]
    assert index["episodes"][0]["problems"] == ["corrupt image"]
    assert "pauses" in index["episodes"][1]["suspect"]
    first, second = (script(tmp_path / f"page/data/{number}.js") for number in (0, 1))
    assert first["frames"] == [*range(5), *range(6, 30)]
    (mark,) = (mark for mark in first["marks"] if mark["kind"] == "corrupt image")
    assert (first["frames"][mark["start"]], mark["check"]) == (6, True)
    assert mark["what"].startswith("frame 5: ")
    (pause,) = (mark for mark in second["marks"] if mark["kind"] == "pauses")
    assert (pause["start"], pause["stop"]) == (8, 20)
    assert second["labels"] == ["shoulder (degrees)", "elbow (degrees)", "gripper (0..100)"]
    assert np.allclose(second["states"][:8], course(1)[:8], atol=1e-3)


def test_failed_recordings_are_shown_and_do_not_count_among_the_others(recordings, tmp_path):
    (recordings / "episode_4/FAILED_EPISODE_4.txt").write_text("the cube fell")
    write_page(recordings, tmp_path / "page", progress=False)
    row = script(tmp_path / "page/data/index.js")["episodes"][4]
    assert (row["name"], row["problems"], row["score"]) == ("episode_4", ["failed episode"], None)
    assert any("the cube fell" in mark["what"] for mark in script(tmp_path / "page/data/4.js")["marks"])
    assert len(read_tracks(recordings, progress=False)[0]) == 5
    write_page(recordings / "episode_4", tmp_path / "page", progress=False)
    assert len(script(tmp_path / "page/data/index.js")["episodes"]) == 1


def test_pictures_lie_where_the_page_looks_for_them(recordings, tmp_path):
    write_page(recordings, tmp_path / "page", picture_width=40, progress=False)
    (camera,) = script(tmp_path / "page/data/1.js")["cameras"]
    assert camera["size"] == [40, 24]
    sheet = Image.open(tmp_path / "page/data" / camera["sheets"][0])
    at = 12
    x, y = at % camera["columns"] * 40, at // camera["columns"] * 24
    original = Image.open(recordings / f"episode_1/frame_dir/image_{at:05d}.png").resize((40, 24), Image.Resampling.BOX)
    difference = np.abs(np.asarray(sheet.crop((x, y, x + 40, y + 24)), int) - np.asarray(original, int))
    assert difference.mean() < 4


def test_chunks_and_holds_of_a_run_are_on_its_time_axis(recordings, tmp_path):
    chunk = Chunk(np.array([1.0, 1.1]), np.array([[1, 2, 3], [4, 5, 6]]))
    Run([chunk], [Hold(0.5, 0.9, "the camera is late")]).write(recordings / "episode_2")
    write_page(recordings, tmp_path / "page", progress=False)
    episode = script(tmp_path / "page/data/2.js")
    assert episode["chunks"] == [{"times": [1.0, 1.1], "actions": [[1, 2, 3], [4, 5, 6]]}]
    (hold,) = (mark for mark in episode["marks"] if mark["kind"] == "hold")
    assert (hold["start"], hold["stop"], hold["what"]) == (5, 10, "the camera is late")


def test_a_run_is_shown_in_its_own_time_however_many_frames_were_dropped(recordings, tmp_path):
    file = recordings / "episode_2/states.json"
    rows = json.loads(file.read_text())
    for number, row in enumerate(rows):
        row["timestamp"] = 0.18 * number
    file.write_text(json.dumps(rows))
    Run(holds=[Hold(1.79, 2.69, "the camera is late")]).write(recordings / "episode_2")
    write_page(recordings, tmp_path / "page", progress=False)
    episode = script(tmp_path / "page/data/2.js")
    assert episode["seconds"][-1] == pytest.approx(0.18 * 29)
    (hold,) = (mark for mark in episode["marks"] if mark["kind"] == "hold")
    assert (hold["start"], hold["stop"]) == (10, 16)


def test_a_persons_frames_alarms_and_scores_are_on_the_time_axis(recordings, tmp_path):
    write_course(recordings, "episode_6", course(6), actors=["policy"] * 10 + ["nobody"] * 2 + ["person"] * 18)
    score = Score("plan", np.array([0.0, 0.8]), np.array([0.1, 0.7]), 0.5)
    alarm, hold = Alarm(0.8, "alarm: its plan changes"), Hold(0.8, 1.2, "alarm: its plan changes")
    Run(holds=[hold], alarms=[alarm], scores=[score]).write(recordings / "episode_6")
    write_page(recordings, tmp_path / "page", progress=False)
    rows = script(tmp_path / "page/data/index.js")["episodes"]
    assert [row["events"] for row in rows] == [*[[]] * 6, ["alarm", "hold", "person"]]
    episode = script(tmp_path / "page/data/6.js")
    marks = {mark["kind"]: mark for mark in episode["marks"]}
    assert [(marks[kind]["start"], marks[kind]["stop"]) for kind in ("alarm", "hold", "person")] == [
        (8, 9),
        (8, 13),
        (12, 30),
    ]
    assert marks["alarm"]["what"] == "its plan changes"
    assert marks["person"]["what"] == "a person acts for 1.7 s"
    assert episode["scores"] == [{"name": "plan", "times": [0, 0.8], "values": [0.1, 0.7], "limit": 0.5}]
    convert_episodes(recordings, tmp_path / "dataset", progress=False)
    write_page(tmp_path / "dataset", tmp_path / "page", progress=False)
    rows = script(tmp_path / "page/data/index.js")["episodes"]
    assert all(row["events"] == ["person"] for row in rows)  # demonstrations are a person's
    (mark,) = (mark for mark in script(tmp_path / "page/data/6.js")["marks"] if mark["kind"] == "person")
    assert (mark["start"], mark["stop"]) == (12, 30)


NARROW = '{"chunks": [{"times": [0], "positions": [[1]]}], "holds": []}'
ENDLESS = '{"chunks": [], "holds": [], "alarms": [{"time": 1e999, "reason": "late"}]}'
UNEVEN = '{"chunks": [], "holds": [], "scores": [{"name": "plan", "times": [0], "values": [1, 2], "limit": null}]}'


@pytest.mark.parametrize(
    "text", ["[]", '{"chunks": 3}', NARROW, ENDLESS, UNEVEN], ids=["list", "number", "narrow", "endless", "uneven"]
)
def test_a_damaged_run_is_one_sentence(recordings, tmp_path, text):
    (recordings / "episode_2/run.json").write_text(text)
    with pytest.raises(UserError, match=r"run\.json"):
        write_page(recordings, tmp_path / "page", progress=False)
    assert not (tmp_path / "page").exists()


def test_datasets_and_lerobot_sets_are_shown_too(recordings, tmp_path, capsys):
    from lerobot_set import write_lerobot

    convert_episodes(recordings, tmp_path / "dataset", progress=False)
    write_lerobot(tmp_path / "lerobot")
    for folder, count in (("dataset", 6), ("lerobot", 2)):
        assert main([str(tmp_path / folder), "--output_dir", str(tmp_path / "page")]) == 0
        index = script(tmp_path / "page/data/index.js")
        assert len(index["episodes"]) == count
        assert index["source"] == str(tmp_path / folder)


def test_other_files_are_not_replaced(recordings, tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/index.html").write_text("mine")
    assert main([str(recordings), "--output_dir", str(tmp_path / "mine")]) == 2
    assert "holds other than a page" in capsys.readouterr().err
    assert (tmp_path / "mine/index.html").read_text() == "mine"


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no chromium on this machine")
def test_a_browser_shows_it_from_the_disk(recordings, tmp_path):
    (recordings / "episode_3").rename(recordings / "episode_3<img src=x onerror=document.title='run'>")
    score = Score("plan", np.array([0.0, 0.8]), np.array([0.1, 0.7]), 0.5)
    Run(alarms=[Alarm(0.8, "alarm: its plan changes")], scores=[score]).write(recordings / "episode_1")
    write_page(recordings, tmp_path / "page", progress=False)

    def browse(fragment, *options):
        address = f"{(tmp_path / 'page/index.html').as_uri()}#{fragment}"
        profile = f"--user-data-dir={tmp_path / 'profile'}"
        command = [BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", profile, "--virtual-time-budget=5000"]
        return subprocess.run([*command, *options, address], capture_output=True, text=True, timeout=300).stdout

    dom = browse("episode_1:12", "--dump-dom")
    assert '<code id="frame" title="what edit-episodes takes">episode_1:12</code>' in dom
    assert dom.count('class="row') == 6
    assert "stands still for 1.1 s" in dom
    assert dom.count('<canvas class="curve"') == 3 + 1  # numbers, and the alarm's score
    assert ">its plan changes<" in dom
    assert "<title>run</title>" not in dom
    browse("episode_1:12", "--window-size=1000,700", f"--screenshot={tmp_path / 'shot.png'}")
    shot = np.asarray(Image.open(tmp_path / "shot.png").convert("RGB"), int)
    blue_picture = (shot[..., 2] - shot[..., 0] > 150).sum()  # of the camera; the rest of the page has little of it
    assert blue_picture > 5000
