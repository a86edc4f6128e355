"""The policy: an image encoder and a denoiser of action chunks, joined by the observation features."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from diffusers.utils import BaseOutput

from dp_hf.errors import UserError
from dp_hf.models.image_encoder import ImageEncoder
from dp_hf.models.mlp_denoiser import LayerNormMLPDenoiser, MLPDenoiser
from dp_hf.models.unet1d_denoiser import ConditionalUnet1DModel


@dataclass
class DiffusionPolicyModelOutput(BaseOutput):
    """What the denoiser predicts.

    Args:
        sample: (B, horizon, action_dim): the noise, the clean chunk or the velocity, as the noise scheduler's
            `prediction_type` says.
    """

    sample: torch.Tensor


class DiffusionPolicyModel(ModelMixin, ConfigMixin):
    """Predicts the noise of an action chunk from images, optionally the robot's own state, and the timestep.

    Everything inside is normalised (see `Normalizer`). The defaults are the reference: one image, one action, a frozen
    ResNet34 and an MLP. Weights start random; `load_pretrained_backbone` fetches the encoder's.

    Args:
        state_dim, action_dim: widths of the proprioceptive state and of one action.
        horizon: actions in a predicted chunk.
        n_obs_steps: observations the policy sees, the latest last.
        n_action_steps: actions of a chunk that are executed before the next one is predicted.
        temporal_ensemble: a chunk is predicted at every step instead, and averaged with those before it: see
            `dp_hf.pipelines.action_chunking`.
        camera_names: one entry a camera, in the order of the images' camera axis.
        image_size: (height, width) in pixels.
        image_encoder, pooling, num_keypoints, feature_layer: see `ImageEncoder`.
        freeze_image_encoder: its weights and batch-norm statistics stay as they are.
        use_proprioception: whether the denoiser sees the state.
        denoiser: `mlp` (the reference), `mlp_layernorm` or `unet1d`.
        hidden_dim, num_mlp_layers, dropout, time_embed_dim, time_hidden_ratio: of the MLPs.
        activation: of `mlp`.
        down_dims: channels of the U-Net's levels.
        fps: actions per second of the data, for whoever executes the chunk.
    """

    @register_to_config
    def __init__(
        self,
        state_dim: int = 7,
        action_dim: int = 7,
        horizon: int = 1,
        n_obs_steps: int = 1,
        n_action_steps: int = 1,
        temporal_ensemble: float | None = None,
        camera_names: tuple[str, ...] = ("image",),
        image_size: tuple[int, int] = (224, 224),
        image_encoder: str = "resnet34.tv_in1k",
        pooling: Literal["avg", "spatial_softmax"] = "avg",
        num_keypoints: int | None = None,
        feature_layer: int = -2,
        freeze_image_encoder: bool = True,
        use_proprioception: bool = False,
        denoiser: Literal["mlp", "mlp_layernorm", "unet1d"] = "mlp",
        hidden_dim: int = 256,
        num_mlp_layers: int = 4,
        dropout: float = 0.1,
        time_embed_dim: int = 64,
        time_hidden_ratio: int = 2,
        activation: Literal["relu", "mish"] = "relu",
        down_dims: tuple[int, ...] = (64, 128, 256),
        fps: float = 10.0,
    ):
        super().__init__()
        if not 1 <= n_action_steps <= horizon:
            raise UserError(f"n_action_steps is 1 to horizon ({horizon}); got {n_action_steps}")
        if freeze_image_encoder and num_keypoints is not None:
            raise UserError("num_keypoints adds a learned projection; train the encoder, or leave it None")
        self.encoder = ImageEncoder(
            image_encoder, (image_size[0], image_size[1]), pooling, num_keypoints, feature_layer
        )
        if freeze_image_encoder:
            self.encoder.requires_grad_(False).eval()
        observation_dim = self.encoder.feature_dim * len(camera_names) * n_obs_steps
        observation_dim += state_dim * n_obs_steps if use_proprioception else 0
        if denoiser == "unet1d":
            self.denoising_network: torch.nn.Module = ConditionalUnet1DModel(
                action_dim, observation_dim, tuple(down_dims), time_embed_dim=time_embed_dim
            )
        elif denoiser in ("mlp", "mlp_layernorm"):
            denoiser_class = MLPDenoiser if denoiser == "mlp" else LayerNormMLPDenoiser
            kwargs = {"activation": activation} if denoiser == "mlp" else {}
            self.denoising_network = denoiser_class(
                action_dim,
                horizon,
                observation_dim,
                hidden_dim,
                num_mlp_layers,
                dropout,
                time_embed_dim,
                time_hidden_ratio,
                **kwargs,
            )
        else:
            raise UserError(f"denoiser is mlp, mlp_layernorm or unet1d; got {denoiser!r}")

    def train(self, mode: bool = True) -> "DiffusionPolicyModel":
        super().train(mode)
        if self.config.freeze_image_encoder:
            self.encoder.eval()
        return self

    def load_pretrained_backbone(self, weights: str = "timm") -> None:
        """Encoder weights: `timm` for the published ones, or a local file; see `ImageEncoder.load_pretrained`."""
        self.encoder.load_pretrained(weights, tuple(self.config.image_size))

    def encode_images(
        self, images: torch.Tensor, encoder: Callable[[torch.Tensor], torch.Tensor] | None = None
    ) -> torch.Tensor:
        """uint8 images (B, n_obs_steps, 3, H, W), or (B, n_obs_steps, n_cameras, 3, H, W) for several cameras, to
        features (B, n_obs_steps, n_cameras * feature_dim), by the policy's encoder or a faster copy of it."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.config.freeze_image_encoder):
            features = (encoder or self.encoder)(images.flatten(0, -4))
        return features.reshape(*images.shape[:2], -1)

    def observation_features(self, image_features: torch.Tensor, state: torch.Tensor | None = None) -> torch.Tensor:
        """What the denoiser is conditioned on, (B, observation_dim), from image features (B, n_obs_steps, F) and the
        normalised state (B, n_obs_steps, state_dim), which only a policy with proprioception reads."""
        if not self.config.use_proprioception:
            return image_features.flatten(1)
        if state is None:
            raise UserError("this policy uses proprioception: pass the robot's state beside the image")
        return torch.cat([image_features.flatten(1), state.to(image_features.dtype).flatten(1)], dim=1)

    def denoise(self, noisy_actions: torch.Tensor, timesteps: torch.Tensor, observation: torch.Tensor) -> torch.Tensor:
        """One call of the denoiser: noisy actions (B, horizon, action_dim), timesteps (B,), observation features
        (B, observation_dim) to a prediction of the noisy actions' shape."""
        return self.denoising_network(noisy_actions, timesteps, observation)

    def forward(
        self,
        noisy_actions: torch.Tensor,
        timesteps: torch.Tensor,
        images: torch.Tensor | None = None,
        state: torch.Tensor | None = None,
        image_features: torch.Tensor | None = None,
        return_dict: bool = True,
    ) -> DiffusionPolicyModelOutput | tuple[torch.Tensor]:
        """Images, or their features where they are cached, to the prediction; shapes as in the methods above.

        One observation may serve several noise samples: the noisy actions' batch is then a multiple K of the
        images', with the K samples of an observation next to each other.
        """
        if image_features is None:
            image_features = self.encode_images(images)
        observation = self.observation_features(image_features, state)
        observation = observation.repeat_interleave(len(noisy_actions) // len(observation), dim=0)
        sample = self.denoise(noisy_actions, timesteps, observation)
        return DiffusionPolicyModelOutput(sample) if return_dict else (sample,)
