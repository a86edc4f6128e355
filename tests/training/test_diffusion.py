import pytest
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler

from dp_hf.models.normalizer import Normalizer
from dp_hf.models.policy import DiffusionPolicyModel
from dp_hf.training.config import TrainConfig
from dp_hf.training.diffusion import diffusion_loss, make_noise_scheduler, make_sampler, observe, observe_state

OPTIONS = {"image_encoder": "small_cnn", "image_size": (16, 16), "hidden_dim": 16, "dropout": 0.0}


@pytest.fixture
def batch():
    torch.manual_seed(0)
    return {
        "image_features": torch.randn(3, 1, 1, 64),
        "state": torch.rand(3, 1, 7) * 100,
        "action": torch.rand(3, 4, 7) * 100,
        "is_pad": torch.tensor([[False, False, True, True], [False] * 4, [False, True, True, True]]),
    }


@pytest.mark.parametrize("prediction_type", ["epsilon", "sample", "v_prediction"])
@pytest.mark.parametrize("samples", [1, 3])
def test_loss_follows_the_published_formula(prediction_type, samples, batch):
    config = TrainConfig.from_options(
        **OPTIONS,
        horizon=4,
        use_proprioception=True,
        prediction_type=prediction_type,
        diffusion_timesteps=50,
        noise_samples_per_image=samples,
    )
    policy = DiffusionPolicyModel(**OPTIONS, horizon=4, use_proprioception=True)
    normalizer = Normalizer.from_data(batch["state"][:, 0], batch["action"].flatten(0, 1))
    torch.manual_seed(1)
    loss = diffusion_loss(policy, policy, make_noise_scheduler(config), normalizer, batch, config)

    torch.manual_seed(1)
    count = 3 * samples
    noise, timesteps = torch.randn(count, 4, 7), torch.randint(0, 50, (count,))
    kept = (1 - torch.linspace(1e-4, 0.02, 50)).cumprod(0)
    total, learned = 0.0, 0
    for i in range(count):
        item, alpha = i // samples, kept[timesteps[i]]
        clean = normalizer.normalize(batch["action"][item], "action")
        noisy = alpha.sqrt() * clean + (1 - alpha).sqrt() * noise[i]
        velocity = alpha.sqrt() * noise[i] - (1 - alpha).sqrt() * clean
        target = {"epsilon": noise[i], "sample": clean, "v_prediction": velocity}[prediction_type]
        state = normalizer.normalize(batch["state"][item], "state").flatten()
        seen = torch.cat([batch["image_features"][item, 0, 0], state])[None]
        prediction = policy.denoise(noisy[None], timesteps[i : i + 1], seen)[0]
        real = ~batch["is_pad"][item]
        total += (prediction - target)[real].square().sum()
        learned += 7 * int(real.sum())
    torch.testing.assert_close(loss, total / learned, rtol=1e-4, atol=1e-5)


def test_padding_counts_on_request(batch):
    def predicts_nothing(noisy_actions, timesteps, image_features, return_dict):
        return (torch.zeros_like(noisy_actions),)

    policy = DiffusionPolicyModel(**OPTIONS, horizon=4)
    for loss_on_padding in (True, False):
        config = TrainConfig.from_options(**OPTIONS, horizon=4, loss_on_padding=loss_on_padding)
        torch.manual_seed(1)
        args = policy, make_noise_scheduler(config), Normalizer("identity"), batch, config
        loss = diffusion_loss(predicts_nothing, *args)
        torch.manual_seed(1)
        noise = torch.randn(3, 4, 7)
        learned = noise if loss_on_padding else noise[~batch["is_pad"]]
        torch.testing.assert_close(loss, learned.square().mean())


def test_state_noise_is_in_degrees(batch):
    config = TrainConfig.from_options(**OPTIONS, horizon=4, use_proprioception=True, state_noise=5.0)
    policy = DiffusionPolicyModel(**OPTIONS, horizon=4, use_proprioception=True)
    normalizer = Normalizer("identity")
    seen = []
    batch = {name: value.repeat(500, *[1] * (value.ndim - 1)) for name, value in batch.items()}

    def model(noisy_actions, timesteps, image_features, state, return_dict):
        seen.append(state)
        return (noisy_actions,)

    diffusion_loss(model, policy, make_noise_scheduler(config), normalizer, batch, config)
    assert (seen[0] - batch["state"]).std().item() == pytest.approx(5.0, rel=0.05)


def test_state_dropout_leaves_the_whole_state_out(batch):
    config = TrainConfig.from_options(**OPTIONS, use_proprioception=True, state_dropout=0.3)
    state = batch["state"][:1].repeat(2000, 1, 1) + 1.0
    shown = observe_state(Normalizer("identity"), state, config)
    left_out = (shown == 0).all(dim=(1, 2))
    assert left_out.float().mean().item() == pytest.approx(0.3, abs=0.05)
    assert torch.equal(shown[~left_out], state[~left_out])


def test_training_takes_augmented_variants_only(batch):
    features = torch.arange(4.0).view(1, 1, 4, 1).expand(300, 2, 4, 5)
    config = TrainConfig.from_options(**OPTIONS)
    seen = observe(DiffusionPolicyModel(**OPTIONS), {"image_features": features}, config)["image_features"]
    assert seen.shape == (300, 2, 5)
    assert set(seen.unique().tolist()) == {1.0, 2.0, 3.0}


def test_samplers_share_the_noise_process():
    config = TrainConfig.from_options(
        beta_schedule="squaredcos_cap_v2", prediction_type="sample", diffusion_timesteps=100
    )
    for name, kind in (("ddim", DDIMScheduler), ("dpm_solver", DPMSolverMultistepScheduler)):
        config.diffusion.noise_scheduler = name
        sampler = make_sampler(config)
        assert isinstance(sampler, kind)
        torch.testing.assert_close(sampler.alphas_cumprod, make_noise_scheduler(config).alphas_cumprod)
        assert sampler.config.prediction_type == "sample"
        sampler.set_timesteps(10)
        assert sampler.timesteps[0] == 99
    assert make_noise_scheduler(config).config.clip_sample
    config.data.normalization = "mean_std"
    assert not make_noise_scheduler(config).config.clip_sample


def test_committed_actions_are_shown_clean_and_only_the_rest_is_learned(batch):
    config = TrainConfig.from_options(**OPTIONS, horizon=4, max_prefix=2, diffusion_timesteps=50)
    policy = DiffusionPolicyModel(**OPTIONS, horizon=4, max_prefix=2)
    normalizer = Normalizer.from_data(batch["state"][:, 0], batch["action"].flatten(0, 1))
    scheduler = make_noise_scheduler(config)
    torch.manual_seed(6)
    loss = diffusion_loss(policy, policy, scheduler, normalizer, batch, config)

    torch.manual_seed(6)
    noise, timesteps, lengths = torch.randn(3, 4, 7), torch.randint(0, 50, (3,)), torch.randint(0, 3, (3, 1))
    assert len(set(lengths.flatten().tolist())) > 1
    clean = normalizer.normalize(batch["action"], "action")
    noisy = scheduler.add_noise(clean, noise, timesteps)
    total, learned = 0.0, 0
    for i, length in enumerate(lengths.flatten().tolist()):
        chunk = torch.cat([clean[i, :length], noisy[i, length:]])
        told = torch.zeros(2, 7)
        told[:length] = clean[i, :length]
        which = (torch.arange(2) < length).float()
        seen = torch.cat([batch["image_features"][i, 0, 0], told.flatten(), which])[None]
        prediction = policy.denoise(chunk[None], timesteps[i : i + 1], seen)[0]
        real = ~batch["is_pad"][i] & (torch.arange(4) >= length)
        total += (prediction - noise[i])[real].square().sum()
        learned += 7 * int(real.sum())
    torch.testing.assert_close(loss, total / learned, rtol=1e-4, atol=1e-5)


def test_without_prefixes_nothing_more_is_drawn(batch):
    config = TrainConfig.from_options(**OPTIONS, horizon=4, diffusion_timesteps=50)
    policy = DiffusionPolicyModel(**OPTIONS, horizon=4)
    normalizer = Normalizer.from_data(batch["state"][:, 0], batch["action"].flatten(0, 1))
    torch.manual_seed(6)
    diffusion_loss(policy, policy, make_noise_scheduler(config), normalizer, batch, config)
    after = torch.rand(1)
    torch.manual_seed(6)
    torch.randn(3, 4, 7), torch.randint(0, 50, (3,))
    assert torch.equal(after, torch.rand(1))
