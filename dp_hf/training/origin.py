"""What a checkpoint belongs to: the data, options and frozen weights of its run; and the checksums of its files."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from dp_hf.episodes.format import whole_episode
from dp_hf.episodes.metadata import DatasetMeta
from dp_hf.errors import UserError
from dp_hf.files import read_json
from dp_hf.models.digest import digest_module, digest_of
from dp_hf.models.policy import DiffusionPolicyModel
from dp_hf.training.config import TrainConfig, plain_options
from dp_hf.training.windows import Trajectories

ORIGIN_FILE = "origin.json"

# What a run may change on its way, and obeys.
FREE = {
    *("num_epochs", "learning_rate", "weight_decay", "tracker", "num_workers", "num_threads", "cache", "cache_dir"),
    *("save_interval", "save_steps", "checkpoints_total_limit", "log_interval"),
    *("validation_interval", "rollout_interval"),
}
# Places, and options whose effect is compared instead: the data, the frozen encoder, the precision, the processes.
SEEN_OTHERWISE = {
    *("output_dir", "resume_from_checkpoint", "data_dir", "corrections", "streaming", "pretrained_backbone"),
    *("use_amp", "num_processes"),
}


@dataclass(frozen=True)
class Origin:
    """What has to be the same when a run continues.

    Attributes:
        data: digest of the states, actions, episodes and encoded images, with their names, units and rate.
        encoder: digest of the frozen image encoder; None where it learns.
        options: those that are neither free nor seen otherwise; `mixed_precision` is the one in force.
        held_out_by: whether parts of one recording may be learned and held out ("episode") or not ("recording").
    """

    data: str
    encoder: str | None
    options: dict[str, Any]
    held_out_by: str = "episode"


def origin_of(
    config: TrainConfig,
    accelerator: Accelerator,
    trajectories: Trajectories,
    meta: DatasetMeta,
    images: str,
    policy: DiffusionPolicyModel,
) -> Origin:
    """Of a run that is about to begin, by all its rows; `images` is the digest of the images that the policy sees."""
    rows = hashlib.blake2b(digest_size=16)
    for tensor in (trajectories.state, trajectories.action, trajectories.episode_index):
        rows.update(tensor.contiguous().numpy())
    if not trajectories.by_person.all():
        rows.update(trajectories.by_person.numpy())
    quantities = [tuple(part) for q in (meta.state, meta.action) for part in (q.names, q.units)]
    options = {n: value for n, value in plain_options(config).items() if n not in FREE | SEEN_OTHERWISE}
    options["mixed_precision"] = accelerator.mixed_precision
    frozen = policy.config.freeze_image_encoder
    return Origin(
        data=digest_of(rows.hexdigest(), images, float(meta.fps), quantities),
        encoder=digest_module(policy.encoder) if frozen else None,
        options=json.loads(json.dumps(options)),
        held_out_by="recording" if [*map(whole_episode, meta.episodes)] != meta.episodes else "episode",
    )


def write_origin(folder: Path, origin: Origin) -> None:
    """Into a checkpoint that is otherwise whole, whose files it sums up."""
    files = {path.name: _checksum(path) for path in sorted(folder.iterdir())}
    (folder / ORIGIN_FILE).write_text(json.dumps(asdict(origin) | {"files": files}, indent=2), encoding="utf-8")


def require_same_origin(folder: Path, origin: Origin) -> bool:
    """Whether the checkpoint says what it belongs to; those of earlier versions do not.

    An option that it does not know counts as having had its default.

    Raises:
        UserError: it belongs to another run, or a file of it is not what was saved.
    """
    path = folder / ORIGIN_FILE
    if not path.exists():
        return False
    try:
        saved = read_json(path)
        files, before = dict(saved.pop("files")), Origin(**saved)
        options = plain_options(TrainConfig()) | before.options
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UserError(f"{path}: is damaged ({error}); resume from another checkpoint") from error
    for name, checksum in files.items():
        if not (folder / name).is_file():
            raise UserError(f"{folder / name}: is missing; resume from another checkpoint")
        if _checksum(folder / name) != checksum:
            raise UserError(f"{folder / name}: is not what was saved; resume from another checkpoint")
    options = json.loads(json.dumps(options))
    different = [f"{name}: {options[name]} -> {now}" for name, now in origin.options.items() if options[name] != now]
    if before.data != origin.data:
        different.append("the data (states, actions, episodes or images) are others")
    if before.encoder != origin.encoder:
        different.append("the frozen image encoder has other weights")
    if before.held_out_by != origin.held_out_by:
        different.append("parts of one recording were held out while others were learned from")
    if different:
        raise UserError(
            f"{folder}: belongs to another run ({'; '.join(different)}). Continue with what it was made with, or begin "
            "a run in another --output_dir"
        )
    return True


def _checksum(path: Path) -> str:
    digest = hashlib.blake2b(digest_size=16)
    with open(path, "rb") as file:
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()
