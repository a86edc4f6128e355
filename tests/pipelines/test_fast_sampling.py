"""Every detour against the plain loop: same generator, same actions."""

import functools
import subprocess
import sys

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dp_hf import DiffusionPolicyModel, DiffusionPolicyPipeline, Normalizer
from dp_hf.pipelines.fast import denoising
from dp_hf.pipelines.fast.cuda_graph import step_by_index
from dp_hf.pipelines.fast.folding import can_fold, fold
from dp_hf.pipelines.fast.scheduler_updates import scheduler_updates


def make_policy(denoiser="mlp", horizon=2, **config):
    torch.manual_seed(0)
    config = {"hidden_dim": 24, "num_mlp_layers": 3, "down_dims": (64, 64)} | config
    return DiffusionPolicyModel(
        image_encoder="small_cnn", image_size=(32, 56), denoiser=denoiser, horizon=horizon, **config
    ).eval()


def make_observation(batch_size):
    return torch.randn(batch_size, 64, generator=torch.Generator().manual_seed(1))


def fast(policy, observation, scheduler, steps, generator=None, callback=None, **options):
    """Normalised actions, by the detour."""
    pipeline = DiffusionPolicyPipeline(policy, scheduler, Normalizer("identity"))
    return pipeline.sample(observation, None, steps, generator, callback_on_step_end=callback, **options)


def plain(*arguments):
    """The same, by the plain loop."""
    return fast(*arguments, fast=False)


def updates_of(scheduler, steps):
    scheduler.set_timesteps(steps)
    return scheduler_updates(scheduler)


def with_exact_tables(scheduler):
    """The scheduler with its tables in float64 where the detours compute in float64, that is for linear betas.

    In float32, `1 - alpha_bar` is off by up to 1e-3 of itself at first, and the plain loop by up to 1.2e-4.
    """
    if scheduler.config.beta_schedule == "linear":
        scheduler.alphas_cumprod = (1 - scheduler.betas.double()).cumprod(0)
        if isinstance(scheduler, DDIMScheduler) and not scheduler.config.set_alpha_to_one:
            scheduler.final_alpha_cumprod = scheduler.alphas_cumprod[0]
    return scheduler


def rounding(scheduler, steps, largest):
    """How far apart two orders of the same float32 operations may end.

    At most 120 steps each round what passes through them: chunks of up to `largest`, times the step's coefficients
    (a cosine schedule's first step divides by a signal of 1e-3). 16 roundings were the most of 1600 random runs.
    """
    updates = updates_of(scheduler, steps)
    if updates is None:
        return 0.0  # the plain loop itself
    a, b, c, d, e = updates.coefficients.abs().unbind(1)
    gain = max(1.0, torch.stack([c * a, c * b, d, e]).max().item())
    return 128 * torch.finfo(torch.float32).eps * gain * largest


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(params=["torch", "numba"])
def path(request, monkeypatch):
    """The accelerator in every run, however short, or in none."""
    if request.param == "torch":
        monkeypatch.setattr(denoising, "load_compiled", lambda: None)
    else:
        pytest.importorskip("numba")
        assert denoising.load_compiled() is not None
        monkeypatch.setattr(denoising, "MIN_COMPILED_STEPS", 1)
    return request.param


@st.composite
def schedulers(draw):
    steps = draw(st.integers(2, 120))
    options = {
        "num_train_timesteps": steps,
        "beta_schedule": draw(st.sampled_from(["linear", "scaled_linear", "squaredcos_cap_v2"])),
        "prediction_type": draw(st.sampled_from(["epsilon", "sample", "v_prediction"])),
        "timestep_spacing": draw(st.sampled_from(["leading", "trailing", "linspace"])),
        "clip_sample": draw(st.booleans()),
        "clip_sample_range": draw(st.sampled_from([0.5, 1.0, 3.0])),
        "thresholding": draw(st.integers(0, 9)) == 0,
        "rescale_betas_zero_snr": draw(st.integers(0, 4)) == 0,
    }
    if draw(st.booleans()):
        variance = draw(st.sampled_from(["fixed_small", "fixed_small_log", "fixed_large"]))
        return with_exact_tables(DDPMScheduler(**options, variance_type=variance))
    return with_exact_tables(DDIMScheduler(**options, set_alpha_to_one=draw(st.booleans())))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    scheduler=schedulers(),
    denoiser=st.sampled_from([("mlp", "relu"), ("mlp", "mish"), ("mlp_layernorm", "relu"), ("unet1d", "relu")]),
    num_mlp_layers=st.integers(1, 4),
    hidden_dim=st.sampled_from([3, 16, 24]),
    horizon=st.integers(1, 17),
    batch_size=st.integers(1, 10),
    part_of_steps=st.floats(0.01, 1),
    generators=st.sampled_from(["one", "several", "none"]),
    max_prefix=st.integers(0, 5),
    part_of_prefix=st.floats(0, 1),
)
def test_same_generator_same_actions(
    path,
    scheduler,
    denoiser,
    num_mlp_layers,
    hidden_dim,
    horizon,
    batch_size,
    part_of_steps,
    generators,
    max_prefix,
    part_of_prefix,
):
    denoiser, activation = denoiser
    sizes = {"hidden_dim": hidden_dim, "num_mlp_layers": num_mlp_layers, "max_prefix": min(max_prefix, horizon - 1)}
    policy = make_policy(denoiser, horizon, activation=activation, **sizes)
    prefix = torch.rand(batch_size, round(part_of_prefix * sizes["max_prefix"]), 7, generator=seeded(2)) * 2 - 1
    observation = make_observation(batch_size)
    steps = max(1, int(part_of_steps * scheduler.config.num_train_timesteps))
    results, next_draws, largest = [], [], 4.0  # noise at first

    def see(pipeline, index, timestep, tensors):
        nonlocal largest
        largest = max(largest, tensors["latents"].nan_to_num().abs().max().item())

    for function in (functools.partial(fast, callback=see, fast=False), fast):
        torch.manual_seed(3)
        generator = {"one": seeded(), "several": [seeded(i) for i in range(batch_size)], "none": None}[generators]
        results.append(function(policy, observation, scheduler, steps, generator, prefix=prefix))
        next_draws.append(torch.randn(5, generator=generator[-1] if generators == "several" else generator))
    expected, actions = results
    bound = rounding(scheduler, steps, largest)
    torch.testing.assert_close(actions, expected, rtol=0, atol=bound, equal_nan=True)
    assert torch.equal(actions[:, : prefix.shape[1]], prefix)
    assert torch.equal(*next_draws)
    assert not actions.is_inference()


@pytest.mark.parametrize("denoiser", ["mlp", "mlp_layernorm"])
@pytest.mark.parametrize("prediction_type", ["epsilon", "sample", "v_prediction"])
@pytest.mark.parametrize("scheduler_class", [DDPMScheduler, DDIMScheduler])
def test_a_thousand_steps(path, denoiser, prediction_type, scheduler_class):
    policy, observation = make_policy(denoiser, horizon=1, hidden_dim=64), make_observation(1)
    scheduler = with_exact_tables(scheduler_class(1000, prediction_type=prediction_type))
    actions = fast(policy, observation, scheduler, 1000, seeded())
    torch.testing.assert_close(actions, plain(policy, observation, scheduler, 1000, seeded()), rtol=0, atol=1e-4)


@pytest.mark.parametrize("denoiser", ["mlp", "mlp_layernorm", "unet1d"])
def test_weights_are_never_stale(path, denoiser):
    policy, observation, scheduler = make_policy(denoiser), make_observation(2), DDPMScheduler(30)

    def assert_same():
        actions = fast(policy, observation, scheduler, 30, seeded())
        torch.testing.assert_close(actions, plain(policy, observation, scheduler, 30, seeded()), rtol=0, atol=1e-4)
        return actions

    before = assert_same()
    with torch.no_grad():
        for parameter in policy.denoising_network.parameters():
            parameter.mul_(1.5)
    assert not torch.allclose(assert_same(), before)
    policy.load_state_dict({name: 0.5 * value for name, value in policy.state_dict().items()})
    assert_same()
    policy.bfloat16().float()
    assert_same()


def test_half_precision_weights_compute_in_float32(path):
    policy, scheduler = make_policy(), DDPMScheduler(30)
    observation = make_observation(2).bfloat16().float()
    rounded = policy.bfloat16()
    actions = fast(rounded, observation.bfloat16(), scheduler, 30, seeded())
    assert actions.dtype == torch.float32
    # Only the timestep embedding is still rounded.
    expected = plain(rounded.float(), observation, scheduler, 30, seeded())
    torch.testing.assert_close(actions, expected, rtol=0, atol=0.05)


def test_callback_sees_what_the_plain_loop_shows(path):
    policy, observation, scheduler = make_policy(), make_observation(3), DDPMScheduler(12)
    seen, expected = [], []

    def into(steps):
        return lambda pipeline, index, timestep, tensors: steps.append((index, timestep, tensors["latents"]))

    last = fast(policy, observation, scheduler, 6, seeded(), into(seen))
    plain(policy, observation, scheduler, 6, seeded(), into(expected))
    assert [step[:2] for step in seen] == [step[:2] for step in expected]
    for (*_, actions), (*_, plain_actions) in zip(seen, expected, strict=True):
        torch.testing.assert_close(actions, plain_actions, rtol=0, atol=1e-4)
        assert not actions.is_inference()
    assert torch.equal(seen[-1][2], last)


@pytest.mark.parametrize(
    "scheduler",
    [
        DDPMScheduler(20, thresholding=True),
        DDPMScheduler(20, variance_type="learned"),
        DDPMScheduler(20, rescale_betas_zero_snr=True),
        DPMSolverMultistepScheduler(20),
        type("MyScheduler", (DDPMScheduler,), {})(20),
    ],
    ids=["thresholding", "learned variance", "zero signal", "another solver", "a subclass"],
)
def test_what_the_formulas_do_not_cover_is_left_to_the_plain_loop(scheduler):
    assert updates_of(scheduler, 20) is None


def test_a_denoiser_with_anything_around_it_is_left_alone():
    assert can_fold(make_policy("unet1d").denoising_network)
    assert not can_fold(make_policy("unet1d").bfloat16().denoising_network)
    network = make_policy().denoising_network
    assert can_fold(network)
    assert not can_fold(network.train())
    hook = network.eval().layers[0].register_forward_hook(lambda *_: None)
    assert not can_fold(network)
    hook.remove()
    torch.nn.utils.parametrizations.weight_norm(network.layers[0])
    assert not can_fold(network)


@pytest.mark.parametrize("denoiser", ["mlp", "mlp_layernorm", "unet1d"])
def test_rows_counted_on_the_device_are_the_same_steps(denoiser):
    """What a CUDA graph replays, run without one."""
    policy, observation, scheduler = make_policy(denoiser, max_prefix=1), make_observation(2), DDPMScheduler(15)
    with torch.inference_mode():
        updates = updates_of(scheduler, 15)
        generator = seeded()
        chunk = torch.randn(2, 2, 7, generator=generator)
        chunk[:, 0] = 0.3  # an action that is committed
        shown = policy.with_prefix(observation, chunk, torch.tensor([[True, False]] * 2))
        folded = fold(policy.denoising_network, updates.timesteps, shown)
        actions = chunk.flatten(1)
        noise = torch.cat(list(denoising.noise_blocks(updates, actions, generator)))
        step = denoising.denoising_step(folded, updates, kept=7)
        advance = step_by_index(step, actions, [noise, *denoising.tables(folded, updates)])
        for _ in range(15):
            advance()
    prefix = torch.full((2, 1, 7), 0.3)
    expected = fast(policy, observation, scheduler, 15, seeded(), fast=False, prefix=prefix).flatten(1)
    torch.testing.assert_close(actions, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("obstacle", ["sys.modules['numba'] = None", "import numba; numba.njit = None"])
def test_without_numba_torch_samples(obstacle):
    code = f"""
import sys
{obstacle}
import torch
from diffusers import DDPMScheduler
from dp_hf import DiffusionPolicyModel, DiffusionPolicyPipeline, Normalizer
from dp_hf.pipelines.fast.denoising import load_compiled
policy = DiffusionPolicyModel(image_encoder="small_cnn", image_size=(32, 56))
pipeline = DiffusionPolicyPipeline(policy, DDPMScheduler(200), Normalizer("identity"))
assert pipeline.sample(torch.zeros(1, 64)).isfinite().all()
assert load_compiled() is None
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("denoiser", ["mlp", "mlp_layernorm", "unet1d"])
def test_cuda_graph(denoiser):
    policy, observation = make_policy(denoiser).cuda(), make_observation(2).cuda()
    scheduler = DDPMScheduler(200)
    actions = fast(policy, observation, scheduler, 200, seeded())
    expected = plain(policy.cpu(), observation.cpu(), scheduler, 200, seeded())
    np.testing.assert_allclose(actions.cpu(), expected, atol=1e-4)
