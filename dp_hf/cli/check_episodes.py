"""`dp-hf check-episodes`: report the problems of recorded episodes, rank them, or move the bad ones aside."""

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

from dp_hf.cli.arguments import parse, run
from dp_hf.cli.worker_arguments import WorkerArguments
from dp_hf.errors import UserError

if TYPE_CHECKING:
    from dp_hf.episodes.checks import CheckReport, Move
    from dp_hf.episodes.problems import Problem


@dataclass(kw_only=True)
class CheckEpisodes(WorkerArguments):
    """Report every problem of recorded episodes (scan), rank them (score), or move the bad ones aside (clean).

    Exit codes: 0 no errors, that is nothing that a conversion leaves out or stops at (score: ranked; clean: nothing
    left to move), 1 errors, with --strict warnings too (clean: nothing was moved), 2 wrong input or no usable episode.
    """

    action: tyro.conf.Positional[Literal["scan", "score", "clean"]]
    """scan only reports; score ranks the episodes by how much they stand out from the others, in how they were moved
    and in whether their pictures fit; clean shows what it would move into DATA_DIR/_set_aside, asks, and moves it.
    Nothing is ever deleted or overwritten, and finders pass _set_aside over."""
    data_dir: tyro.conf.Positional[Path]
    """folder that holds the episodes, or one episode; of score also a converted dataset"""
    json: bool = False
    """print JSON instead of a table"""
    strict: bool = False
    """scan: warnings are errors, as with the --strict of convert-episodes; notes never are"""
    yes: bool = False
    """clean: move without asking"""
    with_bad_frames: bool = False
    """clean: also move episodes of which only some frames cannot be used (a conversion leaves those frames out)"""


def main(argv: list[str] | None = None) -> int:
    return run(check, parse(CheckEpisodes, argv, "dp-hf check-episodes"))


def check(arguments: CheckEpisodes) -> int:
    from dp_hf.episodes.checks import check_episodes

    _require_own_options(arguments)
    if arguments.action == "score":
        return _score(arguments)
    report = check_episodes(arguments.data_dir, workers=arguments.workers([arguments.data_dir]))
    if arguments.action == "clean":
        return _clean(arguments, report)
    print(json.dumps(_as_json(report), indent=2) if arguments.json else _as_table(report))
    if not report.usable:
        print(f"error: no usable episode in {arguments.data_dir}", file=sys.stderr)
        return 2
    return int(any(problem.is_error(arguments.strict) for problem in report.all_problems))


def _require_own_options(arguments: CheckEpisodes) -> None:
    """Refuses options that the action would pass over."""
    owners = {"strict": "scan", "yes": "clean", "with_bad_frames": "clean"}
    for option, owner in owners.items():
        if getattr(arguments, option) and arguments.action != owner:
            raise UserError(f"--{option} is for {owner}: leave it out of {arguments.action}")


def _score(arguments: CheckEpisodes) -> int:
    from dp_hf.review.ranking import rank
    from dp_hf.review.report import as_json, as_text
    from dp_hf.review.tracks import read_tracks

    tracks, _, unusable = read_tracks(arguments.data_dir, workers=arguments.workers([arguments.data_dir]))
    for name, problems in unusable.items():
        print(f"left out: {name}: {problems[0]}", file=sys.stderr)
    ranked = rank(tracks)
    print(json.dumps(as_json(ranked), indent=2) if arguments.json else as_text(ranked))
    return 0


def _clean(arguments: CheckEpisodes, report: "CheckReport") -> int:
    from dp_hf.episodes.checks import move_aside, plan_clean

    if not report.episodes:
        print(f"error: no episode in {arguments.data_dir}", file=sys.stderr)
        return 2
    moves = plan_clean(report, arguments.with_bad_frames)
    plan = [asdict(move) for move in moves]
    print(json.dumps(plan, indent=2, default=str) if arguments.json else _moves_as_table(moves, report))
    if not moves:
        return 0
    if not arguments.yes:
        asked = sys.stdin.isatty() and not arguments.json
        if not asked or input("Move them? [y/N] ").strip().lower() not in ("y", "yes"):
            print("nothing was moved" if asked else "nothing was moved: add --yes to move", file=sys.stderr)
            return 1
    move_aside(moves)
    print(f"moved {len(moves)} to {moves[0].destination.parent}", file=sys.stderr)
    return 0


def _as_json(report: "CheckReport") -> dict:
    return {
        "data_dir": str(report.data_dir),
        "num_episodes": len(report.episodes),
        "num_usable_episodes": len(report.usable),
        "num_problems": len(report.all_problems),
        "angle_unit": report.unit and report.unit.unit,
        "angle_unit_reason": report.unit and report.unit.reason,
        "problems": [_problem_as_json(problem) for problem in report.problems],
        "episodes": [
            {
                "name": episode.name,
                "usable": episode.why_unusable is None,
                "num_usable_frames": len(episode.frames),
                "problems": [_problem_as_json(problem) for problem in episode.problems],
            }
            for episode in report.episodes
        ],
    }


def _problem_as_json(problem: "Problem") -> dict:
    return {**asdict(problem), "severity": problem.severity, "remedy": problem.remedy}


def _as_table(report: "CheckReport") -> str:
    rows = [("", "", problem) for problem in report.problems]
    for episode in report.episodes:
        for problem in episode.problems:
            frame = "" if problem.frame is None else str(problem.frame)
            rows.append((episode.name, frame, problem))
    lines = []
    if rows:
        cells = [(name, frame, problem.severity, problem.kind, problem.message) for name, frame, problem in rows]
        lines += _table([("EPISODE", "FRAME", "SEVERITY", "PROBLEM", "WHAT"), *cells])
        lines += ["", "What to do:"]
        remedies = {problem.kind: problem.remedy for _, _, problem in rows}
        lines += _table([(f"  {kind}:", remedy) for kind, remedy in remedies.items()]) + [""]
    frames = sum(len(episode.frames) for episode in report.usable)
    lines.append(
        f"{report.data_dir}: {len(report.usable)} of {len(report.episodes)} episodes usable, "
        f"with {frames} frames; {_counts(report)}"
    )
    if report.unit:
        lines.append(f"angle unit: {report.unit.unit or 'not clear'} ({report.unit.reason})")
    return "\n".join(lines)


def _counts(report: "CheckReport") -> str:
    severities = [problem.severity for problem in report.all_problems]
    warnings, notes = severities.count("warning"), severities.count("note")
    return f"errors: {len(severities) - warnings - notes}, warnings: {warnings}, notes: {notes}"


def _moves_as_table(moves: "list[Move]", report: "CheckReport") -> str:
    if not moves:
        return f"nothing to move: all {len(report.episodes)} episodes are usable"
    rows = [(str(move.source), "->", str(move.destination), move.reason) for move in moves]
    return "\n".join(_table([("MOVE", "", "TO", "BECAUSE"), *rows]))


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
