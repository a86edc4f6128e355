"""Every option knows its range, for flags, YAML files and configs alike."""

import dataclasses
import importlib
import math
import pkgutil
import typing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import dp_hf.cli
from dp_hf.cli import convert_episodes, evaluate, export_policy, infer, record_demonstrations, run_policy, serve_policy
from dp_hf.cli.main import main
from dp_hf.cli.train import parse_config
from dp_hf.errors import UserError
from dp_hf.models.policy import DiffusionPolicyModel
from dp_hf.models.policy_config import PolicyConfig
from dp_hf.ranges import Range
from dp_hf.training.config import GROUPS, TrainConfig


def options_of(kind, found):
    """`kind` and the dataclasses of options within it, added to `found`."""
    if kind not in found:
        found.append(kind)
        for hint in typing.get_type_hints(kind).values():
            if dataclasses.is_dataclass(hint):
                options_of(hint, found)
    return found


def all_options():
    """Every dataclass of options: those of all commands, and those that networks are made of."""
    found = [TrainConfig, *GROUPS.values(), PolicyConfig]
    for module in pkgutil.iter_modules(dp_hf.cli.__path__):
        for value in vars(importlib.import_module(f"dp_hf.cli.{module.name}")).values():
            # Those defined there; what these hold comes from other rooms too.
            if dataclasses.is_dataclass(value) and value.__module__.startswith("dp_hf.cli"):
                options_of(value, found)
    return found


OPTIONS = all_options()
OUT_OF_RANGE = [
    *({"hidden_dim": 0}, {"hidden_dim": -3}, {"num_mlp_layers": 10**9}, {"horizon": 0}, {"n_action_steps": 0}),
    *({"dropout": 1.5}, {"dropout": math.nan}, {"image_size": (0, 3)}, {"image_size": ()}, {"image_size": (1, 2, 3)}),
    *({"down_dims": (), "denoiser": "unet1d"}, {"down_dims": (0,)}, {"time_embed_dim": 0}, {"temporal_ensemble": 1e9}),
    *({"ema_decay": 2}, {"ema_decay": 1}, {"clip_grad_norm": math.nan}, {"clip_grad_norm": -1}, {"learning_rate": 0}),
    *({"beta_start": 0}, {"beta_end": 1e-5}, {"beta_end": 1}, {"num_inference_steps": -1}),
    *({"num_inference_steps": 11, "diffusion_timesteps": 10}, {"diffusion_timesteps": 10**9}),
    *(
        {"camera_names": ("a", "a")},
        {"seed": -1},
        {"seed": 2**32},
        {"checkpoints_total_limit": -1},
        {"num_workers": -1},
    ),
    *(
        {"save_steps": 0},
        {"validation_fraction": 1},
        {"random_shift": -1},
        {"color_jitter": math.inf},
        {"frame_skip": 0},
    ),
]


def has_range(hint):
    """Whether every number that a type hint allows is bounded."""
    if typing.get_origin(hint) is typing.Annotated:
        allowed, *extras = typing.get_args(hint)
        return any(isinstance(extra, Range) for extra in extras) or has_range(allowed)
    if typing.get_origin(hint) is typing.Literal:
        return True
    return hint not in (int, float) and all(has_range(part) for part in typing.get_args(hint))


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: options.__name__)
def test_every_numeric_option_has_a_range(options):
    hints = typing.get_type_hints(options, include_extras=True)
    own = [field.name for field in dataclasses.fields(options)]
    assert [name for name in own if not has_range(hints[name])] == []


def test_a_number_that_no_float_holds_is_in_no_range():
    for options in ({"num_epochs": 10**400}, {"learning_rate": 10**400}):
        with pytest.raises(UserError, match=f"{next(iter(options))} is"):
            TrainConfig.from_options(**options)


def test_commands_of_all_kinds_are_among_the_options():
    names = {options.__name__ for options in OPTIONS}
    assert {
        "RunPolicy",
        "ServePolicy",
        "MyCobotConfig",
        "Ros2Config",
        "CameraConfig",
        "FromRosbag",
        "Evaluate",
    } <= names


@pytest.mark.parametrize("options", OUT_OF_RANGE, ids=str)
def test_out_of_range_is_refused_from_python_and_as_a_flag(options, capsys):
    with pytest.raises(UserError, match="|".join(options)):
        TrainConfig.from_options(**options)
    flags = []
    for name, value in options.items():
        flags += [f"--{name}", *map(str, value if isinstance(value, tuple) else [value])]
    with pytest.raises(SystemExit) as exit_:
        parse_config(flags)
    assert exit_.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


def test_out_of_range_is_refused_in_a_file_and_in_a_policy(tmp_path):
    file = tmp_path / "x.yaml"
    file.write_text("ema_decay: 2\n")
    with pytest.raises(SystemExit):
        parse_config(["--config", str(file)])
    with pytest.raises(UserError, match="action_dim is at least 1"):
        DiffusionPolicyModel(action_dim=0)
    with pytest.raises(UserError, match="'wrist' twice"):
        DiffusionPolicyModel(camera_names=("wrist", "wrist"))


@given(low=st.integers(-5, 5), value=st.floats())
def test_a_range_holds_its_limits_and_nothing_that_is_not_finite(low, value):
    range_ = Range(low, below=low + 3)
    assert (value in range_) == (math.isfinite(value) and low <= value < low + 3)
    assert low in range_
    assert low + 3 not in range_


def test_recipes_are_in_range():
    for recipe in (Path(__file__).parents[1] / "configs" / "train").glob("*.yaml"):
        parse_config(["--config", str(recipe), "--data_dir", "somewhere"])


# As few words as a command needs, none of which leads anywhere.
COMMANDS = {
    "train": (TrainConfig, ["--data_dir", "nowhere"]),
    "infer": (infer.InferArguments, ["--pipeline", "nowhere", "--image", "x"]),
    "evaluate": (evaluate.Evaluate, ["--pipeline", "nowhere"]),
    "run-policy": (run_policy.RunPolicy, ["--pipeline", "nowhere"]),
    "serve-policy": (serve_policy.ServePolicy, ["--pipeline", "nowhere"]),
    "export-policy": (export_policy.ExportPolicy, ["--pipeline", "nowhere", "--output_dir", "x"]),
    "record-demonstrations": (record_demonstrations.RecordDemonstrations, ["--output_dir", "x", "--robot", "mycobot"]),
    "convert-episodes": (convert_episodes.ConvertEpisodes, ["--data_dir", "nowhere", "--output_dir", "x"]),
    "convert-episodes from-rosbag": (convert_episodes.FromRosbag, ["--data_dir", "nowhere", "--output_dir", "x"]),
    "convert-episodes to-lerobot": (convert_episodes.ToLeRobot, ["--data_dir", "nowhere", "--output_dir", "x"]),
}


def ranges_of(hint):
    """(number of values, range) of an option's type hint; None for one that is no number."""
    if typing.get_origin(hint) is typing.Annotated:
        found = [extra for extra in typing.get_args(hint) if isinstance(extra, Range)]
        return (1, found[0]) if found else None
    parts = [found for part in typing.get_args(hint) if (found := ranges_of(part))]
    return (len(parts), parts[0][1]) if parts else None


def numeric_options(kind, prefix=""):
    """Flag, number of values and range of every numeric option."""
    for name, hint in typing.get_type_hints(kind, include_extras=True).items():
        if dataclasses.is_dataclass(hint):
            is_part = hint.__module__.startswith("dp_hf.control.")  # the others are groups of one level
            yield from numeric_options(hint, f"{prefix}{name}." if is_part else prefix)
        elif found := ranges_of(hint):
            yield (f"{prefix}{name}", *found)


def impossible(range_):
    outside = [range_.above, range_.below]
    outside += [limit + step for limit, step in ((range_.low, -1), (range_.high, 1)) if limit is not None]
    return [f"{value:.12g}" for value in outside if value is not None] + [
        "nan",
        "inf",
        "1e400",
        "many",
        "",
        "0x10",
        "1,5",
    ]


BAD = [
    (command, flag, count, value)
    for command, (kind, _) in COMMANDS.items()
    for flag, count, range_ in numeric_options(kind)
    for value in impossible(range_)
]
# A share of them that is another for each option, without losing the values out of range.
FEW = [bad for number, bad in enumerate(BAD) if number % 17 == 0]


def refused(command, flag, count, value, capsys):
    words = [*command.split(), *COMMANDS[command][1], f"--{flag}", *[value] * count]
    try:
        code = main(words)
    except SystemExit as exit_:
        code = exit_.code
    said = capsys.readouterr()
    text = " ".join((said.out + said.err).split())
    return code == 2 and flag.rpartition(".")[2] in text and "Traceback" not in text


def test_impossible_numbers_are_refused_by_name(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert [bad for bad in FEW if not refused(*bad, capsys)] == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_all_impossible_numbers_are_refused_by_name(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len(BAD) > 300
    assert [bad for bad in BAD if not refused(*bad, capsys)] == []
    assert list(tmp_path.iterdir()) == []
