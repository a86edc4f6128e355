"""What tells a saved policy from another: its weights, as they lie on the disk. Free of torch."""

import hashlib
from pathlib import Path

from dp_hf.errors import UserError

_FILES = (
    *("policy/diffusion_pytorch_model.safetensors", "policy/encoder.onnx", "policy/denoiser.onnx"),
    "normalizer/diffusion_pytorch_model.safetensors",
)


def digest_weights(folder: Path) -> str:
    """Of a pipeline's folder: its network's weights or graphs, and its normalizer.

    Raises:
        UserError: a file that cannot be read.
    """
    digest = hashlib.blake2b(digest_size=16)
    for name in _FILES:
        if (folder / name).is_file():
            try:
                digest.update(name.encode() + b"\0" + hashlib.blake2b((folder / name).read_bytes()).digest())
            except OSError as error:
                raise UserError(f"{folder / name}: cannot be read ({error.strerror})") from error
    return digest.hexdigest()
