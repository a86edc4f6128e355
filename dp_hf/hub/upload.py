"""Uploading a folder: what it has becomes the repository's, what an earlier push has left goes, the rest stays."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from huggingface_hub import CommitInfo, HfApi
from huggingface_hub.errors import EntryNotFoundError, RevisionNotFoundError
from huggingface_hub.utils import filter_repo_objects

from dp_hf.errors import UserError
from dp_hf.files import inside, refuse_pointer
from dp_hf.folder_kinds import LEROBOT_INFO, refuse_other_kinds
from dp_hf.hub.card import CARD_FILE, merge_cards, read_text
from dp_hf.hub.repository import hub_errors

REMEDY = "push the folder later with `dp-hf push-to-hub`"
# Whatever our pushes write, by type of repository: of these files those go that the folder has no more.
OUR_FILES = {
    "model": (
        *("model_index.json", "pipeline_diffusion_policy.py", "scheduler/scheduler_config.json"),
        *("policy/config.json", "policy/policy.py", "policy/encoder.onnx", "policy/denoiser.onnx"),
        *("normalizer/config.json", "normalizer/normalizer.py"),
        *("alarm/limits.json", "alarm/reference.safetensors"),
        *("policy/diffusion_pytorch_model*.safetensors*", "normalizer/diffusion_pytorch_model*.safetensors*"),
    ),
    # Our own, and LeRobot's v3.0 and v2.x.
    "dataset": (
        *("meta.json", "data/train-*.parquet"),
        *("meta/info.json", "meta/stats.json", "meta/tasks.parquet", "meta/episodes/chunk-*/file-*.parquet"),
        *("data/chunk-*/file-*.parquet", "videos/*/chunk-*/file-*.mp4"),
        *("meta/tasks.jsonl", "meta/episodes.jsonl", "meta/episodes_stats.jsonl"),
        *("data/chunk-*/episode_*.parquet", "videos/chunk-*/*/episode_*.mp4"),
    ),
}


def create_repository(
    repo_id: str, repo_type: str, *, private: bool | None = None, token: str | None = None, revision: str | None = None
) -> str:
    """Creates the repository, and the branch `revision`, where there is none; returns its full id, `user/name`.

    Raises:
        UserError: the Hub refuses, or is out of reach.
    """
    api = HfApi(token=token)
    with hub_errors(f"not uploaded to {repo_id}", REMEDY):
        repo_id = api.create_repo(repo_id, repo_type=repo_type, private=private, exist_ok=True).repo_id
        if revision is not None:
            api.create_branch(repo_id, branch=revision, repo_type=repo_type, exist_ok=True)
    return repo_id


def upload_folder(
    folder: str | Path,
    repo_id: str,
    *,
    private: bool | None = None,
    token: str | None = None,
    revision: str | None = None,
    commit_message: str | None = None,
    create_pr: bool = False,
    card: str | None = None,
    keep_others: bool = False,
    report: Callable[[str], None] = print,
) -> CommitInfo:
    """Uploads `folder` to the Hub, creating the repository (and the branch `revision`) where there is none.

    Hidden files stay behind. What people have written into the repository's card, and the files that they have added,
    stay there; files of an earlier push that the folder has no more are removed.

    Args:
        folder: a saved pipeline, a converted dataset or a LeRobot dataset.
        repo_id: `user/name`.
        private: for a new repository; None takes the account's default.
        token: None takes the one that `hf auth login` stored, or HF_TOKEN.
        create_pr: as a pull request.
        card: in place of the folder's README.md.
        keep_others: files of an earlier push stay too.
        report: is told what is kept and what is removed.

    Returns:
        what the Hub says of the commit: its `commit_url`, and the `pr_url` of a pull request.

    Raises:
        UserError: the Hub refuses, or is out of reach; the folder is none of these, or not whole; the repository's card
            was edited where it is written anew.
    """
    folder, repo_type = Path(folder), repo_type_of(folder)
    if card is None and (folder / CARD_FILE).is_file():
        card = read_text(folder / CARD_FILE)
    with _files_of(folder) as files:
        repo_id = create_repository(repo_id, repo_type, private=private, token=token, revision=revision)
        api, base = HfApi(token=token), None if create_pr else revision
        with hub_errors(f"not uploaded to {repo_id}", REMEDY):
            there = api.list_repo_files(repo_id, repo_type=repo_type, revision=base)
            found = _card_there(api, repo_id, repo_type, base) if CARD_FILE in there else None
        if card is not None:
            card, remarks = merge_cards(card, found, repo_id)
            (files / CARD_FILE).write_text(card, encoding="utf-8")
            for remark in remarks:
                report(f"{CARD_FILE} of {repo_id}: {remark}")
        ours = [] if keep_others else [*OUR_FILES[repo_type]]
        theirs = filter_repo_objects(there, ignore_patterns=ours)
        stale = sorted(name for name in {*there}.difference(theirs) if not (files / name).is_file())
        with hub_errors(f"not uploaded to {repo_id}", REMEDY):
            commit = api.upload_folder(
                repo_id=repo_id,
                repo_type=repo_type,
                folder_path=files,
                revision=revision,
                commit_message=commit_message,
                create_pr=create_pr,
                delete_patterns=ours,
            )
    if stale:
        report(f"removed from {repo_id}, as {folder} has them no more: {', '.join(stale)}")
    return commit


def move_tag(repo_id: str, tag: str, repo_type: str, *, revision: str | None = None, token: str | None = None) -> None:
    """Lets the tag point at `revision`, None being `main`, wherever it pointed before.

    Raises:
        UserError: the Hub refuses, or is out of reach.
    """
    api = HfApi(token=token)
    with hub_errors(f"uploaded to {repo_id}, but without its tag {tag}", "push it again"):
        with suppress(RevisionNotFoundError):
            api.delete_tag(repo_id, tag=tag, repo_type=repo_type)
        api.create_tag(repo_id, tag=tag, repo_type=repo_type, revision=revision)


def repo_type_of(folder: str | Path) -> str:
    """`model` for a pipeline's folder, `dataset` for a converted dataset or one of LeRobot's.

    Raises:
        UserError: it is none of them.
    """
    folder = Path(folder)
    if (folder / "model_index.json").is_file():
        return "model"
    if (folder / "meta.json").is_file() or (folder / LEROBOT_INFO).is_file():
        return "dataset"
    refuse_other_kinds(folder, "pipeline or dataset")
    raise UserError(
        f"{folder}: neither a pipeline (model_index.json) nor a converted dataset (meta.json) nor a LeRobot dataset "
        f"({LEROBOT_INFO})"
    )


@contextmanager
def _files_of(folder: Path) -> Iterator[Path]:
    """A temporary folder with links to the files that are uploaded, in which one may be replaced.

    Raises:
        UserError: a file is a link out of the folder, or was not downloaded.
    """
    with tempfile.TemporaryDirectory() as files:
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder)
            if any(part.startswith(".") for part in name.parts):
                continue
            real = inside(folder, name).resolve()
            if real.is_dir() and path.is_symlink():
                raise UserError(f"{path} is a link to a folder, which is not followed: put the folder in its place")
            if real.is_file() and name != Path(CARD_FILE):
                refuse_pointer(real)
                target = Path(files) / name
                target.parent.mkdir(parents=True, exist_ok=True)
                try:
                    target.symlink_to(real)
                except OSError:  # not everybody may make links on Windows
                    shutil.copyfile(real, target)
        yield Path(files)


def _card_there(api: HfApi, repo_id: str, repo_type: str, revision: str | None) -> str | None:
    with tempfile.TemporaryDirectory() as folder, suppress(EntryNotFoundError):
        file = api.hf_hub_download(repo_id, CARD_FILE, repo_type=repo_type, revision=revision, local_dir=folder)
        return read_text(Path(file))
    return None
