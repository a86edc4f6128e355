"""A LeRobot dataset on the Hub: its card, and the tag of its version, which LeRobot asks for."""

from pathlib import Path
from typing import Any

from huggingface_hub import CommitInfo, DatasetCard, DatasetCardData

from dp_hf.errors import UserError, printable
from dp_hf.hub.card import CARD_FILE, PLACEHOLDER
from dp_hf.hub.upload import move_tag, upload_folder
from dp_hf.interop.lerobot.layout import DATA_FILES, LeRobotInfo, read_info

_LINE = 500
_TEXT = """\
# {title}

Demonstrations of a robot, a [LeRobot](https://github.com/huggingface/lerobot) dataset {version}.
{counts}

| column | type | numbers |
|---|---|---|
{columns}

```python
from lerobot.datasets.lerobot_dataset import LeRobotDataset

dataset = LeRobotDataset("{placeholder}")
```

or, without LeRobot, `datasets.load_dataset("{placeholder}", split="train")`{videos}.
"""


def render_card(info: LeRobotInfo, title: str, license: str | None = None) -> str:
    """The text of a LeRobot dataset's card, by which LeRobot's pages and the Hub's viewer find and show it.

    Args:
        license: an identifier of the Hub's, such as `mit`; None leaves it open.
    """
    data = DatasetCardData(
        license=license,
        task_categories=["robotics"],
        tags=["LeRobot", "robotics", "imitation-learning"],
        configs=[{"config_name": "default", "data_files": DATA_FILES}],
    )
    totals = [f"{name.removeprefix('total_')}: {count}" for name, count in info.totals.items()]
    text = _TEXT.format(
        title=_one_line(title),
        version=version_tag(info),
        counts=f"{'; '.join([*totals, f'frames a second: {info.fps:g}'])}.".capitalize(),
        columns="\n".join(_row(info, name) for name in info.features),
        placeholder=PLACEHOLDER,
        videos=", with the images in `videos/`" if "video" in info.cameras.values() else "",
    )
    return str(DatasetCard(f"---\n{data}\n---\n\n{text}"))


def version_tag(info: LeRobotInfo) -> str:
    """The tag by which LeRobot asks for a dataset of this version."""
    return f"v{info.version[0]}.{info.version[1]}"


def push_lerobot(
    folder: str | Path,
    repo_id: str,
    *,
    token: str | None = None,
    revision: str | None = None,
    **options: Any,
) -> CommitInfo:
    """Uploads a LeRobot dataset, with a card where it has none, and tags it with its version.

    Args:
        revision: branch that is pushed to. The tag is for `main` alone: by it everybody gets the dataset.
        token, options: as those of `upload_folder`.

    Returns:
        what the Hub says of the commit, as `upload_folder`.

    Raises:
        UserError: it is no dataset of LeRobot's or has no data; the Hub refuses, or is out of reach.
    """
    folder = Path(folder)
    info = read_info(folder)
    if next(folder.glob(DATA_FILES), None) is None:
        raise UserError(f"{folder} has no {DATA_FILES}: download or export the dataset again, with its data")
    card = None if (folder / CARD_FILE).is_file() else render_card(info, folder.absolute().name)
    commit = upload_folder(folder, repo_id, revision=revision, token=token, card=card, **options)
    if revision in (None, "main") and not options.get("create_pr"):
        move_tag(commit.repo_url.repo_id, version_tag(info), "dataset", token=token)
    return commit


def _row(info: LeRobotInfo, name: str) -> str:
    feature = info.features[name]
    names, units = info.names(name) or [], info.units(name)
    numbers = [f"{number} ({unit})" for number, unit in zip(names, units, strict=False)] if units else names
    shape = feature.get("shape")
    size = " x ".join(map(str, shape)) if isinstance(shape, list) else ""
    cells = [f"`{name}`", f"{size} {feature['dtype']}".strip(), ", ".join(map(str, numbers))]
    return f"| {' | '.join(map(_one_line, cells))} |"


def _one_line(text: str) -> str:
    """Text from a file, for a cell of a table or a title."""
    return " ".join(printable(text).replace("|", " ").split())[:_LINE]
