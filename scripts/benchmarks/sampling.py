"""Sampling: the denoising steps alone, the image encoder alone, and from a camera image to an action.

python scripts/benchmarks/sampling.py

Policies are the reference's (ResNet34, four hidden layers of 256, one action of 7) with random weights, which cost what
trained ones do. All rows of a table are timed in turns.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from diffusers import DDIMScheduler, DDPMScheduler
from measuring import interleaved, machine, peak_flops, read_bandwidth, report

from dp_hf import DiffusionPolicyModel, DiffusionPolicyPipeline, Normalizer
from dp_hf.cli.arguments import parse, run
from dp_hf.models.image_processor import preprocess_image
from dp_hf.pipelines.fast import denoising
from dp_hf.pipelines.fast.encoder import InferenceEncoder
from dp_hf.pipelines.fast.folding import fold
from dp_hf.pipelines.inputs import prepare_images

FEW_STEPS = "pipeline, DDIM 10 steps"


@dataclass
class SamplingArguments:
    """Times sampling by the plain diffusers loop and by the pipeline, and tells how far the actions are apart."""

    denoisers: tuple[Literal["mlp", "mlp_layernorm", "unet1d"], ...] = ("mlp", "mlp_layernorm")
    """Denoisers to time."""
    horizon: int = 1
    """Actions in a chunk; the U-Net wants several."""
    steps: int = 1000
    """Steps of DDPM."""
    reference_steps: int = 5
    """Steps in which the reference algorithm, which encodes the image in each of them, is timed; then multiplied."""
    repeats: int = 7
    """Timings of each row; the median counts."""
    threads: int = 0
    """CPU threads of torch; 0 is as many as it wants."""
    device: str = "cpu"
    """Where the policy runs: cpu or cuda."""
    json: bool = False
    """Print JSON instead of tables."""


def main() -> int:
    return run(benchmark, parse(SamplingArguments, None, "sampling.py"))


def benchmark(arguments: SamplingArguments) -> None:
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    tables = {}
    for denoiser in arguments.denoisers:
        tables[f"{arguments.steps} steps of DDPM, {denoiser}, batch 1, image feature given"] = steps_table(
            arguments, denoiser
        )
    tables["Image encoder, ResNet34, 224x224, batch 1"] = encoder_table(arguments)
    tables["From a 640x480 image to an action"] = whole_table(arguments)
    report({"machine": machine(), "tables": tables}, arguments.json)


def make_pipeline(arguments: SamplingArguments, denoiser: str = "mlp") -> DiffusionPolicyPipeline:
    policy = DiffusionPolicyModel(denoiser=denoiser, horizon=arguments.horizon)
    normalizer = Normalizer("identity")
    return DiffusionPolicyPipeline(policy, DDPMScheduler(timestep_spacing="trailing"), normalizer).to(arguments.device)


@torch.no_grad()
def steps_table(arguments: SamplingArguments, denoiser: str) -> list[dict]:
    pipeline = make_pipeline(arguments, denoiser)
    policy, steps = pipeline.policy, arguments.steps
    image = torch.randint(0, 256, (1, 1, 3, 224, 224), dtype=torch.uint8, device=arguments.device)
    features = policy.encode_images(image)
    samples: dict[str, torch.Tensor] = {}

    def timed(name: str, **options: bool) -> Callable:
        def call() -> None:
            samples[name] = pipeline.sample(features, None, steps, torch.Generator().manual_seed(0), **options).cpu()

        return call

    def reference() -> None:
        """The plain loop with the encoder in it."""
        for _ in range(arguments.reference_steps):
            policy.encode_images(image)
        pipeline.sample(features, None, arguments.reference_steps, fast=False)

    plain = "plain diffusers loop"
    functions = {
        "reference": reference,
        plain: timed(plain, fast=False),
        "pipeline, torch alone": without_numba(timed("pipeline, torch alone")),
    }
    if arguments.device == "cpu" and denoiser != "unet1d" and denoising.load_compiled():
        functions["pipeline, with numba"] = timed("pipeline, with numba")
    times = interleaved(functions, arguments.repeats)
    times["reference"] *= steps / arguments.reference_steps
    differences = {name: (sample - samples[plain]).abs().max().item() for name, sample in samples.items()}
    if arguments.device == "cpu" and denoiser != "unet1d":
        folded = fold(policy.denoising_network, torch.arange(steps), policy.observation_features(features))
        weights = sum(weight.numel() for weight in (folded.input_weight, folded.output_weight, *folded.hidden_weights))
        times["floor: multiplications"] = steps * 2 * weights / peak_flops()
        times["floor: reading the weights"] = steps * 4 * weights / read_bandwidth(4 * weights)
    times[f"reference: encoder in every step (from {arguments.reference_steps} steps)"] = times.pop("reference")
    return [
        {
            "how": name,
            "ms": 1000 * value,
            "x plain": times[plain] / value,
            "largest difference": differences.get(name),
        }
        for name, value in times.items()
    ]


def without_numba(function: Callable) -> Callable:
    def call() -> None:
        load, denoising.load_compiled = denoising.load_compiled, lambda: None
        try:
            function()
        finally:
            denoising.load_compiled = load

    return call


@torch.no_grad()
def encoder_table(arguments: SamplingArguments) -> list[dict]:
    encoder = make_pipeline(arguments).policy.encoder
    encoders = {
        "float32": encoder,
        "float32, folded, channels-last": InferenceEncoder(encoder, torch.float32),
        "bfloat16, folded, channels-last": InferenceEncoder(encoder, torch.bfloat16),
    }
    image = torch.randint(0, 256, (1, 3, 224, 224), dtype=torch.uint8, device=arguments.device)
    features = {name: function(image) for name, function in encoders.items()}
    times = interleaved(
        {name: lambda function=function: function(image).cpu() for name, function in encoders.items()},
        arguments.repeats,
    )
    expected = features["float32"]
    return [
        {
            "encoder": name,
            "ms": 1000 * value,
            "x float32": times["float32"] / value,
            "difference / norm of the feature": ((features[name] - expected).norm() / expected.norm()).item(),
        }
        for name, value in times.items()
    ]


@torch.no_grad()
def whole_table(arguments: SamplingArguments) -> list[dict]:
    exact, optimized = make_pipeline(arguments), make_pipeline(arguments).optimize_for_inference()
    few = [
        DiffusionPolicyPipeline(pipe.policy, DDIMScheduler.from_config(pipe.scheduler.config), pipe.normalizer)
        for pipe in (exact, optimized)
    ]
    few[1].optimize_for_inference()
    frame = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    steps = arguments.steps

    def encode(pipeline: DiffusionPolicyPipeline) -> torch.Tensor:
        images = prepare_images(frame, pipeline.policy.config).to(arguments.device)
        return pipeline.policy.encode_images(images, pipeline._inference_encoder)

    def plainly() -> None:
        exact.sample(encode(exact), None, steps, fast=False).cpu()

    encoder, fast_encoder = "preprocessing and encoder", "preprocessing and bfloat16 encoder"
    times = interleaved(
        {
            "preprocessing": lambda: preprocess_image(frame, (224, 224)),
            encoder: lambda: encode(exact).cpu(),
            f"plain diffusers loop, {steps} steps": plainly,
            f"pipeline, {steps} steps": lambda: exact(frame, num_inference_steps=steps),
            FEW_STEPS: lambda: few[0](frame, num_inference_steps=10),
            fast_encoder: lambda: encode(optimized).cpu(),
            f"pipeline, bfloat16 encoder, {steps} steps": lambda: optimized(frame, num_inference_steps=steps),
            "pipeline, bfloat16 encoder, DDIM 10 steps": lambda: few[1](frame, num_inference_steps=10),
        },
        arguments.repeats,
    )
    return [
        {
            "what": name,
            "ms": 1000 * value,
            "a second": 1 / value,
            "x its encoder": value / times[fast_encoder if "bfloat16" in name else encoder],
        }
        for name, value in times.items()
    ]


if __name__ == "__main__":
    sys.exit(main())
