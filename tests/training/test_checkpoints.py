from dp_hf.training.checkpoints import empty_beside, list_checkpoints, replace_folder


def test_folder_is_replaced_whole(tmp_path):
    folder = tmp_path / "best"
    for text in ("one", "two"):
        partial = empty_beside(folder)
        assert list(partial.iterdir()) == []
        (partial / "file").write_text(text)
        before = (folder / "file").read_text() if folder.exists() else None
        assert before in (None, "one")
        replace_folder(partial, folder)
        assert (folder / "file").read_text() == text
    assert [path.name for path in tmp_path.iterdir()] == ["best"]


def test_leftovers_of_a_kill_do_not_matter(tmp_path):
    folder = tmp_path / "best"
    for leftover in (".best.partial", ".best.previous"):
        (tmp_path / leftover).mkdir()
        (tmp_path / leftover / "old").write_text("old")
    partial = empty_beside(folder)
    (partial / "file").write_text("new")
    replace_folder(partial, folder)
    assert [path.name for path in folder.iterdir()] == ["file"]
    assert [path.name for path in tmp_path.iterdir()] == ["best"]


def test_checkpoints_are_in_order_of_their_steps(tmp_path):
    for name in ("checkpoint-10", "checkpoint-9", ".checkpoint-11.partial", "checkpoint-x"):
        (tmp_path / name).mkdir()
    assert [path.name for path in list_checkpoints(tmp_path)] == ["checkpoint-9", "checkpoint-10"]
