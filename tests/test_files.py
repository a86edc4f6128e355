import pytest

from dp_hf.files import folder_written_beside


def test_a_new_folder_takes_the_place_of_the_old(tmp_path):
    target = tmp_path / "new" / "target"
    for content in ("first", "second"):
        with folder_written_beside(target) as folder:
            (folder / "file").write_text(content)
            assert not target.exists() or (target / "file").read_text() == "first"
        assert (target / "file").read_text() == content
    assert list(target.parent.iterdir()) == [target]


def test_an_error_leaves_the_old_one_alone(tmp_path):
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "file").write_text("first")

    def write():
        with folder_written_beside(tmp_path / "target") as folder:
            (folder / "file").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert [path.name for path in tmp_path.rglob("*")] == ["target", "file"]
    assert (tmp_path / "target" / "file").read_text() == "first"
