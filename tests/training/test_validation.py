import pytest
import torch

from dp_hf.arms.quantities import Quantities
from dp_hf.episodes.dataset import open_data
from dp_hf.training.observations import LiveImages
from dp_hf.training.validation import Phases, gripper_moves, sample_actions, validate
from dp_hf.training.windows import Trajectories, WindowDataset, make_windows


@pytest.fixture
def data(recording):
    dataset, meta = open_data(recording, frame_skip=1, report=lambda text: None)
    trajectories = Trajectories.from_dataset(dataset)
    windows = make_windows(trajectories.episode_index, [1, 2], 2, 4)
    return dataset, WindowDataset(trajectories, windows, LiveImages(dataset, ("image",), (32, 56))), meta


@pytest.fixture
def pipeline(make_pipeline):
    return make_pipeline(horizon=4, n_action_steps=2, n_obs_steps=2, use_proprioception=True)


def test_samples_what_the_pipeline_samples(data, pipeline):
    dataset, windows, _ = data
    indices = [0, 5, 11]
    batch = windows.__getitems__(indices)
    sampled = sample_actions(pipeline, batch, torch.Generator().manual_seed(3))
    rows = windows.windows.observation_rows[indices]
    images = [[dataset[int(row)]["image"] for row in history] for history in rows]
    expected = pipeline(images, state=batch["state"], generator=torch.Generator().manual_seed(3), output_type="pt")
    torch.testing.assert_close(sampled, expected.actions, rtol=1e-4, atol=1e-3)


def test_errors_equal_a_loop_over_windows(data, pipeline):
    _, windows, meta = data
    result = validate(pipeline, windows, progress=False)
    assert result == validate(pipeline, windows, progress=False)
    batch = windows.__getitems__(range(len(windows)))
    sampled = sample_actions(pipeline, batch, torch.Generator().manual_seed(0))
    errors = {step: [] for step in range(4)}
    for i in range(len(windows)):
        for step in range(4):
            if not batch["is_pad"][i, step]:
                errors[step].append((sampled[i, step] - batch["action"][i, step]).abs())
    executed = torch.stack(errors[0] + errors[1]).mean(0)
    assert result["error"] == pytest.approx(executed.mean().item(), rel=1e-4)
    assert list(result["by_joint"]) == meta.state_names
    assert list(result["by_joint"].values()) == pytest.approx(executed.tolist(), rel=1e-4)
    by_step = [torch.stack(errors[step]).mean().item() for step in range(4)]
    assert result["by_chunk_step"] == pytest.approx(by_step, rel=1e-4)


def moving(chunks, units=("degrees", "degrees", "0..100"), num_actions=4):
    """Whether grippers move in chunks (B, T, 3), each of them an episode."""
    count, length, _ = chunks.shape
    episodes = torch.arange(count).repeat_interleave(length)
    trajectories = Trajectories(
        chunks.flatten(0, 1), chunks.flatten(0, 1), episodes, torch.ones(len(episodes), dtype=torch.bool)
    )
    moves = gripper_moves(trajectories, Quantities(("J1", "J2", "gripper"), units), num_actions)
    return moves.view(count, length)


def test_arm_errors_by_phase_of_the_gripper():
    phases = Phases(Quantities(("J1", "J2", "gripper"), ("degrees", "degrees", "0..100")))
    chunks = torch.zeros(3, 4, 3)
    chunks[1, 2:, 2] = 100.0  # this chunk opens the gripper
    errors = torch.tensor([1.0, 5.0, 3.0]).view(3, 1, 1).expand(3, 2, 3).clone()
    errors[..., 2] = 1000.0
    recorded = torch.ones(3, 2, 1, dtype=torch.bool)
    errors[2, 1], recorded[2, 1] = 0.0, False
    phases.add(moving(chunks)[:, 0], errors, recorded)
    assert phases.means() == {"gripper moves": 5.0, "gripper still": pytest.approx((1 + 1 + 3) / 3)}


def test_a_gripper_moves_by_a_tenth_of_its_range():
    chunks = torch.zeros(2, 6, 3)
    chunks[..., 0] = torch.arange(12).view(2, 6) * 50  # the arm does not count
    chunks[1, 3:, 2] = 10.0
    assert not moving(chunks).any()
    chunks[1, 3:, 2] = 10.5
    assert moving(chunks).tolist() == [[False] * 6, [True, True, True, False, False, False]]
    assert moving(chunks, num_actions=2).tolist() == [[False] * 6, [False, False, True, False, False, False]]
    # In other units its range is what the recordings show: here 10.5, of which 1 is less than a tenth.
    chunks[0, 5, 2] = 1.0
    in_metres = moving(chunks, ("degrees", "degrees", "metres"))
    assert in_metres.tolist() == [[False] * 6, [True, True, True, False, False, False]]
    chunks[0, 5, 2] = 1.1
    assert moving(chunks, ("degrees", "degrees", "metres"))[0].tolist() == [False, False, True, True, True, False]


def test_phases_at_horizon_1_look_a_second_ahead(data, make_pipeline):
    _, windows, _ = data
    one_action = make_windows(windows.trajectories.episode_index, [1, 2], 1, 1)
    one = WindowDataset(windows.trajectories, one_action, windows.observations)
    windows.trajectories.action[:, 6] = 0.0
    last = int((windows.trajectories.episode_index == 2).nonzero()[-1])
    windows.trajectories.action[last, 6] = 50.0
    found = validate(make_pipeline(fps=3.0), one, progress=False)["by_phase"]
    assert set(found) == {"gripper moves", "gripper still"}


def test_without_a_gripper_there_are_no_phases(data, make_pipeline):
    _, windows, _ = data
    options = {"horizon": 4, "n_action_steps": 2, "n_obs_steps": 2, "use_proprioception": True}
    names = [f"J{i}" for i in range(7)]
    pipeline = make_pipeline(**options, action_names=names, action_units=["radians"] * 7)
    result = validate(pipeline, windows, progress=False)
    assert result["by_phase"] == {}
    assert (list(result["by_joint"]), result["units"]) == (names, ["radians"] * 7)
