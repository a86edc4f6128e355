"""All options of a training run, flat in flags, in YAML files and in `TrainConfig.from_options`."""

import dataclasses
import difflib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import yaml

from dp_hf.errors import UserError
from dp_hf.files import file_written_beside, user_path, user_place
from dp_hf.models.policy_config import PolicyOptions, require_different
from dp_hf.ranges import Range, require_in_range
from dp_hf.training.options import (
    AugmentationOptions,
    DataOptions,
    DiffusionOptions,
    HardwareOptions,
    LoadingOptions,
    OptimizationOptions,
    SavingOptions,
    ValidationOptions,
)
from dp_hf.training.reference_options import ANSWERS, RENAMED
from dp_hf.yaml_files import read_yaml


@dataclass
class TrainConfig:
    """Trains a diffusion policy on recorded demonstrations.

    The defaults are the reference: one image, one action, a frozen ResNet34, an MLP and 1000 steps of DDPM.
    """

    config: Path | None = None
    """YAML file of these options, or the name of one that comes with dp_hf, such as stack_cpu; flags win over it."""
    data_dir: str = ""
    """Required. Folder of episodes, converted dataset, or dataset id on the Hub."""
    output_dir: Path = Path("outputs/train")
    """Folder for checkpoints, best/ and final/ pipelines, metrics.jsonl and curves.png."""
    resume_from_checkpoint: str | None = None
    """Continue exactly where a run was: latest (of output_dir), or a checkpoint's folder."""
    seed: Annotated[int, Range(0, 2**32 - 1)] = 0
    """Of the weights, the order of the batches, the noise and the choice of held-out episodes."""

    data: DataOptions = field(default_factory=DataOptions)
    policy: PolicyOptions = field(default_factory=PolicyOptions)
    diffusion: DiffusionOptions = field(default_factory=DiffusionOptions)
    optimization: OptimizationOptions = field(default_factory=OptimizationOptions)
    augmentation: AugmentationOptions = field(default_factory=AugmentationOptions)
    loading: LoadingOptions = field(default_factory=LoadingOptions)
    hardware: HardwareOptions = field(default_factory=HardwareOptions)
    validation: ValidationOptions = field(default_factory=ValidationOptions)
    saving: SavingOptions = field(default_factory=SavingOptions)

    def __post_init__(self):
        require_in_range(self)
        require_different("camera_names", self.data.camera_names)
        self.data_dir, self.output_dir = user_place(self.data_dir), user_path(self.output_dir)
        if self.data.corrections is not None:
            self.data.corrections = user_place(self.data.corrections)

    @property
    def keeps_random_encoder(self) -> bool:
        """Whether the image encoder is frozen as it was drawn, with weights that saw no image."""
        options = self.optimization
        return self.policy.freeze_image_encoder and options.pretrained_backbone == "none" and options.init_from is None

    @classmethod
    def from_options(cls, **options: Any) -> "TrainConfig":
        """The configuration with these options, whichever group each is in: `from_options(horizon=16, batch_size=64)`.

        Raises:
            UserError: an option that does not exist, or that is out of its range.
        """
        if unknown := [name for name in options if name not in option_names()]:
            raise UserError(no_such_option(unknown[0]))
        groups = {}
        for name, group in GROUPS.items():
            chosen = {option.name for option in dataclasses.fields(group)} & options.keys()
            groups[name] = group(**{option: options.pop(option) for option in chosen})
        return cls(**options, **groups)

    def options(self) -> dict[str, Any]:
        """All options by name, without their groups."""
        options = {name: value for name, value in vars(self).items() if name not in GROUPS}
        for group in GROUPS:
            options |= vars(getattr(self, group))
        return options


GROUPS: dict[str, Any] = {
    member.name: member.default_factory
    for member in dataclasses.fields(TrainConfig)
    if dataclasses.is_dataclass(member.default_factory)
}


def option_names() -> list[str]:
    return list(TrainConfig().options())


def no_such_option(name: Any) -> str:
    if name in RENAMED:
        return f"{name!r} is the reference's; here it is {' '.join(RENAMED[name])}"
    if name in ANSWERS:
        return f"{name!r} is the reference's: {ANSWERS[name]}"
    close = difflib.get_close_matches(str(name), option_names(), n=1)
    return f"no option {name!r}" + (f"; did you mean {close[0]!r}?" if close else "")


def read_config_file(path: Path) -> dict[str, Any]:
    """The options in a YAML file, checked by name only.

    Raises:
        UserError: the file cannot be read, or names an option that does not exist.
    """
    values = read_yaml(path) or {}
    if not isinstance(values, dict):
        raise UserError(f"{path}: expected `option: value` lines")
    for name in values:
        if (name not in option_names() and name not in RENAMED) or name == "config":
            raise UserError(f"{path}: {no_such_option(name)}")
    return values


def as_flags(values: dict[str, Any]) -> list[str]:
    """Options from a file as command-line flags, so that both go through the same checks."""
    flags: list[str] = []
    for name, value in values.items():
        if isinstance(value, bool):
            flags.append(f"--{name}" if value else f"--no_{name}")
        else:
            flags += [f"--{name}", *map(str, value if isinstance(value, (list, tuple)) else [value])]
    return flags


def save_config(config: TrainConfig, path: Path) -> None:
    """Writes the options as YAML that `--config` reads back."""
    with file_written_beside(path) as file:
        file.write_text(yaml.safe_dump(plain_options(config), sort_keys=False), encoding="utf-8")


def changed_options(config: TrainConfig, path: Path) -> list[str]:
    """What differs from the options saved at `path`, as `name: old -> new`."""
    if not path.is_file():
        return []
    before, now = plain_options(TrainConfig.from_options(**read_config_file(path))), plain_options(config)
    return [
        f"{name}: {before[name]} -> {now[name]}"
        for name in now
        if before[name] != now[name] and name not in ("resume_from_checkpoint", "output_dir")
    ]


def plain_options(config: TrainConfig) -> dict[str, Any]:
    """The options as YAML and JSON can hold them; without `config`, which is merged in already."""

    def plain(value: Any) -> Any:
        if isinstance(value, Path):
            return str(value)
        return list(value) if isinstance(value, tuple) else value

    return {name: plain(value) for name, value in config.options().items() if name != "config"}
