"""A policy exported to ONNX: it stands in for `DiffusionPolicyModel` in a pipeline and is run by onnxruntime."""

import shutil
from pathlib import Path

import torch
from diffusers.configuration_utils import ConfigMixin
from diffusers.models.modeling_utils import ModelMixin
from torch import nn

from dp_hf.models.onnx_graph import DENOISER_FILE, ENCODER_FILE, OnnxGraph, open_graphs
from dp_hf.models.policy import DiffusionPolicyModel
from dp_hf.models.saved_model import require_config


class OnnxModule(nn.Module):
    """One graph; called with tensors in the order of its inputs, on any device, it returns its output on the CPU."""

    def __init__(self, graph: OnnxGraph):
        super().__init__()
        self.graph = graph

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(self.graph(*(value.cpu().contiguous().numpy() for value in inputs)))


class OnnxPolicy(ModelMixin, ConfigMixin):
    """The encoder and the denoiser of an exported policy, with the calls that a pipeline makes.

    Its config is that of the `DiffusionPolicyModel` it was exported from, `quantization`: none, int8 or bf16, and
    `export`, see `export_record`.

    Args:
        folder: holds `encoder.onnx`, `denoiser.onnx` and `config.json`.
    """

    encode_images = DiffusionPolicyModel.encode_images
    observation_features = DiffusionPolicyModel.observation_features
    with_prefix = DiffusionPolicyModel.with_prefix
    denoise = DiffusionPolicyModel.denoise

    def __init__(self, folder: str | Path):
        super().__init__()
        config = require_config(DiffusionPolicyModel, Path(folder) / self.config_name)
        self.register_to_config(**{name: value for name, value in config.items() if not name.startswith("_")})
        self.folder = Path(folder)
        encoder, denoiser = open_graphs(self.folder, self.config)
        self.encoder, self.denoising_network = OnnxModule(encoder), OnnxModule(denoiser)

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
