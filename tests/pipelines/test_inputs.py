"""What a caller may give beside the image, and one sentence for what cannot be meant."""

import re
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler, UniPCMultistepScheduler
from diffusers.callbacks import PipelineCallback

from dp_hf import DiffusionPolicyPipeline
from dp_hf.errors import UserError
from dp_hf.pipelines.loading import load_pipeline

STATE = [10.0, -20.0, 30.0, -40.0, 50.0, -60.0, 70.0]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def pipeline(make_pipeline):
    return make_pipeline(horizon=2, use_proprioception=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"state": ["a"] * 7}, "state is an array of numbers; got"),
        ({"state": {"j1": 1}}, "state is an array of numbers; got"),
        ({"state": [[0.0] * 7, [0.0] * 6]}, "state is an array of numbers; got"),
        ({"state": [None] * 7}, "state is an array of numbers; got"),
        ({"state": np.ma.masked_less(STATE, 0)}, "state is an array of numbers; got"),
        ({"state": torch.zeros(7, dtype=torch.complex64)}, r"state is a tensor of numbers; got torch\.complex64"),
        ({"state": torch.zeros(7).to_sparse()}, r"state is dense, with values; got a torch\.sparse_coo tensor"),
        ({"state": torch.zeros(7, device="meta")}, "state is dense, with values; got a meta tensor"),
        ({"state": [torch.zeros(7, device="meta")]}, "state is an array of numbers; got"),
        ({"state": 5.0}, r"state must be \(1, 1, 7\) or a part of it; got \(\)"),
        ({"state": []}, r"state must be \(1, 1, 7\) or a part of it; got \(0,\)"),
        ({"state": np.zeros((1, 1, 1, 7))}, r"state must be \(1, 1, 7\) or a part of it; got \(1, 1, 1, 7\)"),
        ({"state": [1e300] * 7}, "state holds a value that is not finite"),
        ({"num_inference_steps": 21}, "num_inference_steps is 1 to 20; got 21"),
        ({"num_inference_steps": 0}, "num_inference_steps is 1 to 20; got 0"),
        ({"num_inference_steps": -1}, "num_inference_steps is 1 to 20; got -1"),
        ({"num_inference_steps": 5.0}, r"num_inference_steps is 1 to 20; got 5\.0"),
        ({"num_inference_steps": True}, "num_inference_steps is 1 to 20; got True"),
        ({"generator": 0.0}, r"generator is a seed, a torch\.Generator or a list of them; got 0\.0"),
        ({"generator": True}, r"generator is a seed, a torch\.Generator or a list of them; got True"),
        ({"generator": -1}, r"generator is a seed, a torch\.Generator or a list of them; got -1"),
        ({"generator": []}, "1 chunks are sampled, and generator is a list of 0"),
        ({"generator": [seeded(), "3"]}, r"generator is a seed, a torch\.Generator or a list of them; got '3'"),
        ({"generator": [seeded(), seeded()]}, "1 chunks are sampled, and generator is a list of 2"),
        ({"latents": torch.zeros(1, 7)}, r"latents must be \(1, 2, 7\); got \(1, 7\)"),
        ({"latents": torch.full((1, 2, 7), torch.nan)}, "latents hold a value that is not finite"),
        ({"latents": torch.zeros(1, 2, 7).to_sparse()}, "latents is dense, with values; got a torch"),
        ({"latents": torch.nested.nested_tensor([torch.zeros(2, 7)])}, "latents is dense, with values; got a nested"),
        ({"output_type": np.zeros(1, "i4,f4")}, "output_type is 'np' or 'pt'"),
        ({"num_samples": 0}, "num_samples is 1 or more; got 0"),
        ({"num_samples": 2, "latents": torch.zeros(1, 2, 7)}, r"latents must be \(2, 2, 7\)"),
        ({"callback": print, "callback_on_step_end": print}, "either callback or callback_on_step_end"),
        (
            {"callback_on_step_end": print, "callback_on_step_end_tensor_inputs": ["prompt_embeds"]},
            "callback_on_step_end_tensor_inputs are of latents; got prompt_embeds",
        ),
        (
            {"callback_on_step_end": lambda *_: {"latents": torch.zeros(7)}},
            r"callback_on_step_end returned latents \(7,\), not a tensor \(1, 2, 7\)",
        ),
        (
            {"callback_on_step_end": lambda *_: {"latents": torch.zeros(1, 2, 7).to_mkldnn()}},
            r"what callback_on_step_end returns as latents is dense, with values; got a torch\._mkldnn",
        ),
        (
            {"callback_on_step_end": lambda *_: {"latents": [0.0] * 7}},
            "callback_on_step_end returns latents as a tensor; got list",
        ),
    ],
)
def test_what_cannot_be_meant_is_told_in_a_sentence(pipeline, frame, arguments, message):
    with pytest.raises(UserError, match=message):
        pipeline(frame, **({"state": STATE} | arguments))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_quantized_numbers_are_no_state(pipeline, frame):
    with pytest.raises(UserError, match=r"state is a tensor of numbers; got torch\.quint8"):
        pipeline(frame, torch.quantize_per_tensor(torch.zeros(7), 1.0, 0, torch.quint8))


@pytest.mark.parametrize("as_given", [lambda image: image, lambda image: [image], lambda image: {"image": image}])
@pytest.mark.parametrize(
    ("image", "kind"),
    [
        (torch.zeros(3, 32, 56).to_sparse(), "torch.sparse_coo"),
        (torch.zeros(2, 3, 32, 56).to_sparse(), "torch.sparse_coo"),
        (torch.zeros(3, 32, 56, device="meta"), "meta"),
        (torch.zeros(3, 32, 56, dtype=torch.uint8, device="meta"), "meta"),
        (torch.zeros(2, 3, 32, 56).to_mkldnn(), "torch._mkldnn"),
        (torch.nested.nested_tensor([torch.zeros(3, 32, 56)]), "nested"),
    ],
)
def test_images_have_their_values(pipeline, image, kind, as_given):
    with pytest.raises(UserError, match=re.escape(f"an image tensor is dense, with values; got a {kind} tensor")):
        pipeline(as_given(image), STATE)


def test_a_pipeline_of_more_steps_than_there_are_is_refused(pipeline):
    for steps in (0, 21):
        with pytest.raises(UserError, match="num_inference_steps is 1 to 20"):
            DiffusionPolicyPipeline(**pipeline.components | {"num_inference_steps": steps})


def test_without_its_state_a_policy_says_what_it_wants(pipeline, frame):
    with pytest.raises(UserError, match=r"pass state=, .*gripper \(0\.\.100\)"):
        pipeline(frame)


@pytest.mark.parametrize(
    "state", [np.array(STATE), np.array(STATE[::-1])[::-1], torch.tensor(STATE).bfloat16(), torch.tensor(STATE).int()]
)
def test_every_kind_of_numbers_is_a_state(pipeline, frame, state):
    expected = pipeline(frame, STATE, generator=seeded()).actions
    np.testing.assert_array_equal(pipeline(frame, state, generator=seeded()).actions, expected)


@pytest.mark.parametrize("scheduler", [DDPMScheduler, DPMSolverMultistepScheduler])
def test_torchs_default_dtype_changes_no_more_than_rounding(pipeline, frame, scheduler):
    pipeline.scheduler = scheduler.from_config(pipeline.scheduler.config)
    expected = pipeline(frame, STATE, generator=seeded()).actions
    torch.set_default_dtype(torch.float64)
    try:
        actions = pipeline(frame, STATE, generator=seeded()).actions
    finally:
        torch.set_default_dtype(torch.float32)
    assert actions.dtype == np.float32
    np.testing.assert_allclose(actions, expected, atol=1e-3)


@pytest.mark.parametrize(
    "scheduler", [DDPMScheduler, DDIMScheduler, DPMSolverMultistepScheduler, UniPCMultistepScheduler]
)
def test_threads_share_a_pipeline(make_pipeline, frame, scheduler):
    pipeline = make_pipeline(num_train_timesteps=50)
    pipeline.scheduler = scheduler.from_config(pipeline.scheduler.config)

    def act(seed):
        return pipeline(frame, num_inference_steps=5 + seed % 3, generator=seeded(seed)).actions

    alone = [act(seed) for seed in range(12)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(4) as pool:
            together = list(pool.map(act, range(12)))
    finally:
        sys.setswitchinterval(interval)
    np.testing.assert_array_equal(together, alone)


def test_latents_are_the_noise_that_sampling_starts_from(pipeline, frame):
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config)
    noise = torch.randn(1, 2, 7, generator=seeded(5))
    expected = pipeline(frame, STATE, generator=seeded(5)).actions
    for latents in (noise, noise.numpy().copy()):
        np.testing.assert_array_equal(pipeline(frame, STATE, latents=latents).actions, expected)
    assert torch.equal(noise, torch.randn(1, 2, 7, generator=seeded(5)))  # left as it was


def test_several_samples_of_an_image_that_is_encoded_once(pipeline, frame):
    encoded = []
    pipeline.policy.encoder.register_forward_hook(lambda encoder, images, features: encoded.append(len(images[0])))
    frames, states = [frame, frame[::-1].copy()], np.array([STATE, STATE[::-1]])
    samples = pipeline(frames, states, generator=seeded(), num_samples=3).actions
    assert samples.shape == (6, 2, 7)
    assert encoded == [2]
    repeated = pipeline([f for f in frames for _ in range(3)], states.repeat(3, axis=0), generator=seeded()).actions
    np.testing.assert_allclose(samples, repeated, atol=1e-3)
    one_each = pipeline(frame, STATE, generator=[seeded(i) for i in range(3)], num_samples=3).actions
    np.testing.assert_allclose(one_each[2], pipeline(frame, STATE, generator=seeded(2)).actions[0], atol=1e-3)


@pytest.mark.parametrize("scheduler", [DDPMScheduler, UniPCMultistepScheduler], ids=["detour", "plain loop"])
def test_callback_on_step_end_sees_and_replaces_what_it_does_in_diffusers(pipeline, frame, scheduler):
    pipeline.scheduler = scheduler.from_config(pipeline.scheduler.config)
    seen = []

    def stop_at_the_middle(given, index, timestep, tensors):
        assert given is pipeline
        assert tensors.keys() == {"latents"}
        seen.append((index, timestep.item()))
        return {"latents": torch.zeros(1, 2, 7)} if index == 4 else None

    class AsDiffusersWritesThem(PipelineCallback):
        tensor_inputs = ["latents"]  # noqa: RUF012

        def callback_fn(self, given, index, timestep, tensors):
            return stop_at_the_middle(given, index, timestep, tensors) or tensors

    middle = pipeline.normalizer.action_offset.expand(1, 2, 7)
    for callback in (stop_at_the_middle, AsDiffusersWritesThem()):
        seen.clear()
        actions = pipeline(frame, STATE, 5, seeded(), output_type="pt", callback_on_step_end=callback).actions
        assert torch.equal(actions, middle)
        assert [index for index, _ in seen] == list(range(5))
        assert [timestep for _, timestep in seen] == sorted({timestep for _, timestep in seen}, reverse=True)


def test_a_callback_may_ask_for_nothing(pipeline, frame):
    given = []
    pipeline(
        frame,
        STATE,
        2,
        callback_on_step_end=lambda *arguments: given.append(arguments[3]),
        callback_on_step_end_tensor_inputs=[],
    )
    assert given == [{}, {}]


def test_a_pipeline_of_anothers_components_acts_as_it_does(make_pipeline, frame):
    original = make_pipeline()
    original = DiffusionPolicyPipeline(original.policy, original.scheduler, original.normalizer, num_inference_steps=3)
    expected = original(frame, generator=seeded()).actions
    for copy in (DiffusionPolicyPipeline(**original.components), DiffusionPolicyPipeline.from_pipe(original)):
        np.testing.assert_array_equal(copy(frame, generator=seeded()).actions, expected)
    assert original.to("cpu") is original


def test_the_loader_names_a_device_that_is_not_there(pipeline, tmp_path):
    pipeline.save_pretrained(tmp_path)
    assert load_pipeline(str(tmp_path), "cpu", bf16_encoder=True)._inference_encoder is not None
    for device in ("cudda", "cuda:9"):
        with pytest.raises(UserError, match=f"device '{device}' cannot be used here"):
            load_pipeline(str(tmp_path), device)
