"""Noise that a seed names: the same numbers as with torch."""

from typing import Any

import numpy as np

from dp_hf.errors import UserError
from dp_hf.pipelines.arguments import is_seed

_BLOCK = 16  # numbers that torch makes at a time


class SeededNoise:
    """Draws what `torch.randn` does with `torch.Generator().manual_seed(seed)`, to rounding, so that a seed means the
    same actions here and there.

    That is the Mersenne Twister, and pairs of normal numbers from pairs of uniform ones (Box and Muller 1958): of 24
    bits where at least 16 numbers are drawn at once, else of 53.
    """

    def __init__(self, seed: int):
        self._twister = np.random.RandomState(seed & 0xFFFFFFFF)
        self._second: float | None = None  # of a pair, where only the first was asked for

    def standard_normal(self, size: tuple[int, ...], dtype: type = np.float32) -> np.ndarray:
        """Normal numbers of mean 0 and variance 1; like the method of `numpy.random.Generator`."""
        count = int(np.prod(size))
        values = self._many(count) if count >= _BLOCK else np.array([self._one() for _ in range(count)])
        return values.reshape(size).astype(dtype)

    def _many(self, count: int) -> np.ndarray:
        values = self._uniform(count)
        whole = count // _BLOCK * _BLOCK
        values[:whole] = _pairs(values[:whole])
        if whole < count:  # the last block is drawn again, over the end of the one before it
            values[-_BLOCK:] = _pairs(self._uniform(_BLOCK))
        return values

    def _uniform(self, count: int) -> np.ndarray:
        return ((self._raw(count) & 0xFFFFFF) * 2.0**-24).astype(np.float32)

    def _raw(self, count: int) -> np.ndarray:
        return self._twister.randint(2**32, size=count, dtype=np.uint32)

    def _one(self) -> float:
        if self._second is not None:
            value, self._second = self._second, None
            return value
        raw = [int(bits) for bits in self._raw(4)]
        angle, share = (((high << 32 | low) & (2**53 - 1)) * 2.0**-53 for high, low in (raw[:2], raw[2:]))
        radius = np.sqrt(-2 * np.log1p(-share))
        self._second = float(radius * np.sin(2 * np.pi * angle))
        return float(radius * np.cos(2 * np.pi * angle))


def _pairs(uniform: np.ndarray) -> np.ndarray:
    """Normal numbers of uniform ones, (n * 16,): in each block the first eight with the last eight."""
    first, second = np.moveaxis(uniform.reshape(-1, 2, _BLOCK // 2), 1, 0)
    radius, angle = np.sqrt(-2 * np.log(1 - first)), np.float32(2 * np.pi) * second
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).reshape(-1)


def as_noise(generator: Any) -> Any:
    """What draws noise, of a seed or of a `numpy.random.Generator`, or of what has its `standard_normal`."""
    if is_seed(generator):
        return SeededNoise(int(generator))
    if not callable(getattr(generator, "standard_normal", None)):
        raise UserError(f"generator is a seed, a numpy.random.Generator or a list of them; got {generator!r}")
    return generator


def draw(generators: list[Any], shape: tuple[int, ...]) -> np.ndarray:
    """Noise (B, ...) of one generator for all, or of one for each of the batch."""
    if len(generators) == 1:
        return generators[0].standard_normal(shape, dtype=np.float32)
    return np.concatenate([each.standard_normal((1, *shape[1:]), dtype=np.float32) for each in generators])
