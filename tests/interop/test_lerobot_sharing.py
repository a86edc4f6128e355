"""LeRobot datasets on a Hub on the loopback, through huggingface_hub's own client in fresh processes."""

import json

import pytest
import yaml

from dp_hf.cli.convert_episodes import main as convert
from dp_hf.cli.push_to_hub import main as push_to_hub
from dp_hf.interop.lerobot.layout import read_info
from dp_hf.interop.lerobot.sharing import render_card

KEY = ("datasets", "me/set")
PUSH = ["-m", "dp_hf.cli.main", "push-to-hub", "--repo_id", "me/set", "--data_dir"]


@pytest.fixture
def exported(record_episode, tmp_path):
    record_episode(tmp_path / "in", "episode1")
    assert convert(["--data_dir", str(tmp_path / "in"), "--output_dir", str(tmp_path / "ours")]) == 0
    card = tmp_path / "ours" / "README.md"
    card.write_text(card.read_text().replace("---\n", "---\nlicense: cc-by-4.0\n", 1))
    to = [
        "to-lerobot",
        "--data_dir",
        str(tmp_path / "ours"),
        "--output_dir",
        str(tmp_path / "set"),
        "--task",
        "stack |it",
    ]
    assert convert(to) == 0
    return tmp_path / "set"


def front(card):
    return yaml.safe_load(card.split("---\n")[1])


def test_an_export_has_the_card_that_lerobot_and_the_viewer_look_for(exported):
    card = (exported / "README.md").read_text()
    metadata = front(card)
    assert metadata["license"] == "cc-by-4.0"
    assert metadata["task_categories"] == ["robotics"]
    assert metadata["tags"][0] == "LeRobot"
    assert metadata["configs"] == [{"config_name": "default", "data_files": "data/*/*.parquet"}]
    assert "# stack it\n" in card
    assert "Episodes: 1; frames: 8; frames a second: 10." in card
    assert "| `action` | 7 float32 | link1_to_link2 (degrees), " in card
    assert "| `observation.images.image` | 24 x 42 x 3 image | height, width, channels |" in card


def test_a_push_is_found_by_its_version_and_replaces_the_last(hub, client, exported):
    hub = hub[0]
    client(*PUSH, str(exported))
    names = {str(path.relative_to(exported)) for path in exported.rglob("*") if path.is_file()}
    files = hub.repos[KEY]["main"]
    assert set(files) == names
    assert hub.tags[KEY] == {"v3.0": files}
    assert 'LeRobotDataset("me/set")' in files["README.md"].decode()

    files |= {
        "videos/observation.images.a/chunk-000/file-000.mp4": b"ours, once",
        "data/chunk-000/file-001.parquet": b"x",
    }
    files |= {
        "data/mine.csv": b"mine",
        "meta.json": b"{}",
        "data/train-00000-of-00001.parquet": b"as a dataset of ours",
    }
    (exported / "meta" / "info.json").write_text((exported / "meta" / "info.json").read_text() + "\n")
    said = client(*PUSH, str(exported))
    assert set(hub.repos[KEY]["main"]) == {*names, "data/mine.csv"}
    assert hub.tags[KEY] == {"v3.0": hub.repos[KEY]["main"]}
    assert "data/chunk-000/file-001.parquet" in said

    client(*PUSH, str(exported), "--revision", "trial", "--commit_message", "another")
    assert hub.tags[KEY] == {"v3.0": hub.repos[KEY]["main"]}


def test_a_set_of_somebody_is_given_a_card_and_the_tag_of_its_own_version(hub, client, exported):
    (exported / "README.md").unlink()
    info = json.loads((exported / "meta" / "info.json").read_text())
    info |= {"codebase_version": "v2.1"}
    (exported / "meta" / "info.json").write_text(json.dumps(info))
    client(*PUSH, str(exported), "--repo_id", "set")
    files = hub[0].repos[KEY]["main"]
    assert set(hub[0].tags[KEY]) == {"v2.1"}
    assert front(files["README.md"].decode())["tags"][0] == "LeRobot"
    assert not (exported / "README.md").exists()


def test_what_a_file_says_stays_in_its_cell(exported):
    info = json.loads((exported / "meta" / "info.json").read_text())
    info["features"]["a\n| b"] = {"dtype": "x\x1b[1m", "shape": "no", "names": ["\n# Title", 3]}
    (exported / "meta" / "info.json").write_text(json.dumps(info))
    card = render_card(read_info(exported), "a\n\n---\ntags: x")
    assert "# a --- tags: x\n" in card
    assert "| `a b` | x\\x1b[1m |  |" in card


def test_what_is_none_is_refused(exported, capsys):
    push = ["--data_dir", str(exported), "--repo_id", "me/set"]
    assert push_to_hub([*push, "--bundle_code"]) == push_to_hub([*push, "--results", "results.json"]) == 2
    assert "is for pipelines" in capsys.readouterr().err
    for file in exported.glob("data/*/*"):
        file.unlink()
    assert push_to_hub(push) == 2
    assert "has no data/*/*.parquet" in capsys.readouterr().err
