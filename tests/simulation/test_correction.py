"""The expert corrects a policy that fails, and what it did is recorded, with who acted."""

import json
from functools import partial

import numpy as np
import pytest

from dp_hf.cli.record_corrections import main
from dp_hf.episodes.dataset import open_data
from dp_hf.episodes.find import find_episodes
from dp_hf.episodes.reader import read_episode
from dp_hf.errors import UserError
from dp_hf.simulation.correction import TRIED_FILE, Corrected, Rules, record_corrections
from dp_hf.simulation.expert import StackingExpert, tool_yaw
from dp_hf.simulation.kinematics import down_rotation
from dp_hf.simulation.rollouts import rollout
from dp_hf.simulation.stacking import make_environment

SMALL = {"cameras": ["front"], "image_size": (24, 42)}


class ExpertUntil:
    """The expert, who stands still from a step on."""

    def __init__(self, env, steps):
        self.expert, self.steps = StackingExpert(env), steps

    def reset(self):
        self.expert.reset()
        self.num = 0

    def __call__(self, image, state):
        self.num += 1
        if self.num <= self.steps:
            self.action = self.expert(image, state)
        return self.action


def stops(env, seed, steps):
    """A policy that stops at a step, on every second layout; it succeeds on the others."""
    return ExpertUntil(env, steps if seed % 2 else 1000)


@pytest.fixture(scope="module")
def env():
    return make_environment(cameras=())


@pytest.mark.parametrize("steps", [1, 12, 17, 22])
def test_the_expert_goes_on_from_wherever_the_policy_stopped(env, steps):
    policy = Corrected(env, ExpertUntil(env, steps), StackingExpert(env), patience=1.5)
    actions = []
    result = rollout(env, policy, 1, on_step=lambda image, state, action: actions.append(action))
    assert result.success
    assert policy.actor == "person"
    # It begins where the arm is.
    assert np.abs(np.diff(np.array(actions)[:, :6], axis=0)).max() < 16


def test_a_cube_that_is_held_is_carried_on(env):
    held = []

    class Held(Corrected):
        def __call__(self, image, state):
            before, held_now = self.actor, env.unwrapped.touching_pads() == 2
            action = super().__call__(image, state)
            if self.actor != before:
                held.append((held_now, self.expert.phase, action[6]))
            return action

    policy = Held(env, ExpertUntil(env, 20), StackingExpert(env), patience=1.5)
    assert rollout(env, policy, 1).success
    assert held == [(True, "place", 0)]


@pytest.mark.parametrize("yaw", [-40.0, 0.0, 12.5, 90.0])
def test_yaw_of_the_tool(yaw):
    assert tool_yaw(down_rotation(yaw).ravel()) == pytest.approx(yaw)


def test_failures_are_recorded_from_shortly_before_the_expert_took_over(tmp_path):
    record = partial(
        record_corrections,
        tmp_path / "data",
        partial(stops, steps=12),
        {"policy": "stops"},
        rules=Rules(patience=1.5, before=0.5, noise=0.5),
        environment=SMALL,
    )
    report = record(1)
    assert (report.corrected, report.failed, report.succeeded) == (1, 0, 1)
    assert "1 corrections; of 2 layouts the policy succeeded on 1 without" in str(report)
    report = record(2, max_layouts=3)  # goes on, and ends where it may try no more
    assert (report.tried, report.corrected) == (3, 1)
    assert record(2).corrected == 2
    tried = [json.loads(line) for line in (tmp_path / "data" / TRIED_FILE).read_text().splitlines()[1:]]
    assert [(row["seed"], row["outcome"]) for row in tried] == [
        (i, ["succeeded", "corrected"][i % 2]) for i in range(4)
    ]
    episodes = find_episodes(tmp_path / "data")
    assert [episode.name for episode in episodes] == ["episode_0000001", "episode_0000003"]
    episode = read_episode(episodes[0])
    assert episode.actors[:6] == ["policy"] * 5 + ["person"]
    assert set(episode.actors[5:]) == {"person"}
    assert not episode.problems
    dataset, meta = open_data(tmp_path / "data", progress=False)
    assert meta.has_actors
    assert meta.fps == 10
    assert dataset["actor"].count("policy") == 10
    with pytest.raises(UserError, match="corrections with another policy"):
        record_corrections(tmp_path / "data", stops, {"policy": "other"}, 1, environment=SMALL)


def test_other_episodes_are_not_mixed_with_corrections(tmp_path, record_episode):
    record_episode(tmp_path)
    with pytest.raises(UserError, match="holds other episodes than corrections"):
        record_corrections(tmp_path, stops, {}, 1)
    with pytest.raises(UserError, match="an episode is over after 15 s"):
        record_corrections(tmp_path, stops, {}, 1, rules=Rules(patience=15))


def test_the_command_records_corrections_of_a_pipeline(tmp_path, make_pipeline, capsys):
    sizes = {"horizon": 8, "n_action_steps": 8, "use_proprioception": True, "fps": 10.0}
    make_pipeline(**sizes).save_pretrained(tmp_path / "policy")
    arguments = ["--pipeline", str(tmp_path / "policy"), "--output_dir", str(tmp_path / "data"), "--layout_seed", "7"]
    assert main([*arguments, "--num_episodes", "2", "--num_layouts", "1", "--patience", "0.5"]) == 0
    said = capsys.readouterr().out
    assert "1 corrections; of 1 layouts the policy succeeded on 0 without" in said
    assert "fewer than --num_episodes 2" in said
    (episode,) = find_episodes(tmp_path / "data")
    assert read_episode(episode).actors[4:6] == ["policy", "person"]
    assert main([*arguments, "--task_file", "push_t"]) == 2
    assert main(["--pipeline", "expert", "--output_dir", str(tmp_path / "data")]) == 2
