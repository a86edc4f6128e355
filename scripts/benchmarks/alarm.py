"""Whether the alarm tells a policy's failures, beside each of its scores alone and a time limit alone.

python scripts/benchmarks/alarm.py --pipeline outputs/stack/final --data_dir demonstrations --output_dir outputs/alarm

Copies the pipeline, measures its limits in the nominal scene, and runs it on other layouts in that scene and in each of
the table of disturbances. A JSON line for each alarm and scene goes to OUTPUT_DIR/alarm.jsonl. Goes on where it was cut
off.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from measuring import cell

from dp_hf.alarm.limits import EVERY, FOLDER, AlarmLimits
from dp_hf.alarm.record import RunRecord, Tally
from dp_hf.cli.arguments import parse, run
from dp_hf.cli.calibrate_alarm import main as calibrate
from dp_hf.cli.evaluate import main as evaluate
from dp_hf.cli.worker_arguments import WorkerArguments
from dp_hf.errors import UserError
from dp_hf.files import folder_written_beside
from dp_hf.pipelines.pipeline_diffusion_policy import DiffusionPolicyPipeline
from dp_hf.ranges import Range
from dp_hf.success.rates import wilson

OWN = "plan or time"
Run = tuple[bool, RunRecord]


@dataclass(kw_only=True)
class Alarm(WorkerArguments):
    """Measures a pipeline's alarm: failures caught, false alarms in runs that succeed, and how long before the end."""

    pipeline: Path
    """pipeline folder, which stays as it is"""
    data_dir: str
    """what it was trained on"""
    output_dir: Path = Path("outputs/alarm")
    """where the copy, the rollouts and alarm.jsonl go"""
    num_calibration: Annotated[int, Range(1)] = 100
    """nominal runs by which the limits are set"""
    num_episodes: Annotated[int, Range(1)] = 20
    """rollouts in each scene"""
    layout_seed: Annotated[int, Range()] = 880000
    """first layout of these"""
    disturbances: tuple[str, ...] = ()
    """parts of names of scenes; default all of them"""


def main(argv: list[str] | None = None) -> int:
    return run(measure, parse(Alarm, argv, "alarm.py"))


def measure(arguments: Alarm) -> None:
    copy, workers = arguments.output_dir / "policy", arguments.worker_flags()
    if not copy.exists():
        with folder_written_beside(copy) as folder:
            shutil.copytree(arguments.pipeline, folder, dirs_exist_ok=True)
    if not (copy / FOLDER).exists():
        options = ["--data_dir", arguments.data_dir, "--num_episodes", str(arguments.num_calibration), *workers]
        _require_done(calibrate([str(copy), *options]))
    rollouts = arguments.output_dir / "rollouts"
    options = ["--num_episodes", str(arguments.num_episodes), "--layout_seed", str(arguments.layout_seed), *workers]
    scenes = ["--disturbances", *arguments.disturbances, "--output_dir", str(rollouts)]
    _require_done(evaluate(["--pipeline", str(copy), *options, *scenes]))

    alarm = DiffusionPolicyPipeline.from_pretrained(copy).alarm
    assert alarm is not None
    by_scene = _read(rollouts / "disturbances.jsonl")
    nominal = {"nominal": by_scene.get("nominal", [])}
    disturbed = {scene: runs for scene, runs in by_scene.items() if scene != "nominal"}
    groups = {"all": [*by_scene.values()], **{scene: [runs] for scene, runs in (nominal | disturbed).items()}}
    with open(arguments.output_dir / "alarm.jsonl", "w", encoding="utf-8") as file:
        for scene, parts in groups.items():
            tallies = _tallies([each for part in parts for each in part], alarm)
            print(f"\n{scene}")
            for name, tally in tallies.items():
                print(f"  {name:<28}{_row(tally)}")
                line = {"pipeline": str(arguments.pipeline), "scene": scene, "alarm": name, **asdict(tally)}
                file.write(json.dumps(line) + "\n")


def _require_done(code: int) -> None:
    if code:
        raise UserError("that was not done, as the line above says")


def _read(file: Path) -> dict[str, list[Run]]:
    """Of each scene, whether each run succeeded, and its scores."""
    by_scene: dict[str, list[Run]] = {}
    for line in file.read_text(encoding="utf-8").splitlines()[1:]:
        record = json.loads(line)
        if record["alarm"] is None:
            raise UserError(f"{file}: runs without scores; give another --output_dir")
        runs = by_scene.setdefault(record["scene"], [])
        runs.append(([*record["stages"].values()][-1], RunRecord(**record["alarm"])))
    return by_scene


def _tallies(runs: list[Run], alarm: AlarmLimits) -> Mapping[str, Tally]:
    """Of the alarm itself, and of each score with the limit that it would have alone."""
    own = Tally.of([(success, record.seconds, record.alarmed_after) for success, record in runs])
    alone = {
        f"{name} alone": Tally.of(
            [(success, record.seconds, record.first_above(name, alarm.alone[name])) for success, record in runs]
        )
        for name in EVERY
    }
    return {OWN: own, **alone}


def _row(tally: Tally) -> str:
    caught, false = _rate(tally.caught, tally.failures), _rate(tally.false_alarms, tally.successes)
    when = "" if tally.seconds is None else f", after {tally.seconds:.1f} s, {tally.seconds_left:.1f} s before the end"
    return f"caught {caught}{when}; false {false}"


def _rate(count: int, total: int) -> str:
    if not total:
        return "0/0"
    return cell(wilson(count, total))


if __name__ == "__main__":
    raise SystemExit(main())
