import json

import pytest
from PIL import Image

from dp_hf.episodes.checks import check_episodes, move_aside, plan_clean
from dp_hf.errors import UserError


def problems(report):
    found = {problem.kind: "" for problem in report.problems}
    return found | {problem.kind: episode.name for episode in report.episodes for problem in episode.problems}


def edit(episode, change):
    file = episode / "states.json"
    rows = json.loads(file.read_text())
    change(rows)
    file.write_text(json.dumps(rows))


def test_clean_recordings_have_no_problems(tmp_path, record_episode):
    record_episode(tmp_path, seed=0, fps=10)
    record_episode(tmp_path / "collection_1", seed=1, fps=10)
    report = check_episodes(tmp_path)
    assert (len(report.usable), len(report.all_problems), report.unit.unit) == (2, 0, "degrees")


def test_every_kind_of_problem_is_reported_where_it_is(tmp_path, record_episode):
    for number in range(12):
        record_episode(tmp_path, f"episode{number}", seed=number, fps=10)
    edit(tmp_path / "episode1", lambda rows: rows[2].update(angles=[1]))
    edit(tmp_path / "episode2", lambda rows: rows[3].update(status="failed"))
    edit(tmp_path / "episode3", lambda rows: rows[1].update(image="../x.png"))
    (tmp_path / "episode4/frame_dir/image_00004.png").unlink()
    (tmp_path / "episode4/frame_dir/image_00005.png").write_bytes(b"no image")
    edit(tmp_path / "episode5", lambda rows: rows[3].update(image=rows[2]["image"]))
    Image.new("RGB", (64, 48)).save(tmp_path / "episode6/frame_dir/image_00001.png")
    (tmp_path / "episode7/states.json").write_text('[{"angles": ')
    (tmp_path / "FAILED_EPISODE_8.txt").write_text("dropped")
    (tmp_path / "FAILED_EPISODE_20250101_000000.txt").touch()
    edit(tmp_path / "episode9", lambda rows: [row.update(angles=[0.5] * 6) for row in rows])
    edit(tmp_path / "episode10", lambda rows: rows.__delitem__(slice(3, None)))
    (tmp_path / "episode11/states.json").write_bytes((tmp_path / "episode0/states.json").read_bytes())
    (tmp_path / "episode11/state.json").write_text("[]")
    record_episode(tmp_path, "episode12", seed=12, cameras=["head"])
    (tmp_path / ".episode_13_partial").mkdir()
    (tmp_path / "episode14").symlink_to(tmp_path / "episode0")

    report = check_episodes(tmp_path)
    assert problems(report) == {
        "malformed frame": "episode1",
        "failed frame": "episode2",
        "image path": "episode3",
        "missing image": "episode4",
        "corrupt image": "episode4",
        "duplicate image": "episode5",
        "image size": "episode6",
        "states file": "episode7",
        "failed episode": "episode8",
        "unknown failure": "",
        "mixed units": "episode9",
        "short episode": "episode10",
        "unlisted image": "episode10",
        "duplicate episode": "episode11",
        "two states files": "episode11",
        "mixed cameras": "episode12",
        "unfinished recording": "",
        "link": "",
    }
    unusable = {episode.name for episode in report.episodes} - {episode.name for episode in report.usable}
    assert unusable == {"episode7", "episode8", "episode10", "episode12"}
    frames = {(e.name, p.frame) for e in report.episodes for p in e.problems if p.severity == "frame"}
    assert frames == {("episode1", 2), ("episode2", 3), ("episode3", 1), ("episode4", 4), ("episode4", 5)}


def test_doubts_about_units(tmp_path, record_episode):
    episode = record_episode(tmp_path, fps=10)
    edit(episode, lambda rows: [row.update(angles=[1e-18] * 6, gripper_value=[-0.5]) for row in rows])
    name = episode.name
    assert problems(check_episodes(tmp_path)) == {"unknown unit": "", "gripper range": "", "no motion": name}
    edit(episode, lambda rows: rows[0].update(angles=[0.73] * 6))
    assert problems(check_episodes(tmp_path)) == {"doubtful unit": "", "gripper range": ""}


def test_an_unlisted_image_may_have_any_case_and_place(tmp_path, record_episode):
    episode = record_episode(tmp_path)
    (episode / "frame_dir" / "deeper").mkdir()
    (episode / "frame_dir" / "deeper" / "LATE.PNG").touch()
    (episode / "notes.txt").touch()
    (problem,) = check_episodes(tmp_path).episodes[0].problems
    assert problem.kind == "unlisted image"
    assert "1 of the images" in problem.message
    assert "LATE.PNG" in problem.message


def test_cleaning_moves_bad_episodes_with_their_markers_and_nothing_else(tmp_path, record_episode):
    good = record_episode(tmp_path / "a", "episode1", seed=1)
    bad_frame = record_episode(tmp_path / "a", "episode2", seed=2)
    failed = record_episode(tmp_path / "a", "episode3", seed=3)
    marker = tmp_path / "a" / "FAILED_EPISODE_3.txt"
    marker.write_text("dropped")
    (bad_frame / "frame_dir/image_00000.png").unlink()
    content = {p.relative_to(tmp_path): p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}

    moves = plan_clean(check_episodes(tmp_path))
    aside = tmp_path / "_set_aside" / "a"
    assert [(move.source, move.destination) for move in moves] == [
        (failed, aside / "episode3"),
        (marker, aside / "FAILED_EPISODE_3.txt"),
    ]
    assert failed.exists()
    move_aside(moves)
    assert good.exists()
    assert bad_frame.exists()
    assert not failed.exists()
    assert plan_clean(check_episodes(tmp_path)) == []
    move_aside(plan_clean(check_episodes(tmp_path), with_bad_frames=True))
    assert [episode.name for episode in check_episodes(tmp_path).episodes] == ["a/episode1"]

    def original(path):
        return path.relative_to(aside.parent if path.is_relative_to(aside) else tmp_path)

    assert {original(p): p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == content


def test_cleaning_never_overwrites(tmp_path, record_episode):
    for seed in range(3):
        record_episode(tmp_path, "episode1", num_frames=2, seed=seed)
        move_aside(plan_clean(check_episodes(tmp_path)))
    assert sorted(path.name for path in (tmp_path / "_set_aside").iterdir()) == ["episode1", "episode1_2", "episode1_3"]

    record_episode(tmp_path, "episode1", num_frames=2)
    moves = plan_clean(check_episodes(tmp_path))
    moves[0].destination.mkdir()
    with pytest.raises(UserError, match="exists"):
        move_aside(moves)
    assert (tmp_path / "episode1").exists()


def test_an_episode_cannot_be_moved_into_itself(tmp_path, record_episode):
    episode = record_episode(tmp_path, num_frames=2)
    with pytest.raises(UserError, match="folder that holds it"):
        plan_clean(check_episodes(episode))
