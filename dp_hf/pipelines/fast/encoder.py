"""A faster copy of the image encoder, for inference."""

import copy
import logging
from itertools import chain

import torch
from torch import nn

from dp_hf.models.image_encoder import ImageEncoder

logger = logging.getLogger(__name__)


class InferenceEncoder:
    """Computes what an `ImageEncoder` does, in another precision and memory layout.

    The encoder itself stays as it is, to be saved or trained; when its weights change or move, the copy is made anew.

    Args:
        dtype: what the backbone computes in; pixels before it and pooling after it stay in the encoder's.
    """

    def __init__(self, encoder: ImageEncoder, dtype: torch.dtype):
        self.encoder, self.dtype = encoder, dtype
        self._copied: list[tuple[int, int]] = []

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 images (N, 3, H, W) to features (N, feature_dim)."""
        tensors = chain(self.encoder.parameters(), self.encoder.buffers())
        state = [(tensor.data_ptr(), tensor._version) for tensor in tensors]
        if state != self._copied:
            self._copy, self._copied = optimized_copy(self.encoder, self.dtype), state
        return self._copy(images)


def optimized_copy(encoder: ImageEncoder, dtype: torch.dtype) -> ImageEncoder:
    """The encoder with batch norms folded into the convolutions before them, channels-last, its backbone in `dtype`."""
    optimized = copy.deepcopy(encoder).eval().requires_grad_(False)
    if any(isinstance(module, nn.BatchNorm2d) for module in optimized.backbone.modules()):
        from torch.fx.experimental.optimization import fuse

        try:
            optimized.backbone = fuse(optimized.backbone)
        except Exception as error:  # tracing fails in many ways; the batch norms then cost a little time
            logger.info("batch norms of %s are not folded: %s", encoder.name, error)
    optimized.backbone.to(dtype=dtype, memory_format=torch.channels_last)
    return optimized
