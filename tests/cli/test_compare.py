"""`dp-hf compare` on a small task: paired rollouts, finished evaluations, the stop rule."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers.reach_task import TASK, copy_task, save_policy

from dp_hf.cli.compare import main as compare
from dp_hf.cli.evaluate import main as evaluate


@pytest.fixture
def folder(tmp_path, monkeypatch, make_pipeline):
    """The task, and a policy of random weights for it."""
    copy_task(tmp_path)
    monkeypatch.chdir(tmp_path)
    save_policy(make_pipeline, n_action_steps=4)
    return tmp_path


def numbers(file="outputs/comparison/comparison.json"):
    content = json.loads(Path(file).read_text())
    return content, content["scenes"]["nominal"]["stages"]["success"]


def test_two_policies_on_the_same_layouts_and_again_from_their_evaluations(folder, capsys):
    assert compare(["expert", "policy", *TASK, "--num_episodes", "3"]) == 0
    content, success = numbers()
    assert (content["task"], content["policies"]["A"]) == ("reach", {"pipeline": "expert", "policy": "expert"})
    assert content["policies"]["B"]["pipeline"] == "policy"
    assert success["pairs"] == {"both": 0, "only_a": 3, "only_b": 0, "neither": 0}
    assert (success["difference"], success["p_value"]) == (-1.0, 0.25)
    printed = capsys.readouterr().out
    assert "B - A -100.0" in printed
    assert "not decided: about 5 more pairs would decide" in printed

    places = [("expert", "one"), ("policy", "other")]
    for pipeline, place in places:
        arguments = [*TASK, "--pipeline", pipeline, "--num_episodes", "3", "--video", "0"]
        assert evaluate([*arguments, "--output_dir", place]) == 0
    assert compare(["one", "other", "--output_dir", "again"]) == 0
    again, _ = numbers("again/comparison.json")
    assert again == content


def test_it_goes_on_where_it_was_cut_off_and_ends_when_it_is_decided(folder, capsys):
    arguments = ["policy", "expert", *TASK]
    assert compare([*arguments, "--num_episodes", "2"]) == 0
    file = Path("outputs/comparison/rollouts.jsonl")
    lines = file.read_text().splitlines(keepends=True)
    assert len(lines) == 5
    file.write_text("".join(lines[:-1]) + lines[-1][:20])
    assert compare([*arguments, "--num_episodes", "40", "--stop_early"]) == 0
    content, success = numbers()
    assert content["scenes"]["nominal"]["pairs"] < 20
    assert success["evidence"] >= 20
    assert "B is better: decided" in capsys.readouterr().out
    before = file.read_bytes()
    assert compare([*arguments, "--num_episodes", "40", "--stop_early"]) == 0
    assert file.read_bytes() == before
    for stages in ({"near": True}, {"near": True, "success": 1}, {}):
        *others, last = before.decode().splitlines()
        file.write_text("\n".join([*others, json.dumps({**json.loads(last), "stages": stages})]) + "\n")
        assert compare([*arguments, "--num_episodes", "40", "--stop_early"]) == 2
        assert "rollouts.jsonl is damaged" in capsys.readouterr().err
    file.write_bytes(before)

    # More workers have more layouts under way when it is decided, and say the same.
    assert compare([*arguments, "--num_episodes", "40"]) == 0
    assert numbers()[0]["scenes"]["nominal"]["pairs"] == 40
    assert compare([*arguments, "--num_episodes", "40", "--stop_early"]) == 0
    assert numbers()[0]["scenes"] == content["scenes"]

    assert compare([*arguments, "--num_inference_steps", "2"]) == 2
    assert "holds rollouts with another num_inference_steps" in capsys.readouterr().err


def test_both_policies_sample_from_the_same_noise(folder, monkeypatch):
    from dp_hf.pipelines.pipeline_diffusion_policy import DiffusionPolicyPipeline

    other = DiffusionPolicyPipeline.from_pretrained("policy")
    state = other.normalizer.state_dict()
    other.normalizer.load_state_dict({name: value + 0.25 for name, value in state.items()})
    other.save_pretrained("shifted")
    seen = []
    sample = DiffusionPolicyPipeline.__call__

    def noted(self, *arguments, generator=None, **options):
        seen.append(generator.get_state().numpy().copy())
        return sample(self, *arguments, generator=generator, **options)

    monkeypatch.setattr(DiffusionPolicyPipeline, "__call__", noted)
    assert compare(["policy", "shifted", *TASK, "--num_episodes", "1"]) == 0
    one, another = np.split(np.array(seen), 2)
    np.testing.assert_array_equal(one, another)
    assert not np.array_equal(one[0], one[1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"episodes": lambda rows: rows[:1]}, "different layouts (2 from 1073741824, 1 from 1073741824)"),
        ({"task_origin": lambda origin: "0"}, "are of different task, reach "),
        (
            {"arguments": lambda options: {**options, "push": 20.0}},
            "different scenes, nominal and nominal {'push': 20.0}",
        ),
        ({"episodes": lambda rows: [{"seed": row["seed"], "length": 3, "done": True} for row in rows]}, "stages"),
        ({"episodes": lambda rows: [rows[0], {**rows[1], "success": "no"}]}, "not the results of `dp-hf evaluate`"),
        ({"episodes": lambda rows: [rows[0], {"seed": 1, "length": 3}]}, "not the results of `dp-hf evaluate`"),
        ({"task_origin": lambda origin: {"0": 1}}, "not the results of `dp-hf evaluate`"),
        ({"episodes": lambda rows: [3]}, "not the results of `dp-hf evaluate`"),
        ({"episodes": lambda rows: []}, "holds no rollouts"),
    ],
)
def test_evaluations_that_are_not_of_the_same_are_refused(change, message, folder, capsys):
    arguments = [*TASK, "--pipeline", "expert", "--num_episodes", "2", "--video", "0"]
    assert evaluate([*arguments, "--output_dir", "one"]) == 0
    shutil.copytree("one", "other")
    file = Path("other/results.json")
    content = json.loads(file.read_text())
    content.update({name: changed(content[name]) for name, changed in change.items()})
    file.write_text(json.dumps(content))
    capsys.readouterr()
    assert compare(["one", "other"]) == 2
    assert message in capsys.readouterr().err


def test_what_cannot_be_compared_is_one_sentence(folder, capsys):
    Path("done").mkdir()
    Path("done/results.json").write_text("{}")
    for arguments, message in (
        (["policy", "policy", *TASK], "are the same policy"),
        (["done", "policy"], "done is an evaluation's folder, and the other is none"),
        (["done", "done", "--num_episodes", "3", "--stop_early"], "leave --num_episodes and --stop_early out"),
        (["done", "done"], "not the results of `dp-hf evaluate`"),
        (["policy", "expert", *TASK, "--disturbances"], "change the scene of cube stacking"),
        (["policy", "expert", "--disturbances", "--stop_early"], "--stop_early is for one scene"),
        (["policy", "expert", "--disturbances", "fog"], "--disturbances has no scene fog"),
        (["policy", "expert"], "not for the task cube_stacking"),
        (["nowhere", "expert"], "nowhere"),
    ):
        assert compare(arguments) == 2
        assert message in capsys.readouterr().err
    assert not Path("outputs/comparison").exists()


@pytest.mark.slow
def test_in_a_changed_world_scene_by_scene(tmp_path, monkeypatch, make_pipeline, capsys):
    from dp_hf.arms.mycobot_280 import QUANTITIES as ARM

    monkeypatch.chdir(tmp_path)
    names = {"state_names": ARM.names, "action_names": ARM.names, "state_units": ARM.units, "action_units": ARM.units}
    make_pipeline(num_train_timesteps=4, horizon=16, n_action_steps=16, fps=10, **names).save_pretrained("policy")
    scenes = ["--disturbances", "nominal", "push"]
    assert compare(["expert", "policy", "--num_episodes", "1", *scenes]) == 0
    content = json.loads(Path("outputs/comparison/comparison.json").read_text())
    assert list(content["scenes"]) == ["nominal", "push 20"]
    assert content["scenes"]["push 20"]["stages"]["stacked"]["pairs"]["only_a"] == 1
    for pipeline, place in (("expert", "one"), ("policy", "other")):
        arguments = ["--pipeline", pipeline, "--num_episodes", "1", "--output_dir", place]
        assert evaluate([*arguments, *scenes]) == 0
    assert compare(["one", "other", "--output_dir", "again", "--disturbances"]) == 0
    assert json.loads(Path("again/comparison.json").read_text()) == content
    assert compare(["one", "other", "--disturbances", "camera"]) == 2
    assert "holds no rollouts to compare" in capsys.readouterr().err
