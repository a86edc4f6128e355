"""What tells one network, or anything else, from another."""

import hashlib

import torch


def digest_of(*parts: object) -> str:
    """Of what `repr` says of the parts."""
    return hashlib.blake2b(repr(parts).encode(), digest_size=16).hexdigest()


def digest_module(module: torch.nn.Module) -> str:
    """Of a module's structure, weights and buffers (those that are not saved too)."""
    digest = hashlib.blake2b(repr(module).encode(), digest_size=16)
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)};".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
