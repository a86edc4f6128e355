"""An environment as its task file describes it, in this process and in another one."""

import io
import json
import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dp_hf.cli.recipes import recipe_folder
from dp_hf.errors import RunFailed, UserError
from dp_hf.simulation.rollouts import rollout
from dp_hf.tasks.description import load_task
from dp_hf.tasks.environment import TaskEnvironment, TaskExpert
from dp_hf.tasks.observed import ObservedEnvironment, TaskError
from dp_hf.tasks.pipe import read_message, write_message

REACH = str(recipe_folder("tasks") / "reach.yaml")


class Odd(gymnasium.Env):
    """An environment whose every part can be wrong."""

    action_space = gymnasium.spaces.Box(-1, 1, (2,), np.float32)

    def __init__(self, frozen=False, info=None, picture=None, state=None):
        self.frozen, self.info, self.state = frozen, {"done": False} if info is None else info, state
        self.picture = np.zeros((8, 8, 3), np.uint8) if picture is None else picture

    def reset(self, *, seed=None, options=None):
        super().reset(seed=0 if self.frozen else seed)
        self.start = self.np_random.uniform(size=4)
        return self.seen(), {}

    def step(self, action):
        self.last = action
        return self.seen(), 0.25, False, False, self.info

    def seen(self):
        values = self.start if self.state is None else self.state
        return {"pos": values, "pixels": {"top": self.picture}, "one": np.float64(3), "pair": (np.zeros(2), np.ones(3))}

    def render(self):
        return None


class Ending(Odd):
    """Ends with its success."""

    def step(self, action):
        return self.seen(), 1.0, True, False, {"done": True}


def observed(task=(), **arguments):
    return ObservedEnvironment(
        {
            "file": "odd.yaml",
            "folder": "/",
            "environment": Odd,
            "arguments": arguments,
            "cameras": {"top": "pixels/top"},
            "state_source": ["pos"],
            "state_names": list("abcd"),
            "action_names": ["x", "y"],
            "fps": 10,
            "max_steps": 3,
            "stages": {"success": "done"},
            "success_steps": 1,
            "expert": None,
            **dict(task),
        }
    )


@pytest.fixture
def describe(tmp_path):
    """A function that makes a task of a task file's text."""

    def make(text):
        (tmp_path / "described.yaml").write_text(text)
        return load_task(str(tmp_path / "described.yaml"))

    return make


def finish(env):
    env.reset(0)
    while not any((result := env.step(np.zeros(2)))[2:4]):
        pass
    return result


def test_parts_of_the_observation():
    env = observed({"state_source": ["pos[1:3]", "one[:]", "pos[-1:]"], "success_steps": 2}, info={"done": True})
    seen = env.reset(4)
    np.testing.assert_array_equal(seen["state"], np.float32([*env.env.start[1:3], 3, env.env.start[3]]))
    assert seen["top"].shape == (8, 8, 3)
    assert env.step([0, 0])[2:] == (False, False, {"success": False})
    assert env.step([0, 0])[2:] == (True, False, {"success": True})


def test_a_key_that_comes_with_the_success_is_not_reached_before_and_one_that_never_came_is_said_once(capsys):
    env = observed({"stages": {"near": "close", "success": "done"}}, info={})
    assert finish(env)[2:] == (False, True, {"near": False, "success": False})
    said = capsys.readouterr().err.splitlines()
    assert said == [
        f"odd.yaml: {name}: info had no {key} in a whole episode, which counts as not reached; at its end there was "
        "nothing"
        for name, key in (("near", "close"), ("success", "done"))
    ]
    env.env.info = {"done": True}
    assert finish(env)[2:] == (True, False, {"near": False, "success": True})
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "nested", [{"a/b": {"c": 1}}, {"a": {"b/c": 1}}, {"a/b/c": 1, "a": {}}, {"a": {"b": {"c": 1}}}]
)
def test_keys_that_hold_a_slash_themselves(nested):
    assert finish(observed({"stages": {"success": "a/b/c"}}, info=nested))[4] == {"success": True}
    env = observed({"state_source": ["a/b/c"], "state_names": ["a"]})
    env.env.seen = lambda: {**nested, "pixels": {"top": env.env.picture}}
    assert env.reset(0)["state"] == [1]


def test_actions_are_not_clipped_to_a_space_that_lies():
    env = observed()
    env.reset(0)
    env.step(np.array([1.16, -3.0]))
    np.testing.assert_array_equal(env.env.last, np.float32([1.16, -3.0]))


@pytest.mark.parametrize(
    ("text", "info", "holds"),
    [
        ("done", {"done": 1.0}, True),
        ("a/b >= 0.5", {"a": {"b": 0.5}}, True),
        ("a/b > 0.5", {"a": {"b": np.array([0.5])}}, False),
        ("gap < 1e-2", {"gap": 0.0}, True),
        ("reward >= 0.25", {}, True),
        ("reward <= .2", {}, False),
    ],
)
def test_conditions(text, info, holds):
    assert finish(observed({"stages": {"success": text}}, info=info))[4] == {"success": holds}


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ({"state_source": ["agent_pos"]}, "state: agent_pos is not in the observation, which is pos float64 (4,), "),
        ({"state_source": ["pos[:3]"]}, "state: has 4 names, and pos[:3] has 3 numbers"),
        ({"state_source": ["pos["]}, "state: pos[ is no place in an observation"),
        ({"state_source": ["pos[-:2]"]}, "state: pos[-:2] is no place in an observation"),
        ({"state_source": ["pair"]}, "state: takes pair, which is object ()"),
        ({"state_source": ["pixels"]}, "state: pixels is not one array"),
        ({"state_source": ["pixels/top"]}, "state: takes pixels/top, which is uint8 (8, 8, 3)"),
        ({"cameras": {"top": "pixels/front"}}, "cameras: top: pixels/front is not in the observation"),
        ({"cameras": {"top": "render"}}, "cameras: top: render() gives nothing"),
        ({"action_names": ["x"]}, "action: has 1 names, and the environment takes the shape (2,)"),
        ({"max_steps": None}, "max_steps: is not given, and the environment has no step limit"),
        ({"success_steps": 2, "environment": Ending}, "success_steps: is 2, and the environment ends an"),
        ({"stages": {"success": "reward"}}, "success: reward is neither true nor false"),
        ({"stages": {"success": "a >= b"}}, "success: 'a >= b' is no condition"),
        ({"environment": "NoSuchThing-v0"}, "environment: NoSuchThing-v0 cannot be made"),
        ({"environment": "CartPole-v1"}, "environment: takes actions of Discrete(2); a policy's actions are numbers"),
        ({"environment": "Pendulum-v1", "action_names": ["x"]}, "fps: is 10, and the environment's metadata say 30"),
        ({"environment": "os:getcwd"}, "environment: os:getcwd makes a str, not a gymnasium.Env"),
        ({"environment": "no_such_module:f"}, "environment: no_such_module:f cannot be loaded"),
        ({"environment": "no_such_file.py:f"}, "environment: no_such_file.py:f cannot be loaded"),
    ],
)  # fmt: skip
def test_a_file_that_the_environment_contradicts(task, message):
    with pytest.raises(TaskError, match=re.escape(f"odd.yaml: {message}")):
        finish(observed(task))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"state": np.array([0, 1, np.nan, 2])}, "state: c is not finite after 0 steps"),
        ({"picture": np.zeros((8, 8, 3))}, "top: pixels/top is float64 (8, 8, 3), floats: a picture is uint8"),
        (
            {"picture": np.zeros((3, 8, 8), np.uint8)},
            "top: pixels/top is uint8 (3, 8, 8), channels first: a pict",
        ),
        ({"picture": np.zeros((8, 8, 4), np.uint8)}, "top: pixels/top is uint8 (8, 8, 4): a picture is uint8 (height,"),
        ({"info": {"done": 0.3}}, "success: info's done is 0.3, neither true nor false"),
        ({"info": {"done": "yes"}}, "success: info's done is <U3"),
        ({"nonsense": 3}, "cannot be made with {'nonsense': 3}: TypeError"),
    ],
)
def test_what_an_environment_may_not_give(arguments, message):
    with pytest.raises(TaskError, match=re.escape(message)) as error:
        finish(observed(**arguments))
    assert str(error.value).startswith("odd.yaml: ")


def test_a_gymnasium_id_needs_no_python(describe):
    """Reacher comes with gymnasium."""
    page = (Path(__file__).parents[2] / "dp_hf" / "tasks" / "README.md").read_text("utf-8")
    (text,) = (block for block in re.findall(r"^```yaml\n(.*?)^```", page, re.M | re.S) if "Reacher-v5" in block)
    task = describe(text)
    env = task.make_environment(cameras=task.cameras)
    observation, _ = env.reset(seed=3)
    assert observation["image"].shape == (96, 96, 3)
    assert len(np.unique(observation["image"])) > 10
    assert observation["state"].shape == (6,)
    still = [env.step(np.zeros(2)) for _ in range(50)]
    assert [truncated for _, _, _, truncated, _ in still] == [False] * 49 + [True]
    assert env.stages == {"near": False, "success": False}
    env.close()


def test_a_frozen_layout_is_noticed():
    env = observed(frozen=True)
    env.reset(1)
    env.reset(2)
    env.reset(2)  # the same seed again tells nothing
    with pytest.raises(TaskError, match="begins alike after 3 resets with different seeds"):
        env.reset(3)


def test_an_action_of_another_width_or_not_finite_is_refused():
    env = observed()
    env.reset(0)
    for action in ([0.0], [0.0, np.nan], ["a", "b"]):
        with pytest.raises(TaskError, match="not 2 finite numbers"):
            env.step(np.array(action))


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text().filter(lambda name: name != "array"), inner),
)


@given(values, arrays(st.sampled_from([np.uint8, np.float32, np.float64]), st.tuples(*[st.integers(0, 3)] * 3)))
def test_messages_come_back_as_they_were(value, array):
    stream = io.BytesIO()
    write_message(stream, {"value": value, "arrays": [array, [array[::-1]]]})
    write_message(stream, "next")
    stream.seek(0)
    found = read_message(stream)
    assert found["value"] == value
    for one, other in zip(found["arrays"], (array, [array[::-1]]), strict=True):
        np.testing.assert_array_equal(one, other)
    assert read_message(stream) == "next"
    assert read_message(stream) is None


@given(st.binary())
def test_a_message_that_ends_early_is_refused(data):
    with pytest.raises(ValueError, match="a message ended early"):
        read_message(io.BytesIO(struct.pack(">Q", len(data) + 1) + data))


@pytest.mark.parametrize("array", [["object", [1]], ["float32", [-1]], ["float64", [2**40]], ["uint8"]])
def test_an_array_that_is_none_is_refused(array):
    header = json.dumps({"array": array}).encode()
    with pytest.raises(ValueError):  # noqa: PT011 - unpacking has its own words
        read_message(io.BytesIO(struct.pack(">Q", len(header)) + header))


def beside(tmp_path, python=sys.executable, text="", code=None):
    """The reach task in a process of its own."""
    folder = recipe_folder("tasks")
    (tmp_path / "reach.py").write_text(code or (folder / "reach.py").read_text("utf-8"))
    (tmp_path / "reach.yaml").write_text((folder / "reach.yaml").read_text("utf-8") + f"python: {python}\n{text}")
    return load_task(str(tmp_path / "reach.yaml"))


def episode(task, seed=5):
    env = task.make_environment(cameras=task.cameras)
    frames = []
    result = rollout(env, TaskExpert(env, task.noise, seed), seed, on_step=lambda *frame: frames.append(frame))
    env.close()
    return result, frames


def test_another_process_sees_the_same_to_the_bit(tmp_path):
    (own, frames), (other, others) = episode(load_task(REACH)), episode(beside(tmp_path))
    assert own == other
    assert own.success
    for one, two in zip(frames, others, strict=True):
        for first, second in zip(one, two, strict=True):
            np.testing.assert_array_equal(first, second)
            assert first.dtype == second.dtype


NEIGHBOURS = {
    "helper.py": "from deeper import part\nSTEP = 0.1\n",
    "deeper/__init__.py": "",
    "deeper/part.py": "import gymnasium\nfrom reach import Reach\ngymnasium.register('Mine-v0', Reach)\n",
}


@pytest.mark.parametrize("environment", ["reach.py:Reach", "later.py:make", "deeper.part:Reach", "helper:Mine-v0"])
@pytest.mark.parametrize("python", ["", f"python: {sys.executable}\n"])
def test_what_lies_beside_a_task_file_can_be_imported(environment, python, tmp_path):
    for name, code in NEIGHBOURS.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(code)
    (tmp_path / "later.py").write_text("def make():\n    from helper import part\n    return part.Reach()\n")
    folder = recipe_folder("tasks")
    code = (folder / "reach.py").read_text("utf-8")
    (tmp_path / "reach.py").write_text(code if environment != "reach.py:Reach" else f"import helper\n{code}")
    text = (
        (folder / "reach.yaml").read_text("utf-8").replace("environment: reach.py:Reach", f"environment: {environment}")
    )
    (tmp_path / "reach.yaml").write_text(text + python)
    # In a process of its own: what has been imported once stays.
    program = f"""
import sys
import numpy as np
import dp_hf.simulation
from dp_hf.tasks.description import load_task
from dp_hf.tasks.environment import TaskExpert
task = load_task({str(tmp_path / "reach.yaml")!r})
env = task.make_environment(cameras=task.cameras)
env.reset(seed=0)
env.step(TaskExpert(env)())
env.close()
"""
    done = subprocess.run([sys.executable, "-c", program], cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_an_expert_of_half_precision_passes_the_pipe(tmp_path):
    code = (recipe_folder("tasks") / "reach.py").read_text("utf-8")
    half = code.replace("Box(-1, 1, (2,))\n\n", "Box(-1, 1, (2,), np.float16)\n\n")
    assert half != code
    assert episode(beside(tmp_path, code=half))[0].success


def test_what_an_environment_prints_does_not_disturb(tmp_path):
    code = (recipe_folder("tasks") / "reach.py").read_text("utf-8")
    printing = code.replace("self.hand = np.clip(", "print('hello'); self.hand = np.clip(")
    assert printing != code
    assert episode(beside(tmp_path, code=printing))[0].success


def test_an_environment_that_fails_or_dies_in_its_process_is_said(tmp_path, capfd):
    code = (recipe_folder("tasks") / "reach.py").read_text("utf-8")
    failures = {"raise KeyError('oops')": "failed: KeyError: 'oops'", "import os; os._exit(3)": "ended with 3"}
    for number, (what, message) in enumerate(failures.items()):
        (folder := tmp_path / str(number)).mkdir()
        task = beside(folder, code=code.replace("self.hand = np.clip(", f"{what}; self.hand = np.clip("))
        with pytest.raises(RunFailed, match=message) as error:
            episode(task)
        assert "reach.yaml" in str(error.value)
    assert "Traceback" in capfd.readouterr().err


def test_an_interpreter_that_is_none_or_lacks_gymnasium(tmp_path, capfd):
    with pytest.raises(UserError, match="nowhere/python cannot be run"):
        episode(beside(tmp_path, tmp_path / "nowhere" / "python"))
    bare = tmp_path / "bare"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    os.chmod(bare, 0o755)
    with pytest.raises(RunFailed, match=re.escape(f"{bare} needs numpy, gymnasium and the environment's packages")):
        episode(beside(tmp_path, bare))
    assert "No module named" in capfd.readouterr().err


def test_the_process_ends_with_its_environment(tmp_path):
    task = beside(tmp_path)
    env = task.make_environment(cameras=task.cameras)
    assert isinstance(env, TaskEnvironment)
    process = env._observed._process
    assert process.poll() is None
    env.close()
    assert process.poll() == 0


def test_the_environment_of_another_process_is_closed_and_one_that_was_interrupted_says_no_more(tmp_path, capfd):
    code = (recipe_folder("tasks") / "reach.py").read_text("utf-8")
    closing = code.replace(
        "    def render(self):", "    def close(self):\n        print('closed')\n\n    def render(self):"
    )
    task = beside(tmp_path, code=closing)
    for interrupted in (False, True):
        env = task.make_environment(cameras=task.cameras)
        env.reset(seed=0)
        process = env._observed._process
        if interrupted:
            process.stdout.close()
            write_message(process.stdin, {"call": "step", "with": [np.zeros(2)]})
        env.close()
        assert process.poll() == 0
        assert capfd.readouterr().err == "closed\n"


def test_the_process_ends_with_a_parent_that_is_killed(tmp_path):
    beside(tmp_path)
    code = f"""
import os, signal
import dp_hf.simulation
from dp_hf.tasks.description import load_task
task = load_task({str(tmp_path / "reach.yaml")!r})
env = task.make_environment(cameras=task.cameras)
env.reset(seed=0)
os.kill(os.getpid(), signal.SIGKILL)
"""
    # The pipe ends when the last process that holds it has.
    result = subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE, timeout=300)
    assert result.returncode == -9, result.stderr


def test_a_camera_that_the_file_has_not():
    with pytest.raises(UserError, match=r"no camera side: .*reach\.yaml has top"):
        load_task(REACH).make_environment(cameras=("side",))
