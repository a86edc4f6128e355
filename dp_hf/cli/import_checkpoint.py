"""`dp-hf import-checkpoint`: a `.pth` checkpoint of the reference to a pipeline, or back."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dp_hf.cli.arguments import parse, run

# Beside an imported pipeline: what its checkpoint held besides the weights, so that an export has it again.
RECORD_FILE = "reference_checkpoint.json"


@dataclass
class ImportCheckpoint:
    """Turn a .pth checkpoint of the reference into a pipeline, or with --export a pipeline into such a checkpoint.

    Sizes are read off the tensors. Nothing in the file is run; a file that asks for it is refused.
    """

    checkpoint: Path
    """file of the reference (.pth); with --export the new one, which must not exist"""
    pipeline: Path
    """folder of the new pipeline, which must not exist; with --export the one to write a .pth of"""
    export: bool = False
    """write a .pth from a pipeline: one camera, horizon 1, no proprioception, ResNet-34, MLP, identity normalization"""
    activation: Literal["relu", "mish"] | None = None
    """activation of a checkpoint in the older layout (image_encoder.*, mlp.*), which its tensors do not tell; default
    relu, and with --export what the policy has"""
    input_order: Literal["action_image_time", "action_time_image"] | None = None
    """order of the inputs of the older layout's MLP, which its tensors do not tell; default action_image_time, and with
    --export that of the checkpoint that the pipeline was imported from"""


def main(argv: list[str] | None = None) -> int:
    argv = name_paths(sys.argv[1:] if argv is None else argv)
    return run(convert, parse(ImportCheckpoint, argv, "dp-hf import-checkpoint"))


def name_paths(argv: Sequence[str]) -> list[str]:
    """The arguments with names for two paths in front, which are where from and where to."""
    export = [argument for argument in argv if argument == "--export"]
    paths = [argument for argument in argv if argument != "--export"]
    if len(paths) < 2 or paths[0].startswith("-") or paths[1].startswith("-"):
        return list(argv)
    source, target = ("--pipeline", "--checkpoint") if export else ("--checkpoint", "--pipeline")
    return [*export, source, paths[0], target, *paths[1:]]


def convert(arguments: ImportCheckpoint) -> None:
    from dp_hf.errors import UserError

    new = arguments.checkpoint if arguments.export else arguments.pipeline
    if new.exists():
        raise UserError(f"{new} exists: give another, or move it away")
    (export_pipeline if arguments.export else import_file)(arguments)


def import_file(arguments: ImportCheckpoint) -> None:
    from dp_hf.files import folder_written_beside
    from dp_hf.interop.reference_checkpoint import import_policy, import_scheduler, read_checkpoint
    from dp_hf.models.normalizer import Normalizer
    from dp_hf.pipelines.model_card import render_model_card
    from dp_hf.pipelines.pipeline_diffusion_policy import DiffusionPolicyPipeline

    checkpoint = read_checkpoint(arguments.checkpoint)
    if checkpoint.layout != "mlp":
        require_older_layout(arguments, f"{arguments.checkpoint} is in the newer layout")
    activation, input_order = arguments.activation or "relu", arguments.input_order or "action_image_time"
    policy = import_policy(checkpoint, activation, input_order)
    normalizer = Normalizer("identity", policy.config.state_dim, policy.config.action_dim)
    pipeline = DiffusionPolicyPipeline(policy, import_scheduler(checkpoint), normalizer)
    known = {"epochs": checkpoint.metrics.get("epoch"), "config": checkpoint.arguments}
    pipeline.model_card = render_model_card(pipeline, {name: value for name, value in known.items() if value})
    record = {
        "file": checkpoint.path.name,
        "backbone_is_indexed": checkpoint.backbone_is_indexed,
        "input_order": input_order,
        "metrics": checkpoint.metrics,
        "arguments": checkpoint.arguments,
    }
    with folder_written_beside(arguments.pipeline) as folder:
        pipeline.save_pretrained(folder)
        (folder / RECORD_FILE).write_text(json.dumps(record, indent=2, default=str) + "\n", encoding="utf-8")

    config = policy.config
    print(f"imported {arguments.checkpoint} ({config.denoiser} layout) to {arguments.pipeline}")
    for sentence in checkpoint.assumptions(activation, input_order):
        print(sentence, file=sys.stderr)


def export_pipeline(arguments: ImportCheckpoint) -> None:
    from dp_hf.errors import UserError
    from dp_hf.interop.reference_checkpoint import export_checkpoint
    from dp_hf.pipelines.pipeline_diffusion_policy import DiffusionPolicyPipeline
    from dp_hf.training.records import read_training

    if not arguments.pipeline.is_dir():
        raise UserError(f"{arguments.pipeline}: no such folder; --export takes the folder of a pipeline")
    pipeline = DiffusionPolicyPipeline.from_pretrained(arguments.pipeline)
    record = read_record(arguments.pipeline)
    config = pipeline.policy.config
    if config.denoiser != "mlp":
        require_older_layout(arguments, f"{arguments.pipeline} has the denoiser {config.denoiser}")
    elif arguments.activation not in (None, config.activation):
        raise UserError(
            f"--activation {arguments.activation}: the policy was trained with {config.activation}, and would act "
            "differently with another"
        )
    metrics = record.get("metrics") or read_training(arguments.pipeline)
    input_order = arguments.input_order or record.get("input_order") or "action_image_time"
    export_checkpoint(
        arguments.checkpoint,
        pipeline.policy,
        pipeline.scheduler,
        pipeline.normalizer,
        record.get("arguments"),
        metrics,
        record.get("backbone_is_indexed"),
        input_order,
    )
    print(f"exported {arguments.pipeline} to {arguments.checkpoint}")
    known = ", ".join(f"{name} {metrics[name]:g}" for name in ("epoch", "train_loss", "eval_metric") if name in metrics)
    print(f"how far it was trained: {known or 'its folder does not tell: epoch is None, and there is no loss'}")
    if config.denoiser == "mlp":
        print(
            f"older layout (image_encoder.*, mlp.*), activation {config.activation}, input order {input_order}: "
            "a class of the reference with another activation or order loads the file too, and acts differently"
        )
    else:
        print("newer layout (image_backbone.*, layers.*), activation GELU with LayerNorm")


def require_older_layout(arguments: ImportCheckpoint, why_not: str) -> None:
    """Raises `UserError` for options of the older layout where there is none."""
    from dp_hf.errors import UserError

    for name in ("activation", "input_order"):
        if getattr(arguments, name) is not None:
            raise UserError(f"--{name} is of the older layout, and {why_not}: leave it out")


def read_record(pipeline: Path) -> dict:
    """What an import noted in a pipeline's folder; empty where the pipeline was not imported."""
    from dp_hf.files import read_json

    file = pipeline / RECORD_FILE
    return read_json(file) if file.is_file() else {}
