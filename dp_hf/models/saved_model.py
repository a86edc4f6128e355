"""Loads a network only as it was saved: all of its config, all of its tensors, and nothing else."""

import difflib
import inspect
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import diffusers
import torch
from diffusers.configuration_utils import ConfigMixin
from diffusers.models.modeling_utils import ModelMixin
from safetensors import SafetensorError, safe_open

from dp_hf.errors import UserError
from dp_hf.files import read_json, refuse_pointer

Saved = TypeVar("Saved", bound="SavedModel")

WEIGHTS = "diffusion_pytorch_model"

# Those that somebody may have meant by a misspelt one.
_DIFFUSERS_OPTIONS = (
    *("cache_dir", "device_map", "dtype", "force_download", "local_files_only", "low_cpu_mem_usage", "max_memory"),
    *("proxies", "quantization_config", "revision", "token", "use_safetensors", "variant"),
)


class SavedModel(ModelMixin, ConfigMixin):
    """A diffusers model without silent replacements: what a folder lacks is neither random nor a default.

    Its classes name `ModelMixin` as a base too, because diffusers looks for that name in their module.

    Attributes:
        optional_in_config: arguments that a saved config may lack, because it was written before they existed.
    """

    optional_in_config: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def from_pretrained(cls: type[Saved], pretrained_model_name_or_path: str | Path, **kwargs: Any) -> Any:
        """Loads a folder, or a repository of the Hub; arguments as in diffusers.

        Raises:
            UserError: a damaged or absent file, a config without an argument or with an impossible one, a tensor too
                few or too many, of another shape, or with values that are not finite; named.
        """
        kwargs = with_known_dtype(kwargs)
        with_info = kwargs.pop("output_loading_info", False)
        folder = Path(pretrained_model_name_or_path) / (kwargs.get("subfolder") or "")
        where: Path = folder
        dtypes: dict[str, str] = {}
        if folder.is_dir():
            require_config(cls, folder / cls.config_name)
            where, dtypes = _weights_file(folder, kwargs.get("variant"))
        try:
            model, info = super().from_pretrained(pretrained_model_name_or_path, output_loading_info=True, **kwargs)
        except UserError as error:
            raise UserError(f"{folder / cls.config_name}: {error}") from error
        except Exception as error:  # diffusers, torch and timm raise many kinds for what a file holds
            raise UserError(f"{where}: does not fit {folder / cls.config_name}: {first_line(error)}") from error
        for kind, names in {
            "lacks": info["missing_keys"],
            "has an unknown": info["unexpected_keys"],
            "has another shape of": info["mismatched_keys"],
        }.items():
            if names:
                others = f", and {len(names) - 1} more" if len(names) > 1 else ""
                raise UserError(f"{where}: {kind} tensor {sorted(names, key=str)[0]}{others}; restore the file")
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point() and dtypes.get(name, "F32").startswith(("I", "U", "BOOL")):
                raise UserError(f"{where}: tensor {name} holds whole numbers ({dtypes[name]}); restore the file")
            if not tensor.is_meta and not torch.isfinite(tensor).all():
                raise UserError(f"{where}: tensor {name} holds values that are not finite; restore the file")
        return (model, info) if with_info else model

    @classmethod
    def extract_init_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> tuple[dict, dict, dict]:
        """As in diffusers, which has taken its own options from `kwargs` before; raises `UserError` for others."""
        refuse_unknown_options(cls, kwargs)
        return super().extract_init_dict(config_dict, **kwargs)


def refuse_unknown_options(saved: type[ConfigMixin], options: Iterable[str]) -> None:
    """Raises `UserError` for an option of `from_pretrained` that is neither diffusers' nor an argument of the class."""
    arguments = inspect.signature(saved.__init__).parameters
    for option in options:
        if option not in arguments and option != "trust_remote_code":  # which diffusers 0.35 leaves where it is
            nearest = difflib.get_close_matches(option, [*arguments, *_DIFFUSERS_OPTIONS], 1)
            meant = f"; {nearest[0]} is one" if nearest else ""
            raise UserError(f"{saved.__name__}.from_pretrained has no option {option}{meant}")


def with_known_dtype(options: dict[str, Any]) -> dict[str, Any]:
    """Options of `from_pretrained`, `dtype` among them under the name that the installed diffusers knows.

    Before 0.40 that is `torch_dtype`, and a pipeline ignores `dtype`; after it, `torch_dtype` is deprecated.
    """
    if "dtype" not in options or _release(diffusers.__version__) >= (0, 40):
        return options
    if options.get("torch_dtype") is not None:
        raise UserError("dtype and torch_dtype are one option; pass dtype alone")
    return {name: value for name, value in options.items() if name != "dtype"} | {"torch_dtype": options["dtype"]}


def _release(version: str) -> tuple[int, int]:
    """The first two numbers of a version."""
    major, minor = version.split(".")[:2]
    return int(major), int(minor)


def require_config(model: type[ConfigMixin], file: Path) -> dict[str, Any]:
    """A saved config, which has all arguments of the model; else `UserError` names the one that it lacks."""
    config = read_json(file)
    optional = getattr(model, "optional_in_config", ())
    arguments = set(inspect.signature(model.__init__).parameters) - {"self", *optional}
    if lost := sorted(arguments - set(config)):
        raise UserError(
            f"{file}: has no {lost[0]}, and a default may not be what it was trained with; restore the file"
        )
    return config


def _weights_file(folder: Path, variant: str | None) -> tuple[Path, dict[str, str]]:
    """The file of the weights, and how it holds each tensor (F32, I64, ...)."""
    file = folder / ".".join(part for part in (WEIGHTS, variant, "safetensors") if part)
    if not file.is_file():
        if any(folder.glob(f"{WEIGHTS}*.bin")) or any(folder.glob(f"{WEIGHTS}*.index*.json")):
            return folder, {}  # saved in another way, which diffusers knows
        raise UserError(f"{file}: no such file; the folder did not arrive whole")
    refuse_pointer(file)
    try:
        with safe_open(file, framework="pt") as tensors:
            return file, {name: tensors.get_slice(name).get_dtype() for name in tensors.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise UserError(f"{file}: cut or damaged ({first_line(error)}); restore it") from error


def first_line(error: Exception) -> str:
    """What an exception says, as a part of a sentence."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
