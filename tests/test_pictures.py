"""One file, one meaning: every door gives the same upright RGB pixels, and refuses what is no picture."""

import io
import re
from types import SimpleNamespace

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from dp_hf.arms.quantities import Quantities
from dp_hf.cli import infer, train
from dp_hf.cli.export_policy import observations
from dp_hf.control.robots.replayed import _decode
from dp_hf.episodes.conversion import convert_episodes
from dp_hf.episodes.dataset import load_dataset_folder
from dp_hf.episodes.dataset_writer import DatasetWriter
from dp_hf.episodes.images import ImageFile, png_bytes, read_image
from dp_hf.errors import UserError
from dp_hf.interop.lerobot.exporting import export_lerobot
from dp_hf.interop.lerobot.importing import import_lerobot
from dp_hf.interop.rosbag.reader import _decode as decode_message
from dp_hf.models.image_processor import preprocess_image
from dp_hf.pictures import NotAPicture, decode, upright_rgb, upright_size
from dp_hf.training.observations import LiveImages

SIZE = (24, 32)
COLOURS = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
GREY = COLOURS[..., 0]
DEPTH = (300 + np.arange(24 * 32).reshape(SIZE)).astype(np.uint16)
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n"


def encoded(image, kind="PNG", orientation=1, **options):
    """Stored turned, so that its EXIF orientation makes it upright again."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    image.save(file, kind, **({"exif": exif} if orientation != 1 else {}), **options)
    return file.getvalue()


def kinds():
    rgb = Image.fromarray(COLOURS)
    on_its_side = Image.fromarray(np.rot90(COLOURS, 1).copy())
    stored = encoded(on_its_side, "JPEG", orientation=6, quality=95)
    grey, alpha = np.repeat(GREY[..., None], 3, 2), Image.fromarray(COLOURS[..., 1])
    with_alpha = rgb.copy()
    with_alpha.putalpha(alpha)
    palette = rgb.convert("P", palette=Image.Palette.ADAPTIVE)
    cmyk = Image.fromarray(np.concatenate([COLOURS, np.zeros((*SIZE, 1), np.uint8)], 2), "CMYK")
    jpeg_cmyk = encoded(cmyk, "JPEG", quality=100, subsampling=0)
    grey_alpha = Image.merge("LA", [Image.fromarray(GREY), alpha])
    return {
        "rgb": (encoded(rgb), COLOURS),
        "turned png": (encoded(Image.fromarray(COLOURS[::-1, ::-1].copy()), orientation=3), COLOURS),
        "side png": (encoded(on_its_side, orientation=6), COLOURS),
        "side jpeg": (stored, np.rot90(np.asarray(Image.open(io.BytesIO(stored))), -1)),
        "grey": (encoded(Image.fromarray(GREY)), grey),
        "grey with alpha": (encoded(grey_alpha), grey),
        "rgba": (encoded(with_alpha), COLOURS),
        "palette": (encoded(palette), np.asarray(palette.convert("RGB"))),
        "cmyk": (jpeg_cmyk, np.asarray(Image.open(io.BytesIO(jpeg_cmyk)).convert("RGB"))),
    }


KINDS = kinds()


def test_cmyk_is_ink():
    _, pixels = KINDS["cmyk"]
    assert np.abs(pixels.astype(int) - (255 - COLOURS.astype(int))).mean() < 3


@pytest.mark.parametrize("kind", KINDS)
def test_every_door_gives_the_same_upright_pixels(tmp_path, kind):
    data, pixels = KINDS[kind]
    file = tmp_path / "image.png"
    file.write_bytes(data)
    tensor = torch.from_numpy(pixels.transpose(2, 0, 1).copy())
    assert torch.equal(preprocess_image(file, SIZE), tensor)
    assert torch.equal(preprocess_image(Image.open(file), SIZE), tensor)
    assert read_image(file) == ImageFile(data, (32, 24))
    assert upright_size(data) == (32, 24)
    assert np.array_equal(_decode({"front": ImageFile(data, (32, 24))}), pixels)
    compressed = SimpleNamespace(data=np.frombuffer(data, np.uint8))
    assert np.array_equal(decode_message(compressed), pixels)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png_bytes(Image.open(file))))), pixels)
    rows = datasets.Dataset.from_dict(
        {"front": [{"bytes": data, "path": None}]}, datasets.Features({"front": datasets.Image()})
    )
    assert torch.equal(LiveImages(rows, ("front",), SIZE)[torch.tensor([0])][0, 0], tensor)


def test_upright_rgb_leaves_an_ordinary_picture_alone():
    stored = decode(encoded(Image.fromarray(COLOURS)))
    assert upright_rgb(stored) is stored


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (DEPTH, "not I;16 of 300 to 1067"),
        (DEPTH.astype(np.int32), "not I of 300 to 1067"),
        (DEPTH.astype(np.float32) / 1000, "not F of 0.3 to 1.067"),
    ],
)
def test_depth_is_refused_with_its_range(tmp_path, values, message):
    depth = Image.fromarray(values)
    with pytest.raises(NotAPicture, match=message):
        preprocess_image(depth, SIZE)
    with pytest.raises(NotAPicture, match=message):
        png_bytes(depth)
    if values.dtype == np.uint16:
        (tmp_path / "depth.png").write_bytes(encoded(depth))
        from_file = r"depth\.png must be 8-bit colours, not I(;16)? of 300 to 1067"  # Pillow 10 reads it as I
        assert re.search(from_file, str(read_image(tmp_path / "depth.png")))
        with pytest.raises(NotAPicture, match=from_file):
            preprocess_image(tmp_path / "depth.png", SIZE)


def test_eps_is_opened_at_no_door(tmp_path, monkeypatch):
    started = []
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", lambda *given: started.append(given))
    file = tmp_path / "image.png"
    file.write_bytes(EPS)
    rows = datasets.Dataset.from_dict(
        {"front": [{"bytes": EPS, "path": None}]}, datasets.Features({"front": datasets.Image()})
    )
    with pytest.raises(UserError, match=r"image\.png does not decode: not a PNG or JPEG or BMP or WEBP file"):
        preprocess_image(file, SIZE)
    with pytest.raises(UserError, match="an image of front in the dataset does not decode: not a PNG or JPEG file"):
        LiveImages(rows, ("front",), SIZE)[torch.tensor([0])]
    assert "does not decode: not a PNG or JPEG file" in str(read_image(file))
    message = SimpleNamespace(data=np.frombuffer(EPS, np.uint8))
    assert decode_message(message) == "an image does not decode: not a PNG or JPEG file"
    assert started == []


@pytest.mark.parametrize("kind", ["BMP", "WEBP"])
def test_a_caller_may_give_further_formats_and_a_recording_not(tmp_path, kind):
    file = tmp_path / "image"
    file.write_bytes(encoded(Image.fromarray(COLOURS), kind, **({"lossless": True} if kind == "WEBP" else {})))
    assert torch.equal(preprocess_image(file, SIZE), torch.from_numpy(COLOURS.transpose(2, 0, 1).copy()))
    assert "not a PNG or JPEG file" in str(read_image(file))


def test_too_many_pixels_are_not_decoded(tmp_path):
    (tmp_path / "large.png").write_bytes(encoded(Image.new("1", (50_000, 1_001))))
    message = "has 50000x1001 pixels, more than 50000000"
    assert message in str(read_image(tmp_path / "large.png"))
    with pytest.raises(UserError, match=message):
        preprocess_image(tmp_path / "large.png", SIZE)


@pytest.mark.parametrize("factor", [255, float("nan")])
def test_float_tensors_of_another_range_are_refused(factor):
    picture = torch.from_numpy(COLOURS).permute(2, 0, 1) / 255
    with pytest.raises(UserError, match=r"in \[0, 1\]; this one holds"):
        preprocess_image(picture * factor, SIZE)


def test_normalised_tensors_are_refused_and_a_filters_overshoot_is_not():
    picture = torch.from_numpy(COLOURS).permute(2, 0, 1) / 255
    mean, std = (torch.tensor(of).view(3, 1, 1) for of in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    normalised = (picture - mean) / std
    held = f"{normalised.min():.3g} to {normalised.max():.3g}: give it before it is normalised"
    with pytest.raises(UserError, match=held):
        preprocess_image(normalised, SIZE)
    assert torch.equal(preprocess_image(picture * 1.001, SIZE)[0] == 255, (picture[0] * 1.001 * 255).round() >= 255)


@pytest.mark.parametrize("kind", ["side jpeg", "grey with alpha", "cmyk"])
def test_an_export_is_upright_rgb_and_an_import_too(tmp_path, kind):
    data, pixels = KINDS[kind]
    arm = Quantities(("a", "b"), ("radians",) * 2)
    states = np.arange(8.0).reshape(4, 2)
    with DatasetWriter(tmp_path / "out", ["front"], arm, fps=10) as writer:
        writer.add_episode("one", [data] * 4, states, states)
    dataset, meta = load_dataset_folder(tmp_path / "out")
    export_lerobot(dataset, meta, tmp_path / "lerobot", progress=False)
    cell = pq.read_table(next((tmp_path / "lerobot/data").rglob("*.parquet")))["observation.images.image"][0].as_py()
    exported = Image.open(io.BytesIO(cell["bytes"]))
    assert (exported.mode, exported.getexif().get(0x0112)) == ("RGB", None)
    assert np.array_equal(np.asarray(exported), pixels)
    import_lerobot(tmp_path / "lerobot", tmp_path / "back", progress=False)
    back, _ = load_dataset_folder(tmp_path / "back")
    assert np.array_equal(np.asarray(back[0]["image"]), pixels)


def test_a_dataset_keeps_the_bytes_and_knows_the_upright_size(tmp_path):
    data, _ = KINDS["side jpeg"]
    with DatasetWriter(tmp_path / "out", ["front"], Quantities(("a",), ("radians",)), fps=10) as writer:
        writer.add_episode("one", [data] * 2, np.zeros((2, 1)), np.zeros((2, 1)))
        assert writer.image_sizes == {(32, 24)}


@pytest.mark.parametrize("cell", [EPS, b"\x89PNG\r\n\x1a\n cut"], ids=["EPS", "a cut PNG"])
def test_no_command_decodes_a_dataset_by_itself(cell, record_episode, make_pipeline, tmp_path, monkeypatch, capsys):
    started = []
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", lambda *given: started.append(given))
    record_episode(tmp_path / "recording")
    convert_episodes(tmp_path / "recording", tmp_path / "dataset", progress=False)
    [shard] = (tmp_path / "dataset" / "data").iterdir()
    table = pq.read_table(shard)
    images = pa.array([{"bytes": cell, "path": None}] * len(table), table.schema.field("image").type)
    pq.write_table(table.set_column(table.schema.names.index("image"), table.schema.field("image"), images), shard)
    pipeline = make_pipeline()
    pipeline.save_pretrained(tmp_path / "pipeline")
    data, small = (
        str(tmp_path / "dataset"),
        "--image_encoder small_cnn --image_size 16 28 --frame_skip 1 --num_epochs 1",
    )

    assert train.main(["--data_dir", data, "--output_dir", str(tmp_path / "run"), *small.split()]) == 2
    assert infer.main(["--pipeline", str(tmp_path / "pipeline"), "--episode", data]) == 2
    told = capsys.readouterr().err
    assert told.count("error: an image of image in the dataset does not decode") == 2
    with pytest.raises(UserError, match="an image of image in the dataset does not decode"):
        observations(pipeline, data, 2)
    assert started == []
