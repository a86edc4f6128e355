"""A policy exported to ONNX: it stands in for `DiffusionPolicyModel` in a pipeline and is run by onnxruntime."""

import shutil
from pathlib import Path

import torch
from diffusers.configuration_utils import ConfigMixin
from diffusers.models.modeling_utils import ModelMixin
from torch import nn

from dp_hf.errors import UserError
from dp_hf.models.policy import DiffusionPolicyModel
from dp_hf.models.saved_model import require_config

ENCODER_FILE, DENOISER_FILE = "encoder.onnx", "denoiser.onnx"
PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")
# A smaller graph is run in less time than it takes to wake other threads.
ONE_THREAD_BYTES = 4_000_000


class OnnxModule(nn.Module):
    """One graph; called with tensors in the order of its inputs, on any device, it returns its output on the CPU."""

    def __init__(self, file: Path):
        super().__init__()
        try:
            import onnxruntime
        except ImportError as error:
            raise UserError('this policy needs onnxruntime: pip install "dp_hf[onnx]"') from error
        if not file.is_file():
            raise UserError(f"{file}: no such file; export the policy again with dp-hf export-policy")
        providers = [provider for provider in PROVIDERS if provider in onnxruntime.get_available_providers()]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1 if file.stat().st_size < ONE_THREAD_BYTES else 0
        # Threads that wait in a loop would take the cores from the rest of a controller.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self.session = onnxruntime.InferenceSession(file, options, providers=providers)
        except Exception as error:  # onnxruntime's own exceptions have no common base
            reason = str(error).splitlines()[0]
            raise UserError(f"{file}: onnxruntime cannot run it ({reason}); export the policy again") from error
        self.names = [value.name for value in self.session.get_inputs()]
        self.shapes = [value.shape for value in self.session.get_inputs()]

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        feeds = {name: value.cpu().contiguous().numpy() for name, value in zip(self.names, inputs, strict=True)}
        return torch.from_numpy(self.session.run(None, feeds)[0])


class OnnxPolicy(ModelMixin, ConfigMixin):
    """The encoder and the denoiser of an exported policy, with the calls that a pipeline makes.

    Its config is that of the `DiffusionPolicyModel` it was exported from, and `quantization`: none, int8 or bf16.

    Args:
        folder: holds `encoder.onnx`, `denoiser.onnx` and `config.json`.
    """

    encode_images = DiffusionPolicyModel.encode_images
    observation_features = DiffusionPolicyModel.observation_features
    denoise = DiffusionPolicyModel.denoise

    def __init__(self, folder: str | Path):
        super().__init__()
        config = require_config(DiffusionPolicyModel, Path(folder) / self.config_name)
        self.register_to_config(**{name: value for name, value in config.items() if not name.startswith("_")})
        self.folder = Path(folder)
        self.encoder = OnnxModule(self.folder / ENCODER_FILE)
        self.denoising_network = OnnxModule(self.folder / DENOISER_FILE)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **kwargs) -> "OnnxPolicy":
        """Opens a folder; arguments that say how weights are loaded have no meaning here."""
        return cls(pretrained_model_name_or_path)

    def save_pretrained(self, save_directory: str | Path, **kwargs) -> None:
        """Copies the folder's files."""
        Path(save_directory).mkdir(parents=True, exist_ok=True)
        for name in (ENCODER_FILE, DENOISER_FILE, self.config_name):
            if self.folder.resolve() != Path(save_directory).resolve():
                shutil.copyfile(self.folder / name, Path(save_directory) / name)

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")

    @property
    def dtype(self) -> torch.dtype:
        return torch.float32
