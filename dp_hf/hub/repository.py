"""Repositories on the Hub: one way to fetch them, one to upload a folder, and one text for why that failed."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, constants, snapshot_download
from huggingface_hub.errors import (
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import get_session

from dp_hf.errors import UserError

REACH_TIMEOUT = 3.0  # seconds
REMEDY = "push the folder later with `dp-hf push-to-hub`"
# The client's own errors, and those of the HTTP library below it, which is another one in other versions.
_CLIENT_ERRORS: tuple[type[Exception], ...] = (OSError, ValueError, *HfHubHTTPError.__bases__)


def download_snapshot(
    repo_id: str,
    repo_type: str = "model",
    revision: str | None = None,
    allow_patterns: list[str] | None = None,
    **options: Any,
) -> Path:
    """The folder in the Hub's cache with the files of a repository, fetched where they are not there.

    Args:
        repo_id: `user/name`.
        repo_type: `model` or `dataset`.
        revision: branch, tag or commit; None is `main`.
        allow_patterns: of the files wanted; None wants all.
        options: further ones of `huggingface_hub.snapshot_download`.

    Raises:
        UserError: there is no such repository, or it cannot be reached.
    """
    with hub_errors(f"there is no folder {repo_id}, and no such {repo_type} on the Hub could be fetched"):
        return Path(
            snapshot_download(repo_id, repo_type=repo_type, revision=revision, allow_patterns=allow_patterns, **options)
        )


def latest_commit(repo_id: str, repo_type: str = "model") -> str:
    """The commit that `main` is at.

    Raises:
        UserError: there is no such repository, or it cannot be reached.
    """
    with hub_errors(f"{repo_id} is no {repo_type} on the Hub that could be found"):
        commit = HfApi().repo_info(repo_id, repo_type=repo_type).sha
    assert commit is not None
    return commit


def require_hub(what: str, remedy: str) -> None:
    """Raises a UserError when the Hub cannot be reached, within 3 seconds where its client tries for a minute.

    Args:
        what: is not to be had without the Hub.
        remedy: beside a connection.
    """
    with hub_errors(what, remedy):
        if constants.HF_HUB_OFFLINE:
            raise ConnectionError
        get_session().head(constants.ENDPOINT, timeout=REACH_TIMEOUT)


@contextmanager
def hub_errors(what: str, remedy: str = "give a local folder") -> Iterator[None]:
    """Turns the errors of the Hub's client into a UserError: `what` failed, why, and what helps."""
    try:
        yield
    except UserError:
        raise
    except _CLIENT_ERRORS as error:
        raise UserError(f"{what}: {_reason(error, remedy)}") from error


def _reason(error: Exception, remedy: str) -> str:
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    if isinstance(error, HfHubHTTPError) and not isinstance(error, LocalEntryNotFoundError):
        if isinstance(error, RevisionNotFoundError):
            return "it has no such revision"
        if isinstance(error, RepositoryNotFoundError):
            return "there is none of that name that you may read; log in with `hf auth login` for a private one"
        return f"the Hub refused it ({text}); `hf auth login` logs in as somebody who may"
    is_of_this_machine = getattr(error, "errno", None) is not None
    if is_of_this_machine or (isinstance(error, ValueError) and not isinstance(error, LocalEntryNotFoundError)):
        return text
    why = "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else text
    return f"the Hub is out of reach ({why}); connect, or {remedy}"
