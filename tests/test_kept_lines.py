"""Records in a file of JSON lines: whatever was done to the file, it is taken up or named."""

import pytest

from dp_hf.errors import UserError
from dp_hf.kept_lines import KeptLines, read_identity


@pytest.mark.parametrize(
    "first",
    [b"\xff", b"[1]", b"", b"[" * 100_000, b"{", b"3"],
    ids=["no text", "a list", "an empty line", "a deep one", "a cut one", "a number"],
)
def test_a_damaged_first_line_is_named(tmp_path, first):
    (tmp_path / "file").write_bytes(first + b'\n{"seed": 1}\n')
    with pytest.raises(UserError, match="file is damaged"):
        KeptLines(tmp_path / "file", {"a": 1}, "rollouts")
    with pytest.raises(UserError, match="file is damaged"):
        read_identity(tmp_path / "file")


@pytest.mark.parametrize("record", [b"[1]", b"[" * 100_000, b"{"], ids=["a list", "a deep one", "a cut one"])
def test_a_damaged_record_is_named(tmp_path, record):
    (tmp_path / "file").write_bytes(b'{"a": 1}\n' + record + b"\n")
    with pytest.raises(UserError, match="file is damaged"):
        KeptLines(tmp_path / "file", {"a": 1}, "rollouts")


def test_half_a_record_is_cut_off_and_the_others_are_gone_on_with(tmp_path):
    (tmp_path / "file").write_bytes(b'{"a": 1}\n{"seed": 1}\n{"se')
    with KeptLines(tmp_path / "file", {"a": 1}, "rollouts") as kept:
        kept.append({"seed": 2})
    assert (tmp_path / "file").read_text() == '{"a": 1}\n{"seed": 1}\n{"seed": 2}\n'
