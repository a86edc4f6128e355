"""An MLP denoiser for one observation and one run of timesteps, with all that repeats computed beforehand."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from dp_hf.models.mlp_denoiser import LayerNormMLPDenoiser, MLPDenoiser


@dataclass
class FoldedMLP:
    """The network as `hidden = activation(bias + hidden @ weight)` over its layers; everything is float32.

    A denoiser's layer sees [hidden, observation, timestep embedding]. The observation is one for the whole run and the
    timesteps are known, so their products with the layer's weight are a constant and a table with a row for each step.
    The layer-norm variant's GELU is exact as well: with u = x / sqrt(2), gelu(x) = (u + u erf(u)) / sqrt(2). Both
    factors are folded, the first into the norm and the second into the next layer's weight.

    Args:
        input_weight: (actions, hidden); the actions of a chunk are flattened.
        observation: (B, hidden), the observation's share of the first layer.
        input_bias: (steps or 1, hidden), a row for each step, or one for all.
        hidden_weights: (hidden, hidden) for each further layer.
        hidden_biases: (steps or 1, hidden) for each of them.
        norms: weight and bias (hidden,) of the norm after the first and each further layer, for the layer-norm variant
            with its GELU; empty for the other.
        output_weight: (hidden, actions).
        output_bias: (1, actions).
        is_mish: the activation where there is no norm, Mish or ReLU.
    """

    input_weight: torch.Tensor
    observation: torch.Tensor
    input_bias: torch.Tensor
    hidden_weights: list[torch.Tensor]
    hidden_biases: list[torch.Tensor]
    norms: list[tuple[torch.Tensor, torch.Tensor]]
    output_weight: torch.Tensor
    output_bias: torch.Tensor
    is_mish: bool = False

    def tables(self, steps: int) -> list[torch.Tensor]:
        """What `predict` needs a row of for each step: (steps, hidden) for the input and every hidden layer."""
        first = self.input_bias + self.observation if len(self.observation) == 1 else self.input_bias
        return [table.expand(steps, -1) for table in (first, *self.hidden_biases)]

    def predict(self, actions: torch.Tensor, biases: Sequence[torch.Tensor]) -> torch.Tensor:
        """The prediction for actions (B, horizon * action_dim), given this step's rows of `tables`."""
        first = biases[0] if len(self.observation) == 1 else self.observation + biases[0]
        hidden = self._activate(0, torch.addmm(first, actions, self.input_weight))
        for layer, weight in enumerate(self.hidden_weights, start=1):
            hidden = self._activate(layer, torch.addmm(biases[layer], hidden, weight))
        return torch.addmm(self.output_bias, hidden, self.output_weight)

    def _activate(self, layer: int, hidden: torch.Tensor) -> torch.Tensor:
        if not self.norms:
            return nn.functional.mish(hidden, inplace=True) if self.is_mish else hidden.relu_()
        weight, bias = self.norms[layer]
        hidden = torch.layer_norm(hidden, weight.shape, weight, bias)
        return torch.addcmul(hidden, hidden, hidden.erf())


def fold_mlp(network: MLPDenoiser, time: torch.Tensor, observation: torch.Tensor) -> FoldedMLP:
    """Folds timestep embeddings (steps, time_embed_dim) and an observation (B, observation_dim) into the network."""
    first, *hidden = network.layers
    output = network.output
    of_actions, of_observation, of_time = _columns(first, output.out_features, observation.shape[1], time.shape[1])
    return FoldedMLP(
        input_weight=of_actions,
        observation=observation @ of_observation,
        input_bias=torch.addmm(first.bias.float(), time, of_time),
        hidden_weights=[_columns(layer, layer.in_features)[0] for layer in hidden],
        hidden_biases=[layer.bias.float()[None] for layer in hidden],
        norms=[],
        output_weight=_columns(output, output.in_features)[0],
        output_bias=output.bias.float()[None],
        is_mish=network.activation is nn.functional.mish,
    )


def fold_layer_norm_mlp(network: LayerNormMLPDenoiser, time: torch.Tensor, observation: torch.Tensor) -> FoldedMLP:
    """As `fold_mlp`, for the variant with layer norms."""
    output, width, half = network.output, network.input.out_features, 0.5**0.5
    of_actions, of_observation = _columns(network.input, output.out_features, observation.shape[1])
    columns = [_columns(layer, width, time.shape[1]) for layer in network.layers]
    return FoldedMLP(
        input_weight=of_actions,
        observation=torch.addmm(network.input.bias.float(), observation, of_observation),
        input_bias=observation.new_zeros(1, width),
        hidden_weights=[of_hidden * half for of_hidden, _ in columns],
        hidden_biases=[
            torch.addmm(layer.bias.float(), time, of_time)
            for layer, (_, of_time) in zip(network.layers, columns, strict=True)
        ],
        norms=[(norm.weight.float() * half, norm.bias.float() * half) for norm in (network.input_norm, *network.norms)],
        output_weight=_columns(output, width)[0] * half,
        output_bias=output.bias.float()[None],
    )


def _columns(layer: nn.Linear, *widths: int) -> list[torch.Tensor]:
    """A layer's weight (outputs, inputs) as one contiguous (width, outputs) for each group of its inputs."""
    return [part.contiguous() for part in layer.weight.float().t().split(widths)]
