"""What a task file says, and the sentence for one that says it wrongly."""

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dp_hf.cli.recipes import recipe_folder, recipe_names
from dp_hf.errors import UserError
from dp_hf.tasks.description import Numbers, TaskDescription, load_task
from dp_hf.tasks.observed import is_function

PAGE = Path(__file__).parents[2] / "dp_hf" / "tasks" / "README.md"
REACH = recipe_folder("tasks") / "reach.yaml"


def test_a_task_file_becomes_a_task():
    task = load_task(str(REACH))
    assert (task.name, task.fps, task.cameras, task.noise) == ("reach", 10, ("top",), (0.1, 0.1))
    assert str(task.state) == "x, y (metres)"
    assert str(task.action) == "dx, dy (no unit)"
    assert task.make_expert is not None


@pytest.mark.parametrize("name", recipe_names("tasks"))
def test_the_task_files_that_come_with_dp_hf_are_read(name):
    assert load_task(str(recipe_folder("tasks") / f"{name}.yaml")).name.startswith(name)


@pytest.mark.parametrize("text", re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text("utf-8"), re.M | re.S))
def test_the_task_files_of_the_page_are_read(text, tmp_path):
    file = tmp_path / "page.yaml"
    file.write_text(text)
    assert load_task(str(file)).name == "page"


def test_the_first_task_file_of_the_page_is_reach():
    text = re.search(r"^```yaml\n(.*?)^```", PAGE.read_text("utf-8"), re.M | re.S)
    assert text is not None
    assert yaml.safe_load(text[1]) == yaml.safe_load(REACH.read_text("utf-8"))


def changed(tmp_path, **changes):
    values = yaml.safe_load(REACH.read_text("utf-8")) | changes
    file = tmp_path / "task.yaml"
    file.write_text(yaml.safe_dump({name: value for name, value in values.items() if value != "absent"}))
    return str(file)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sucess": "a"}, "no key 'sucess'; did you mean 'success'"),
        ({"success": "absent"}, "success is missing"),
        ({"fps": 0}, "fps is above 0"),
        ({"fps": "ten"}, "fps is above 0"),
        ({"max_steps": 2.5}, "max_steps is at least 1"),
        ({"cameras": {}}, "cameras: there is none"),
        ({"cameras": "render"}, "cameras: expected `key: value` lines"),
        ({"cameras": {0: "render"}}, "cameras is a mapping, each key a text and each value a text; got {0: 'render'}"),
        ({"cameras": {"top": 1}}, "cameras is a mapping, each key a text"),
        ({"stages": {"near": 0.2}}, "stages is a mapping, each key a text"),
        ({"arguments": {1: 2}}, "arguments is a mapping, each key a text"),
        ({"state": {"names": ["x"], "units": "none", "source": []}}, "state: source is empty"),
        ({"cameras": {"state": "render"}}, "'state' is no camera's name"),
        ({"cameras": {"../x": "render"}}, "'../x' is no camera's name"),
        ({"state": {"names": ["x", "y"]}}, "state: units is missing"),
        ({"state": {"names": ["x", "x"], "units": "none"}}, "state: two numbers are named 'x'"),
        ({"state": {"names": ["x", "y"], "units": "inches"}}, "state: 'inches' is no unit"),
        ({"state": {"names": ["x", "y"], "units": ["none"] * 3}}, "state: 2 names"),
        ({"action": {"names": ["x"], "units": "none", "source": "a"}}, "action: source"),
        ({"action": ["x"]}, "action: expected `key: value` lines"),
        ({"noise": [0.1]}, "noise: has 1 numbers, and an action 2"),
        ({"noise": [0.1, -1]}, "noise: "),
        ({"stages": {"success": "a"}}, "stages: success is a key of its own"),
    ],
)
def test_a_wrong_key_is_named_with_the_file(changes, message, tmp_path):
    with pytest.raises(UserError, match=re.escape(message)) as error:
        load_task(changed(tmp_path, **changes))
    assert str(error.value).startswith(str(tmp_path / "task.yaml"))


@pytest.mark.parametrize("text", ["", "a list", "- a", "{", "\x00", "a: &a [*a]"])
def test_what_is_no_task_file_is_one_sentence(text, tmp_path):
    (tmp_path / "task.yaml").write_text(text)
    with pytest.raises(UserError, match=r"task\.yaml"):
        load_task(str(tmp_path / "task.yaml"))


@given(st.text())
def test_what_is_not_there_is_one_sentence(text):
    with pytest.raises(UserError):
        load_task(f"nowhere/{text}")


def test_an_interpreter_of_a_variable_that_is_not_set_is_named(tmp_path, monkeypatch):
    monkeypatch.delenv("NO_SUCH_PYTHON", raising=False)
    task = load_task(changed(tmp_path, python="$NO_SUCH_PYTHON"))
    with pytest.raises(UserError, match="NO_SUCH_PYTHON is not set"):
        task.make_environment(cameras=task.cameras)


def test_the_digest_is_of_the_file_and_the_python_beside_it(tmp_path):
    (tmp_path / "reach.py").write_bytes(REACH.with_name("reach.py").read_bytes())
    origin = load_task(changed(tmp_path)).origin
    assert load_task(changed(tmp_path, python="/somewhere/python")).origin == origin
    assert load_task(changed(tmp_path, max_steps=31)).origin != origin
    (tmp_path / "reach.py").write_text("# other\n")
    assert load_task(changed(tmp_path)).origin != origin


def test_the_digest_is_of_what_these_files_import_beside_them_too(tmp_path):
    codes = {"reach.py": "import sys, a.b", "a/b.py": "def f():\n    from c import g", "c.py": "from .e import *"}
    for name, code in (codes | {"d.py": "", "e.py": "from a import b", "a/__init__.py": ""}).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(code)
    origins = [load_task(changed(tmp_path)).origin]
    for name in ("a/b.py", "c.py", "e.py", "a/__init__.py", "d.py"):
        (tmp_path / name).write_text((tmp_path / name).read_text() + "\n# other\n")
        origins.append(load_task(changed(tmp_path)).origin)
    *others, last = origins
    assert len(set(others)) == len(others) == 5
    assert last == others[-1]


def test_the_order_of_arguments_makes_no_other_task(tmp_path):
    file = changed(tmp_path, arguments={"b": 1, "a": 2})
    given = {"d": 3, "a": 4, "c": 5}
    assert load_task(file, given).origin == load_task(file, dict(reversed(given.items()))).origin
    assert load_task(file, given).origin != load_task(file, given | {"c": 6}).origin


FACTORY = """
from dp_hf.tasks.description import Numbers, TaskDescription
import sys
sys.path.append({folder!r})

def task(**changes):
    from reach import Reach, expert
    two = Numbers(names=["x", "y"], units=["none"])
    hand = Numbers(names=["x", "y"], units=["none"], source=["hand"])
    return TaskDescription(
        environment=Reach, cameras={{"top": "render"}}, state=hand, action=two, fps=10, max_steps=30,
        success="distance <= 0.05", expert=expert, **changes)

def other():
    return 3

def wrong():
    return task(noise=[1.0])

def beside():
    return task(python=sys.executable)
"""


def test_a_function_describes_a_task_too(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(FACTORY.format(folder=str(REACH.parent)))
    monkeypatch.chdir(tmp_path)
    task = load_task("mine.py:task")
    assert (task.name, len(task.origin)) == ("task", 8)
    monkeypatch.chdir("/")
    env = task.make_environment(cameras=task.cameras)
    observation, _ = env.reset(seed=0)
    assert observation["image"].shape == (48, 48, 3)
    for name, message in (
        ("other", "returns a int, not a TaskDescription"),
        ("wrong", "noise: has 1 numbers"),
        ("absent", "has no attribute 'absent'"),
    ):
        with pytest.raises(UserError, match=message):
            load_task(f"{tmp_path}/mine.py:{name}")
    task = load_task(f"{tmp_path}/mine.py:beside")
    with pytest.raises(UserError, match=r"environment is a Python function here; with python: name it FILE\.py:FUNC"):
        task.make_environment(cameras=task.cameras)


def test_ids_and_functions_are_told_apart():
    assert is_function("reach.py:Reach")
    assert is_function("package.module:make")
    for environment in ("CartPole-v1", "gym_pusht:gym_pusht/PushT-v0", "module:Id-v0"):
        assert not is_function(environment)


def test_a_description_needs_numbers_that_are_told_apart():
    numbers = Numbers(names=["x"], units=["none"])
    with pytest.raises(UserError, match="success_steps is at least 1"):
        TaskDescription(
            environment="A-v0",
            cameras={"a": "render"},
            state=numbers,
            action=numbers,
            fps=1,
            success="a",
            success_steps=0,
        )
