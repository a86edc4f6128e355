"""A comparison on the model card of either policy."""

import json

import pytest

from dp_hf.errors import UserError
from dp_hf.pipelines.model_card import add_comparison
from dp_hf.success.comparison import Comparison

CARD = "# Mine\n\n## Results\n\nNot measured.\n\n## Limits\n\nOf the arm.\n"


def results(only_b=20):
    a = [{"success": index < 70} for index in range(100)]
    b = [{"success": index < 70 + only_b} for index in range(100)]
    policies = {"A": {"pipeline": "old", "policy": "1"}, "B": {"pipeline": "new", "files": "2"}}
    content = {"policies": policies, "task": "reach", "scenes": {"nominal": Comparison.of(a, b).to_dict()}}
    return json.loads(json.dumps(content))


def test_each_policy_has_its_own_side_of_it():
    new, old = (add_comparison(CARD, results(), digests) for digests in (["0", "2"], ["1", "3"]))
    assert "| nominal | 100 | 90% | 70% | +20.0 | +12.0 to +28.4 | " in new
    assert "| nominal | 100 | 70% | 90% | -20.0 | -28.4 to -12.0 | " in old
    assert "Not measured" not in new
    assert new.index("### Against another policy") < new.index("## Limits")
    again = add_comparison(new, results(only_b=10), ["2"])
    assert again.count("### Against another policy") == 1
    assert "| 80% | 70% | +10.0 |" in again


@pytest.mark.parametrize("digests", [[], ["3"], ["old", "new"], ["1", "2"]])
def test_a_comparison_of_others_is_refused(digests):
    with pytest.raises(UserError, match="compares old and new, of which neither is this policy"):
        add_comparison(CARD, results(), digests)


@pytest.mark.parametrize("damaged", [{}, {"policies": 3}, {**results(), "scenes": {"nominal": {}}}])
def test_what_is_no_comparison_is_refused(damaged):
    with pytest.raises(UserError, match="give the comparison"):
        add_comparison(CARD, damaged, ["2"], "some.json")
