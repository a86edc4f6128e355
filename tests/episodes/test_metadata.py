import json
from dataclasses import replace

import numpy as np
import pytest

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
        ("num_frames", -1),
        ("num_frames", True),
        ("statistics", {}),
        ("statistics", {"state": {}, "action": {}}),
        ("statistics", {"state": 1, "action": 2}),
        ("action_source", "guess"),
        ("frame_skip", 0),
        ("format_version", 99),
    ],
)
def test_a_wrong_field_is_named(tmp_path, key, value):
    META.save(tmp_path)
    values = json.loads((tmp_path / "meta.json").read_text())
    (tmp_path / "meta.json").write_text(json.dumps(values | {key: value}))
    with pytest.raises(UserError, match=key.replace("_", ".")):
        DatasetMeta.load(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{}", "[" * 100_000, "\xff"])
def test_other_files_are_refused(tmp_path, text):
    (tmp_path / "meta.json").write_text(text, encoding="latin-1")
    with pytest.raises(UserError, match=r"meta\.json"):
        DatasetMeta.load(tmp_path)
