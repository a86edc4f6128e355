"""What several workers check and convert is what one does."""

import json
import os
import shutil

import numpy as np
import pytest
from dask_cluster import cluster

from dp_hf import EpisodeWriter
from dp_hf.cli.main import main
from dp_hf.episodes.checks import check_episodes
from dp_hf.episodes.conversion import convert_episodes
from dp_hf.episodes.episode_rows import FileOnDisk
from dp_hf.errors import UserError
from dp_hf.workers.workers import HERE, Workers


@pytest.fixture
def recordings(tmp_path):
    """Episodes with a corrupt image, a hole, a camera that stalls, a copy and one that failed."""
    rng = np.random.default_rng(0)
    for episode in range(6):
        with EpisodeWriter(tmp_path / "in", f"episode_{episode}") as writer:
            for tick in range(16):
                still = episode == 2 and tick > 2
                picture = np.zeros((24, 32, 3)) if still else rng.integers(0, 256, (24, 32, 3))
                states = np.cumsum(np.full(7, 2.0)) + 3 * tick + episode
                writer.add_frame(picture.astype(np.uint8), states, timestamp=0.1 * tick + (episode == 3 and tick > 7))
            if episode == 5:
                writer.fail("fell over")
    (tmp_path / "in/episode_1/frame_dir/image_00003.png").write_bytes(b"\x89PNG no picture")
    shutil.copytree(tmp_path / "in/episode_0", tmp_path / "in/episode_9")
    return tmp_path / "in"


def content(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("num_workers", [1, 2, pytest.param(4, marks=pytest.mark.slow)])
def test_the_dataset_and_the_report_are_the_same(num_workers, recordings, tmp_path, monkeypatch):
    monkeypatch.setattr("dp_hf.episodes.episode_rows._MIN_SHARD_BYTES", 40_000)
    found = {}
    for workers in (HERE, Workers(num_workers)):
        report = convert_episodes(recordings, tmp_path / "out", workers=workers)
        checked = check_episodes(recordings, workers=workers)
        problems = [[str(problem) for problem in episode.problems] for episode in checked.episodes]
        found[workers] = (str(report), problems, content(tmp_path / "out"))
    here, there = found.values()
    assert here == there
    assert len([*tmp_path.glob("out/data/train-*.parquet")]) > 2
    meta = json.loads((tmp_path / "out/meta.json").read_text())
    assert meta["episodes"] == [f"episode_{name}" for name in ("0", "1", "2", "3.part1", "3.part2", "4", "9")]
    assert {line.partition(":")[0] for line in meta["warnings"]} >= {"episode_2", "episode_9"}


@pytest.mark.slow
def test_the_dataset_of_a_cluster_is_the_same(recordings, tmp_path, capsys):
    pytest.importorskip("distributed", reason="extra cluster")
    folders = ["--data_dir", str(recordings), "--output_dir", str(tmp_path / "out")]
    assert main(["convert-episodes", *folders]) == 0
    said, here = capsys.readouterr().out, content(tmp_path / "out")
    with cluster(tmp_path) as (address, _):
        assert main(["convert-episodes", *folders, "--cluster", address]) == 0
        assert (capsys.readouterr().out, content(tmp_path / "out")) == (said, here)
        scan = ["check-episodes", "scan", str(recordings), "--json"]
        assert main([*scan, "--cluster", address]) == main(scan) == 1
    assert not [*tmp_path.rglob(".seen_by_workers_*")]


def test_a_file_that_changes_between_checking_and_copying_is_named(tmp_path):
    (tmp_path / "image.png").write_bytes(b"other")
    with pytest.raises(UserError, match=r"image.png changed while it was converted \(has 5 bytes, and had 6 before"):
        FileOnDisk(tmp_path / "image.png", 6).read()


def test_after_an_interruption_images_are_not_decoded_again(recordings, tmp_path):
    with pytest.raises(UserError, match="--fps 1000 is not within"):  # after all were decoded
        convert_episodes(recordings, tmp_path / "out", fps=1000)
    image = recordings / "episode_0/frame_dir/image_00000.png"
    content, status = image.read_bytes(), image.stat()
    image.write_bytes(content[:60] + bytes(len(content) - 60))
    os.utime(image, ns=(status.st_atime_ns, status.st_mtime_ns))
    corrupt = [str(problem) for _, problem in convert_episodes(recordings, tmp_path / "out").left_out]
    assert not any("image_00000" in each for each in corrupt)
    assert any("image_00003" in each for each in corrupt)
    # It came to its end, so that the next one looks at all of them.
    corrupt = [str(problem) for _, problem in convert_episodes(recordings, tmp_path / "out").left_out]
    assert any("image_00000" in each for each in corrupt)


def test_what_was_seen_of_other_files_or_is_damaged_counts_for_nothing(recordings, tmp_path):
    for spoil in (str.swapcase, lambda text: text[: len(text) // 2], lambda text: "no json\n"):
        with pytest.raises(UserError, match="--fps"):
            convert_episodes(recordings, tmp_path / "out", fps=1000)
        [seen] = (tmp_path / "dp_hf_cache/seen_images").iterdir()
        seen.write_text(spoil(seen.read_text()))
        (recordings / "episode_0/frame_dir/image_00001.png").write_bytes(b"\x89PNG no picture")
        left_out = [str(problem) for _, problem in convert_episodes(recordings, tmp_path / "out").left_out]
        assert any("image_00001" in each for each in left_out)
