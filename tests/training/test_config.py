from pathlib import Path

import pytest
import yaml

from dp_hf.cli.train import parse_config
from dp_hf.errors import UserError
from dp_hf.training.config import GROUPS, TrainConfig, changed_options, read_config_file, save_config

RECIPES = sorted((Path(__file__).parents[2] / "configs" / "train").glob("*.yaml"))


def test_defaults_are_the_reference():
    config = TrainConfig().options()
    reference = {
        **{"image_size": (224, 224), "frame_skip": 2, "state_dim": 7, "hidden_dim": 256, "num_mlp_layers": 4},
        **{"batch_size": 32, "learning_rate": 1e-4, "num_epochs": 1000, "weight_decay": 1e-5, "save_interval": 100},
        **{"diffusion_timesteps": 1000, "beta_start": 1e-4, "beta_end": 0.02, "gradient_accumulation_steps": 1},
    }
    assert {name: config[name] for name in reference} == reference


def test_reference_recipe_is_the_defaults_but_for_the_offset(tmp_path):
    recipe = parse_config(["--config", str(RECIPES[0].with_name("reference.yaml"))])
    assert changed_options(recipe, save_config(TrainConfig(), tmp_path / "x.yaml") or tmp_path / "x.yaml") == [
        "action_offset: None -> 0",
        "action_source: auto -> state",
    ]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_recipes_parse(recipe):
    config = parse_config(["--config", str(recipe), "--data_dir", "somewhere"])
    assert config.data_dir == "somewhere"
    for name, value in yaml.safe_load(recipe.read_text()).items():
        expected = tuple(value) if isinstance(value, list) else (value, value) if name == "image_size" else value
        assert config.options()[name] == expected


def test_flags_win_over_the_file(tmp_path):
    file = tmp_path / "x.yaml"
    file.write_text("learning_rate: 1e-3\nhorizon: 8\nuse_proprioception: true\nimage_size: [60, 106]\nsave_steps:\n")
    config = parse_config([f"--config={file}", "--horizon", "4", "--no-use-proprioception"])
    policy = config.policy
    assert (config.optimization.learning_rate, policy.horizon, policy.use_proprioception) == (1e-3, 4, False)
    assert policy.image_size == (60, 106)
    assert config.saving.save_steps is None
    assert parse_config(["--image-size", "96", "--use-amp"]).policy.image_size == (96, 96)


def test_saved_options_read_back(tmp_path):
    config = TrainConfig.from_options(
        data_dir="x",
        image_size=(60, 106),
        cache_dir=Path("y"),
        num_keypoints=8,
        freeze_image_encoder=False,
        camera_names=("a", "b"),
    )
    save_config(config, tmp_path / "x.yaml")
    again = parse_config(["--config", str(tmp_path / "x.yaml")])
    for name, value in config.options().items():
        if name != "config":
            assert again.options()[name] == value
    config.optimization.learning_rate = 0.5
    assert changed_options(config, tmp_path / "x.yaml") == ["learning_rate: 0.0001 -> 0.5"]


def test_options_of_an_old_run_read_back_and_count_as_unchanged(tmp_path):
    """One number for the size, and the order of before the groups."""
    old = "seed: 3\nframe_skip: 1\nimage_size:\n- 96\ndata_dir: x\ncamera_names: []\nsave_steps: null\nuse_amp: true\n"
    (tmp_path / "x.yaml").write_text(old)
    config = parse_config(["--config", str(tmp_path / "x.yaml")])
    assert (config.seed, config.policy.image_size, config.hardware.use_amp) == (3, (96, 96), True)
    assert changed_options(config, tmp_path / "x.yaml") == []


def test_flat_options_find_their_groups():
    config = TrainConfig.from_options(horizon=16, batch_size=8, seed=1, cache_dir=Path("c"))
    assert (config.policy.horizon, config.optimization.batch_size, config.seed) == (16, 8, 1)
    assert config == parse_config(["--horizon", "16", "--batch_size", "8", "--seed", "1", "--cache_dir", "c"])
    grouped = [name for group in GROUPS for name in vars(getattr(config, group))]
    assert len(set(grouped)) == len(grouped)
    with pytest.raises(UserError, match=r"no option 'horizn'; did you mean 'horizon'\?"):
        TrainConfig.from_options(horizn=16)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lerning_rate: 1", "did you mean 'learning_rate'"),
        ("zzz: 1", "no option 'zzz'$"),
        ("config: x.yaml", "no option 'config'"),
        ("- 1", "option: value"),
        ("a: [", "cannot be read as YAML"),
    ],
)
def test_wrong_files(text, message, tmp_path):
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(UserError, match=message):
        read_config_file(tmp_path / "x.yaml")
    with pytest.raises(UserError, match="cannot be read"):
        read_config_file(tmp_path / "absent.yaml")


def test_wrong_value_in_a_file_names_the_file(tmp_path, capsys):
    (tmp_path / "x.yaml").write_text("horizon: many")
    with pytest.raises(SystemExit) as exit_:
        parse_config(["--config", str(tmp_path / "x.yaml")])
    assert exit_.value.code == 2
    assert "x.yaml" in "".join(capsys.readouterr())


@pytest.mark.parametrize(
    "options", [{"image_size": (1, 2, 3)}, {"validation_fraction": 1.0}, {"batch_size": 0}, {"n_action_steps": 2}]
)
def test_impossible_options(options):
    with pytest.raises(UserError, match=next(iter(options))):
        TrainConfig.from_options(**options)


def test_a_tilde_is_the_home_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    config = TrainConfig(data_dir="~/in", output_dir=Path("~/out"))
    assert (config.data_dir, config.output_dir) == (f"{tmp_path}/in", tmp_path / "out")
    assert TrainConfig(data_dir="me/cubes").data_dir == "me/cubes"


@pytest.mark.parametrize("limit", [0, -1])
def test_a_run_keeps_a_checkpoint(limit):
    with pytest.raises(UserError, match=r"checkpoints_total_limit is .*at least 1"):
        TrainConfig.from_options(checkpoints_total_limit=limit)
