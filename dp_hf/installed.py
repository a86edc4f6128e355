"""Which libraries there are: an arm's own computer runs exported policies with a few of them."""

from importlib.util import find_spec

# What a pipeline that is not exported cannot do without.
TORCH_SIDE = ("torch", "diffusers", "timm")


def is_installed(library: str) -> bool:
    try:
        return find_spec(library) is not None
    except (ImportError, ValueError):  # a finder or a stand-in that says no
        return False


def has_torch() -> bool:
    """Whether pipelines that are not exported can be loaded here."""
    return all(map(is_installed, TORCH_SIDE))
