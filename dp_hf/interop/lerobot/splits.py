"""The splits of a LeRobot dataset: which of its episodes are converted, and which belong to another split."""

from collections.abc import Sequence

from dp_hf.errors import UserError
from dp_hf.interop.lerobot.layout import INFO_FILE, LeRobotInfo
from dp_hf.interop.lerobot.reader import Findings

ALL, TRAIN = "all", "train"


def choose_splits(info: LeRobotInfo, found: Findings, wanted: Sequence[str] | None) -> str:
    """Takes the episodes of other splits than those wanted out of `found`.

    Args:
        wanted: names of splits, or "all". By default the only one or `train`, with the episodes that no split names.

    Returns:
        What was done, in words; empty where there is but one split.

    Raises:
        UserError: no such split, an episode in a split that is wanted and in another, no episode left; or it is not
            clear which split to take.
    """
    splits, file = info.splits, info.root / INFO_FILE
    names = ", ".join(splits) or "none"
    if wanted and ALL in wanted:
        return f"all together: {names}" if len(splits) > 1 else ""
    if unknown := [name for name in wanted or () if name not in splits]:
        raise UserError(f"{file} has no split {unknown[0]!r}; it has {names}")
    if not wanted and len(splits) > 1 and TRAIN not in splits:
        raise UserError(f"{file} has the splits {names}: choose with --splits, by name or all")
    chosen = tuple(wanted or ([TRAIN] if TRAIN in splits else splits))
    others = [name for name in splits if name not in chosen]
    in_chosen, in_others = ({i for name in part for i in splits[name]} for part in (chosen, others))
    indices = {episode.index for episode in found.episodes}
    if both := sorted(in_chosen & in_others & indices):
        raise UserError(
            f"{file}: episode {both[0]} is in {', '.join(chosen)} and in another split: correct splits, or take "
            "--splits all"
        )
    unnamed = sorted(indices - in_chosen - in_others)
    if splits and unnamed and not wanted:
        found.problems.append(
            f"info.json has episodes {_numbers(unnamed)} in none of its splits: they are converted too"
        )
    left_out = in_others | set(unnamed if wanted else ())
    found.episodes = [episode for episode in found.episodes if episode.index not in left_out]
    if indices and not found.episodes:
        raise UserError(f"{info.root}: the data files hold no episode of {', '.join(chosen)}: choose other --splits")
    if not left_out & indices:
        return ""
    numbers = _numbers(sorted(left_out & indices))
    return f"{', '.join(chosen)}; left out are episodes {numbers}: --splits takes others, or all"


def _numbers(indices: Sequence[int]) -> str:
    more = f" and {len(indices) - 10} more" if len(indices) > 10 else ""
    return ", ".join(map(str, indices[:10])) + more
