"""The policy: an image encoder and a denoiser of action chunks, joined by the observation features."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from diffusers.models.modeling_utils import ModelMixin
from diffusers.utils import BaseOutput

from dp_hf.errors import UserError
from dp_hf.models.image_encoder import ImageEncoder
from dp_hf.models.mlp_denoiser import LayerNormMLPDenoiser, MLPDenoiser
from dp_hf.models.policy_config import OPTIONAL_IN_CONFIG, PolicyConfig, prefix_dim, takes_fields_of
from dp_hf.models.saved_model import SavedModel
from dp_hf.models.unet1d_denoiser import ConditionalUnet1DModel

DENOISERS = (MLPDenoiser, LayerNormMLPDenoiser, ConditionalUnet1DModel)


@dataclass
class DiffusionPolicyModelOutput(BaseOutput):
    """What the denoiser predicts.

    Args:
        sample: (B, horizon, action_dim): the noise, the clean chunk or the velocity, as the noise scheduler's
            `prediction_type` says.
    """

    sample: torch.Tensor


class DiffusionPolicyModel(SavedModel, ModelMixin):
    """Predicts the noise of an action chunk from images, optionally the robot's own state, and the timestep.

    Everything inside is normalised (see `Normalizer`). The defaults are the reference: one image, one action, a frozen
    ResNet34 and an MLP. Weights start random; `load_pretrained_backbone` fetches the encoder's.

    Its arguments are the fields of `PolicyConfig`, and `config` holds them.

    Raises:
        UserError: an option that is none, or options that exclude each other.
    """

    optional_in_config = OPTIONAL_IN_CONFIG

    @takes_fields_of(PolicyConfig)
    def __init__(self, config: PolicyConfig):
        super().__init__()
        self.register_to_config(**vars(config))
        self.encoder = ImageEncoder(
            config.image_encoder,
            (config.image_size[0], config.image_size[1]),
            config.pooling,
            config.num_keypoints,
            config.feature_layer,
            config.cnn_width,
        )
        if config.freeze_image_encoder:
            self.encoder.requires_grad_(False).eval()
        observation_dim = self.encoder.feature_dim * len(config.camera_names) * config.n_obs_steps
        observation_dim += config.state_dim * config.n_obs_steps if config.use_proprioception else 0
        self.denoising_network = self.make_denoiser(config, observation_dim + prefix_dim(config))
        if not any(type(module) in DENOISERS for module in self.denoising_network.modules()):
            self.register_to_config(denoiser="own")

    def make_denoiser(self, config: PolicyConfig, observation_dim: int) -> torch.nn.Module:
        """The network that `denoise` calls on features (B, observation_dim); a subclass may have another.

        Raises:
            UserError: the config is that of a subclass.
        """
        if config.denoiser == "own":
            raise UserError(
                f"denoiser own is that of a policy's own class, and {type(self).__name__} has none: load the policy by "
                "the class that it was saved by"
            )
        if config.denoiser == "unet1d":
            return ConditionalUnet1DModel(
                config.action_dim, observation_dim, tuple(config.down_dims), time_embed_dim=config.time_embed_dim
            )
        denoiser_class = MLPDenoiser if config.denoiser == "mlp" else LayerNormMLPDenoiser
        kwargs = {"activation": config.activation} if config.denoiser == "mlp" else {}
        return denoiser_class(
            config.action_dim,
            config.horizon,
            observation_dim,
            config.hidden_dim,
            config.num_mlp_layers,
            config.dropout,
            config.time_embed_dim,
            config.time_hidden_ratio,
            **kwargs,
        )

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

    def with_prefix(self, observation: torch.Tensor, actions: torch.Tensor, committed: torch.Tensor) -> torch.Tensor:
        """Observation features (B, observation_dim) and, beside them, which of a chunk's actions (B, horizon,
        action_dim) are `committed` (B, horizon), and what these are; only for a policy that learned with prefixes."""
        count = getattr(self.config, "max_prefix", 0)
        if count == 0:
            return observation
        given = committed[:, :count, None].to(observation.dtype)
        shown = given * actions[:, :count].to(observation.dtype)
        return torch.cat([observation, shown.flatten(1), given.flatten(1)], dim=1)

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
        committed: torch.Tensor | None = None,
    ) -> DiffusionPolicyModelOutput | tuple[torch.Tensor]:
        """Images, or their features where they are cached, to the prediction; shapes as in the methods above.

        One observation may serve several noise samples: the noisy actions' batch is then a multiple K of the
        images', with the K samples of an observation next to each other. Where `committed` (B, horizon), the noisy
        actions are those that are committed, without noise.
        """
        if image_features is None:
            image_features = self.encode_images(images)
        observation = self.observation_features(image_features, state)
        observation = observation.repeat_interleave(len(noisy_actions) // len(observation), dim=0)
        if committed is None:
            committed = torch.zeros(noisy_actions.shape[:2], dtype=torch.bool, device=noisy_actions.device)
        observation = self.with_prefix(observation, noisy_actions, committed)
        sample = self.denoise(noisy_actions, timesteps, observation)
        return DiffusionPolicyModelOutput(sample) if return_dict else (sample,)
