"""A card that people edit on the Hub between two pushes."""

import re

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from dp_hf.errors import UserError
from dp_hf.hub.card import END_MARK, merge_cards, read_card

FIRST = "---\nlicense: apache-2.0\npipeline_tag: robotics\ntags:\n- dp_hf\n- robotics\n---\n\n# A policy\n\nSees 1.\n"
SECOND = FIRST.replace("Sees 1.", "Sees 2.")
CONFIGS = "---\nconfigs:\n- config_name: default\n  data_files: {}\n---\n\n# Rows\n"


def pushed(card=FIRST):
    return merge_cards(card, None, "me/policy")[0]


def metadata(card):
    return yaml.safe_load(card.split("---\n")[1])


def test_the_first_push_brings_the_card_between_marks():
    card, remarks = merge_cards(FIRST + "See PATH_OR_REPOSITORY", None, "me/policy")
    assert remarks == []
    assert card.startswith("---\nlicense: apache-2.0\n")
    assert card.index("# A policy") < card.index("<!-- dp_hf: every push") < card.index("Sees 1.")
    assert card.index("See me/policy") < card.index(END_MARK)


def test_without_edits_every_push_is_as_the_first():
    card, remarks = merge_cards(SECOND, pushed(), "me/policy")
    assert (card, remarks) == (pushed(SECOND), [])
    new_title = FIRST.replace("# A policy", "# Another")
    assert merge_cards(new_title, pushed(), "me/policy")[0] == pushed(new_title)


def test_text_above_and_below_and_the_title_stay():
    edited = pushed().replace("\n# A policy\n", "\n# My arm\n\nBuilt in May.\n") + "\n## Thanks\n\nTo all.\n"
    for _ in range(3):
        edited, remarks = merge_cards(SECOND, edited.replace("\n", "\r\n"), "me/policy")
        assert "stays" in remarks[0]
        assert (
            edited.index("# My arm\n\nBuilt in May.") < edited.index("Sees 2.") < edited.index("## Thanks\n\nTo all.")
        )
        assert "Sees 1." not in edited
        assert "\n# A policy" not in edited
        assert edited.count("<!-- dp_hf") == 2


def test_a_card_without_marks_is_somebodys_whole():
    mine = "---\n# mine, as agreed\nlicense: mit\n---\n# My own text\n\nIt is mine.\n"
    card, _ = merge_cards(FIRST, mine, "me/policy")
    assert card.index("# My own text\n\nIt is mine.") < card.index("Sees 1.")
    assert metadata(card) == {"license": "mit", "pipeline_tag": "robotics", "tags": ["dp_hf", "robotics"]}
    again, _ = merge_cards(SECOND, card, "me/policy")
    assert again.count("It is mine.") == again.count("Sees 2.") == 1
    assert "Sees 1." not in again
    # Comments in metadata stay where nothing is to be changed.
    assert "# mine, as agreed" in merge_cards("# A policy\n", mine, "me/policy")[0]


def test_metadata_that_somebody_set_win_but_for_our_fields():
    edited = (
        pushed().replace("apache-2.0", "mit").replace("- dp_hf\n", "- stacking\n").replace("robotics\ntags", "x\ntags")
    )
    edited = edited.replace("---\n", "---\nlanguage: en\n", 1)
    second = SECOND.replace("- robotics\n", "- robotics\n- new\n")
    found = metadata(merge_cards(second, edited, "me/policy")[0])
    tags = ["stacking", "robotics", "new"]
    assert found == {"language": "en", "license": "mit", "pipeline_tag": "robotics", "tags": tags}
    # What nobody has touched follows the folder, and goes with it.
    assert metadata(merge_cards(FIRST.replace("apache-2.0", "bsd"), pushed(), "me/policy")[0])["license"] == "bsd"
    assert "license" not in metadata(merge_cards(FIRST.replace("license: apache-2.0\n", ""), pushed(), "x/y")[0])


def test_the_viewers_config_is_ours_and_others_stay():
    old, new = CONFIGS.format("data/*"), CONFIGS.format("rows/*")
    edited = pushed(old).replace("data/*\n", "mine/*\n- config_name: raw\n  data_files: raw/*\n")
    configs = metadata(merge_cards(new, edited, "me/set")[0])["configs"]
    assert [(config["config_name"], config["data_files"]) for config in configs] == [
        ("default", "rows/*"),
        ("raw", "raw/*"),
    ]


def test_text_within_our_part_is_not_lost_in_silence():
    with pytest.raises(UserError, match=r"edited it between dp_hf's marks.*above or below"):
        merge_cards(SECOND, pushed().replace("Sees 1.", "Sees 1.\n\nAnd my note."), "me/policy")
    without_marks = re.sub("<!-- dp_hf.*?-->", "", pushed().replace("Sees 1.", "My note."), flags=re.DOTALL)
    assert "My note." in merge_cards(SECOND, without_marks, "me/policy")[0]


@pytest.mark.parametrize(
    ("card", "message"),
    [
        ("---\na: [\n---\n# Mine", "metadata.*cannot be read"),
        ("---\na: &a [x]\nb: *a\n---\n# Mine", "alias"),
        ("---\n- a\n---\n# Mine", "no names with values"),
        (pushed().replace(END_MARK, ""), "marks in it are damaged"),
        (pushed() + END_MARK, "marks in it are damaged"),
        (pushed() + pushed(), "marks in it are damaged"),
        (re.sub(r'"text": "\w+"', '"text": 3', pushed()), "edited it"),
        (re.sub(r'"metadata": {.*?}', '"metadata": []', pushed()), "marks in it are damaged"),
        (re.sub(r"{.*}", "{}", pushed()), "marks in it are damaged"),
    ],
)
def test_damaged_cards_are_named(card, message):
    with pytest.raises(UserError, match=f"README.md of me/policy: .*{message}"):
        merge_cards(SECOND, card, "me/policy")


def test_a_card_that_was_pulled_goes_back_as_it_is():
    edited = pushed().replace("\n# A policy\n", "\n# My arm\n").replace("apache-2.0", "mit") + "\nMine.\n"
    there, _ = merge_cards(SECOND, edited, "me/policy")
    assert merge_cards(there, there, "me/policy")[0] == there
    assert merge_cards(there, None, "me/other")[0] == there
    # What somebody changed goes on being theirs.
    again, _ = merge_cards(FIRST, merge_cards(there, there, "me/policy")[0], "me/policy")
    assert "\n# My arm\n" in again
    assert metadata(again)["license"] == "mit"
    _, remarks = merge_cards(there.replace("Mine.", "Mine, here."), there, "me/policy")
    assert "is not pushed" in remarks[0]


lines = st.text(st.characters(exclude_categories=["C"], exclude_characters="\r"), max_size=20)
texts = st.lists(lines, max_size=4).map("\n".join)


@settings(max_examples=30, deadline=None)
@given(above=texts, below=texts, license=lines, note=lines)
def test_no_text_of_somebody_is_lost(above, below, license, note):
    edited = read_card(pushed(), "it")
    body = pushed().split("---\n", 2)[2]
    front = yaml.safe_dump({**edited.metadata, "license": license, "note": note}, allow_unicode=True)
    there = f"---\n{front}---\n\nI say:\n{above}\n{body}\n{below}"
    card, _ = merge_cards(SECOND, there, "me/policy")
    again = read_card(card, "it")
    assert again.above.strip().startswith(f"I say:\n{above}".strip())
    assert again.below.strip() == below.strip()
    assert (again.metadata["license"], again.metadata["note"]) == (license, note)
    assert again.ours.strip() == "Sees 2."
