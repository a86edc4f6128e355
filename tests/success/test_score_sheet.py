"""The order and the blind names of a score sheet, and its file."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dp_hf.errors import UserError
from dp_hf.success.score_sheet import LABELS, ScoreSheet, digest_files, labels_of, run_number

POLICIES = {"A": {"pipeline": "a", "files": "1"}, "B": {"pipeline": "b", "files": "2"}}
STAGES = ["lifted", "stacked"]
seeds = st.integers(0, 2**32 - 1)


@given(seeds, st.integers(0, 40))
def test_every_pair_has_both_policies_and_every_two_pairs_begin_with_each(seed, block):
    runs = [run_number(seed, 4 * block + place) for place in range(4)]
    assert [run.pair for run in runs] == [2 * block] * 2 + [2 * block + 1] * 2
    assert {run.policy for run in runs[:2]} == {run.policy for run in runs[2:]} == set(LABELS)
    assert runs[0].policy != runs[2].policy


def test_order_and_names_are_drawn():
    assert {run_number(seed, 0).policy for seed in range(30)} == set(LABELS)
    assert {run_number(7, 4 * block).policy for block in range(30)} == set(LABELS)
    assert 350 < sum(labels_of(seed)["A"] == "1" for seed in range(1000)) < 650
    assert all(set(labels_of(seed).values()) == set(LABELS) for seed in range(10))


@given(seed=seeds, answers=st.lists(st.sampled_from([None, *STAGES, "undo", "again"]), min_size=4, max_size=20))
def test_a_sheet_that_was_closed_after_any_answer_goes_on(seed, answers, tmp_path_factory):
    file = tmp_path_factory.mktemp("sheet") / "score_sheet.jsonl"
    file.write_text(json.dumps({"policies": POLICIES, "stages": STAGES, "seed": seed}) + "\n")
    told = []
    sheet = ScoreSheet(file, POLICIES, STAGES).__enter__()
    for answer in answers:
        if answer == "again":
            sheet.__exit__()
            with open(file, "a") as stream:  # killed while it wrote
                stream.write('{"pair": 0, "pol')
            sheet = ScoreSheet(file, POLICIES, STAGES).__enter__()
        elif answer == "undo":
            sheet.undo()
            told = told[:-1]
        else:
            sheet.answer(answer)
            told.append(answer)
        assert sheet.answers == told
    pairs = len(told) // 2
    if pairs:
        reached = sheet.reveal()
        for name, label in labels_of(seed).items():
            own = [told[n] for n in range(2 * pairs) if run_number(seed, n).policy == label]
            assert reached[name] == [{"lifted": answer is not None, "stacked": answer == "stacked"} for answer in own]
        with pytest.raises(UserError, match="the names were revealed"):
            sheet.answer(None)
    sheet.__exit__()


def test_another_sheet_and_a_damaged_one_are_named(tmp_path):
    file = tmp_path / "score_sheet.jsonl"
    with ScoreSheet(file, POLICIES, STAGES) as sheet:
        sheet.answer("stacked")
        with pytest.raises(UserError, match="no pair of which both runs are scored"):
            sheet.reveal()
    changed = {**POLICIES, "B": {"pipeline": "b", "files": "3"}}
    for policies, stages, message in ((changed, STAGES, "another policies"), (POLICIES, ["stacked"], "another stages")):
        with pytest.raises(UserError, match=message):
            ScoreSheet(file, policies, stages)
    text = file.read_text()
    for damaged in (
        text.replace('"stacked"}', '"dropped"}'),
        text.replace('"pair": 0', '"pair": 5'),
        text.replace('"pair"', '"par"'),
        text + "3\n",
        text + '{"undo": true}\n' * 2,
        text[1:],
    ):
        file.write_text(damaged)
        with pytest.raises(UserError, match="is damaged"):
            ScoreSheet(file, POLICIES, STAGES)


def test_the_same_files_are_the_same_policy_whatever_their_card_says(tmp_path):
    for name in ("one", "other"):
        (tmp_path / name / "policy").mkdir(parents=True)
        (tmp_path / name / "policy" / "config.json").write_text("{}")
        (tmp_path / name / "README.md").write_text(name)
    assert digest_files(tmp_path / "one") == digest_files(tmp_path / "other")
    (tmp_path / "other" / "policy" / "config.json").write_text("{ }")
    assert digest_files(tmp_path / "one") != digest_files(tmp_path / "other")
