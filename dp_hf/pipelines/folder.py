"""What a pipeline's folder is, before anything in it is loaded. Free of torch."""

import shlex
from collections.abc import Container
from pathlib import Path
from typing import Any

from dp_hf.errors import UserError
from dp_hf.files import read_json
from dp_hf.folder_kinds import refuse_other_kinds
from dp_hf.installed import has_torch

INDEX = "model_index.json"
PARTS = ("policy", "scheduler", "normalizer")
EXPORTED_POLICY = "OnnxPolicy"


def require_pipeline(source: str) -> None:
    """Raises `UserError` for what is no pipeline, neither a folder nor the id of a repository, and says what it is."""
    path = Path(source)
    if path.suffix in (".pth", ".pt"):
        if not path.is_file():
            raise UserError(f"{source}: no such file, and a pipeline is a folder or a repository on the Hub")
        raise UserError(f"{source} is a checkpoint file, and a pipeline is a folder: {_import_of(path)}")
    if not path.exists() or (path / INDEX).is_file():
        return
    if path.is_dir() and (files := sorted(path.glob("*.pth"), key=lambda file: file.stat().st_mtime)):
        raise UserError(f"{source} holds checkpoint files and no pipeline: {_import_of(files[-1])}")
    refuse_other_kinds(path, "pipeline")
    raise UserError(f"{source}: not a pipeline folder, it has no model_index.json")


def _import_of(file: Path) -> str:
    words = ["dp-hf", "import-checkpoint", "--checkpoint", str(file), "--pipeline", str(file.with_suffix(""))]
    return f"`{shlex.join(words)}` makes a pipeline of the reference's, to be given in its place"


def read_index(folder: Path, given: Container[str] = ()) -> dict[str, Any]:
    """What a pipeline's folder says that it holds: [library, class] of each part, and `num_inference_steps`.

    Args:
        given: parts, and the number, that the caller gives in place of those in the folder.

    Raises:
        UserError: a part that the file does not name, or that is not there.
    """
    index = read_json(folder / INDEX)
    if missing := set(PARTS) - set(index):
        raise UserError(f"{folder}: not a diffusion policy; its model_index.json has no {', '.join(sorted(missing))}")
    for name in PARTS:
        entry = index[name]
        if not (isinstance(entry, list) and len(entry) == 2 and isinstance(entry[1], str)):
            raise UserError(f"{folder}/model_index.json: {name} is [library, class]; got {entry!r}")
        if name not in given and not (folder / name).is_dir():
            raise UserError(f"{folder / name}: no such folder; the pipeline did not arrive whole")
    if "num_inference_steps" not in index and "num_inference_steps" not in given:
        raise UserError(f"{folder}/model_index.json: has no num_inference_steps; restore the file, or pass a number")
    return index


def is_exported(source: str) -> bool:
    """Whether it is a folder that `dp-hf export-policy` has written; other places are none, whatever they are."""
    return (Path(source) / INDEX).is_file() and read_index(Path(source))["policy"][1] == EXPORTED_POLICY


def require_loadable(source: str) -> None:
    """Raises `UserError` for a pipeline that needs torch where there is none; also for no pipeline at all."""
    require_pipeline(source)
    if has_torch() or is_exported(source):
        return
    if not Path(source).exists():
        raise UserError(f"{source}: no such folder, and without torch nothing is fetched from the Hub: copy it here")
    raise UserError(
        f"{source} is run by torch, which is not installed here: where it is, `dp-hf export-policy --pipeline {source} "
        "--output_dir EXPORTED` makes a pipeline that needs only onnxruntime, to be given in its place"
    )


def require_widths(config: Any, normalizer: Any) -> None:
    """Raises `UserError` for a normalizer of other widths than the policy's, of the state where the policy sees it."""
    for kind in ("state", "action") if config.use_proprioception else ("action",):
        found, width = len(getattr(normalizer, f"{kind}_offset")), getattr(config, f"{kind}_dim")
        if found != width:
            raise UserError(
                f"the normalizer is for {kind}s of {found} numbers, and the policy's have {width}: give the one that "
                "the policy was trained with"
            )
