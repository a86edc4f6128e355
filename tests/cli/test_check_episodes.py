import json

import pytest

from dp_hf.cli.check_episodes import main


def test_clean_recordings(tmp_path, record_episode, capsys):
    record_episode(tmp_path, fps=10)
    assert main(["scan", str(tmp_path), "--strict"]) == 0
    out = capsys.readouterr().out
    assert "1 of 1 episodes usable, with 8 frames; errors: 0, warnings: 0, notes: 0" in out
    assert "angle unit: degrees" in out


def test_problems_are_listed_with_their_remedies(tmp_path, record_episode, capsys):
    episode = record_episode(tmp_path, "episode1", fps=10)
    (episode / "frame_dir/image_00003.png").write_bytes(b"")
    (tmp_path / ".episode_2_partial").mkdir()
    assert main(["scan", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert "image_00003.png does not decode" in out
    assert "restore the image from a copy" in out

    assert main(["scan", "--json", str(tmp_path)]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["num_problems"] == 2
    assert report["problems"][0]["kind"] == "unfinished recording"
    (problem,) = report["episodes"][0]["problems"]
    assert (problem["kind"], problem["frame"], problem["severity"]) == ("corrupt image", 3, "frame")
    assert report["episodes"][0]["usable"]
    assert report["angle_unit"] == "degrees"


def test_errors_are_exit_1_warnings_only_with_strict_and_notes_never(tmp_path, record_episode):
    episode = record_episode(tmp_path, "episode1", fps=10)
    (episode / "frame_dir/other.png").write_bytes(b"")
    assert main(["scan", str(tmp_path), "--strict"]) == 0
    (tmp_path / ".episode_2_partial").mkdir()
    assert main(["scan", str(tmp_path)]) == 0
    assert main(["scan", str(tmp_path), "--strict"]) == 1
    (episode / "frame_dir/image_00003.png").write_bytes(b"")
    assert main(["scan", str(tmp_path)]) == 1


def test_nothing_usable_and_wrong_input(tmp_path, record_episode, capsys):
    assert main(["scan", str(tmp_path / "absent")]) == 2
    assert main(["scan", str(tmp_path)]) == 2
    assert main(["clean", str(tmp_path)]) == 2
    record_episode(tmp_path, num_frames=2)
    assert main(["scan", str(tmp_path)]) == 2
    assert "no usable episode" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main(["sweep", str(tmp_path)])


def test_clean_shows_asks_and_moves(tmp_path, record_episode, capsys, monkeypatch):
    record_episode(tmp_path, "episode1", seed=1)
    bad = record_episode(tmp_path, "episode2", num_frames=2, seed=2)

    assert main(["clean", str(tmp_path)]) == 1
    assert "--yes" in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda prompt: "n")
    assert main(["clean", str(tmp_path)]) == 1
    assert bad.exists()
    assert "has 2 usable frames" in capsys.readouterr().out

    monkeypatch.setattr("builtins.input", lambda prompt: "y")
    assert main(["clean", str(tmp_path)]) == 0
    assert (tmp_path / "_set_aside/episode2/states.json").exists()
    assert main(["clean", "--yes", str(tmp_path)]) == 0
    assert "nothing to move" in capsys.readouterr().out
    assert main(["scan", str(tmp_path)]) == 0


def test_clean_without_questions(tmp_path, record_episode, capsys):
    bad = record_episode(tmp_path, "episode2", num_frames=2)
    assert main(["clean", "--yes", "--json", str(tmp_path)]) == 0
    (move,) = json.loads(capsys.readouterr().out)
    assert move["source"] == str(bad)
    assert not bad.exists()


def test_the_real_recording(real_data, capsys):
    assert main(["scan", str(real_data / "real_mycobot")]) == 0
    assert "with 16 frames" in capsys.readouterr().out
