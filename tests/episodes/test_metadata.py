import json
from dataclasses import replace

import numpy as np
import pytest

from dp_hf.arms.mycobot_280 import JOINT_NAMES, QUANTITIES
from dp_hf.episodes.metadata import DatasetMeta, column_statistics
from dp_hf.errors import UserError

STATISTICS = column_statistics(np.arange(21, dtype=np.float32).reshape(3, 7))
META = DatasetMeta(10.0, ["image"], ["episode1"], 3, {"state": STATISTICS, "action": STATISTICS})


def test_saved_and_loaded(tmp_path):
    meta = replace(META, fps=5.0, action_source="recorded", source="x")
    meta.save(tmp_path)
    assert DatasetMeta.load(tmp_path) == meta


def test_statistics():
    assert STATISTICS["min"] == [0, 1, 2, 3, 4, 5, 6]
    assert STATISTICS["mean"] == [7, 8, 9, 10, 11, 12, 13]
    assert np.allclose(STATISTICS["std"], np.sqrt(98 / 3))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("fps", 0),
        ("fps", "10"),
        ("fps", float("nan")),
        ("camera_names", []),
        ("camera_names", [1]),
        ("camera_names", ["../../../../pwned"]),
        ("episodes", ["../../pwned"]),
        ("episodes", ["/etc/pwned"]),
        ("num_frames", -1),
        ("num_frames", True),
        ("statistics", {}),
        ("statistics", {"state": {}, "action": {}}),
        ("statistics", {"state": 1, "action": 2}),
        ("action_source", "guess"),
        ("frame_skip", 0),
        ("state_units", ["degrees"] * 6),
        ("state_units", ["degrees"] * 6 + ["furlongs"]),
        ("action_units", "degrees"),
        ("state_names", ["a"] * 7),
        ("action_names", ["a\n", *"bcdefg"]),
        ("format_version", 99),
    ],
)
def test_a_wrong_field_is_named(tmp_path, key, value):
    META.save(tmp_path)
    values = json.loads((tmp_path / "meta.json").read_text())
    (tmp_path / "meta.json").write_text(json.dumps(values | {key: value}))
    with pytest.raises(UserError, match=key.replace("_", ".")):
        DatasetMeta.load(tmp_path)


def test_units_that_are_absent_are_the_mycobots_or_unknown(tmp_path):
    """As files were written before names had units."""

    def load(**changes):
        META.save(tmp_path)
        values = json.loads((tmp_path / "meta.json").read_text()) | changes
        del values["state_units"], values["action_units"]
        (tmp_path / "meta.json").write_text(json.dumps(values))
        return DatasetMeta.load(tmp_path)

    assert load() == META
    assert load(angle_unit_of_source="radians").state == QUANTITIES
    assert load(angle_unit_of_source="as recorded").action == QUANTITIES.with_units(["unknown"])
    imported = load(angle_unit_of_source="as recorded", state_names=[*"abcde", "hand", "hand"])
    assert imported.state_names == [*"abcde", "hand[5]", "hand[6]"]


def test_readers_of_the_format_find_the_names_of_the_joints(tmp_path):
    META.save(tmp_path)
    assert json.loads((tmp_path / "meta.json").read_text())["joint_names"] == list(JOINT_NAMES)


@pytest.mark.parametrize("text", ["", "[]", "{}", "[" * 100_000, "\xff"])
def test_other_files_are_refused(tmp_path, text):
    (tmp_path / "meta.json").write_text(text, encoding="latin-1")
    with pytest.raises(UserError, match=r"meta\.json"):
        DatasetMeta.load(tmp_path)
