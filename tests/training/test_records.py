"""Curves of runs whose validations do not all hold the same numbers."""

import json

from dp_hf.training.records import METRICS_FILE, draw_curves


def test_a_phase_that_first_occurs_later_is_drawn_from_there(tmp_path):
    def row(step, phases):
        return {"step": step, "validation": {"by_joint": {"elbow": 1.0}, "units": ["radians"], "by_phase": phases}}

    rows = [row(1, {}), row(2, {"gripper moves": 0.5})]
    (tmp_path / METRICS_FILE).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    draw_curves(tmp_path)
    assert (tmp_path / "curves.png").read_bytes()[:4] == b"\x89PNG"
