"""`dp-hf compare --score_sheet`: a person scores two policies on a real arm, by single keys, blind."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from dp_hf.errors import UserError

if TYPE_CHECKING:
    from dp_hf.cli.compare import Compare
    from dp_hf.success.score_sheet import ScoreSheet

SUCCESS, FAILURE, UNDO, QUIT = "s", "f", "u", "q"


def keep_score(arguments: "Compare") -> None:
    """Asks for every run that is missing, or with --reveal says who was who, and writes the comparison."""
    from dp_hf.cli.compare import write_comparison
    from dp_hf.success.comparison import Comparison
    from dp_hf.success.score_sheet import LABELS, ScoreSheet, digest_files, labels_of

    stages = arguments.stages
    if len(stages) > 9 or not stages or len(set(stages)) < len(stages):
        raise UserError(f"--stages are one to nine different names, of which the last is the success; got {stages}")
    places = {"A": arguments.a, "B": arguments.b}
    for place in places.values():
        if not (Path(place) / "model_index.json").is_file():
            raise UserError(
                f"{place} is no pipeline's folder: a score sheet makes blind names for two folders on this machine"
            )
    policies = {name: {"pipeline": place, "files": digest_files(place)} for name, place in places.items()}
    if policies["A"]["files"] == policies["B"]["files"]:
        raise UserError(f"{arguments.a} and {arguments.b} are the same policy: they have nothing to differ in")
    with ScoreSheet(arguments.output_dir / "score_sheet.jsonl", policies, stages) as sheet:
        if not arguments.reveal:
            links = {label: arguments.output_dir / label for label in LABELS}
            for name, label in labels_of(sheet.seed).items():
                _link(links[label], Path(places[name]))
            return _ask_for_all(sheet, links, arguments.num_episodes)
        reached = sheet.reveal()
        for name, label in labels_of(sheet.seed).items():
            print(f"{name} was policy {label}")
        task = {"task": "a real arm, scored blind", "task_origin": ""}
        write_comparison(arguments.output_dir, policies, task, {"real arm": Comparison.of(reached["A"], reached["B"])})


def _link(link: Path, pipeline: Path) -> None:
    if link.is_symlink():
        link.unlink()
    elif link.exists():
        raise UserError(f"{link} is in the way of a policy's blind name: give another --output_dir")
    link.symlink_to(pipeline.resolve(), target_is_directory=True)


def _ask_for_all(sheet: "ScoreSheet", links: dict[str, Path], num_pairs: int) -> None:
    from dp_hf.control.operator import Keyboard

    if sheet.revealed:
        raise UserError(f"{sheet.kept.file}: the names were revealed: begin a new sheet, in another --output_dir")
    keys = {SUCCESS: sheet.stages[-1], FAILURE: None}
    keys.update({str(number): stage for number, stage in enumerate(sheet.stages[:-1], 1)})
    print("keys: " + ", ".join([f"{SUCCESS} {sheet.stages[-1]}", f"{FAILURE} nothing reached"]), end="")
    print("".join(f", {key} {stage} and no further" for key, stage in keys.items() if key.isdigit()), end="")
    print(f", {UNDO} takes the last answer back, {QUIT} ends for now")
    with Keyboard() as keyboard:
        if not keyboard.is_there:
            raise UserError("a score sheet is filled in by keys: run it in a terminal")
        while sheet.next.pair < num_pairs:
            run, first = sheet.next, len(sheet.answers) % 2 == 0
            scene = "set up a new scene" if first else "set the same scene up again"
            print(
                f"pair {run.pair + 1} of {num_pairs}: {scene}, run policy {run.policy} (--pipeline {links[run.policy]})"
            )
            key = _wait_for({*keys, UNDO, QUIT}, keyboard.wait)
            if key == QUIT:
                print(f"kept in {sheet.kept.file}; the same command goes on from here")
                return
            if key == UNDO:
                sheet.undo()
                continue
            sheet.answer(keys[key])
            print(f"  {keys[key] or 'nothing reached'}")
            if not first:
                print(f"  {_standing(sheet)}")
    print(
        f"all {num_pairs} pairs are scored: the same command with --reveal says which policy was which, and the numbers"
    )


def _wait_for(keys: set[str], wait: Callable[[], str]) -> str:
    while (key := wait().lower()) not in keys:
        print(f"  {key!r} is none of the keys {' '.join(sorted(keys))}")
    return key


def _standing(sheet: "ScoreSheet") -> str:
    """Whether it may end, which does not tell the better one."""
    from dp_hf.success.betting import is_decided
    from dp_hf.success.paired import Pairs

    of_1, of_2 = ([run[sheet.stages[-1]] for run in runs] for runs in sheet.outcomes().values())
    decided = is_decided(Pairs.of(of_1, of_2))
    return "decided: one is better, you may stop and --reveal" if decided else "not decided yet"
