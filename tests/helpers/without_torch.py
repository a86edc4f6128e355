"""Python where an exported policy's computer has the packages that it needs, and no others of dp_hf's."""

import os
import subprocess
import sys

ALLOWED = ("numpy", "onnxruntime", "pillow", "pyyaml", "tyro")
# What `pip install dp_hf` brings beside them, by the names of their modules.
ABSENT = (
    *("torch", "torchvision", "timm", "diffusers", "accelerate", "datasets", "safetensors", "huggingface_hub"),
    *("pyarrow", "filelock", "matplotlib", "tqdm", "jinja2", "transformers", "onnx", "numba", "pandas", "scipy"),
)
_HIDING = f"""
import sys

class Hiding:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {ABSENT}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Hiding())
"""


def run_without_torch(code: str, *arguments: object, check: bool = True) -> subprocess.CompletedProcess:
    """Runs Python code, with `arguments` as its sys.argv[1:], in a process that finds none of `ABSENT`."""
    words = [sys.executable, "-c", _HIDING + code, *map(str, arguments)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, check=False, env=os.environ)
    assert not check or done.returncode == 0, done.stderr
    return done
