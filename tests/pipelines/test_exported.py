"""An exported pipeline without torch: the same actions, the same refusals, and nothing that does not fit together."""

import inspect
import json
import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler
from PIL import Image
from without_torch import ABSENT, ALLOWED, run_without_torch

from dp_hf import ActionChunker, DiffusionPolicyModel, DiffusionPolicyPipeline, Normalizer
from dp_hf.errors import UserError
from dp_hf.models.onnx_policy import OnnxPolicy
from dp_hf.pipelines.exported.noise import SeededNoise
from dp_hf.pipelines.exported.pipeline import DiffusionPolicyPipeline as ExportedPipeline
from dp_hf.pipelines.exported.statistics import Statistics
from dp_hf.pipelines.folder import EXPORTED_POLICY

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

ROOT = Path(__file__).parents[2]
STATE = [10.0, -20.0, 30.0, -40.0, 50.0, -60.0, 70.0]
SMALL = {"image_encoder": "small_cnn", "image_size": (32, 56), "hidden_dim": 32}
SEVERAL = SMALL | {
    **{"denoiser": "unet1d", "down_dims": (16, 32), "horizon": 6, "n_obs_steps": 2, "use_proprioception": True},
    **{
        "pooling": "spatial_softmax",
        "num_keypoints": 8,
        "freeze_image_encoder": False,
        "camera_names": ("head", "wrist"),
    },
}


def make_pipeline(scheduler, seed=0, **config):
    torch.manual_seed(seed)
    low, high = np.array([-160.0] * 6 + [0.0]), np.array([160.0] * 6 + [100.0])
    rows = np.random.default_rng(0).uniform(low, high, (100, 7))
    rows[:, 4] = 12.0  # a joint that never moved
    return DiffusionPolicyPipeline(DiffusionPolicyModel(**config), scheduler, Normalizer.from_data(rows, rows))


def export(pipeline, folder):
    from dp_hf.interop.onnx_export import export_onnx

    folder.mkdir()
    export_onnx(pipeline, folder)
    return folder


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A pipeline with its export, and the folder of its own."""
    folder = tmp_path_factory.mktemp("small")
    pipeline = make_pipeline(
        DDIMScheduler(20, timestep_spacing="trailing"), horizon=8, use_proprioception=True, n_action_steps=4, **SMALL
    )
    pipeline.save_pretrained(folder / "torch")
    return pipeline, export(pipeline, folder / "exported"), folder / "torch"


@pytest.fixture
def folder(small, tmp_path):
    """A copy of the export, to be damaged."""
    return Path(shutil.copytree(small[1], tmp_path / "exported"))


def set_scheduler(folder, scheduler):
    scheduler.save_pretrained(folder / "scheduler")
    edit(folder / "model_index.json", scheduler=["diffusers", type(scheduler).__name__])


def edit(file, **changes):
    content = json.loads(file.read_text()) | changes
    file.write_text(json.dumps({name: value for name, value in content.items() if value is not ...}))


SCHEDULERS = [
    DDIMScheduler(100, beta_schedule="squaredcos_cap_v2", prediction_type="sample", timestep_spacing="trailing"),
    DDIMScheduler(50, beta_schedule="scaled_linear", set_alpha_to_one=False, clip_sample_range=2.0, steps_offset=1),
    DDIMScheduler(20, prediction_type="v_prediction", timestep_spacing="linspace", clip_sample=False),
    DDIMScheduler(3, trained_betas=[0.1, 0.2, 0.3]),
    DDPMScheduler(60, variance_type="fixed_large"),
    DDPMScheduler(60, beta_schedule="squaredcos_cap_v2", prediction_type="sample", timestep_spacing="trailing"),
    DDPMScheduler(40, beta_schedule="sigmoid", prediction_type="v_prediction", variance_type="fixed_small_log"),
]


@pytest.mark.parametrize("scheduler", SCHEDULERS, ids=lambda scheduler: type(scheduler).__name__)
def test_a_seed_gives_the_actions_of_torch(small, folder, frame, scheduler):
    few = max(1, scheduler.config.num_train_timesteps // 2)
    pipeline = DiffusionPolicyPipeline(**small[0].components | {"scheduler": scheduler, "num_inference_steps": few})
    set_scheduler(folder, scheduler)
    edit(folder / "model_index.json", num_inference_steps=few)
    exported, through_torch = (kind.from_pretrained(folder) for kind in (ExportedPipeline, DiffusionPolicyPipeline))
    spread = pipeline.normalizer.action_scale.max().item()
    for options in ({"generator": 1}, {"generator": [1, 2], "num_samples": 2, "num_inference_steps": few // 2 or 1}):
        actions = exported(frame, STATE, **options).actions
        for other in (pipeline, through_torch):
            np.testing.assert_allclose(actions / spread, other(frame, STATE, **options).actions / spread, atol=1e-5)
    latents = np.random.default_rng(0).standard_normal((1, 8, 7))
    if isinstance(scheduler, DDIMScheduler):
        given = [each(frame, STATE, latents=latents).actions / spread for each in (exported, pipeline)]
        np.testing.assert_allclose(*given, atol=1e-5)


def test_several_cameras_observations_and_a_batch(tmp_path):
    pipeline = make_pipeline(DDPMScheduler(20), **SEVERAL)
    exported = ExportedPipeline.from_pretrained(export(pipeline, tmp_path / "exported"))
    images = np.random.default_rng(0).integers(0, 256, (6, 48, 64, 3), dtype=np.uint8)
    Image.fromarray(images[0]).save(tmp_path / "frame.png")
    frames = [{"head": Image.fromarray(images[i]), "wrist": images[i + 1]} for i in range(5)]
    frames[0]["head"] = str(tmp_path / "frame.png")
    batch, state = [frames[i : i + 2] for i in range(3)], np.arange(21.0).reshape(3, 7)
    actions, expected = (each(batch, state=state, generator=3).actions / 160 for each in (exported, pipeline))
    np.testing.assert_allclose(actions, expected, atol=1e-5)
    with pytest.raises(UserError, match="observes 2 frames at once; got 1"):
        exported([[frames[0]]], STATE)
    with pytest.raises(UserError, match="no image for camera wrist; got head"):
        exported({"head": images[0]}, STATE)


def test_chunks_and_ensembles_are_executed_alike(small, folder, frame):
    pipeline, exported = small[0], ExportedPipeline.from_pretrained(folder)
    for options in ({}, {"temporal_ensemble": 0.1}):
        noises = SeededNoise(0), torch.Generator().manual_seed(0)
        chunkers = [
            ActionChunker(each, generator=noise, **options)
            for each, noise in zip((exported, pipeline), noises, strict=True)
        ]
        for step in range(10):
            one, other = (chunker(np.roll(frame, step, 1), np.array(STATE) + step) for chunker in chunkers)
            np.testing.assert_allclose(one / 160, other / 160, atol=1e-5)


@pytest.mark.parametrize("denoiser", ["mlp", "unet1d"])
def test_committed_actions_give_the_same_on_both_sides(denoiser, tmp_path, frame):
    config = SMALL | {"denoiser": denoiser, "down_dims": (16, 32), "horizon": 6, "max_prefix": 3}
    scheduler = DDPMScheduler(30, beta_schedule="squaredcos_cap_v2", prediction_type="sample")
    with_torch = make_pipeline(scheduler, **config)
    folder = export(with_torch, tmp_path / "exported")
    exported, opened = ExportedPipeline.from_pretrained(folder), DiffusionPolicyPipeline.from_pretrained(folder)
    prefix = np.array([STATE, STATE])
    options = {"generator": 3, "num_inference_steps": 6, "num_samples": 2}
    expected = with_torch(frame, prefix=prefix, **options).actions
    for pipeline in (exported, opened):
        actions = pipeline(frame, prefix=prefix, **options).actions
        np.testing.assert_allclose(actions, expected, atol=320 * 1e-5)
        np.testing.assert_array_equal(actions[:, :2], np.float32([prefix, prefix]))
        without = pipeline(frame, **options).actions
        np.testing.assert_allclose(without, with_torch(frame, **options).actions, atol=320 * 1e-5)
        assert np.abs(without[:, 2:] - actions[:, 2:]).max() > 0.1


def test_it_is_called_as_the_other_and_answers_as_it(small, folder, frame):
    pipeline, exported = small[0], ExportedPipeline.from_pretrained(str(folder))
    for method, without in (("__call__", set()), ("sample", {"fast"})):
        one, other = (inspect.signature(getattr(type(each), method)).parameters for each in (exported, pipeline))
        assert list(one) == [name for name in other if name not in without]
        assert all(parameter.default == other[name].default for name, parameter in one.items())
    outputs = [each(frame, STATE, generator=0) for each in (exported, pipeline)]
    for one, other in zip(*(output.to_tuple() for output in outputs), strict=True):
        assert type(one) is type(other)
    assert outputs[0].names == outputs[1].names == outputs[0]["names"] == outputs[0][1]
    (actions,) = exported(frame, STATE, generator=0, return_dict=False)
    assert np.array_equal(actions, outputs[0].actions)
    assert exported(frame, STATE).actions.shape == (1, 8, 7)
    seen = []
    exported(frame, STATE, num_inference_steps=4, callback=lambda *call: seen.append(call[:2]))
    assert [step for step, _ in seen] == [0, 1, 2, 3]
    zero = exported(frame, STATE, callback_on_step_end=lambda *call: {"latents": 0 * call[3]["latents"]}).actions
    np.testing.assert_allclose(zero[0, 0], exported.normalizer.action_offset)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"state": None}, r"pass state=, .*gripper \(0\.\.100\)"),
        ({"state": [1.0] * 6}, r"state must be \(1, 1, 7\) or a part of it; got \(6,\)"),
        ({"num_inference_steps": 21}, "num_inference_steps is 1 to 20; got 21"),
        ({"generator": 0.5}, r"generator is a seed, a numpy\.random\.Generator or a list of them; got 0\.5"),
        ({"generator": [0, 1]}, "1 chunks are sampled, and generator is a list of 2"),
        ({"output_type": "pt"}, "output_type is 'np' where there is no torch; got 'pt'"),
        ({"latents": np.zeros((1, 7))}, r"latents must be \(1, 8, 7\); got \(1, 7\)"),
        ({"latents": np.full((1, 8, 7), np.nan)}, "latents hold a value that is not finite"),
        ({"callback": print, "callback_on_step_end": print}, "either callback or callback_on_step_end"),
        ({"callback_on_step_end": lambda *_: {"latents": [0.0] * 7}}, r"returned latents \(7,\), not an array"),
        ({"image": np.zeros((4, 4))}, r"an image array is \(H, W, 3\) uint8; got \(4, 4\) float64"),
        ({"image": "absent.png"}, r"absent\.png cannot be read"),
    ],
)
def test_what_cannot_be_meant_is_told_in_a_sentence(small, frame, arguments, message):
    exported = ExportedPipeline.from_pretrained(small[1])
    with pytest.raises(UserError, match=message):
        exported(**({"image": frame, "state": STATE} | arguments))


def cut(file, size=100):
    file.write_bytes(file.read_bytes()[:-size])


def as_whole_numbers(file):
    data = file.read_bytes()
    file.write_bytes(data.replace(b'"F32"', b'"I32"'))


def not_finite(file):
    data = file.read_bytes()
    file.write_bytes(data[:-4] + struct.pack("<f", np.nan))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: cut(f / "policy/denoiser.onnx"), r"denoiser\.onnx: damaged, or of another export"),
        (lambda f: (f / "policy/encoder.onnx").unlink(), r"encoder\.onnx: no such file"),
        (lambda f: edit(f / "policy/config.json", export={"format": 2, "sha256": {}}), "an export of format 2"),
        (
            lambda f: edit(f / "policy/config.json", export={"format": 1, "sha256": {"/etc/passwd": ""}}),
            "its export is of",
        ),
        (lambda f: edit(f / "policy/config.json", export=[1]), "its export is"),
        (
            lambda f: edit(f / "policy/config.json", export=None, horizon=9),
            r"noisy_actions \[8, 7\].*of different exports",
        ),
        (lambda f: edit(f / "policy/config.json", export=None, image_size=[24, 24]), "images.*of different exports"),
        (lambda f: edit(f / "policy/config.json", n_obs_steps=2), r"observation \[71\].*of different exports"),
        (lambda f: edit(f / "policy/config.json", horizon=...), "has no horizon"),
        (lambda f: edit(f / "policy/config.json", horizon="8"), "horizon is"),
        (lambda f: edit(f / "policy/config.json", relative_actions=True), "this dp_hf does not know relative_actions"),
        (lambda f: edit(f / "policy/config.json", action_names=["a"]), r"config\.json: action_names are 1 \("),
        (lambda f: edit(f / "normalizer/config.json", action_dim=6), "action_offset has the shape"),
        (
            lambda f: edit(f / "normalizer/config.json", mode="quantile"),
            "mode is min_max, mean_std, identity; got 'quantile'",
        ),
        (lambda f: edit(f / "normalizer/config.json", clip=1), "does not know clip"),
        (lambda f: cut(f / "normalizer/diffusion_pytorch_model.safetensors"), "cut or damaged"),
        (lambda f: as_whole_numbers(f / "normalizer/diffusion_pytorch_model.safetensors"), "cut or damaged"),
        (lambda f: not_finite(f / "normalizer/diffusion_pytorch_model.safetensors"), "values that are not finite"),
        (lambda f: Normalizer("identity", 7, 6).save_pretrained(f / "normalizer"), "for actions of 6 numbers"),
        (lambda f: edit(f / "scheduler/scheduler_config.json", thresholding=True), "thresholding is False; got True"),
        (lambda f: edit(f / "scheduler/scheduler_config.json", beta_schedule="laplace"), "got 'laplace'; with torch"),
        (lambda f: edit(f / "scheduler/scheduler_config.json", rescale_betas_zero_snr=True), "with torch the pipeline"),
        (lambda f: edit(f / "scheduler/scheduler_config.json", eta=0.5), "eta is not known without torch"),
        (lambda f: edit(f / "scheduler/scheduler_config.json", prediction_type=...), "has no prediction_type"),
        (
            lambda f: edit(f / "scheduler/scheduler_config.json", steps_offset=1, timestep_spacing="leading"),
            "take fewer",
        ),
        (lambda f: edit(f / "scheduler/scheduler_config.json", trained_betas=[0.5]), "no noise schedule"),
        (lambda f: set_scheduler(f, DPMSolverMultistepScheduler(20)), "there are DDPMScheduler and DDIMScheduler"),
        (lambda f: edit(f / "model_index.json", num_inference_steps=21), "num_inference_steps is 1 to 20; got 21"),
        (lambda f: shutil.rmtree(f / "normalizer"), "normalizer: no such folder"),
    ],
)
def test_what_does_not_fit_together_is_refused(folder, damage, message):
    damage(folder)
    with pytest.raises(UserError, match=message) as error:
        ExportedPipeline.from_pretrained(folder)
    assert str(folder) in str(error.value)
    assert "\n" not in str(error.value)


def test_the_export_says_that_it_will_need_torch(small, tmp_path, capsys):
    from dp_hf.cli.export_policy import main

    pipeline, _, saved = small
    DiffusionPolicyPipeline(**pipeline.components | {"scheduler": DPMSolverMultistepScheduler(20)}).save_pretrained(
        tmp_path / "dpm"
    )
    for source, needs in ((saved, False), (tmp_path / "dpm", True)):
        assert main(["--pipeline", str(source), "--output_dir", str(tmp_path / f"{needs}")]) == 0
        assert ("it needs torch wherever it is used" in capsys.readouterr().out) == needs


def test_graphs_of_another_export_are_refused_by_both(folder, tmp_path):
    other = make_pipeline(DDIMScheduler(20), seed=1, horizon=8, use_proprioception=True, **SMALL)
    shutil.copyfile(export(other, tmp_path / "other") / "policy/denoiser.onnx", folder / "policy/denoiser.onnx")
    for kind in (ExportedPipeline, DiffusionPolicyPipeline):
        with pytest.raises(UserError, match=r"denoiser\.onnx: damaged, or of another export"):
            kind.from_pretrained(folder)


def test_an_export_from_before_digests_still_acts(folder, frame):
    exported = ExportedPipeline.from_pretrained(folder)
    edit(folder / "policy/config.json", export=...)
    older = ExportedPipeline.from_pretrained(folder)
    assert np.array_equal(*(each(frame, STATE, generator=0).actions for each in (exported, older)))


def test_a_pipeline_saved_again_is_the_same_export(folder, tmp_path, frame):
    DiffusionPolicyPipeline.from_pretrained(folder).save_pretrained(tmp_path / "again")
    again = ExportedPipeline.from_pretrained(tmp_path / "again")
    assert np.array_equal(
        again(frame, STATE, generator=0).actions,
        ExportedPipeline.from_pretrained(folder)(frame, STATE, generator=0).actions,
    )


def test_the_statistics_are_the_normalizers(small):
    statistics, normalizer = Statistics(small[1] / "normalizer"), small[0].normalizer
    values = np.random.default_rng(0).normal(0, 100, (50, 7)).astype(np.float32)
    for kind in ("state", "action"):
        for method in ("normalize", "unnormalize"):
            ours = getattr(statistics, method)(values, kind)
            assert ours.dtype == np.float32
            np.testing.assert_array_equal(ours, getattr(normalizer, method)(torch.from_numpy(values), kind).numpy())


@pytest.mark.parametrize("seed", [0, 7, 2**32 + 5, 2**63 - 1])
def test_noise_is_that_of_torch(seed):
    noise, generator = SeededNoise(seed), torch.Generator().manual_seed(seed)
    for shape in ((1,), (7,), (7,), (3, 5), (16,), (1, 7), (17,), (2, 8, 7), (31,), (5, 200), (15,)):
        drawn = noise.standard_normal(shape)
        assert drawn.dtype == np.float32
        np.testing.assert_allclose(drawn, torch.randn(shape, generator=generator), atol=2e-6)


def test_the_class_of_an_exported_policy_has_its_name():
    assert OnnxPolicy.__name__ == EXPORTED_POLICY


def test_the_hidden_packages_are_those_that_dp_hf_brings():
    text = (ROOT / "pyproject.toml").read_text().partition("\ndependencies = [")[2].partition("\n]")[0]
    names = re.findall(r'^ *"([\w]+)', text, re.M)
    assert set(names) <= {*ABSENT, *ALLOWED}


WITHOUT_TORCH = """
from dp_hf import ActionChunker, DiffusionPolicyOutput, DiffusionPolicyPipeline
import numpy as np

exported, pipeline, frame, result = sys.argv[1:]
act = DiffusionPolicyPipeline.from_pretrained(exported)
output = act(frame, [10.0, -20, 30, -40, 50, -60, 70], generator=5)
assert isinstance(output, DiffusionPolicyOutput)
np.save(result, output.actions)
ActionChunker(act)(frame, np.zeros(7))
for source in (pipeline, "you/your-policy", "absent.pth"):
    try:
        DiffusionPolicyPipeline.from_pretrained(source)
    except ValueError as error:
        print(error)
from dp_hf.cli.main import main
print(main(["train", "--data_dir", "recordings"]))
assert not {"torch", "diffusers", "filelock"} & set(sys.modules)
"""


def test_python_without_torch(small, frame, tmp_path):
    pipeline, exported, saved = small
    Image.fromarray(frame).save(tmp_path / "frame.png")
    done = run_without_torch(WITHOUT_TORCH, exported, saved, tmp_path / "frame.png", tmp_path / "actions.npy")
    actions = np.load(tmp_path / "actions.npy")
    np.testing.assert_allclose(actions / 160, pipeline(frame, STATE, generator=5).actions / 160, atol=1e-5)
    lines = done.stdout.splitlines()
    assert re.fullmatch(rf"{saved} is run by torch, which is not installed here: .*`dp-hf export-policy .*", lines[0])
    assert lines[1].startswith("you/your-policy: no such folder")
    assert "absent.pth: no such file" in lines[2]
    assert lines[3] == "2"
    assert re.search(r"error: this needs \w+, which is not installed here", done.stderr)


@pytest.mark.slow
def test_a_real_environment_of_five_packages(small, frame, tmp_path):
    python = tmp_path / "env" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "env"], check=True)
    pip = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    if subprocess.run([*pip, *ALLOWED], check=False).returncode:
        pytest.skip("the packages cannot be had")
    subprocess.run([*pip, "--no-deps", ROOT], check=True)
    Image.fromarray(frame).save(tmp_path / "frame.png")
    result = tmp_path / "actions.npy"
    code = "import sys\n" + WITHOUT_TORCH
    subprocess.run(
        [python, "-c", code, small[1], small[2], tmp_path / "frame.png", result], check=True, cwd=tmp_path, env={}
    )
    np.testing.assert_allclose(np.load(result) / 160, small[0](frame, STATE, generator=5).actions / 160, atol=1e-5)
