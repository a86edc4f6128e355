"""Names and units of a set that is no myCobot's, from a LeRobot set to cards, tables, plots and refusals."""

import json

import pytest
from lerobot_set import name_numbers, picture, write_lerobot
from PIL import Image

from dp_hf import DiffusionPolicyPipeline
from dp_hf.arms.mycobot_280 import QUANTITIES
from dp_hf.arms.quantities import Quantities
from dp_hf.arms.undescribed import quantities_of
from dp_hf.cli.main import main
from dp_hf.episodes.dataset import load_dataset_folder
from dp_hf.errors import UserError
from dp_hf.pipelines.model_card import render_model_card
from dp_hf.training.config import TrainConfig
from dp_hf.training.records import read_metrics
from dp_hf.training.trainer import train

JOINTS = ("waist", "shoulder", "elbow", "forearm", "wrist_angle", "wrist_rotate", "gripper")
NAMES = [f"{side}_{joint}" for side in ("left", "right") for joint in JOINTS]
BIMANUAL = Quantities(tuple(NAMES), ("radians",) * 14)
SMALL = {
    **{"image_encoder": "small_cnn", "pretrained_backbone": "none", "image_size": (16, 24), "hidden_dim": 16},
    **{"diffusion_timesteps": 4, "num_epochs": 1, "batch_size": 4, "frame_skip": 1, "use_proprioception": True},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A folder with `dataset`, of 14 joints in radians, and `run`, trained on it."""
    folder = tmp_path_factory.mktemp("bimanual")
    write_lerobot(folder / "lerobot", width=14)
    name_numbers(folder / "lerobot", [NAMES])
    folders = ["--data_dir", str(folder / "lerobot"), "--output_dir", str(folder / "dataset")]
    assert main(["convert-episodes", "from-lerobot", *folders, "--units", "radians"]) == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("datasets.config.HF_DATASETS_CACHE", str(folder / "datasets_cache"))
        data_dir, output_dir = str(folder / "dataset"), folder / "run"
        train(TrainConfig.from_options(data_dir=data_dir, output_dir=output_dir, cache_dir=folder / "cache", **SMALL))
    Image.fromarray(picture(0, 0)).save(folder / "frame.png")
    return folder


def test_the_dataset_speaks_in_them(run):
    assert load_dataset_folder(run / "dataset")[1].action == BIMANUAL
    card = (run / "dataset" / "README.md").read_text()
    assert f"| `state` | 14 x float32 | {BIMANUAL} |" in card
    assert "| action right_gripper (radians) | " in card
    assert "degrees" not in card
    assert "closed" not in card


def test_the_policy_speaks_in_them(run):
    pipeline = DiffusionPolicyPipeline.from_pretrained(run / "run" / "best")
    output = pipeline(picture(0, 0), state=[0.0] * 14)
    assert (output.names, output.units) == (BIMANUAL.names, BIMANUAL.units)
    config = pipeline.policy.config
    assert quantities_of(config, "state") == quantities_of(config, "action") == BIMANUAL
    card = (run / "run" / "best" / "README.md").read_text()
    assert "license" not in card
    assert f"`actions` is float32, (1, 14): {BIMANUAL}. `state` has the same names and units." in card
    assert 'pipeline("frame.png", state=[0.0] * 14)' in card
    validation = next(row["validation"] for row in read_metrics(run / "run") if "validation" in row)
    assert validation["units"] == ["radians"] * 14
    assert set(validation["by_phase"]) <= {"gripper moves", "gripper still"}
    assert f"| left_waist | {validation['by_joint']['left_waist']:.4f} radians |" in card
    assert "degrees" not in card
    assert "closed" not in card


def test_an_image_is_told_in_them(run, capsys):
    call = ["infer", "--pipeline", str(run / "run" / "best"), "--image", str(run / "frame.png")]
    assert main([*call, "--state", *["0.5"] * 14]) == 0
    header, *rows, units = capsys.readouterr().out.splitlines()
    assert header.split() == ["step", *NAMES]
    assert len(rows) == 1
    assert units == str(BIMANUAL)


def test_a_recording_is_compared_in_them(run, tmp_path, capsys):
    call = ["infer", "--pipeline", str(run / "run" / "best"), "--output_dir", str(tmp_path)]
    assert main([*call, "--episode", str(run / "dataset")]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [(row[0], row[-1]) for row in rows[2:16]] == [(name, "radians") for name in NAMES]
    assert json.loads((tmp_path / "predictions.json").read_text())["units"] == ["radians"] * 14
    assert Image.open(tmp_path / "predictions.png").size[1] > 2000


def test_a_recording_of_another_arm_is_refused(run, record_episode, tmp_path, capsys):
    call = ["infer", "--pipeline", str(run / "run" / "best"), "--output_dir", str(tmp_path / "out")]
    assert main([*call, "--episode", str(record_episode(tmp_path / "in"))]) == 2
    error = capsys.readouterr().err
    assert "its action has 7 numbers (link1_to_link2" in error
    assert "not 14 (left_waist" in error
    assert not (tmp_path / "out").exists()


def test_a_recording_in_other_units_is_refused(run, make_pipeline, record_episode, tmp_path, capsys):
    """Seven numbers are not always the myCobot's."""
    make_pipeline(action_names=QUANTITIES.names, action_units=["radians"] * 7).save_pretrained(tmp_path / "pipeline")
    call = ["infer", "--pipeline", str(tmp_path / "pipeline"), "--output_dir", str(tmp_path / "out")]
    assert main([*call, "--episode", str(record_episode(tmp_path / "in"))]) == 2
    assert "has link1_to_link2 (degrees) where link1_to_link2 (radians) is expected" in capsys.readouterr().err


def test_data_of_another_arm_compares_no_export(run, record_episode, tmp_path, capsys):
    pytest.importorskip("onnxscript")
    call = ["export-policy", "--pipeline", str(run / "run" / "best"), "--output"]
    assert main([*call, str(tmp_path / "onnx"), "--data_dir", str(run / "dataset"), "--num_comparisons", "2"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if "radians" in line]
    assert [row[0] for row in rows] == NAMES
    record_episode(tmp_path / "in")
    assert main([*call, str(tmp_path / "other"), "--data_dir", str(tmp_path / "in")]) == 2
    assert "its state has 7 numbers" in capsys.readouterr().err


def test_a_policy_without_names_is_the_mycobots_or_unknown(make_pipeline, record_episode, tmp_path, capsys):
    """As pipelines were written before they had names: the line is printed once."""
    make_pipeline().save_pretrained(tmp_path / "seven")
    config = json.loads((tmp_path / "seven" / "policy" / "config.json").read_text())
    old = {name: value for name, value in config.items() if not name.endswith(("_names", "_units"))}
    (tmp_path / "seven" / "policy" / "config.json").write_text(json.dumps(old | {"camera_names": ["image"]}))
    call = ["infer", "--pipeline", str(tmp_path / "seven"), "--output_dir", str(tmp_path / "out")]
    assert main([*call, "--episode", str(record_episode(tmp_path / "in"))]) == 0
    told = capsys.readouterr()
    assert told.err.count("count as the myCobot 280's") == 1
    assert told.out.count("degrees") == 6
    output = DiffusionPolicyPipeline.from_pretrained(tmp_path / "seven")(picture(0, 0))
    assert (output.names, output.units) == (QUANTITIES.names, QUANTITIES.units)
    assert quantities_of(make_pipeline(state_dim=3).policy.config, "state") == Quantities.unnamed(3)


def test_a_policy_whose_names_are_unknown_takes_data_of_its_width(run, tmp_path, capsys):
    folder = tmp_path / "unnamed"
    DiffusionPolicyPipeline.from_pretrained(run / "run" / "best").save_pretrained(folder)
    config = json.loads((folder / "policy" / "config.json").read_text())
    unknown = {f"{kind}_{what}": None for kind in ("state", "action") for what in ("names", "units")}
    (folder / "policy" / "config.json").write_text(json.dumps(config | unknown))
    call = ["infer", "--pipeline", str(folder), "--output_dir", str(tmp_path / "out")]
    assert main([*call, "--episode", str(run / "dataset")]) == 0
    assert "[13]" in capsys.readouterr().out


def test_the_card_of_a_mycobot_says_which_way_its_gripper_counts(make_pipeline):
    names = {f"{kind}_names": QUANTITIES.names for kind in ("state", "action")}
    units = {f"{kind}_units": QUANTITIES.units for kind in ("state", "action")}
    card = render_model_card(
        make_pipeline(**names, **units), {"validation": {"link1_to_link2": 1.234, "gripper": 9.05}}
    )
    assert f"(1, 7): {QUANTITIES}. The gripper is closed at 0 and open at 100." in card
    assert "| link1_to_link2 | 1.23 degrees |\n| gripper | 9.05 points |" in card


def test_names_of_another_width_are_refused(make_pipeline):
    with pytest.raises(UserError, match=r"state_names are 2 .*, but state_dim is 7"):
        make_pipeline(state_names=["a", "b"], state_units=["none", "none"])
