import numpy as np
import pytest
import torch

from dp_hf.models.image_encoder import ImageEncoder
from dp_hf.pipelines.fast.encoder import InferenceEncoder, optimized_copy

IMAGES = torch.randint(0, 256, (2, 3, 64, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def make_encoder(name, **options):
    torch.manual_seed(0)
    encoder = ImageEncoder(name, (64, 96), **options)
    with torch.no_grad():
        encoder.train()(IMAGES)  # batch-norm statistics that are not those of a fresh module
    return encoder.eval()


@torch.no_grad()
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("resnet18.tv_in1k", {}),
        ("resnet18.tv_in1k", {"pooling": "spatial_softmax", "num_keypoints": 16}),
        ("mobilenetv3_small_050", {}),
        ("small_cnn", {"pooling": "spatial_softmax"}),
        ("vit_tiny_patch16_224", {}),
    ],
)
def test_copies_compute_the_same_features(name, options):
    encoder = make_encoder(name, **options)
    expected = encoder(IMAGES)
    exact, rounded = (InferenceEncoder(encoder, dtype)(IMAGES) for dtype in (torch.float32, torch.bfloat16))
    torch.testing.assert_close(exact, expected, rtol=1e-4, atol=1e-5)
    assert rounded.dtype == torch.float32
    assert 0 < (rounded - expected).norm() < 0.03 * expected.norm()


def test_a_resnet_keeps_no_batch_norm():
    encoder = make_encoder("resnet18.tv_in1k")
    kinds = [type(module) for module in optimized_copy(encoder, torch.float32).modules()]
    assert torch.nn.BatchNorm2d not in kinds
    assert kinds.count(torch.nn.Conv2d) == 20


@torch.no_grad()
def test_the_copy_follows_the_weights():
    encoder = make_encoder("resnet18.tv_in1k")
    fast = InferenceEncoder(encoder, torch.float32)
    before = fast(IMAGES)
    assert fast._copy is not None
    copied = fast._copy
    assert torch.equal(fast(IMAGES), before)
    assert fast._copy is copied
    encoder.load_state_dict({name: value * 1.1 for name, value in encoder.state_dict().items()})
    assert not torch.allclose(fast(IMAGES), before)
    torch.testing.assert_close(fast(IMAGES), encoder(IMAGES), rtol=1e-4, atol=1e-5)


def test_pipeline_saves_the_encoder_it_was_given(make_pipeline, frame, tmp_path):
    pipeline = make_pipeline(image_encoder="resnet18.tv_in1k")
    weights = {name: value.clone() for name, value in pipeline.policy.state_dict().items()}

    def action(pipeline):
        return pipeline(frame, generator=torch.Generator().manual_seed(0)).actions

    plain = action(pipeline)
    assert pipeline.optimize_for_inference() is pipeline
    optimized = action(pipeline)
    assert not np.array_equal(optimized, plain)
    np.testing.assert_allclose(optimized, plain, atol=3)  # degrees, of 320
    pipeline.save_pretrained(tmp_path / "saved")
    loaded = type(pipeline).from_pretrained(tmp_path / "saved")
    assert all(torch.equal(value, weights[name]) for name, value in loaded.policy.state_dict().items())
    np.testing.assert_array_equal(action(pipeline.optimize_for_inference(dtype=None)), plain)
