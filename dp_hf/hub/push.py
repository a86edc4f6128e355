"""Uploading a folder that is already in the Hub's layout: a saved pipeline or a converted dataset."""

from pathlib import Path

from huggingface_hub import HfApi

from dp_hf.errors import UserError


def repo_type_of(folder: str | Path) -> str:
    """`model` for a pipeline's folder, `dataset` for a converted dataset.

    Raises:
        UserError: it is neither.
    """
    if (Path(folder) / "model_index.json").is_file():
        return "model"
    if (Path(folder) / "meta.json").is_file():
        return "dataset"
    raise UserError(f"{folder}: neither a pipeline (model_index.json) nor a converted dataset (meta.json)")


def push_folder(
    folder: str | Path,
    repo_id: str,
    repo_type: str | None = None,
    private: bool | None = None,
    token: str | None = None,
    revision: str | None = None,
    commit_message: str | None = None,
) -> str:
    """Uploads `folder` to the Hub, creating the repository (and the branch `revision`) where there is none.

    Args:
        repo_id: `user/name`.
        repo_type: `model` or `dataset`; None asks the folder.
        private: for a new repository; None takes the account's default.
        token: None takes the one that `hf auth login` stored, or HF_TOKEN.

    Returns:
        the address of the commit.
    """
    api = HfApi(token=token)
    repo_type = repo_type or repo_type_of(folder)
    repo_id = api.create_repo(repo_id, repo_type=repo_type, private=private, exist_ok=True).repo_id
    if revision is not None:
        api.create_branch(repo_id, branch=revision, repo_type=repo_type, exist_ok=True)
    return api.upload_folder(
        repo_id=repo_id,
        repo_type=repo_type,
        folder_path=folder,
        revision=revision,
        commit_message=commit_message,
        ignore_patterns=[".*"],
        # Parts of a dataset pushed earlier would be read as rows of this one.
        delete_patterns=["data/*.parquet"] if repo_type == "dataset" else None,
    )
