"""`dp-hf inspect-checkpoint`: what a checkpoint holds, the reference's or ours."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from dp_hf.cli.arguments import parse, run

if TYPE_CHECKING:
    import torch


@dataclass
class InspectCheckpoint:
    """Print what a checkpoint holds: sizes, settings, training progress, and parameters that are not finite.

    Nothing in it is run. Exit codes: 0 sound, 1 some values are not finite, 2 not a checkpoint.
    """

    checkpoint: tyro.conf.Positional[Path]
    """.pth file of the reference, folder of a pipeline, or checkpoint-N folder of a training run"""
    json: bool = False
    """print JSON"""


def main(argv: list[str] | None = None) -> int:
    return run(inspect, parse(InspectCheckpoint, argv, "dp-hf inspect-checkpoint"))


def inspect(arguments: InspectCheckpoint) -> int:
    found = (
        describe_folder(arguments.checkpoint) if arguments.checkpoint.is_dir() else describe_file(arguments.checkpoint)
    )
    if arguments.json:
        print(json.dumps(found, indent=2, default=str))
    else:
        print("\n".join(as_lines(found)))
    return 1 if any(key == "not finite" for key, _ in walk(found)) else 0


def describe_file(path: Path) -> dict[str, Any]:
    from dp_hf.interop.reference_checkpoint import read_checkpoint
    from dp_hf.interop.reference_keys import output_layer

    checkpoint = read_checkpoint(path)
    layout, num_layers = checkpoint.layout, checkpoint.num_layers
    action_dim, hidden_dim = checkpoint.shape(output_layer(layout, num_layers))
    time_hidden_dim, time_embed_dim = checkpoint.shape("time_mlp.1")
    return {
        "file": str(path),
        "kind": f"checkpoint of the reference, {layout} layout",
        "actions": action_dim,
        "hidden layers": f"{num_layers} of {hidden_dim}",
        "timestep embedding": f"{time_embed_dim}, hidden layer of {time_hidden_dim}",
        "optimizer state": "yes" if checkpoint.has_optimizer else "no",
        **summarize(checkpoint.weights.items()),
        "numbers": checkpoint.metrics,
        "training arguments": checkpoint.arguments,
    }


def describe_folder(path: Path) -> dict[str, Any]:
    from dp_hf.errors import UserError
    from dp_hf.files import read_json
    from dp_hf.folder_kinds import refuse_other_kinds

    index = path / "model_index.json"
    found: dict[str, Any] = {"folder": str(path)}
    if index.is_file():
        found["kind"] = "pipeline"
        for name, value in read_json(index).items():
            if isinstance(value, list) and (path / name).is_dir():
                found[name] = {"class": value[-1], **describe_component(path / name)}
            elif not name.startswith("_"):
                found[name] = value
    else:
        found["kind"] = "checkpoint of a training run"
        found |= describe_component(path)
        if len(found) == 2:
            refuse_other_kinds(path, "pipeline or checkpoint")
            raise UserError(
                f"{path}: neither a pipeline nor a checkpoint: no model_index.json and no .safetensors file"
            )
    return found


def describe_component(folder: Path) -> dict[str, Any]:
    from dp_hf.files import read_json

    found: dict[str, Any] = {}
    for file in sorted(folder.glob("*.safetensors")):
        found[file.name] = summarize(read_tensors(file))
    for file in sorted(folder.glob("*.json")):
        if not file.name.endswith(".index.json"):
            content = read_json(file)
            found[file.name] = {name: value for name, value in content.items() if not name.startswith("_")}
    return found


def read_tensors(file: Path) -> "Iterator[tuple[str, torch.Tensor]]":
    from safetensors import SafetensorError, safe_open

    from dp_hf.errors import UserError

    try:
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118, it is no dict
                yield name, tensors.get_tensor(name)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{file}: cannot be read ({error}); copy it again") from error


def summarize(tensors: "Iterable[tuple[str, torch.Tensor]]") -> dict[str, Any]:
    count, size, types, strange = 0, 0, set(), []
    for name, tensor in tensors:
        count += tensor.numel()
        size += tensor.numel() * tensor.element_size()
        types.add(str(tensor.dtype).removeprefix("torch."))
        if tensor.is_floating_point() and not tensor.isfinite().all():
            strange.append(name)
    found = {"values": f"{count:,} ({', '.join(sorted(types))}), {size / 1e6:.1f} MB"}
    return found | ({"not finite": strange} if strange else {})


def as_lines(found: dict[str, Any], indent: str = "") -> Iterator[str]:
    width = max((len(str(name)) for name, value in found.items() if not isinstance(value, dict)), default=0)
    for name, value in found.items():
        if isinstance(value, dict):
            yield f"{indent}{name}"
            yield from as_lines(value, indent + "  ")
        else:
            yield f"{indent}{name:<{width}}  {', '.join(map(str, value)) if isinstance(value, list) else value}"


def walk(found: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in found.items():
        yield name, value
        if isinstance(value, dict):
            yield from walk(value)
