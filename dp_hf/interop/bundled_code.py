"""Makes a saved pipeline self-contained: the code of its classes goes beside its weights.

Such a repository loads with plain diffusers and `trust_remote_code=True`, where dp_hf is not installed. Every file is
generated from this package's sources: a class with all that it needs, and nothing else.
"""

import ast
import importlib.util
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias

from dp_hf import __version__
from dp_hf.errors import UserError
from dp_hf.hub.card import CARD_FILE, PLACEHOLDER

Name: TypeAlias = tuple[str, str]  # module, and a name in it

PACKAGE = "dp_hf"
PIPELINE_MODULE, PIPELINE_CLASS = "dp_hf.pipelines.pipeline_diffusion_policy", "DiffusionPolicyPipeline"
PRETRAINED = "PretrainedPipeline"
# Component to its class; the file beside its weights has the component's name.
COMPONENTS: dict[str, Name] = {
    "policy": ("dp_hf.models.policy", "DiffusionPolicyModel"),
    "normalizer": ("dp_hf.models.normalizer", "Normalizer"),
}
# In the pipeline's file: components are what diffusers loads beside it, saving and loading is diffusers' own, and
# sampling takes no detour.
SUBSTITUTES: dict[Name, str] = {
    ("dp_hf.models.policy", "DiffusionPolicyModel"): "from diffusers import ModelMixin as DiffusionPolicyModel",
    ("dp_hf.models.onnx_policy", "OnnxPolicy"): "from types import NoneType as OnnxPolicy",
    ("dp_hf.models.normalizer", "Normalizer"): "from diffusers import ModelMixin as Normalizer",
    ("dp_hf.models.image_encoder", "ImageEncoder"): "from torch.nn import Module as ImageEncoder",
    ("dp_hf.pipelines.pretrained", PRETRAINED): f"from diffusers import DiffusionPipeline as {PRETRAINED}",
    ("dp_hf.pipelines.fast.denoising", "denoise_fast"): "def denoise_fast(*_): return None",
}

HEADER = '''"""{name} of dp_hf {version}, with all that it needs; generated from dp_hf's sources."""'''
USE_WITHOUT = """\
Where dp_hf is not installed, the code in this repository serves:

```python
from diffusers import DiffusionPipeline

pipeline = DiffusionPipeline.from_pretrained("{placeholder}", trust_remote_code=True)
```

"""


def add_code(folder: Path) -> None:
    """Adds the code to a folder that `save_pretrained` has written, and says so in its model card.

    Loading it with dp_hf goes on to use the installed classes, and never runs this code.
    """
    index_file = folder / "model_index.json"
    index = json.loads(index_file.read_text(encoding="utf-8"))
    if index["policy"][1] != COMPONENTS["policy"][1]:
        raise UserError("the code of a policy exported to ONNX cannot be added; push the one it was made from")
    name = PIPELINE_MODULE.rpartition(".")[2]
    index["_class_name"] = [name, PIPELINE_CLASS]
    (folder / f"{name}.py").write_text(bundle(PIPELINE_MODULE, PIPELINE_CLASS, SUBSTITUTES), encoding="utf-8")
    for component, (module, class_name) in COMPONENTS.items():
        index[component] = [component, class_name]
        (folder / component / f"{component}.py").write_text(bundle(module, class_name), encoding="utf-8")
    index_file.write_text(json.dumps(index, indent=2, sort_keys=True) + "\n", encoding="utf-8")

    card_file = folder / CARD_FILE
    before, heading, after = card_file.read_text(encoding="utf-8").partition("## Model\n")
    text = USE_WITHOUT.format(placeholder=PLACEHOLDER)
    card_file.write_text(f"{before}\n{text}{heading}{after}", encoding="utf-8")


def bundle(module: str, name: str, substitutes: Mapping[Name, str] = MappingProxyType({})) -> str:
    """The source of one file that defines `name` of `module` and everything of this package that it uses.

    Args:
        substitutes: (module, name) to the line that defines or imports what is used in its place.

    Raises:
        ValueError: two modules give one name to different things, or hide an import of this package in a function.
    """
    imports: dict[str, str] = {}
    code: dict[str, str] = {}
    owners: dict[str, str] = {}

    def need(module: str, name: str) -> None:
        source = _read(module)
        if name in source.internal and source.internal[name] not in substitutes:
            need(*source.internal[name])
            return
        if name in source.internal:
            owner = imports[name] = substitutes[source.internal[name]]
        elif name in source.imports:
            owner = imports[name] = source.imports[name]
        elif name in source.definitions:
            owner = module
        else:
            return  # a builtin, or a local variable
        if owners.setdefault(name, owner) != owner:
            raise ValueError(f"{name} means {owners[name]} in one module and {owner} in another")
        if owner == module and name not in code:
            text, used = source.definitions[name]
            code[name] = ""  # a function may call itself
            for other in sorted(used):
                need(module, other)
            del code[name]
            code[name] = text

    need(module, name)
    lines = sorted(set(imports.values()), key=lambda line: (line.startswith("from"), line))
    text = "\n\n\n".join([HEADER.format(name=name, version=__version__) + "\n\n" + "\n".join(lines), *code.values()])
    if re.search(rf"^ *(from|import) {PACKAGE}\b", text, re.MULTILINE):
        raise ValueError(f"{name} uses a function that imports {PACKAGE} when it is called")
    return text + "\n"


@dataclass
class _Source:
    """A module's top-level names: the source that defines each, with the names it uses, or the import it comes from."""

    definitions: dict[str, tuple[str, set[str]]] = field(default_factory=dict)
    imports: dict[str, str] = field(default_factory=dict)
    internal: dict[str, Name] = field(default_factory=dict)


@cache
def _read(module: str) -> _Source:
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    lines = Path(spec.origin).read_text(encoding="utf-8").splitlines()
    source, end = _Source(), 0
    for node in ast.parse("\n".join(lines)).body:
        start, end = end, node.end_lineno or 0
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            _read_import(node, source)
        elif names := _names_defined(node):
            text = "\n".join(lines[start:end]).strip("\n")
            used = {child.id for child in ast.walk(node) if isinstance(child, ast.Name)}
            source.definitions |= {name: (text, used) for name in names}
    return source


def _read_import(node: ast.Import | ast.ImportFrom, source: _Source) -> None:
    for alias in node.names:
        name = alias.asname or alias.name.partition(".")[0]
        if isinstance(node, ast.Import):
            source.imports[name] = ast.unparse(ast.Import([alias]))
        elif (node.module or "").partition(".")[0] != PACKAGE:
            source.imports[name] = ast.unparse(ast.ImportFrom(node.module, [alias], 0))
        elif alias.asname is None:
            source.internal[name] = (node.module or "", name)


def _names_defined(node: ast.stmt) -> list[str]:
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return [target.id for target in targets if isinstance(target, ast.Name)]
