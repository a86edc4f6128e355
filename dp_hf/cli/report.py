"""`dp-hf report`: one page about a run: how often it succeeds, how it looks, how it learned, what made it."""

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dp_hf.arms.quantities import amount
from dp_hf.cli.arguments import parse, run
from dp_hf.errors import UserError
from dp_hf.files import file_written_beside, read_json, read_json_values
from dp_hf.yaml_files import read_yaml

TEMPLATE = Path(__file__).with_name("report_template.html")
MEDIA_TYPES = {".png": "image/png", ".gif": "image/gif", ".mp4": "video/mp4"}


@dataclass
class ReportArguments:
    """Writes a self-contained HTML page from a training run and its evaluation, and prints the success."""

    training: Path
    """Output folder of `dp-hf train`: train_config.yaml, metrics.jsonl, curves.png."""
    evaluation: Path
    """Output folder of `dp-hf evaluate`: results.json and the video, the table of --disturbances where there is one."""
    data_dir: Path | None = None
    """Converted dataset the policy was trained on: meta.json."""
    output: Path = Path("report.html")
    """The page."""


def main(argv: list[str] | None = None) -> int:
    return run(report, parse(ReportArguments, argv, "dp-hf report", old_names={"dataset": "data_dir"}))


def report(arguments: ReportArguments) -> None:
    from jinja2 import UndefinedError

    try:
        page, success = written(arguments)
    except UserError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, UndefinedError) as error:
        raise UserError(
            f"{arguments.training} and {arguments.evaluation} hold other than dp-hf train and evaluate write "
            f"({error!r}): run the one that is damaged again"
        ) from error
    with file_written_beside(arguments.output) as file:
        file.write_text(page, encoding="utf-8")
    print(f"report: {arguments.output}")
    print(success)


def written(arguments: ReportArguments) -> tuple[str, str]:
    """The page, and how often the policy succeeded, in a line."""
    from jinja2 import Environment

    results = read_json(existing(arguments.evaluation / "results.json"))
    success, rate = [*results["rates"].items()][-1]
    scenes = arguments.evaluation / "disturbances.png"
    video = next((p for suffix in (".mp4", ".gif") for p in sorted(arguments.evaluation.glob(f"*{suffix}"))), None)
    metrics = read_json_values(existing(arguments.training / "metrics.jsonl"))
    last = {name: value for row in metrics for name, value in row.items()}
    page = (
        Environment(autoescape=True)
        .from_string(TEMPLATE.read_text(encoding="utf-8"))
        .render(
            rates=results["rates"],
            success=success,
            rate=rate,
            results=results,
            policy=policy_config(arguments.training),
            disturbed=disturbed(arguments.evaluation, results),
            scenes=embed(scenes) if scenes.exists() else None,
            video=video and embed(video),
            video_is_image=video is not None and video.suffix == ".gif",
            curves=embed(arguments.training / "curves.png"),
            last=last,
            errors=errors(last.get("validation")),
            config=read_yaml(existing(arguments.training / "train_config.yaml")),
            meta=read_json(existing(arguments.data_dir / "meta.json")) if arguments.data_dir else None,
            training=arguments.training,
        )
    )
    return page, f"{results.get('task', 'rollouts')}: {success} {rate['successes']} of {rate['trials']}"


def disturbed(evaluation: Path, results: dict[str, Any]) -> dict[str, Any] | None:
    """The evaluation in each scene of the table of disturbances, where there is one."""
    file = evaluation / "disturbances.json"
    if not file.exists():
        return None
    table = read_json(file)
    if table.get("policy") != results.get("policy"):
        raise UserError(f"{file} and results.json are of different policies: run dp-hf evaluate --disturbances again")
    return table["scenes"]


def policy_config(training: Path) -> dict[str, Any]:
    """Of the policy that the training has written last; empty where there is none."""
    file = training / "final" / "policy" / "config.json"
    return read_json(file) if file.is_file() else {}


def errors(validation: dict[str, Any] | None) -> dict[str, str]:
    """What each number of an action was off by, in its unit."""
    if not validation:
        return {}
    units = validation.get("units", ["unknown"] * len(validation["by_joint"]))
    pairs = zip(validation["by_joint"].items(), units, strict=True)
    return {name: amount(error, unit) for (name, error), unit in pairs}


def existing(file: Path) -> Path:
    if not file.is_file():
        raise UserError(f"{file}: no such file; run training and evaluation first")
    return file


def embed(file: Path) -> str:
    """The file as a data address, so that the page is one file."""
    return f"data:{MEDIA_TYPES[file.suffix]};base64,{base64.b64encode(existing(file).read_bytes()).decode()}"
