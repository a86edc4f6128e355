import hashlib

import numpy as np
import pytest
import torch
from PIL import Image

from dp_hf.errors import UserError
from dp_hf.models.image_processor import PREPROCESSING_VERSION, preprocess_image


def test_every_kind_of_image_gives_the_same_tensor(frame, tmp_path):
    pil = Image.fromarray(frame)
    pil.save(tmp_path / "frame.png")
    chw = torch.from_numpy(frame).permute(2, 0, 1)
    kinds = [pil, tmp_path / "frame.png", str(tmp_path / "frame.png"), frame, chw, chw.float() / 255]
    first = preprocess_image(kinds[0], (224, 224))
    assert first.shape == (3, 224, 224)
    assert first.dtype == torch.uint8
    for kind in kinds[1:]:
        assert torch.equal(preprocess_image(kind, (224, 224)), first)


def test_it_is_the_bilinear_antialiased_resize_of_pillow(frame):
    expected = np.asarray(Image.fromarray(frame).resize((64, 48), Image.Resampling.BILINEAR))
    assert np.array_equal(preprocess_image(frame, (48, 64)).permute(1, 2, 0).numpy(), expected)


def test_grey_and_transparent_images_become_rgb(frame):
    grey = Image.fromarray(frame).convert("L")
    assert preprocess_image(grey, (20, 20)).shape == (3, 20, 20)
    assert preprocess_image(Image.fromarray(frame).convert("RGBA"), (20, 20)).shape == (3, 20, 20)


@pytest.mark.parametrize(
    "bad", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), torch.zeros(4, 4, 3, dtype=torch.uint8), 3]
)
def test_other_things_are_refused(bad):
    with pytest.raises(UserError):
        preprocess_image(bad, (20, 20))


def test_an_unreadable_file_is_named(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"\x89PNG not really")
    with pytest.raises(UserError, match=r"broken\.png"):
        preprocess_image(tmp_path / "broken.png", (20, 20))


def test_a_picture_that_is_closed_or_cut_is_told_in_a_sentence(frame, tmp_path):
    closed = Image.fromarray(frame)
    closed.close()
    with pytest.raises(UserError, match="the image given does not decode"):
        preprocess_image(closed, (20, 20))
    Image.fromarray(frame).save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:5000])
    with Image.open(tmp_path / "cut.png") as cut, pytest.raises(UserError, match="the image given does not decode"):
        preprocess_image(cut, (20, 20))


def test_floats_of_one_byte_are_an_image_too():
    levels = torch.zeros(3, 8, 8)
    levels[:, 4:] = 1
    assert torch.equal(preprocess_image(levels.to(torch.float8_e4m3fn), (8, 8)), preprocess_image(levels, (8, 8)))


def test_caches_are_named_by_the_version_of_these_pixels():
    rng = np.random.default_rng(0)
    wide, small = (rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in ((240, 424), (20, 30)))
    images = [wide, small, torch.from_numpy(small).permute(2, 0, 1) / 255, Image.fromarray(wide).convert("L")]
    digest = hashlib.sha256()
    for image in images:
        for size in ((224, 224), (60, 106), (20, 30)):
            digest.update(preprocess_image(image, size).numpy().tobytes())
    # Another digest with the same version, and caches of the pixels before would be taken for these.
    assert (PREPROCESSING_VERSION, digest.hexdigest()[:16]) == (1, "d5b32137657ea12d")
