import runpy
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dp_hf.disturbances import Disturbances
from dp_hf.training.augmentation import augment_images, draw, widths
from dp_hf.training.options import AugmentationOptions

ROOT = Path(__file__).parents[2]

STRONG = {
    **{"random_shift": 3.0, "random_rotation": 10.0, "random_scale": 0.2, "random_perspective": 0.1},
    **{"color_jitter": 0.3, "channel_jitter": 0.2, "hue_jitter": 0.2, "gamma_jitter": 0.5},
    **{"light_patches": 0.6, "random_blur": 1.0, "image_noise": 8.0, "erased_patches": 2},
}
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))]


def pictures(*shape: int, **options) -> torch.Tensor:
    """Random images, smooth enough that pixels say something about their neighbours."""
    rough = torch.rand(torch.Size(shape).numel(), 3, 4, 5, generator=torch.Generator().manual_seed(0))
    smooth = torch.nn.functional.interpolate(rough, (16, 22), mode="bilinear")
    return (255 * smooth).view(*shape, 3, 16, 22).to(**{"dtype": torch.uint8} | options)


def with_draws(images: torch.Tensor, values: dict[int, float], **options) -> torch.Tensor:
    """Augmented by numbers that are 0 but for those at some places."""
    chosen = AugmentationOptions(**options)
    draws = torch.zeros(images.shape[0], images.shape[2], sum(widths(chosen)))
    for place, value in values.items():
        draws[..., place] = value
    return augment_images(images, chosen, draws)


def test_off_is_the_same_images_and_draws_nothing():
    images, before = pictures(4, 1, 1), torch.get_rng_state()
    assert augment_images(images, AugmentationOptions(state_noise=1.0)) is images
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("name", sorted(STRONG.keys() - {"erased_patches"}))
def test_the_middle_of_every_range_is_the_image_as_it_is(name):
    images = pictures(3, 2, 2)
    torch.testing.assert_close(with_draws(images, {}, **{name: STRONG[name]}), images.float(), rtol=0, atol=0.02)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", [*STRONG, "all"])
def test_each_changes_a_windows_frames_alike_and_windows_and_cameras_apart(name, device):
    strengths = STRONG if name == "all" else {name: STRONG[name]}
    if name != "image_noise":
        strengths = {**strengths, "image_noise": 0.0}
    torch.manual_seed(0)
    images = pictures(1, 1, 1).expand(6, 3, 2, 3, 16, 22).to(device)
    changed = augment_images(images, AugmentationOptions(**strengths))
    assert (changed.dtype, changed.shape, changed.device) == (torch.float32, images.shape, images.device)
    same_frames = torch.allclose(changed, changed[:, :1].expand_as(changed), atol=1e-3)
    # Noise is a sensor's: other in every frame.
    assert same_frames == (name != "image_noise")
    seen = changed[:, 0].flatten(0, 1).flatten(1)
    # Not the smallest distance: some of the blurs are next to none.
    assert torch.pdist(seen[::2]).median() > 1, "windows"
    assert (seen[::2] - seen[1::2]).norm(dim=1).median() > 1, "cameras"


def test_the_generator_decides():
    images, options = pictures(4, 2, 1), AugmentationOptions(**STRONG)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first, second = augment_images(images, options), augment_images(images, options)
    torch.set_rng_state(state)
    assert torch.equal(augment_images(images, options), first)
    assert not torch.equal(first, second)


def test_an_option_leaves_the_draws_of_the_others():
    images = pictures(4, 1, 1)
    torch.manual_seed(0)
    alone = augment_images(images, AugmentationOptions(random_shift=3))
    torch.manual_seed(0)
    both = augment_images(images, AugmentationOptions(random_shift=3, channel_jitter=1e-6))
    torch.testing.assert_close(alone, both, rtol=0, atol=0.01)


@pytest.mark.parametrize(("right", "down"), [(2, 0), (0, -3), (-1, 2)])
def test_shift_repeats_the_edge(right, down):
    images = pictures(1, 1, 1)
    shifted = with_draws(images, {0: right / 4, 1: down / 4}, random_shift=4)
    padded = torch.nn.functional.pad(images[0, 0].float(), (4, 4, 4, 4), mode="replicate")
    expected = padded[..., 4 + down : 20 + down, 4 + right : 26 + right]
    torch.testing.assert_close(shifted[0, 0], expected, rtol=0, atol=0.01)


def test_rotation_and_scale_keep_the_aspect():
    images = torch.zeros(1, 1, 1, 3, 21, 41)
    images[..., 10, 25] = 255  # 5 to the right of the middle
    turned = with_draws(images, {2: 1.0}, random_rotation=90)
    assert turned[0, 0, 0, 0].argmax() in (41 * 5 + 20, 41 * 15 + 20)
    images[..., 8:13, 23:28] = 255
    larger = with_draws(images, {3: 1.0}, random_scale=1.0)
    rows, columns = (larger[0, 0, 0, 0] > 128).nonzero().T
    assert (columns.float().mean() - 20).item() == pytest.approx(10, abs=0.5)
    assert len(columns.unique()) == pytest.approx(10, abs=1)
    assert len(rows.unique()) == pytest.approx(10, abs=1)


def test_colors_mean_what_they_say():
    gray = torch.full((1, 1, 1, 3, 4, 6), 100.0)
    color = sum(widths(AugmentationOptions())[:4])
    brighter = with_draws(gray, {color: 1.0}, color_jitter=0.3)
    torch.testing.assert_close(brighter, torch.full_like(gray, 130), rtol=0, atol=0.01)
    # A gray image of one value has neither contrast nor saturation nor hue.
    for place, option in [
        (color + 1, {"color_jitter": 0.3}),
        (color + 2, {"color_jitter": 0.3}),
        (color + 6, {"hue_jitter": 0.5}),
    ]:
        torch.testing.assert_close(with_draws(gray, {place: 1.0}, **option), gray, rtol=0, atol=0.1)
    red = with_draws(gray, {color + 3: -1.0}, channel_jitter=0.2)
    assert red[0, 0, 0, :, 0, 0].tolist() == pytest.approx([80, 100, 100], abs=0.01)
    darker = with_draws(gray, {color + 7: 1.0}, gamma_jitter=1.0)
    torch.testing.assert_close(darker, torch.full_like(gray, 255 * (100 / 255) ** 2), rtol=0, atol=0.01)
    yellow = torch.tensor([140.0, 130, 100]).view(3, 1, 1).expand(1, 1, 1, 3, 4, 6)
    opposite = with_draws(yellow, {color + 6: 1.0}, hue_jitter=1.0)[0, 0, 0, :, 0, 0]
    assert opposite[2] > opposite[0], "blue is opposite to yellow"
    luminance = torch.tensor([0.299, 0.587, 0.114])
    assert luminance @ opposite == pytest.approx(luminance @ yellow[0, 0, 0, :, 0, 0], abs=1)


def test_patches_of_light_keep_to_their_strength():
    torch.manual_seed(0)
    lit = augment_images(torch.full((300, 1, 1, 3, 12, 20), 100.0), AugmentationOptions(light_patches=0.4))
    assert 30 < lit.min() < 50
    assert 170 < lit.max() < 200
    assert 95 < lit.mean() < 105
    assert torch.equal(lit[..., :1, :, :].expand_as(lit), lit), "no colour of their own"


def test_blur_and_noise_mean_standard_deviations():
    point = torch.zeros(1, 1, 1, 3, 41, 41)
    point[..., 20, 20] = 255
    place = sum(widths(AugmentationOptions())[:3])
    blurred = with_draws(point, {place: 0.5}, random_blur=4.0)[0, 0, 0, 0] / 255
    offset = torch.arange(41) - 20
    assert blurred.sum() == pytest.approx(1, abs=1e-3)
    assert (blurred.sum(0) * offset**2).sum().sqrt() == pytest.approx(2, abs=0.05)
    assert (blurred.sum(1) * offset**2).sum().sqrt() == pytest.approx(2, abs=0.05)
    noise = with_draws(torch.full((1, 2, 1, 3, 100, 100), 128.0), {place + 9: 1.0}, image_noise=10) - 128
    assert noise.std() == pytest.approx(10, rel=0.02)
    assert abs(noise.mean()) < 0.2
    assert abs((noise[:, 0] * noise[:, 1]).mean()) < 1


@settings(max_examples=30, deadline=None)
@given(
    data=st.data(),
    shape=st.tuples(*[st.integers(1, 3)] * 3, st.just(3), st.integers(1, 40), st.integers(1, 40)),
    dtype=st.sampled_from([torch.uint8, torch.float32, torch.float16]),
)
def test_any_options_give_images(data, shape, dtype):
    highest = {
        "random_shift": 100,
        "random_rotation": 180,
        "random_perspective": 0.49,
        "random_blur": 20,
        "image_noise": 255,
    }
    strengths = {
        name: data.draw(st.floats(0, highest.get(name, 1)), label=name) for name in STRONG.keys() - {"erased_patches"}
    }
    options = AugmentationOptions(**strengths, erased_patches=data.draw(st.integers(0, 3)))
    images = (255 * torch.rand(shape)).to(dtype)
    if data.draw(st.booleans(), label="pixels side by side"):
        images = images.movedim(3, -1).contiguous().movedim(-1, 3)
    before = images.clone()
    changed = augment_images(images, options)
    assert torch.equal(images, before)
    assert changed.shape == images.shape
    assert changed.isfinite().all()
    assert changed.min() >= 0
    assert changed.max() <= 255
    assert draw(options, 2, 5, images.device).shape == (2, 5, sum(widths(options)))


def test_the_figure_shows_frames_and_each_kind(recording, monkeypatch, tmp_path):
    pytest.importorskip("mujoco")
    monkeypatch.setattr("dp_hf.disturbances.TABLE", {"nominal": Disturbances()})
    script = runpy.run_path(str(ROOT / "scripts" / "figures" / "augmentation.py"))
    monkeypatch.chdir(tmp_path)
    options = [
        "--data_dir",
        str(recording),
        "--image_size",
        "18",
        "32",
        "--frame_skip",
        "1",
        "--cache_dir",
        str(tmp_path),
    ]
    monkeypatch.setattr(sys, "argv", ["augmentation.py", *options, "--random_shift", "2", "--color_jitter", "0.2"])
    assert script["main"]() == 0
    sheet = Image.open(tmp_path / "augmentation.png")
    rows = 5  # as recorded, the two, both, the simulator
    assert sheet.height == rows * (18 * script["ENLARGED"] + script["GAP"])
