import pytest
import torch

from dp_hf.episodes.dataset import open_data
from dp_hf.training.observations import LiveImages
from dp_hf.training.validation import Phases, sample_actions, validate
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
    result = validate(pipeline, windows, meta.state_names, progress=False)
    assert result == validate(pipeline, windows, meta.state_names, progress=False)
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


def test_arm_errors_by_phase_of_the_gripper():
    phases = Phases(["J1", "J2", "gripper"])
    chunks = torch.zeros(3, 4, 3)
    chunks[1, 2:, 2] = 100.0  # this chunk opens the gripper
    errors = torch.tensor([1.0, 5.0, 3.0]).view(3, 1, 1).expand(3, 2, 3).clone()
    errors[..., 2] = 1000.0
    recorded = torch.ones(3, 2, 1, dtype=torch.bool)
    errors[2, 1], recorded[2, 1] = 0.0, False
    phases.add(chunks, errors, recorded)
    assert phases.means() == {"gripper moves": 5.0, "gripper still": pytest.approx((1 + 1 + 3) / 3)}


def test_without_a_gripper_there_are_no_phases(data, pipeline):
    _, windows, meta = data
    names = [f"J{i}" for i in range(len(meta.state_names))]
    assert validate(pipeline, windows, names, progress=False)["by_phase"] == {}
