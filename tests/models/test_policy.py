import json

import pytest
import torch

from dp_hf import DiffusionPolicyModel
from dp_hf.errors import UserError

SMALL = {"image_encoder": "resnet18", "image_size": (32, 32), "hidden_dim": 32}


def images(*shape):
    return torch.randint(0, 256, (*shape, 3, 32, 32), dtype=torch.uint8)


def test_defaults_are_the_reference():
    policy = DiffusionPolicyModel()
    config = policy.config
    assert (config.image_encoder, config.denoiser, config.horizon) == ("resnet34.tv_in1k", "mlp", 1)
    assert (config.hidden_dim, config.num_mlp_layers, config.use_proprioception) == (256, 4, False)
    assert policy.denoising_network.layers[0].in_features == 7 + 512 + 64
    assert not any(parameter.requires_grad for parameter in policy.encoder.parameters())


def test_frozen_encoder_keeps_its_batch_norm_statistics():
    policy = DiffusionPolicyModel(**SMALL).train()
    before = {name: value.clone() for name, value in policy.encoder.state_dict().items()}
    loss = policy(torch.randn(4, 1, 7), torch.zeros(4, dtype=torch.long), images(4, 1)).sample.sum()
    loss.backward()
    assert not policy.encoder.training
    assert policy.denoising_network.training
    assert all(torch.equal(before[name], value) for name, value in policy.encoder.state_dict().items())
    assert all(parameter.grad is None for parameter in policy.encoder.parameters())
    assert all(parameter.grad is not None for parameter in policy.denoising_network.parameters())


def test_trainable_encoder_gets_gradients():
    policy = DiffusionPolicyModel(**SMALL, freeze_image_encoder=False).train()
    policy(torch.randn(2, 1, 7), torch.zeros(2, dtype=torch.long), images(2, 1)).sample.sum().backward()
    assert policy.encoder.training
    assert all(parameter.grad is not None for parameter in policy.encoder.parameters())


@pytest.mark.parametrize("denoiser", ["mlp", "mlp_layernorm", "unet1d"])
def test_history_cameras_state_and_chunk(denoiser):
    policy = DiffusionPolicyModel(
        **SMALL, horizon=6, n_obs_steps=2, camera_names=("front", "wrist"), use_proprioception=True, denoiser=denoiser
    ).eval()
    features = policy.encode_images(images(3, 2, 2))
    assert features.shape == (3, 2, 2 * 512)
    observation = policy.observation_features(features, torch.randn(3, 2, 7))
    assert observation.shape == (3, 2 * 2 * 512 + 2 * 7)
    noisy = torch.randn(3, 6, 7)
    assert policy.denoise(noisy, torch.tensor([1, 2, 3]), observation).shape == noisy.shape
    with pytest.raises(UserError, match="proprioception"):
        policy.observation_features(features)


def test_several_noise_samples_share_an_observation():
    torch.manual_seed(0)
    policy = DiffusionPolicyModel(**SMALL).eval()
    frames, noisy, timesteps = images(2, 1), torch.randn(6, 1, 7), torch.arange(6)
    together = policy(noisy, timesteps, frames).sample
    features = policy.encode_images(frames)
    assert torch.equal(together, policy(noisy, timesteps, image_features=features).sample)
    for i in range(6):
        single = policy(noisy[i : i + 1], timesteps[i : i + 1], image_features=features[i // 3 : i // 3 + 1]).sample
        torch.testing.assert_close(single[0], together[i])


def test_saved_and_loaded_with_the_backbone(tmp_path):
    policy = DiffusionPolicyModel(**SMALL)
    policy.save_pretrained(tmp_path)
    loaded = DiffusionPolicyModel.from_pretrained(tmp_path)
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in policy.state_dict().items())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"horizon": 4, "max_prefix": 4}, "max_prefix leaves an action to predict: 0 to 3; got 4"),
        ({"image_encoder": "small_cnn", "cnn_width": 40}, "multiple of 16; got 40"),
        ({"image_encoder": "resnet18", "cnn_width": 32}, "resnet18 has widths of its own"),
    ],
)
def test_a_width_that_the_encoder_cannot_have_is_refused(options, message):
    with pytest.raises(UserError, match=message):
        DiffusionPolicyModel(image_size=(32, 56), **options)


def test_a_policy_of_before_the_width_has_the_old_one(tmp_path):
    DiffusionPolicyModel(image_encoder="small_cnn", image_size=(32, 56)).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    del config["cnn_width"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert DiffusionPolicyModel.from_pretrained(tmp_path).config.cnn_width == 64


def test_unknown_options_are_refused():
    with pytest.raises(UserError, match="denoiser"):
        DiffusionPolicyModel(**SMALL, denoiser="transformer")
    with pytest.raises(UserError, match="n_action_steps"):
        DiffusionPolicyModel(**SMALL, n_action_steps=2)
    with pytest.raises(UserError, match="num_keypoints"):
        DiffusionPolicyModel(**SMALL, pooling="spatial_softmax", num_keypoints=8)
