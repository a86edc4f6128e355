"""Files of YAML: what its own loader would take without a word is a sentence."""

import pytest

from dp_hf.errors import UserError
from dp_hf.training.config import read_config_file
from dp_hf.yaml_files import read_yaml


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("horizon: 1\nhorizon: 2\n", "the key 'horizon' is there twice"),
        ("horizon: " + "9" * 400, "the number 99999999999999999999... is too large"),
        ("horizon: 2026-13-45\n", "month must be in 1..12"),
        ("horizon: " + "[" * 3000 + "]" * 3000, "nested too deeply"),
        (
            "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n"
            + "".join(
                f"{name}: &{name} [{', '.join(['*' + before] * 10)}]\n"
                for before, name in zip("abcdef", "bcdefg", strict=True)
            ),
            "more than 100,000 values",
        ),
        ("a: &a [1, *a]\n", "one that holds itself"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path, text, message):
    (tmp_path / "file.yaml").write_text(text)
    for read in (read_yaml, read_config_file):
        with pytest.raises(UserError) as refused:
            read(tmp_path / "file.yaml")
        assert message in str(refused.value)


def test_aliases_and_merges_are_taken(tmp_path):
    (tmp_path / "file.yaml").write_text("base: &base {x: 1, y: 2}\nother: {<<: *base, y: 3}\n")
    assert read_yaml(tmp_path / "file.yaml")["other"] == {"x": 1, "y": 3}
