"""The whole sampling run of a folded MLP as one compiled function; needs numba (the extra `fast`).

The time goes into reading the hidden layers' weights from the cache, once for each step, so the product skips the rows
that a ReLU has silenced, about half of them.
"""

from typing import Any

import numba
import numpy as np
import torch
from numba import boolean, float32, int64

from dp_hf.pipelines.fast.folded_mlp import FoldedMLP
from dp_hf.pipelines.schedule import StepTable

# Sums may be reordered, which vectorises them; infinities and NaN keep their meaning.
OPTIONS: dict[str, Any] = {
    "cache": True,
    "nogil": True,
    "error_model": "numpy",
    "fastmath": {"reassoc", "contract", "nsz", "arcp"},
}
VECTOR, MATRIX, STACK = float32[::1], float32[:, ::1], float32[:, :, ::1]


@numba.njit(**OPTIONS)
def _add_product(out, vector, matrix, active):
    """out += vector @ matrix, over the rows where the vector is not zero, eight at a time."""
    count = 0
    for i in range(len(vector)):
        active[count] = i
        count += vector[i] != 0
    whole = count - count % 8
    for n in range(0, whole, 8):
        i0, i1, i2, i3 = active[n], active[n + 1], active[n + 2], active[n + 3]
        i4, i5, i6, i7 = active[n + 4], active[n + 5], active[n + 6], active[n + 7]
        x0, x1, x2, x3 = vector[i0], vector[i1], vector[i2], vector[i3]
        x4, x5, x6, x7 = vector[i4], vector[i5], vector[i6], vector[i7]
        for j in range(len(out)):
            out[j] += (
                matrix[i0, j] * x0
                + matrix[i1, j] * x1
                + matrix[i2, j] * x2
                + matrix[i3, j] * x3
                + matrix[i4, j] * x4
                + matrix[i5, j] * x5
                + matrix[i6, j] * x6
                + matrix[i7, j] * x7
            )
    for n in range(whole, count):
        i0 = active[n]
        for j in range(len(out)):
            out[j] += matrix[i0, j] * vector[i0]


@numba.njit(**OPTIONS)
def _erf(x):
    """The error function to 3e-7, by the rational approximation of Eigen and XLA, which vectorises."""
    x = min(max(x, float32(-3.832506856900711)), float32(3.832506856900711))
    s = x * x
    numerator = s * float32(-2.72614225801306e-10) + float32(2.77068142495902e-08)
    numerator = numerator * s + float32(-2.10102402082508e-06)
    numerator = numerator * s + float32(-5.69250639462346e-05)
    numerator = numerator * s + float32(-7.34990630326855e-04)
    numerator = numerator * s + float32(-2.95459980854025e-03)
    numerator = numerator * s + float32(-1.60960333262415e-02)
    denominator = s * float32(-1.45660718464996e-05) + float32(-2.13374055278905e-04)
    denominator = denominator * s + float32(-1.68282697438203e-03)
    denominator = denominator * s + float32(-7.37332916720468e-03)
    denominator = denominator * s + float32(-1.42647390514189e-02)
    return x * numerator / denominator


@numba.njit(**OPTIONS)
def _activate(hidden, is_mish, norms, layer):
    """ReLU, Mish, or the layer norm and the folded GELU of `FoldedMLP`; in place."""
    width = len(hidden)
    if is_mish:
        for j in range(width):
            # tanh(log(1 + e^x)) = n / (n + 2) with n = e^x (e^x + 2), which is 1 long before it overflows.
            power = np.exp(min(hidden[j], float32(20)))
            n = power * (power + float32(2))
            hidden[j] *= n / (n + float32(2))
        return
    if len(norms) == 0:
        for j in range(width):
            hidden[j] = max(hidden[j], float32(0))
        return
    mean, variance = float32(0), float32(0)
    for j in range(width):
        mean += hidden[j]
    mean /= float32(width)
    for j in range(width):
        variance += (hidden[j] - mean) ** 2
    scale = float32(1) / np.sqrt(variance / float32(width) + float32(1e-5))
    for j in range(width):
        value = (hidden[j] - mean) * scale * norms[layer, 0, j] + norms[layer, 1, j]
        hidden[j] = value + value * _erf(value)


@numba.njit(
    numba.void(
        MATRIX, STACK, MATRIX, float32, MATRIX, MATRIX, MATRIX, STACK, STACK, STACK, MATRIX, VECTOR, boolean, int64
    ),
    **OPTIONS,
)
def _denoise(
    actions,
    noise,
    coefficients,
    clip,
    input_weight,
    observation,
    input_bias,
    hidden_weights,
    hidden_biases,
    norms,
    output_weight,
    output_bias,
    is_mish,
    kept,
):
    """Denoises in place, but for the first `kept` numbers of each chunk.

    Args:
        actions: (B, A), A = horizon * action_dim.
        noise: (steps, B, A), scaled by sigma.
        coefficients, clip: as in `StepTable`.
        norms: (layers + 1, 2, H), or (0, 2, H).
        output_weight: (A, H).
        the rest: as in `FoldedMLP`, hidden weights and biases stacked.
    """
    width = observation.shape[1]
    inputs, hidden = np.empty(width, np.float32), np.empty(width, np.float32)
    active = np.empty(max(width, actions.shape[1]), np.int64)
    prediction = np.empty(actions.shape[1], np.float32)
    for step in range(len(noise)):
        a, b, c, d, e = coefficients[step]
        input_bias_row = input_bias[step % len(input_bias)]
        for item in range(len(actions)):
            for j in range(width):
                hidden[j] = observation[item, j] + input_bias_row[j]
            _add_product(hidden, actions[item], input_weight, active)
            _activate(hidden, is_mish, norms, 0)
            for layer in range(len(hidden_weights)):
                inputs, hidden = hidden, inputs
                hidden[:] = hidden_biases[layer, step % hidden_biases.shape[1]]
                _add_product(hidden, inputs, hidden_weights[layer], active)
                _activate(hidden, is_mish, norms, layer + 1)
            for k in range(len(prediction)):
                total = float32(0)
                for j in range(width):
                    total += output_weight[k, j] * hidden[j]
                prediction[k] = total + output_bias[k]
            for k in range(kept, len(prediction)):
                clean = a * actions[item, k] + b * prediction[k]
                clean = clip if clean > clip else (-clip if clean < -clip else clean)
                actions[item, k] = c * clean + d * actions[item, k] + e * prediction[k] + noise[step, item, k]


def run_compiled(
    mlp: FoldedMLP, updates: StepTable[torch.Tensor], actions: torch.Tensor, noise: torch.Tensor, kept: int = 0
) -> None:
    """Denoises actions (B, horizon * action_dim) in place, given sigma noise (steps, *actions.shape); on the CPU.

    The first `kept` numbers of each chunk stay as they are.
    """
    norms = [torch.stack(norm) for norm in mlp.norms]
    width = mlp.observation.shape[1]
    _denoise(
        actions.numpy(),
        noise.numpy(),
        updates.coefficients.numpy(),
        updates.clip,
        mlp.input_weight.numpy(),
        mlp.observation.numpy(),
        mlp.input_bias.numpy(),
        _stack(mlp.hidden_weights, width),
        _stack(mlp.hidden_biases, width),
        _stack(norms, width),
        mlp.output_weight.t().contiguous().numpy(),
        mlp.output_bias[0].numpy(),
        mlp.is_mish,
        kept,
    )


def _stack(tensors: list[torch.Tensor], width: int) -> np.ndarray:
    """(tensors, rows, width), also for none of them."""
    return torch.stack(tensors).numpy() if tensors else np.empty((0, 1, width), np.float32)
