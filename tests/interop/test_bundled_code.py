"""A pushed pipeline that brings its own code: plain diffusers loads it, and dp_hf never runs it."""

import json

import numpy as np
import pytest

from dp_hf.interop.bundled_code import COMPONENTS, PIPELINE_CLASS, PIPELINE_MODULE, SUBSTITUTES, add_code, bundle

ACT = """
import numpy as np, sys, torch
image = np.random.default_rng(0).integers(0, 256, (48, 84, 3), dtype=np.uint8)
state = [10, 20, 30, 40, 50, 60, 70] if "--state" in sys.argv else None
actions = pipeline(image, state=state, generator=torch.Generator().manual_seed(0)).actions
print(actions.tolist())
"""
WITH_DP_HF = "import sys\nfrom dp_hf import DiffusionPolicyPipeline as Pipeline\n"
WITHOUT_DP_HF = "import sys\nsys.modules['dp_hf'] = None\nfrom diffusers import DiffusionPipeline as Pipeline\n"
LOAD = "pipeline = Pipeline.from_pretrained(sys.argv[1])\n"
LOAD_WITH_CODE = "pipeline = Pipeline.from_pretrained(sys.argv[1], trust_remote_code=True)\n"


@pytest.mark.parametrize(
    ("config", "options"),
    [
        ({}, []),
        pytest.param(
            {"denoiser": "unet1d", "horizon": 8, "use_proprioception": True, "n_obs_steps": 2},
            ["--state"],
            marks=pytest.mark.slow,
        ),
    ],
)
def test_plain_diffusers_loads_a_bundled_repository(hub, client, make_pipeline, tmp_path, config, options):
    make_pipeline(**config).save_pretrained(tmp_path / "pipeline")
    expected = json.loads(client("-c", WITH_DP_HF + LOAD + ACT, str(tmp_path / "pipeline"), *options))
    push = ["--pipeline", str(tmp_path / "pipeline"), "--repo_id", "me/stacker", "--bundle_code"]
    client("-m", "dp_hf.cli.main", "push-to-hub", *push)

    alone = client("-c", WITHOUT_DP_HF + LOAD_WITH_CODE + ACT, "me/stacker", *options)
    assert np.allclose(json.loads(alone.splitlines()[-1]), expected, atol=0.01)
    again = client("-c", WITH_DP_HF + LOAD + ACT, "me/stacker", *options)
    assert np.allclose(json.loads(again), expected, atol=0.01)
    card = hub[0].repos["models", "me/stacker"]["main"]["README.md"].decode()
    assert 'DiffusionPipeline.from_pretrained("me/stacker", trust_remote_code=True)' in card


def test_dp_hf_never_runs_a_repositorys_code(make_pipeline, tmp_path, frame):
    from dp_hf import DiffusionPolicyPipeline

    make_pipeline().save_pretrained(tmp_path)
    add_code(tmp_path)
    for file in tmp_path.rglob("*.py"):
        file.write_text("raise SystemExit('this code was run')")
    index = json.loads((tmp_path / "model_index.json").read_text())
    index["scheduler"] = ["policy", "DDPMScheduler"]
    (tmp_path / "model_index.json").write_text(json.dumps(index))
    for options in ({}, {"trust_remote_code": True}):
        pipeline = DiffusionPolicyPipeline.from_pretrained(tmp_path, **options)
        assert type(pipeline.policy).__module__ == "dp_hf.models.policy"
        assert pipeline(frame).actions.shape == (1, 1, 7)


def test_files_hold_what_is_needed_and_no_more():
    policy, normalizer = (bundle(*COMPONENTS[name]) for name in ("policy", "normalizer"))
    pipeline = bundle(PIPELINE_MODULE, PIPELINE_CLASS, SUBSTITUTES)
    assert "class MLPDenoiser" in policy
    assert "MLPDenoiser" not in normalizer
    for left_out in ("def push_to_hub", "class DiffusionPolicyModel", "render_model_card", "snapshot_download"):
        assert left_out not in pipeline


def test_refuses_a_name_with_two_meanings(tmp_path, monkeypatch):
    (tmp_path / "first.py").write_text("from second import helper\nLIMIT = 1\ndef top(): return helper() + LIMIT\n")
    (tmp_path / "second.py").write_text("LIMIT = 2\ndef helper(): return LIMIT\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("dp_hf.interop.bundled_code.PACKAGE", "second")
    with pytest.raises(ValueError, match="LIMIT means first in one module and second in another"):
        bundle("first", "top")
