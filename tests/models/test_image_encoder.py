import time

import pytest
import timm
import torch
from safetensors.torch import save_file

from dp_hf.errors import UserError
from dp_hf.models.image_encoder import ImageEncoder, SpatialSoftmax

IMAGES = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("arguments", "dim"),
    [
        ({"name": "resnet18"}, 512),
        ({"name": "resnet18", "pooling": "spatial_softmax"}, 512),
        ({"name": "resnet18", "pooling": "spatial_softmax", "num_keypoints": 5}, 10),
        ({"name": "small_cnn"}, 64),
        ({"name": "small_cnn", "cnn_width": 32}, 32),
        ({"name": "small_cnn", "pooling": "spatial_softmax", "num_keypoints": 8}, 16),
        ({"name": "vit_tiny_patch16_224"}, 192),
    ],
)
def test_feature_dim(arguments, dim):
    encoder = ImageEncoder(image_size=(64, 64), **arguments).eval()
    assert encoder.feature_dim == dim
    assert encoder(IMAGES).shape == (2, dim)


def test_images_are_standardised_as_the_backbone_was_trained():
    encoder = ImageEncoder("resnet18", (64, 64)).eval()
    config = encoder.backbone.pretrained_cfg
    mean, std = (torch.tensor(config[name]).view(3, 1, 1) for name in ("mean", "std"))
    expected = encoder.backbone((IMAGES.float() / 255 - mean) / std)
    torch.testing.assert_close(encoder(IMAGES), expected)


def test_spatial_softmax_finds_a_peak():
    scores = torch.full((1, 2, 5, 9), -50.0)
    scores[0, 0, 0, 0] = scores[0, 1, 4, 6] = 50
    torch.testing.assert_close(SpatialSoftmax(2)(scores), torch.tensor([[-1.0, 0.5, -1.0, 1.0]]))


def test_weights_from_a_file(tmp_path):
    source = timm.create_model("resnet18", num_classes=0)
    save_file(source.state_dict(), tmp_path / "weights.safetensors")
    for pooling in ("avg", "spatial_softmax"):
        encoder = ImageEncoder("resnet18", (64, 64), pooling)
        encoder.load_pretrained(str(tmp_path / "weights.safetensors"), (64, 64))
        assert torch.equal(encoder.backbone.state_dict()["conv1.weight"], source.conv1.weight)


def test_missing_and_unfit_files_are_named(tmp_path):
    encoder = ImageEncoder("resnet18", (64, 64))
    with pytest.raises(UserError, match=r"absent\.safetensors: no such file"):
        encoder.load_pretrained(str(tmp_path / "absent.safetensors"), (64, 64))
    save_file({"conv1.weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(UserError, match=r"other\.safetensors"):
        encoder.load_pretrained(str(tmp_path / "other.safetensors"), (64, 64))


def test_no_hub_is_said_quickly():
    started = time.monotonic()
    with pytest.raises(UserError, match="--pretrained_backbone"):
        ImageEncoder("resnet34.tv_in1k", (64, 64)).load_pretrained("timm", (64, 64))
    assert time.monotonic() - started < 5


def test_unknown_names_are_refused():
    with pytest.raises(UserError, match="timm has no model"):
        ImageEncoder("resnet35", (64, 64))
    with pytest.raises(UserError, match="pooling"):
        ImageEncoder("resnet18", (64, 64), "max")


def of_another_network(state):
    return timm.create_model("vit_tiny_patch16_224", num_classes=0).state_dict()


def without_a_stage(state):
    return {name: value for name, value in state.items() if not name.startswith("layer2")}


def with_nan(state):
    return state | {"layer1.0.conv1.weight": torch.full_like(state["layer1.0.conv1.weight"], torch.nan)}


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda state: {"x": torch.zeros(1)}, "not the weights of resnet10t"),
        (of_another_network, "not the weights of resnet10t"),
        (without_a_stage, r"not the weights of resnet10t: \d+ of its tensors are not in the file, such as layer2"),
        (with_nan, r"tensor layer1\.0\.conv1\.weight holds values that are not finite"),
    ],
)
@pytest.mark.parametrize("pooling", ["avg", "spatial_softmax"])
def test_backbone_weights_that_leave_the_encoder_random_are_refused(tmp_path, damage, message, pooling):
    file = tmp_path / "weights.pth"
    torch.save(damage(timm.create_model("resnet10t").state_dict()), file)
    encoder = ImageEncoder("resnet10t", (64, 64), pooling)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    with pytest.raises(UserError, match=rf"weights\.pth.*{message}"):
        encoder.load_pretrained(str(file), (64, 64))
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())


@pytest.mark.parametrize("content", [b"", b"version https://git-lfs.github.com/spec/v1\n", b"PK\x03\x04 cut"])
@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_a_damaged_file_of_backbone_weights_is_named(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=name):
        ImageEncoder("resnet10t", (64, 64)).load_pretrained(str(tmp_path / name), (64, 64))
