"""A gymnasium environment seen as a task file describes it: named pictures, a state, an action, stages.

Stands alone, on numpy and gymnasium, because another Python may run it, see `pipe`.
"""

import hashlib
import importlib
import importlib.util
import os
import re
import sys

import numpy as np

RENDER, REWARD, WHOLE = "render", "reward", "."
SUCCESS = "success"
_SOURCE = re.compile(r"(?P<path>[^\[\]]*)(\[(?P<start>(-?\d+)?):(?P<stop>(-?\d+)?)\])?")
_CONDITION = re.compile(r"\s*(?P<key>[^\s<>=]+)\s*((?P<sign>>=|<=|>|<)\s*(?P<number>[-+.\deE]+))?\s*")
_SIGNS = {">=": np.greater_equal, "<=": np.less_equal, ">": np.greater, "<": np.less}
_ABSENT = object()
# Resets that begin alike in everything after which an environment is taken for one that ignores its seed.
_EQUAL_RESETS = 3


class TaskError(Exception):
    """What a task file says does not fit its environment: a sentence with the file, the key and the remedy."""


class ObservedEnvironment:
    """An environment, and of what it gives what a task file names.

    Args:
        task: `file` (its name in messages), `folder` (that relative paths are of), `environment`, `arguments`,
            `cameras`, `state_source`, `state_names`, `action_names`, `fps`, `max_steps`, `stages` (name to condition,
            the last one of which is the success), `success_steps`, `expert`; see `TaskDescription`.

    Raises:
        TaskError: by every method too.
    """

    def __init__(self, task):
        self.task = task
        self.stages = {}
        self._equal = {}
        self._missed = dict.fromkeys(task["stages"])
        self._conditions = {name: self._condition(name, text) for name, text in task["stages"].items()}
        let_import(task["folder"])
        self.env = self._make()
        self._require_space()
        own = (self.env.metadata or {}).get("render_fps")
        if isinstance(own, (int, float)) and abs(own / task["fps"] - 1) > 0.05:
            raise self._error(
                "fps",
                f"is {task['fps']:g}, and the environment's metadata say {own:g} steps a second (render_fps): give "
                "that, or set env.metadata in a function that makes the environment",
            )
        spec = self.env.spec
        max_steps = task["max_steps"] or (spec.max_episode_steps if spec else None)
        if max_steps is None:
            raise self._error("max_steps", "is not given, and the environment has no step limit of its own")
        self.max_steps = max_steps

    def reset(self, seed):
        """Begins the episode of a seed; returns the observation: `state` and each camera's picture."""
        self._raw, _ = self._call("reset", 2, seed=seed)
        self.stages = dict.fromkeys(self._conditions, False)
        self._steps = self._held = 0
        self._expert = None
        observation = self._observation()
        if seed is not None and len(self._equal) < _EQUAL_RESETS:
            self._equal[seed] = _digest([self._raw, observation])
            if len(self._equal) == _EQUAL_RESETS and len(set(self._equal.values())) == 1:
                raise self._error(
                    "environment",
                    f"begins alike after {_EQUAL_RESETS} resets with different seeds: its layout is frozen, so that "
                    "nothing would be measured on an unseen one; unfreeze it in a function that makes the environment",
                )
        return observation

    def step(self, action):
        """One step; returns observation, reward, terminated, truncated and the stages reached so far.

        The action is not clipped: there are environments whose declared space is not what they take.
        """
        action = self._require_action(action)
        self._raw, reward, terminated, truncated, info = self._call("step", 5, action)
        self._steps += 1
        now = {name: self._holds(name, reward, info) for name in self._conditions}
        self._held = self._held + 1 if now[SUCCESS] else 0
        now[SUCCESS] = self._held >= (wanted := self.task["success_steps"])
        if terminated and self._held == 1 < wanted:
            raise self._error(
                "success_steps",
                f"is {wanted}, and the environment ends an episode at its first success: take 1, or make it go on in a "
                "function that makes the environment",
            )
        self.stages = {name: reached or now[name] for name, reached in self.stages.items()}
        terminated = bool(terminated) or self.stages[SUCCESS]
        truncated = bool(truncated) or self._steps >= self.max_steps
        if terminated or truncated:
            self._name_absent(info)
        return self._observation(), float(reward), terminated, truncated, self.stages

    def expert_action(self):
        """What the scripted expert would do now."""
        if self._expert is None:
            self._expert = self._function("expert", self.task["expert"])(self.env)
        return self._require_action(self._expert(self._raw), "expert")

    def close(self):
        self.env.close()

    def _make(self):
        import gymnasium  # here, as commands that have none load functions with this module

        environment, arguments = self.task["environment"], dict(self.task["arguments"])
        if not callable(environment) and not is_function(environment):
            if RENDER in self.task["cameras"].values():
                arguments.setdefault("render_mode", "rgb_array")
            if self.task["max_steps"]:
                arguments.setdefault("max_episode_steps", self.task["max_steps"])
            arguments.setdefault("disable_env_checker", True)
            make, arguments = gymnasium.make, {"id": environment, **arguments}
        else:
            make = self._function("environment", environment)
        try:
            env = make(**arguments)
        except TaskError:
            raise
        except Exception as error:  # of whoever has written the environment
            text = f"{environment} cannot be made with {self.task['arguments']}: {type(error).__name__}: {error}"
            raise self._error("environment", text) from error
        if not isinstance(env, gymnasium.Env):
            raise self._error("environment", f"{environment} makes a {type(env).__name__}, not a gymnasium.Env")
        return env

    def _require_space(self):
        import gymnasium

        space, names = self.env.action_space, self.task["action_names"]
        if not isinstance(space, gymnasium.spaces.Box):
            raise self._error("environment", f"takes actions of {space}; a policy's actions are numbers (Box)")
        if space.shape != (len(names),):
            raise self._error("action", f"has {len(names)} names, and the environment takes the shape {space.shape}")

    def _call(self, method, count, *arguments, **options):
        result = getattr(self.env, method)(*arguments, **options)
        if not isinstance(result, tuple) or len(result) != count:
            raise self._error("environment", f"{method}() does not return {count} values, as gymnasium 1.0 has it")
        return result

    def _observation(self):
        pictures = {name: self._picture(name, source) for name, source in self.task["cameras"].items()}
        return {"state": self._state(), **pictures}

    def _state(self):
        parts = []
        for source in self.task["state_source"]:
            value = _array(self._pick("state", source))
            if value.ndim > 1 or value.dtype.kind not in "fiub":
                raise self._error("state", f"takes {source}, which is {_kind(value)}: name a list of numbers")
            parts.append(np.atleast_1d(value).astype(np.float32))
        state = np.concatenate(parts)
        if len(state) != (expected := len(self.task["state_names"])):
            raise self._error(
                "state", f"has {expected} names, and {' + '.join(self.task['state_source'])} has {len(state)} numbers"
            )
        if not np.isfinite(state).all():
            name = self.task["state_names"][int(np.argmin(np.isfinite(state)))]
            raise self._error("state", f"{name} is not finite after {self._steps} steps")
        return state

    def _picture(self, name, source):
        key = f"cameras: {name}"
        picture = self.env.render() if source == RENDER else self._pick(key, source)
        if picture is None:
            raise self._error(key, "render() gives nothing: give arguments: {render_mode: rgb_array}")
        picture = _array(picture)
        if picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3:
            return np.array(picture)  # the environment may go on drawing into its own
        why = ""
        if picture.dtype.kind == "f":
            why = ", floats"
        elif picture.ndim == 3 and picture.shape[0] == 3:
            why = ", channels first"
        raise self._error(
            key,
            f"{source} is {_kind(picture)}{why}: a picture is uint8 (height, width, 3); make it so in a function that "
            "makes the environment, such as with gymnasium.wrappers.TransformObservation",
        )

    def _pick(self, key, source):
        match = _SOURCE.fullmatch(source)
        if match is None:
            raise self._error(key, f"{source} is no place in an observation, such as pixels/top or agent_pos[0:4]")
        path = match["path"]
        value = self._raw if path in ("", WHOLE) else _look_up(self._raw, path)
        if value is _ABSENT:
            raise self._error(key, f"{source} is not in the observation, which is {_describe(self._raw)}")
        if isinstance(value, dict):
            raise self._error(key, f"{source} is not one array; the observation is {_describe(self._raw)}")
        if match["start"] is None:
            return value
        return np.atleast_1d(_array(value))[
            slice(*(int(end) if end else None for end in (match["start"], match["stop"])))
        ]

    def _condition(self, name, text):
        match = _CONDITION.fullmatch(str(text))
        if match is None or not _is_number(match["number"] or "0"):
            raise self._error(name, f"{text!r} is no condition: give a key of info, or such as `reward >= 4`")
        number = float(match["number"]) if match["number"] else None
        if match["key"] == REWARD and number is None:
            raise self._error(name, "reward is neither true nor false: give such as `reward >= 4`")
        return match["key"], match["sign"], number

    def _holds(self, name, reward, info):
        key, sign, number = self._conditions[name]
        value = reward if key == REWARD else _look_up(info, key)
        if value is _ABSENT:  # there are environments that have it only once it is true
            return False
        self._missed.pop(name, None)
        value = _array(value)
        if value.size != 1 or value.dtype.kind not in "fiub":
            raise self._error(name, f"info's {key} is {_kind(value)}, not one number or true and false")
        if sign is not None:
            return bool(_SIGNS[sign](value, number).item())
        if value.item() not in (0, 1):
            raise self._error(name, f"info's {key} is {value.item():g}, neither true nor false: give `{key} >= ...`")
        return bool(value.item())

    def _name_absent(self, info):
        """Says once what was in no `info` of the first episode: it may come with a success, or not be there at all."""
        for name in self._missed:
            there = ", ".join(map(str, info)) or "nothing"
            text = (
                f"info had no {self._conditions[name][0]} in a whole episode, which counts as not reached; at its end"
            )
            print(self._error(name, f"{text} there was {there}"), file=sys.stderr, flush=True)
        self._missed = {}

    def _require_action(self, action, whose="action"):
        action, names = np.asarray(action), self.task["action_names"]
        if action.shape != (len(names),) or action.dtype.kind not in "fiu" or not np.isfinite(action).all():
            raise self._error(whose, f"is {action}, not {len(names)} finite numbers ({', '.join(names)})")
        return action.astype(self.env.action_space.dtype if self.env.action_space.dtype.kind == "f" else np.float32)

    def _function(self, key, reference):
        if callable(reference):
            return reference
        try:
            return load_function(reference, self.task["folder"])
        except Exception as error:  # of whoever has written it
            text = f"{reference} cannot be loaded in {sys.executable} ({type(error).__name__}: {error})"
            raise self._error(key, text) from error

    def _error(self, key, text):
        return TaskError(f"{self.task['file']}: {key}: {text}")


def is_function(reference):
    """Whether a text names a function, MODULE:FUNCTION or FILE.py:FUNCTION, and not an environment's id."""
    place, colon, name = str(reference).rpartition(":")
    return bool(place and colon) and name.isidentifier()


def let_import(folder):
    """Lets the modules in a folder be imported, after all others: they hide nothing that is installed."""
    folder = os.path.abspath(folder)
    if folder not in sys.path:
        sys.path.append(folder)


def load_function(reference, folder):
    """The function MODULE:FUNCTION, or FILE.py:FUNCTION with a file that is relative to `folder`.

    A module may be in `folder`, and what a file imports beside it.
    """
    place, _, name = reference.rpartition(":")
    if not place.endswith(".py"):
        let_import(folder)
        return getattr(importlib.import_module(place), name)
    file = os.path.abspath(os.path.join(folder, os.path.expanduser(place)))
    let_import(os.path.dirname(file))
    module_name = "dp_hf_task_" + hashlib.sha256(file.encode()).hexdigest()[:16]
    if module_name not in sys.modules:
        spec = importlib.util.spec_from_file_location(module_name, file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[module_name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[module_name]
            raise
    return getattr(sys.modules[module_name], name)


def _look_up(value, path):
    """What is at `a/b` in dicts of dicts, whose keys may hold a `/` themselves; `_ABSENT` where nothing is."""
    if not isinstance(value, dict):
        return _ABSENT
    if path in value:
        return value[path]
    parts = path.split("/")
    for count in range(len(parts) - 1, 0, -1):
        found = _look_up(value.get("/".join(parts[:count])), "/".join(parts[count:]))
        if found is not _ABSENT:
            return found
    return _ABSENT


def _array(value):
    try:
        return np.asarray(value)
    except ValueError:  # parts of different lengths
        return np.asarray(None)


def _is_number(text):
    try:
        return np.isfinite(float(text))
    except ValueError:
        return False


def _digest(value):
    if isinstance(value, dict):
        return hashlib.sha256("".join(key + _digest(value[key]) for key in sorted(value)).encode()).hexdigest()
    if isinstance(value, (list, tuple)):
        return "".join(map(_digest, value))
    array = np.asarray(value)
    return hashlib.sha256(array.tobytes() if array.dtype.kind != "O" else repr(value).encode()).hexdigest()


def _describe(value, path=""):
    if isinstance(value, dict):
        return ", ".join(_describe(part, f"{path}/{name}" if path else str(name)) for name, part in value.items())
    return f"{path or 'one array'} {_kind(_array(value))}"


def _kind(array):
    return f"{array.dtype} {array.shape}"
