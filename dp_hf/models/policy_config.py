"""What a policy is made of: the arguments of `DiffusionPolicyModel`, and the only place where their defaults stand."""

import functools
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Annotated, Any, Concatenate, Literal, ParamSpec, TypeVar

from dp_hf.cameras import ONLY_CAMERA
from dp_hf.errors import UserError
from dp_hf.ranges import Range, require_in_range

Fields = ParamSpec("Fields")
Config = TypeVar("Config")
Model = TypeVar("Model")

# What a saved config may lack, because it was written before there was such an option.
OPTIONAL_IN_CONFIG = (
    *("state_names", "state_units", "action_names", "action_units"),
    *("action_source", "action_offset", "recorded_aspects", "cnn_width", "max_prefix"),
)
LARGEST_EXPONENT = 700.0  # exp of it is finite in float64, and so is its inverse


@dataclass
class PolicyOptions:
    """What one chooses of a policy: image encoder, denoiser, how much it sees and predicts.

    The defaults are the reference: one image, one action, a frozen ResNet34 and an MLP.
    """

    horizon: Annotated[int, Range(1, 4096)] = 1
    """Actions predicted at once."""
    n_obs_steps: Annotated[int, Range(1, 256)] = 1
    """Observations the policy sees, the current one and those before it."""
    n_action_steps: Annotated[int, Range(1)] = 1
    """Actions of a chunk that are executed before the next is predicted."""
    temporal_ensemble: Annotated[float, Range()] | None = None
    """Predict at every step instead and average, the i-th oldest weighing exp(-x * i) for this x, such as 0.01."""
    max_prefix: Annotated[int, Range(0, 4096)] = 0
    """The first actions of a chunk, up to so many, may be given as committed, and the policy learns to go on from them:
    a late chunk then meets the arm's motion. At 10 Hz a delay of 300 ms needs 4."""
    image_size: tuple[Annotated[int, Range(1, 8192)], ...] = (224, 224)
    """Height and width of the images the encoder sees, in pixels; one number is both."""
    image_encoder: str = "resnet34.tv_in1k"
    """Any timm model, or small_cnn, which trains from scratch on a CPU."""
    cnn_width: Annotated[int, Range(16, 1024)] = 64
    """Channels of small_cnn, a multiple of 16: 32 takes a quarter of the time of 64."""
    pooling: Literal["avg", "spatial_softmax"] = "avg"
    """How a feature map becomes a vector: its average, or the expected image position of each channel."""
    num_keypoints: Annotated[int, Range(1, 65536)] | None = None
    """With spatial_softmax, channels of a learned projection before it; None takes the map's own."""
    feature_layer: Annotated[int, Range(-16, 16)] = -2
    """With spatial_softmax, which feature map of a timm encoder; -1 is the last and coarsest."""
    freeze_image_encoder: bool = True
    """Keep the encoder's weights and batch-norm statistics, which lets its features be cached."""
    use_proprioception: bool = False
    """Whether the policy sees the robot's state beside the image."""
    denoiser: Literal["mlp", "mlp_layernorm", "unet1d"] = "mlp"
    """Network that predicts the noise: the reference's MLP, its LayerNorm and GELU variant, or a 1-D U-Net."""
    hidden_dim: Annotated[int, Range(1, 65536)] = 256
    """Width of the MLP's hidden layers."""
    num_mlp_layers: Annotated[int, Range(1, 256)] = 4
    """Number of the MLP's hidden layers."""
    dropout: Annotated[float, Range(0, below=1)] = 0.1
    """Dropout of the MLP's hidden layers."""
    time_embed_dim: Annotated[int, Range(2, 65536)] = 64
    """Width of the timestep embedding."""
    time_hidden_ratio: Annotated[int, Range(1, 64)] = 2
    """With an MLP, how many times as wide the timestep embedding's hidden layer is."""
    activation: Literal["relu", "mish"] = "relu"
    """Of the reference MLP's hidden layers."""
    down_dims: tuple[Annotated[int, Range(1, 65536)], ...] = (64, 128, 256)
    """Channels of the U-Net's levels."""

    def __post_init__(self):
        require_in_range(self)
        if len(self.image_size) not in (1, 2):
            raise UserError(f"image_size is one number or height and width; got {list(self.image_size)}")
        if len(self.image_size) == 1:
            self.image_size = (*self.image_size, *self.image_size)
        require_executable(self.horizon, self.n_action_steps, self.temporal_ensemble)
        if self.max_prefix >= self.horizon:
            raise UserError(f"max_prefix leaves an action to predict: 0 to {self.horizon - 1}; got {self.max_prefix}")
        if self.freeze_image_encoder and self.num_keypoints is not None:
            raise UserError("num_keypoints adds a learned projection; train the encoder, or leave it None")
        if self.cnn_width % 16:
            raise UserError(f"cnn_width is a multiple of 16; got {self.cnn_width}")
        if self.cnn_width != PolicyOptions.cnn_width and self.image_encoder != "small_cnn":
            raise UserError(f"cnn_width is of small_cnn; {self.image_encoder} has widths of its own")
        if not self.down_dims:
            raise UserError("down_dims is empty: the U-Net needs at least one level")


@dataclass
class PolicyConfig(PolicyOptions):
    """The policy: what one chooses, and what the data say of the numbers and images that go in and come out.

    Raises:
        UserError: an option that is none, or options that exclude each other.
    """

    denoiser: Literal["mlp", "mlp_layernorm", "unet1d", "own"] = "mlp"  # type: ignore[assignment]
    """As above, or `own`: what a subclass of the policy makes in place of these."""
    state_dim: Annotated[int, Range(1, 4096)] = 7
    """Width of the robot's own state."""
    action_dim: Annotated[int, Range(1, 4096)] = 7
    """Width of an action."""
    camera_names: tuple[str, ...] = (ONLY_CAMERA,)
    """Cameras the policy sees, in the order of the images' camera axis."""
    recorded_aspects: tuple[Annotated[float, Range(above=0, high=100_000)], ...] | None = None
    """Width by height of each camera's recorded pictures; None where nobody has said."""
    fps: Annotated[float, Range(above=0, high=100_000)] = 10.0
    """Actions a second, for whoever executes them."""
    action_source: Literal["recorded", "state"] | None = None
    """What the policy has learned as actions: recorded commands, or later states; None where nobody has said."""
    action_offset: Annotated[int, Range(0)] | None = None
    """Of actions that are states, how many rows (1 / fps s) later each is; 0 is the state in the image."""
    state_names: tuple[str, ...] | None = None
    """What each number of the state is; None where nobody has said."""
    state_units: tuple[str, ...] | None = None
    """The unit of each number of the state: degrees, radians, metres, 0..100, none or unknown."""
    action_names: tuple[str, ...] | None = None
    """What each number of an action is; None where nobody has said."""
    action_units: tuple[str, ...] | None = None
    """The unit of each number of an action, as for the state."""

    def __post_init__(self):
        super().__post_init__()
        if not self.camera_names:
            raise UserError("camera_names is empty: the policy sees at least one camera")
        require_different("camera_names", self.camera_names)
        if self.recorded_aspects is not None and len(self.recorded_aspects) != len(self.camera_names):
            raise UserError(f"recorded_aspects has {len(self.recorded_aspects)} of {len(self.camera_names)} cameras")


def prefix_dim(config: Any) -> int:
    """Width of what tells the denoiser which actions are committed, beside the observation; 0 where none can be.

    Args:
        config: a policy's, also one from before there was such an option.
    """
    return getattr(config, "max_prefix", 0) * (config.action_dim + 1)


def require_different(name: str, values: Sequence[str]) -> None:
    """Raises `UserError` for an option that lists something twice."""
    if twice := [value for value in values if values.count(value) > 1]:
        raise UserError(f"{name} has {twice[0]!r} twice")


def require_executable(horizon: int, n_action_steps: int, temporal_ensemble: float | None) -> None:
    """Raises `UserError` for a way to execute chunks of `horizon` actions that is none.

    `temporal_ensemble` is bounded so that no weight exp(-temporal_ensemble * i) of a chunk overflows or vanishes.
    """
    if not (isinstance(n_action_steps, Integral) and 1 <= n_action_steps <= horizon):
        raise UserError(f"n_action_steps is 1 to horizon ({horizon}); got {n_action_steps}")
    if temporal_ensemble is not None and not abs(temporal_ensemble) * horizon <= LARGEST_EXPONENT:
        largest = f"at most {LARGEST_EXPONENT / horizon:g} for chunks of {horizon}"
        raise UserError(f"temporal_ensemble is a number such as 0.01, {largest}; got {temporal_ensemble}")


def takes_fields_of(
    config_class: Callable[Fields, Config],
) -> Callable[[Callable[[Model, Config], None]], Callable[Concatenate[Model, Fields], None]]:
    """Decorates a constructor that is written for a config, so that it is called with the config's fields.

    Its signature lists them: that is where diffusers reads which values of a saved config it may pass.
    """

    def decorate(init: Callable[[Model, Config], None]) -> Callable[Concatenate[Model, Fields], None]:
        @functools.wraps(init)
        def init_with_fields(self: Model, *args: Fields.args, **kwargs: Fields.kwargs) -> None:
            init(self, config_class(*args, **kwargs))

        fields: Any = init_with_fields
        fields.__signature__ = inspect.signature(config_class.__init__)  # type: ignore[misc]
        return init_with_fields

    return decorate
