"""The pages say what is so: their Python runs, their links lead somewhere, their commands have these options, and the
walks of the architecture page are the files that a frame really passes."""

import contextlib
import io
import os
import re
import runpy
import shlex
import sys
import threading
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    page
    for folder in ("dp_hf", "configs", "scripts")
    for page in (ROOT / folder).rglob("*.md")
    if not page.name.endswith("_template.md")
)
PAGES += [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
ROOMS = [folder for folder in sorted((ROOT / "dp_hf").iterdir()) if (folder / "__init__.py").is_file()]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(language: str) -> list:
    """Every fenced block of a language as a test's parameters: page and text."""
    return [
        pytest.param(page, text, id=f"{name_of(page)}-{number}")
        for page in PAGES
        for number, text in enumerate(re.findall(rf"^```{language}\n(.*?)^```", page.read_text("utf-8"), re.M | re.S))
    ]


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.name)
def test_every_room_has_a_short_page_that_the_readme_leads_to(room):
    page = room / "README.md"
    assert len(page.read_text("utf-8").splitlines()) <= 200
    assert f"](dp_hf/{room.name}/README.md)" in (ROOT / "README.md").read_text("utf-8")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page):
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.M | re.S)
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)#?([^)\s]*)\)", text):
        linked = (page.parent / target).resolve() if target else page
        assert linked.exists(), f"{name_of(page)} links to {target}"
        assert linked.is_relative_to(ROOT), f"{name_of(page)} links to {target}, which is not part of the project"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", linked.read_text("utf-8"), re.M)
            slugs = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
            assert anchor in slugs, f"{name_of(page)} links to {target}#{anchor}; there are {slugs}"


@cache
def help_of(*command: str) -> str:
    from dp_hf.cli.main import main

    with contextlib.redirect_stdout(io.StringIO()) as output, contextlib.suppress(SystemExit):
        main([*command, "--help"])
    return output.getvalue()


def commands(text: str) -> list[list[str]]:
    """The words of every command of a shell block, without comments."""
    lines = text.replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


@pytest.mark.parametrize(("page", "text"), blocks("bash"))
def test_commands_and_their_options_exist(page, text):
    from dp_hf.cli.convert_episodes import FORMATS
    from dp_hf.cli.main import COMMANDS

    for words in commands(text):
        options = [word.partition("=")[0] for word in words if re.match(r"--[a-z]", word)]
        for word in words:
            if word.startswith(("scripts/", "configs/", "tests/")):
                assert (ROOT / word.partition("::")[0]).exists(), f"{name_of(page)}: there is no {word}"
        called = [words[i + 1] for i, word in enumerate(words[:-1]) if word in ("dp-hf", "dp_hf.cli.main")]
        script = next((word for word in words if word.startswith("scripts/") and word.endswith((".py", ".sh"))), None)
        if called:
            (command,) = called
            assert command in COMMANDS, f"{name_of(page)}: there is no command {command}"
            own = words[words.index(command) + 1 :]
            known = help_of(command, *own[:1]) if own and own[0] in FORMATS else help_of(command)
            options = [option for option in options if option in own]
        elif script in ("scripts/run.sh", "scripts/resume_training.sh"):
            known = help_of("train")
        elif script:
            known = (ROOT / script).read_text("utf-8").replace("-", "_")
            options = [f"--{option[2:].replace('-', '_')}" for option in options]
            known = re.sub(r"\b(\w+): ", r"--\1 ", known) + known.replace("__", "--")
        else:
            continue
        for option in options:
            assert re.search(rf"{re.escape(option)}\b", known), f"{name_of(page)}: {' '.join(words)} has no {option}"


@pytest.fixture(scope="module")
def workplace(tmp_path_factory) -> Path:
    """A folder where the pages' examples run: with the recordings, dataset, pipeline and frame that they name."""
    from diffusers import DDIMScheduler

    from dp_hf import DiffusionPolicyModel, DiffusionPolicyPipeline, EpisodeWriter, Normalizer
    from dp_hf.arms.mycobot_280 import QUANTITIES
    from dp_hf.episodes.conversion import convert_episodes

    folder = tmp_path_factory.mktemp("workplace")
    rng = np.random.default_rng(0)
    for episode in range(3):
        with EpisodeWriter(folder / "recordings", f"episode_{episode}") as writer:
            for step in range(8):
                image = rng.integers(0, 255, (24, 42, 3), dtype=np.uint8)
                writer.add_frame(image, np.array([*[3.0 * step] * 6, 90]), timestamp=0.1 * step)
    Image.fromarray(image).save(folder / "frame.png")
    convert_episodes(folder / "recordings", folder / "dataset")

    names = {"state_names": QUANTITIES.names, "action_names": QUANTITIES.names}
    units = {"state_units": QUANTITIES.units, "action_units": QUANTITIES.units}
    sizes = {"image_encoder": "small_cnn", "image_size": (24, 42), "horizon": 8, "hidden_dim": 16, "n_action_steps": 4}
    policy = DiffusionPolicyModel(use_proprioception=True, **sizes, **names, **units)
    rows = rng.uniform(0, [90] * 6 + [100], (20, 7))
    scheduler = DDIMScheduler(20, timestep_spacing="trailing")
    pipeline = DiffusionPolicyPipeline(policy, scheduler, Normalizer.from_data(rows, rows), num_inference_steps=5)
    for place in ("outputs/policy/best", "you/your-policy"):
        pipeline.save_pretrained(folder / place)
    return folder


@pytest.mark.parametrize(("page", "text"), blocks("python"))
def test_python_runs(page, text, workplace, monkeypatch, tmp_path):
    if "simulation" in text:
        pytest.importorskip("mujoco")
    place = tmp_path / "place"
    place.mkdir()
    for name in os.listdir(workplace):
        (place / name).symlink_to(workplace / name)
    monkeypatch.chdir(place)
    (place / "outputs").unlink()
    (place / "outputs").mkdir()
    (place / "outputs" / "policy").symlink_to(workplace / "outputs" / "policy")
    monkeypatch.setattr(sys, "argv", [name_of(page)])
    program = tmp_path / "page.py"  # in which tyro finds the help of options, as it does in yours
    program.write_text(text)
    runpy.run_path(str(program), run_name="page")


def files_passed(function) -> list[str]:
    """Files of the package, relative to it, whose functions run while `function` does."""
    package = str(ROOT / "dp_hf") + os.sep
    passed: dict[str, None] = {}

    def note(frame, event, argument):
        code = frame.f_code
        if code.co_filename.startswith(package) and code.co_name != "<module>":
            passed[code.co_filename.removeprefix(package)] = None

    before = sys.gettrace(), threading.gettrace()
    sys.settrace(note)
    threading.settrace(note)
    try:
        function()
    finally:
        sys.settrace(before[0])
        threading.settrace(before[1])
    return list(passed)


def files_of(section: str) -> list[list[str]]:
    """The files that a section of the architecture page lists: those of its numbered lines, those of its other ones."""
    text = (ROOT / "dp_hf" / "README.md").read_text("utf-8").partition(f"## {section}\n")[2].partition("\n## ")[0]
    items = re.findall(r"^(\d+\.|-) ([^:]*)", text, re.M)
    return [
        [file for mark, names in items if (mark == "-") is others for file in re.findall(r"`([\w/]+\.py)`", names)]
        for others in (False, True)
    ]


def test_the_walk_from_an_image_to_an_action_is_the_one_on_the_page(workplace):
    from diffusers import DPMSolverMultistepScheduler

    from dp_hf import DiffusionPolicyPipeline

    pipeline = DiffusionPolicyPipeline.from_pretrained(workplace / "outputs/policy/best")
    walk, others = files_of("From an image to an action")
    frame = np.zeros((24, 42, 3), np.uint8)
    passed = files_passed(lambda: pipeline(frame, state=[0] * 7))
    assert sorted(passed) == sorted(walk + others)
    pipeline.scheduler = DPMSolverMultistepScheduler.from_config(pipeline.scheduler.config)
    passed = set(files_passed(lambda: pipeline(frame, state=[0] * 7)))
    assert set(walk) <= passed <= set(walk + others) - {"pipelines/fast/folded_mlp.py"}


def test_the_walk_from_a_dataset_to_the_loss_is_the_one_on_the_page(workplace, tmp_path):
    from dp_hf.training.config import TrainConfig
    from dp_hf.training.diffusion import diffusion_loss
    from dp_hf.training.setup import make_accelerator, set_up

    sizes = {"image_encoder": "small_cnn", "image_size": (24, 42), "freeze_image_encoder": False, "batch_size": 4}
    places = {"data_dir": str(workplace / "dataset"), "output_dir": tmp_path, "cache_dir": tmp_path / "cache"}
    config = TrainConfig.from_options(pretrained_backbone="none", frame_skip=1, **sizes, **places)
    runs = []

    def batch_to_loss():
        (run,) = runs
        batch = next(iter(run.loader))
        diffusion_loss(run.model, run.pipeline.policy, run.noise_scheduler, run.pipeline.normalizer, batch, config)

    def dataset_to_loss():
        runs.append(set_up(config, make_accelerator(config)))
        batch_to_loss()

    walk, description = files_of("From a converted dataset to the loss")
    passed = files_passed(dataset_to_loss)
    assert set(walk + description) <= set(passed), sorted(passed)
    of_batch = [walk[number - 1] for number in (3, 4, 5, 6, 7, 8, 9, 11, 13)]
    assert sorted(files_passed(batch_to_loss)) == sorted([*of_batch, "pipelines/execution.py"])
