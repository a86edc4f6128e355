"""Images to features: any timm backbone, or a small CNN for CPUs; pooled, or as keypoints."""

from pathlib import Path
from typing import Literal

import timm
import torch
from huggingface_hub import try_to_load_from_cache
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.models import load_state_dict
from torch import nn

from dp_hf.errors import UserError
from dp_hf.files import refuse_pointer, user_path
from dp_hf.hub.repository import require_hub
from dp_hf.models.saved_model import first_line

SMALL_CNN = "small_cnn"


class ImageEncoder(nn.Module):
    """A backbone and a pooling, from uint8 images (N, 3, H, W) to features (N, feature_dim).

    Args:
        name: a timm model name, or `small_cnn` (trains from scratch on a CPU).
        image_size: (height, width) of the images.
        pooling: `avg` is the backbone's own pooling; `spatial_softmax` gives the expected image coordinates of each
            channel of a feature map (Finn et al. 2016, arXiv:1509.06113), which keeps positions that averaging loses.
        num_keypoints: with `spatial_softmax`, a learned 1x1 convolution to this many channels; None takes the map's.
        feature_layer: with `spatial_softmax`, which of a timm backbone's feature maps, counted from the input.
        cnn_width: channels of `small_cnn`, a multiple of 16.
    """

    def __init__(
        self,
        name: str = "resnet34.tv_in1k",
        image_size: tuple[int, int] = (224, 224),
        pooling: Literal["avg", "spatial_softmax"] = "avg",
        num_keypoints: int | None = None,
        feature_layer: int = -2,
        cnn_width: int = 64,
    ):
        super().__init__()
        if pooling not in ("avg", "spatial_softmax"):
            raise UserError(f"pooling is avg or spatial_softmax; got {pooling!r}")
        self.name, self.pooling_name, self.feature_layer, self.cnn_width = name, pooling, feature_layer, cnn_width
        self.backbone = self._make_backbone(image_size, pretrained=False)
        mean, std = ((0.5,) * 3, (0.5,) * 3)
        if name != SMALL_CNN:
            config = timm.get_pretrained_cfg(name)
            mean, std = (config.mean, config.std) if config else (IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD)
        self.register_buffer("image_mean", torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer("image_std", torch.tensor(std).view(3, 1, 1), persistent=False)
        if pooling == "avg":
            self.pool: nn.Module = nn.AdaptiveAvgPool2d(1) if name == SMALL_CNN else nn.Identity()
            self.feature_dim = cnn_width if name == SMALL_CNN else self.backbone.num_features
        else:
            channels = cnn_width if name == SMALL_CNN else self.backbone.feature_info.channels()[-1]
            self.pool = SpatialSoftmax(channels, num_keypoints)
            self.feature_dim = 2 * (num_keypoints or channels)

    def _make_backbone(self, image_size, pretrained: bool, **kwargs) -> nn.Module:
        if self.name == SMALL_CNN:
            return small_cnn(self.cnn_width)
        if not timm.is_model(self.name):
            raise UserError(f"timm has no model {self.name!r}; timm.list_models() names them")
        if self.pooling_name == "spatial_softmax":
            kwargs |= {"features_only": True, "out_indices": (self.feature_layer,)}
        else:
            kwargs |= {"num_classes": 0}
        try:  # transformers have to be told the size of the images, convolutional nets do not know the argument
            return timm.create_model(self.name, pretrained=pretrained, img_size=tuple(image_size), **kwargs)
        except TypeError:
            return timm.create_model(self.name, pretrained=pretrained, **kwargs)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 images (N, 3, H, W) to features (N, feature_dim)."""
        pixels = (images.float() / 255 - self.image_mean) / self.image_std
        features = self.backbone(pixels.to(next(self.backbone.parameters()).dtype))
        features = features[0] if isinstance(features, list) else features
        return self.pool(features.to(self.image_mean.dtype)).flatten(1).to(self.image_mean.dtype)

    def load_pretrained(self, weights: str, image_size: tuple[int, int]) -> None:
        """Loads backbone weights: `timm` for the model's published ones, else a local file (.safetensors, .pth).

        Raises:
            UserError: nothing published under that name, the Hub out of reach (after 3 s), or a file that does not
                exist or fit.
        """
        if self.name == SMALL_CNN:
            raise UserError("small_cnn has no published weights; use --pretrained_backbone none and train the encoder")
        file = user_path(weights) if weights != "timm" else _published_weights(self.name)
        if file is not None and not Path(file).is_file():
            raise UserError(f"{file}: no such file of backbone weights")
        if file is not None:
            refuse_pointer(file)
        overlay = {"pretrained_cfg_overlay": {"file": str(file)}} if file else {}
        try:
            pretrained = self._make_backbone(image_size, pretrained=True, **overlay)
            absent = self._tensors_not_in(file, image_size) if file else []
        except Exception as error:  # timm, torch and safetensors raise many kinds for what a file holds
            raise UserError(
                f"{file or self.name}: cannot be loaded as {self.name} weights: {first_line(error)}"
            ) from error
        if absent:
            raise UserError(
                f"{file}: not the weights of {self.name}: {len(absent)} of its tensors are not in the file, such as "
                f"{absent[0]}"
            )
        state = pretrained.state_dict()
        if strange := [name for name, value in state.items() if not torch.isfinite(value).all()]:
            raise UserError(f"{file or self.name}: tensor {strange[0]} holds values that are not finite")
        self.backbone.load_state_dict(state)

    def _tensors_not_in(self, file: str | Path, image_size: tuple[int, int]) -> list[str]:
        """Tensors of the backbone that timm would leave random without a word, as it renames and resizes the file's.

        They are those that a copy of the file with nothing but NaN does not reach.
        """
        state = load_state_dict(str(file))
        for name, value in state.items():
            if torch.is_tensor(value) and value.is_floating_point():
                state[name] = torch.full_like(value, torch.nan)
        reached = self._make_backbone(image_size, pretrained=True, pretrained_cfg_overlay={"state_dict": state})
        return [
            name
            for name, value in reached.state_dict().items()
            if value.is_floating_point() and not value.isnan().all()
        ]


def _published_weights(name: str) -> str | None:
    """The cached weights file of a timm model, or None when timm can download it; quick when it cannot."""
    config = timm.get_pretrained_cfg(name)
    if config is None or not config.has_weights:
        raise UserError(f"timm publishes no weights for {name!r}; use --pretrained_backbone none or a local file")
    for filename in ("model.safetensors", "pytorch_model.bin"):
        cached = try_to_load_from_cache(config.hf_hub_id, filename) if config.hf_hub_id else None
        if isinstance(cached, str):
            return cached
    require_hub(
        f"the weights of {name!r} are not in the local cache",
        "give a file with --pretrained_backbone FILE, or train without with --pretrained_backbone none",
    )
    return None


def small_cnn(width: int) -> nn.Sequential:
    """A stride-4 convolutional net, of 0.1 M parameters with a width of 64, for images of about 60x106."""

    def block(inputs: int, outputs: int, kernel: int, stride: int) -> list[nn.Module]:
        return [nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2), nn.GroupNorm(8, outputs), nn.ReLU()]

    half = width // 2
    return nn.Sequential(
        *block(3, half, 5, 2), *block(half, width, 3, 2), *block(width, width, 3, 1), *block(width, width, 3, 1)
    )


class SpatialSoftmax(nn.Module):
    """Expected (x, y) in [-1, 1] of each channel of a map (N, C, h, w), as (N, 2 * keypoints): all x, then all y."""

    def __init__(self, channels: int, num_keypoints: int | None = None):
        super().__init__()
        self.project = nn.Conv2d(channels, num_keypoints, 1) if num_keypoints else nn.Identity()

    def forward(self, feature_map: torch.Tensor) -> torch.Tensor:
        # In float32 whatever came before, and without products that autocast would round: these are positions.
        scores = self.project(feature_map).float()
        attention = scores.flatten(2).softmax(dim=-1).view_as(scores)
        height, width = scores.shape[-2:]
        x = attention.sum(dim=-2) * torch.linspace(-1, 1, width, device=scores.device)
        y = attention.sum(dim=-1) * torch.linspace(-1, 1, height, device=scores.device)
        return torch.cat([x.sum(dim=-1), y.sum(dim=-1)], dim=1)
