import json
import re

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    FlowMatchEulerDiscreteScheduler,
    UniPCMultistepScheduler,
)
from PIL import Image

from dp_hf import DiffusionPolicyModel, DiffusionPolicyPipeline, Normalizer
from dp_hf.errors import UserError
from dp_hf.pipelines.loading import load_pipeline


def seeded():
    return torch.Generator().manual_seed(0)


def test_every_kind_of_image_gives_the_same_action(make_pipeline, frame, tmp_path):
    pipeline = make_pipeline()
    Image.fromarray(frame).save(tmp_path / "frame.png")
    kinds = [frame, Image.fromarray(frame), tmp_path / "frame.png", torch.from_numpy(frame).permute(2, 0, 1), [frame]]
    actions = [pipeline(kind, generator=seeded()).actions for kind in kinds]
    assert actions[0].shape == (1, 1, 7)
    assert actions[0].dtype == np.float32
    for other in actions[1:]:
        np.testing.assert_array_equal(other, actions[0])


def test_actions_are_degrees_and_gripper_points(make_pipeline, frame):
    actions = make_pipeline()([frame] * 64, generator=seeded()).actions
    # Random weights and clipped samples: anything the data's range allows, and nothing else.
    assert np.abs(actions[..., :6]).max() <= 160
    assert np.abs(actions[..., :6]).max() > 90
    assert actions[..., 6].min() >= -1e-3
    assert actions[..., 6].max() <= 100 + 1e-3


def test_batch_is_its_members(make_pipeline, frame):
    pipeline = make_pipeline(horizon=4, use_proprioception=True)
    other = frame[::-1].copy()
    states = np.array([[10.0] * 7, [-20.0] * 6 + [50.0]])
    both = pipeline([frame, other], states, generator=[seeded(), seeded()]).actions
    assert both.shape == (2, 4, 7)
    for i, image in enumerate([frame, other]):
        alone = pipeline(image, states[i], generator=seeded()).actions
        np.testing.assert_allclose(both[i : i + 1], alone, atol=1e-3)


def test_saved_and_loaded_folder_acts_the_same(make_pipeline, frame, tmp_path):
    pipeline = make_pipeline(horizon=4)
    pipeline.save_pretrained(tmp_path / "pipeline")
    assert {path.name for path in (tmp_path / "pipeline").iterdir()} == {
        "model_index.json", "policy", "scheduler", "normalizer", "README.md",
    }  # fmt: skip
    loaded = DiffusionPolicyPipeline.from_pretrained(tmp_path / "pipeline")
    np.testing.assert_allclose(
        loaded(frame, generator=seeded()).actions, pipeline(frame, generator=seeded()).actions, atol=1e-3
    )
    loaded.save_pretrained(tmp_path / "again")
    assert (tmp_path / "again" / "README.md").read_text() == (tmp_path / "pipeline" / "README.md").read_text()


def test_half_precision_keeps_the_units_exact(make_pipeline, frame, tmp_path):
    make_pipeline().save_pretrained(tmp_path)
    pipeline = DiffusionPolicyPipeline.from_pretrained(tmp_path, dtype=torch.bfloat16)
    assert pipeline.policy.dtype == torch.bfloat16
    assert pipeline.normalizer.action_scale.dtype == torch.float32
    full = DiffusionPolicyPipeline.from_pretrained(tmp_path)
    assert pipeline(frame, generator=seeded()).actions.dtype == np.float32
    for name, buffer in full.normalizer.named_buffers():
        assert torch.equal(pipeline.normalizer.get_buffer(name), buffer)


@pytest.mark.parametrize("name", ["dtype", "torch_dtype"])
def test_dtype_has_both_names_with_every_diffusers(make_pipeline, tmp_path, name):
    make_pipeline().save_pretrained(tmp_path)
    half = {name: torch.bfloat16}
    assert DiffusionPolicyPipeline.from_pretrained(tmp_path, **half).policy.dtype == torch.bfloat16
    assert DiffusionPolicyModel.from_pretrained(tmp_path / "policy", **half).dtype == torch.bfloat16


def test_a_misspelt_option_is_refused_with_the_nearest_name(make_pipeline, tmp_path):
    make_pipeline().save_pretrained(tmp_path)
    with pytest.raises(UserError, match="has no option num_inferece_steps; num_inference_steps is one"):
        DiffusionPolicyPipeline.from_pretrained(tmp_path, num_inferece_steps=3)
    with pytest.raises(UserError, match="has no option variat; variant is one"):
        DiffusionPolicyPipeline.from_pretrained(tmp_path, variat="fp16")
    with pytest.raises(UserError, match="has no option hiden_dim; hidden_dim is one"):
        DiffusionPolicyModel.from_pretrained(tmp_path / "policy", hiden_dim=64)
    options = {"num_inference_steps": 3, "low_cpu_mem_usage": True, "trust_remote_code": True}
    assert DiffusionPolicyPipeline.from_pretrained(tmp_path, **options).config.num_inference_steps == 3


@pytest.mark.parametrize("scheduler", [DDIMScheduler, DPMSolverMultistepScheduler, UniPCMultistepScheduler])
def test_other_schedulers_share_the_parameterisation(make_pipeline, frame, scheduler):
    pipeline = make_pipeline(num_train_timesteps=100)
    pipeline.scheduler = scheduler.from_config(pipeline.scheduler.config, timestep_spacing="trailing")
    actions = pipeline(frame, num_inference_steps=5, generator=seeded()).actions
    assert np.isfinite(actions).all()
    np.testing.assert_array_equal(actions, pipeline(frame, num_inference_steps=5, generator=seeded()).actions)


def test_flow_matching_is_refused(make_pipeline):
    pipeline = make_pipeline()
    with pytest.raises(UserError, match="FlowMatch"):
        DiffusionPolicyPipeline(pipeline.policy, FlowMatchEulerDiscreteScheduler(), pipeline.normalizer)


def test_a_pipeline_without_statistics_is_refused(make_pipeline):
    pipeline = make_pipeline()
    with pytest.raises(UserError, match="no statistics"):
        DiffusionPolicyPipeline(pipeline.policy, pipeline.scheduler, Normalizer())


def test_default_number_of_steps_is_saved(make_pipeline, frame, tmp_path):
    pipeline = make_pipeline()
    few = DiffusionPolicyPipeline(pipeline.policy, pipeline.scheduler, pipeline.normalizer, num_inference_steps=3)
    few.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "model_index.json").read_text())["num_inference_steps"] == 3
    steps = []
    DiffusionPolicyPipeline.from_pretrained(tmp_path)(frame, callback=lambda i, t, x: steps.append(i))
    assert steps == [0, 1, 2]


def test_history_and_cameras(make_pipeline, frame):
    pipeline = make_pipeline(n_obs_steps=2, camera_names=("front", "wrist"))
    now, before = {"front": frame, "wrist": frame}, {"front": frame[::-1].copy(), "wrist": frame}
    repeated = pipeline(now, generator=seeded()).actions
    np.testing.assert_array_equal(repeated, pipeline([[now, now]], generator=seeded()).actions)
    assert not np.array_equal(repeated, pipeline([[before, now]], generator=seeded()).actions)
    with pytest.raises(UserError, match="wrist"):
        pipeline({"front": frame})
    with pytest.raises(UserError, match="dict"):
        pipeline(frame)
    with pytest.raises(UserError, match="2 frames"):
        pipeline([[now, now, now]])


def test_bad_calls_are_explained(make_pipeline, frame, tmp_path):
    pipeline = make_pipeline(use_proprioception=True)
    with pytest.raises(UserError, match="proprioception"):
        pipeline(frame)
    with pytest.raises(UserError, match="finite"):
        pipeline(frame, [np.nan] * 7)
    with pytest.raises(UserError, match=r"\(1, 1, 7\)"):
        pipeline(frame, [0.0] * 6)
    with pytest.raises(UserError, match=r"absent\.png"):
        pipeline(tmp_path / "absent.png", [0.0] * 7)
    with pytest.raises(UserError, match="no image"):
        pipeline([], [0.0] * 7)
    with pytest.raises(UserError, match="output_type"):
        pipeline(frame, [0.0] * 7, output_type="pil")
    with pytest.raises(UserError, match="not a pipeline folder"):
        DiffusionPolicyPipeline.from_pretrained(tmp_path)
    with pytest.raises(UserError, match="there is no folder nobody/nothing"):
        DiffusionPolicyPipeline.from_pretrained("nobody/nothing")


def test_actions_say_what_they_are(make_pipeline, frame, tmp_path):
    names, units = tuple(f"joint{i}" for i in range(7)), ("radians",) * 7
    make_pipeline(action_names=names, action_units=units).save_pretrained(tmp_path)
    output = DiffusionPolicyPipeline.from_pretrained(tmp_path)(frame)
    assert (output.names, output.units) == (names, units)


def test_another_kind_of_pipeline_is_named(tmp_path):
    (tmp_path / "model_index.json").write_text('{"_class_name": "DDPMPipeline", "unet": ["diffusers", "UNet2DModel"]}')
    with pytest.raises(UserError, match=r"not a diffusion policy.*normalizer, policy, scheduler"):
        DiffusionPolicyPipeline.from_pretrained(tmp_path)


def test_a_tilde_is_the_home_folder(make_pipeline, frame, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    pipeline = make_pipeline()
    pipeline.save_pretrained("~/policy")
    Image.fromarray(frame).save(tmp_path / "frame.png")
    assert {path.name for path in tmp_path.iterdir()} == {"policy", "frame.png"}
    loaded = DiffusionPolicyPipeline.from_pretrained("~/policy")
    one, other = (
        policy(image, generator=torch.Generator().manual_seed(0)).actions
        for policy, image in ((loaded, "~/frame.png"), (pipeline, frame))
    )
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_loading_without_low_memory_gives_the_same(dtype, make_pipeline, tmp_path):
    make_pipeline().save_pretrained(tmp_path)
    pipelines = [
        DiffusionPolicyPipeline.from_pretrained(tmp_path, low_cpu_mem_usage=low, dtype=dtype) for low in (True, False)
    ]
    for name in ("policy", "normalizer"):
        one, other = (getattr(pipeline, name).state_dict() for pipeline in pipelines)
        torch.testing.assert_close(one, other, rtol=0, atol=0)


class OwnPolicy(DiffusionPolicyModel):
    """A policy with a denoiser that the package does not know."""

    def make_denoiser(self, config, observation_dim):
        network = super().make_denoiser(config, observation_dim)
        network.own = torch.nn.Parameter(torch.ones(3))
        return network


def test_a_policy_of_an_own_class_is_loaded_by_that_class_only(make_pipeline, frame, tmp_path):
    pipeline = make_pipeline()
    policy = OwnPolicy(**{k: v for k, v in pipeline.policy.config.items() if not k.startswith("_")})
    own = DiffusionPolicyPipeline(policy, pipeline.scheduler, pipeline.normalizer)
    own.save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"its policy is a OwnPolicy, .*OwnPolicy\.from_pretrained"):
        DiffusionPolicyPipeline.from_pretrained(tmp_path)
    loaded = DiffusionPolicyPipeline.from_pretrained(tmp_path, policy=OwnPolicy.from_pretrained(tmp_path / "policy"))
    actions = [each(frame, generator=torch.Generator().manual_seed(0)).actions for each in (own, loaded)]
    np.testing.assert_array_equal(*actions)
    assert loaded.policy.config.denoiser == pipeline.policy.config.denoiser  # the package's network, with more in it


class LinearPolicy(DiffusionPolicyModel):
    """A policy whose denoiser is none of the package's."""

    def make_denoiser(self, config, observation_dim):
        return LinearDenoiser(config, observation_dim)


class LinearDenoiser(torch.nn.Module):
    def __init__(self, config, observation_dim):
        super().__init__()
        self.linear = torch.nn.Linear(observation_dim, config.horizon * config.action_dim)

    def forward(self, noisy_actions, timesteps, observation):
        return self.linear(observation).view_as(noisy_actions)


def test_an_own_denoiser_is_called_so_and_its_card_says_how_it_is_loaded(make_pipeline, frame, tmp_path):
    pipeline = make_pipeline()
    policy = LinearPolicy(**{k: v for k, v in pipeline.policy.config.items() if not k.startswith("_")})
    own = DiffusionPolicyPipeline(policy, pipeline.scheduler, pipeline.normalizer)
    own.save_pretrained(tmp_path / "own")
    assert json.loads((tmp_path / "own/policy/config.json").read_text())["denoiser"] == "own"
    with pytest.raises(UserError, match="denoiser own is that of a policy's own class"):
        DiffusionPolicyModel.from_pretrained(tmp_path / "own/policy")
    with pytest.raises(UserError, match="its policy is a LinearPolicy, a class that dp_hf has not, so that no command"):
        load_pipeline(str(tmp_path / "own"))

    card = (tmp_path / "own/README.md").read_text("utf-8")
    assert "| denoiser | of LinearPolicy |" in card
    Image.fromarray(frame).save(tmp_path / "frame.png")
    (example,) = re.findall(r"^```python\n(.*?)^```", card, re.M | re.S)
    example = example.replace("PATH_OR_REPOSITORY", str(tmp_path / "own")).replace("frame.png", f"{tmp_path}/frame.png")
    assert f"from {__name__} import LinearPolicy\n" in example
    values: dict = {}
    exec(example, values)
    assert values["actions"].shape == (1, 7)


@pytest.mark.parametrize(
    ("options", "widths", "message"),
    [
        ({}, (7, 6), "the normalizer is for actions of 6 numbers, and the policy's have 7"),
        ({"action_dim": 3}, (7, 7), "the normalizer is for actions of 7 numbers, and the policy's have 3"),
        ({"use_proprioception": True}, (8, 7), "the normalizer is for states of 8 numbers, and the policy's have 7"),
        ({"action_names": ("x", "y")}, (7, 7), "action"),
    ],
)
def test_parts_that_do_not_fit_are_refused(options, widths, message):
    policy = DiffusionPolicyModel(image_encoder="small_cnn", image_size=(32, 56), **options)
    with pytest.raises(UserError, match=message):
        DiffusionPolicyPipeline(policy, DDIMScheduler(10), Normalizer("identity", *widths))


def test_the_state_of_a_policy_that_does_not_see_it_may_be_any():
    policy = DiffusionPolicyModel(image_encoder="small_cnn", image_size=(32, 56))
    DiffusionPolicyPipeline(policy, DDIMScheduler(10), Normalizer("identity", 8, 7))


def test_a_chunk_goes_on_from_committed_actions(make_pipeline, frame):
    pipeline = make_pipeline(horizon=4, max_prefix=2)
    free = pipeline(frame, generator=0).actions
    one = pipeline(frame, generator=0, prefix=free[0, :1] + 5).actions
    np.testing.assert_array_equal(one[0, 0], free[0, 0] + 5)
    assert np.abs(one[0, 1:] - free[0, 1:]).max() > 1e-3
    np.testing.assert_array_equal(pipeline(frame, generator=0, prefix=np.empty((0, 7))).actions, free)
    two = pipeline([frame, frame], generator=0, prefix=np.zeros((2, 2, 7)), output_type="pt").actions
    assert (two[:, :2] == 0).all()
    pipeline.scheduler = DPMSolverMultistepScheduler.from_config(pipeline.scheduler.config)
    np.testing.assert_array_equal(pipeline(frame, generator=0, prefix=one[0, :2]).actions[0, :2], one[0, :2])


@pytest.mark.parametrize(
    ("prefix", "message"),
    [
        (np.zeros((3, 7)), "learned to go on from 2 committed actions at most"),
        (np.zeros((1, 6)), r"prefix must be \(1, 'n', 7\)"),
        (np.zeros(7), "prefix must be"),
        (np.full((1, 7), np.nan), "not finite"),
        ("two", "prefix is an array of numbers"),
    ],
)
def test_a_prefix_that_cannot_be_meant_is_refused(make_pipeline, frame, prefix, message):
    with pytest.raises(UserError, match=message):
        make_pipeline(horizon=4, max_prefix=2)(frame, prefix=prefix)
    if "most" in message:
        with pytest.raises(UserError, match="learned without a prefix"):
            make_pipeline(horizon=4)(frame, prefix=prefix)


def test_a_config_from_before_prefixes_loads_and_acts_the_same(make_pipeline, frame, tmp_path):
    pipeline = make_pipeline(horizon=4)
    pipeline.save_pretrained(tmp_path / "new")
    pipeline.save_pretrained(tmp_path / "old")
    file = tmp_path / "old" / "policy" / "config.json"
    file.write_text(json.dumps({k: v for k, v in json.loads(file.read_text()).items() if k != "max_prefix"}))
    old, new = (DiffusionPolicyPipeline.from_pretrained(tmp_path / name) for name in ("old", "new"))
    np.testing.assert_array_equal(old(frame, generator=0).actions, new(frame, generator=0).actions)
