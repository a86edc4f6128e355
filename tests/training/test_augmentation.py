import torch

from dp_hf.training.augmentation import augment_images, jitter, shift


def test_shift_moves_by_whole_pixels_and_repeats_the_edge():
    images = torch.arange(6 * 8).view(1, 1, 6, 8).expand(200, 3, 6, 8).contiguous()
    padded = torch.nn.functional.pad(images[:1].float(), (2, 2, 2, 2), mode="replicate")[0, 0]
    crops = {
        (y, x): padded[y : y + 6, x : x + 8].long() for y in range(5) for x in range(5)
    }  # every way the image can be moved
    seen = set()
    for image in shift(images, 2):
        assert torch.equal(image[0], image[1])
        (place,) = (place for place, crop in crops.items() if torch.equal(crop, image[0]))
        seen.add(place)
    assert len(seen) == 25


def test_jitter_stays_in_range_and_means_what_it_says():
    torch.manual_seed(0)
    images = torch.randint(0, 256, (64, 2, 1, 3, 5, 7)).float()
    changed = jitter(images, 0.3)
    assert changed.shape == images.shape
    assert changed.min() >= 0
    assert changed.max() <= 255
    assert (changed - images).abs().mean() > 5
    # A gray image of one value has neither contrast nor saturation, only brightness.
    flat = jitter(torch.full((500, 1, 1, 3, 2, 2), 100.0), 0.3)
    assert torch.allclose(flat, flat[..., :1, :1, :1].expand_as(flat), atol=1e-3)
    assert 69.9 < flat.min() < 75
    assert 125 < flat.max() < 130.1


def test_frames_of_a_window_are_changed_alike():
    images = torch.randint(0, 256, (5, 1, 1, 3, 8, 9), dtype=torch.uint8).expand(5, 2, 2, 3, 8, 9)
    changed = augment_images(images, random_shift=3, color_jitter=0.2)
    assert torch.allclose(changed[:, 0, 0], changed[:, 1, 1])
    assert augment_images(images) is images
