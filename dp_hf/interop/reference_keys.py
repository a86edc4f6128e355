"""Parameter names of the reference's checkpoints, beside ours.

Two key layouts exist; each is one of the MLP denoisers: `mlp` (the older: `image_encoder.*`, `time_mlp.*`, `mlp.*`) and
`mlp_layernorm` (`image_backbone.*`, `time_mlp.*`, `input_projection.*`, `layers.*`, `output_projection.*`).
"""

from collections.abc import Iterable
from typing import Literal

import torch

Layout = Literal["mlp", "mlp_layernorm"]
InputOrder = Literal["action_image_time", "action_time_image"]

FIRST_LAYER = "denoising_network.layers.0.weight"
BACKBONES = {"mlp": "image_encoder", "mlp_layernorm": "image_backbone"}
# The parts of a ResNet that have parameters, by their position among torchvision's children.
_POSITIONS = {"conv1": 0, "bn1": 1, "layer1": 4, "layer2": 5, "layer3": 6, "layer4": 7}


def layout_of(names: Iterable[str]) -> Layout | None:
    """The key layout of a checkpoint's parameter names, or None when they are not the reference's."""
    names = set(names)
    if "input_projection.layers.0.weight" in names:
        return "mlp_layernorm"
    return "mlp" if "mlp.0.weight" in names else None


def num_layers_of(names: Iterable[str], layout: Layout) -> int:
    """How many hidden layers the checkpoint's denoiser has, those that see the timestep in the newer layout."""
    if layout == "mlp":
        return sum(name.startswith("mlp.") and name.endswith(".weight") for name in names) - 1
    return sum(name.startswith("layers.") and name.endswith(".layers.0.weight") for name in names)


def output_layer(layout: Layout, num_layers: int) -> str:
    return f"mlp.{3 * num_layers}" if layout == "mlp" else "output_projection"


def key_table(names: Iterable[str], layout: Layout, num_layers: int, backbone_is_indexed: bool) -> dict[str, str]:
    """Each of our policy's parameter names to the reference's name for it.

    Args:
        names: of the policy's parameters and buffers.
        backbone_is_indexed: whether the ResNet's parts are numbered (`image_backbone.0`) or named
            (`image_encoder.conv1`).
    """
    modules = {"time_embedding.linear_1": "time_mlp.1", "time_embedding.linear_2": "time_mlp.3"}
    modules["output"] = output_layer(layout, num_layers)
    modules |= {"input": "input_projection.layers.0", "input_norm": "input_projection.layers.1"}
    for n in range(num_layers):
        modules[f"layers.{n}"] = f"mlp.{3 * n}" if layout == "mlp" else f"layers.{n}.layers.0"
        modules[f"norms.{n}"] = f"layers.{n}.layers.1"
    table = {}
    for name in names:
        if name.startswith("encoder.backbone."):
            part, _, rest = name.removeprefix("encoder.backbone.").partition(".")
            table[name] = f"{BACKBONES[layout]}.{_POSITIONS[part] if backbone_is_indexed else part}.{rest}"
        else:
            module, _, parameter = name.removeprefix("denoising_network.").rpartition(".")
            table[name] = f"{modules[module]}.{parameter}"
    return table


def swap_inputs(weight: torch.Tensor, num_actions: int, num_second: int) -> torch.Tensor:
    """The first layer's weight (hidden, inputs) for inputs whose parts after the actions come the other way round.

    Args:
        num_second: width of the part that is second now and will be last.
    """
    actions, second, last = weight.split([num_actions, num_second, weight.shape[1] - num_actions - num_second], dim=1)
    return torch.cat([actions, last, second], dim=1)
