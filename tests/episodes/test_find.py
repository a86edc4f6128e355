from pathlib import Path

import pytest

from dp_hf.episodes.checks import check_episodes
from dp_hf.episodes.find import explore, find_demonstrations, find_episodes, find_failure
from dp_hf.errors import UserError


def make(data_dir, *names):
    for name in names:
        (data_dir / name).mkdir(parents=True)
        (data_dir / name / "states.json").write_text("[]")


def test_natural_order_nesting_and_free_names(tmp_path):
    make(tmp_path, "episode10", "episode2", "collection_1/episode_20250101_000000_000", "stack cubes", "a/b/c/x")
    (tmp_path / "episode3").mkdir()
    (tmp_path / "episodes" / "episode1").mkdir(parents=True)
    names = [str(path.relative_to(tmp_path)) for path in find_episodes(tmp_path)]
    assert names == [
        "a/b/c/x",
        "collection_1/episode_20250101_000000_000",
        "episode2",
        "episode3",
        "episode10",
        "episodes/episode1",
        "stack cubes",
    ]


def test_an_episode_is_found_by_its_own_path(tmp_path):
    make(tmp_path, "episode1")
    assert find_episodes(tmp_path / "episode1") == [tmp_path / "episode1"]


def test_hidden_and_set_aside_folders_are_passed_over_and_links_named(tmp_path):
    outside = tmp_path / "outside"
    data = tmp_path / "data"
    make(outside, "episode1")
    make(data, "episode2", "_set_aside/episode3", ".hidden/episode4", ".episode_5_partial")
    (data / "episode6").symlink_to(outside / "episode1")
    (data / "loop").symlink_to(data)
    findings = explore(data)
    assert findings.episodes == [data / "episode2"]
    assert findings.unfinished == [data / ".episode_5_partial"]
    assert findings.links == [data / "episode6", data / "loop"]


@pytest.mark.parametrize(
    ("marker", "text", "failed"),
    [
        ("FAILED_EPISODE_20250101_120000_123.txt", "gripper stuck", True),
        ("FAILED_EPISODE_20250101_120000.txt", "", True),
        ("FAILED_EPISODE_20250101_120007.txt", "episode_20250101_120000_123 timed out", True),
        ("FAILED_EPISODE_20250101_120000_456.txt", "", False),
        ("FAILED_EPISODE_20250101_120007.txt", "timed out", False),
        ("episode_20250101_120000_123/FAILED_EPISODE_1.txt", "", True),
        ("deeper/FAILED_EPISODE_20250101_120000_123.txt", "", False),
    ],
)
def test_failure_markers(tmp_path, marker, text, failed):
    make(tmp_path, "episode_20250101_120000_123", "deeper")
    (tmp_path / marker).write_text(text)
    reason = find_failure(tmp_path / "episode_20250101_120000_123")
    assert (reason is not None) == failed
    assert text in (reason or text)


def test_episode9_is_not_meant_by_a_marker_that_names_episode95(tmp_path):
    make(tmp_path, "episode9", "episode95")
    (tmp_path / "FAILED_EPISODE_20250101_120000.txt").write_text("episode95: dropped")
    assert find_failure(tmp_path / "episode9") is None
    assert find_failure(tmp_path / "episode95") is not None


@pytest.mark.parametrize("look", [find_demonstrations, lambda folder: check_episodes(folder, progress=False)])
def test_the_folder_of_many_episodes_is_searched_for_markers_once(look, tmp_path, monkeypatch):
    searched = []
    glob = Path.glob

    def noted(folder, pattern):
        searched.append(folder)
        return glob(folder, pattern)

    make(tmp_path, *(f"episode{number}" for number in range(5)))
    monkeypatch.setattr(Path, "glob", noted)
    look(tmp_path)
    assert searched.count(tmp_path) == 1


def test_no_folder(tmp_path):
    with pytest.raises(UserError, match="not a folder"):
        find_episodes(tmp_path / "absent")
