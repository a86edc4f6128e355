import pytest
import torch
from reference import OlderReference, randomize

from dp_hf import DiffusionPolicyPipeline
from dp_hf.errors import UserError
from dp_hf.training.trainer import train


@pytest.fixture
def trained(make_config, tmp_path):
    return train(make_config(output_dir=tmp_path / "first", num_epochs=1)) / "final"


def begin(config):
    """The pipeline as training would begin with it."""

    class Begun(Exception):
        pass

    found = []

    def check(pipeline):
        found.append({name: value.clone() for name, value in pipeline.policy.state_dict().items()})
        found.append(pipeline.normalizer)
        raise Begun

    with pytest.raises(Begun):
        train(config, check=check)
    return found


def test_weights_and_normalizer_are_those_of_the_policy(trained, make_config):
    weights, normalizer = begin(make_config(init_from=str(trained), seed=7, dropout=0.3))
    before = DiffusionPolicyPipeline.from_pretrained(trained)
    assert all(torch.equal(value, weights[name]) for name, value in before.policy.state_dict().items())
    for name, value in before.normalizer.named_buffers():
        assert torch.equal(normalizer.get_buffer(name), value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden_dim": 64}, "hidden_dim 32, not 64"),
        ({"normalization": "identity"}, "normalization min_max, not identity"),
        ({"prediction_type": "sample"}, "prediction_type epsilon, not sample"),
        ({"diffusion_timesteps": 20}, "diffusion_timesteps 10, not 20"),
        ({"init_from": "nowhere/at/all"}, "nowhere/at/all"),
    ],
)
def test_weights_that_mean_something_else_are_refused(trained, make_config, options, message):
    with pytest.raises(UserError, match=message):
        train(make_config(**{"init_from": str(trained)} | options))


def test_a_checkpoint_of_the_reference_is_continued(make_config, tmp_path, capsys):
    file = tmp_path / "model.pth"
    reference = randomize(OlderReference(hidden_dim=32, num_layers=2))
    args = {"image_size": 32, "diffusion_timesteps": 10}
    torch.save({"model_state_dict": reference.state_dict(), "args": args}, file)
    options = {"image_size": (32, 32), "image_encoder": "resnet34.tv_in1k", "normalization": "identity"}
    weights, normalizer = begin(make_config(init_from=str(file), **options))
    said = capsys.readouterr().out
    assert "activation is taken to be relu and its input order action_image_time, which the file does not tell" in said
    assert "are the reference's defaults: beta_start 0.0001, beta_end 0.02" in said
    assert torch.equal(weights["denoising_network.output.weight"], reference.mlp[-1].weight)
    assert normalizer.config.mode == "identity"
