"""Every option knows its range, for flags, YAML files and configs alike."""

import dataclasses
import math
import typing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dp_hf.cli import environment_arguments, evaluate, export_policy, infer, policy_arguments, record_demonstrations
from dp_hf.cli.train import parse_config
from dp_hf.errors import UserError
from dp_hf.models.policy import DiffusionPolicyModel
from dp_hf.models.policy_config import PolicyConfig
from dp_hf.ranges import Range
from dp_hf.training.config import GROUPS, TrainConfig

OPTIONS = [
    *(TrainConfig, *GROUPS.values(), PolicyConfig),
    *(policy_arguments.PolicyArguments, infer.InferArguments, evaluate.Evaluate, export_policy.ExportPolicy),
    *(record_demonstrations.RecordDemonstrations, environment_arguments.EnvironmentArguments),
]
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
        return any(isinstance(extra, Range) for extra in typing.get_args(hint))
    if typing.get_origin(hint) is typing.Literal:
        return True
    return hint not in (int, float) and all(has_range(part) for part in typing.get_args(hint))


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: options.__name__)
def test_every_numeric_option_has_a_range(options):
    hints = typing.get_type_hints(options, include_extras=True)
    own = [field.name for field in dataclasses.fields(options)]
    assert [name for name in own if not has_range(hints[name])] == []


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
    with pytest.raises(UserError, match="action_dim is a whole number at least 1"):
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
