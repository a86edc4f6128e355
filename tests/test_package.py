"""The shape of the package: imports run one way, the front doors open quickly, every command has its script."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from dp_hf.cli.main import COMMANDS, main

ROOT = Path(__file__).parents[1]
# Which folders (or single modules of them) each folder imports from, beside itself and the modules at the top.
IMPORTS = {
    "arms": set(),
    "success": set(),
    "workers": set(),
    "hub": set(),
    "models": {"hub"},
    "alarm": {"arms"},
    "episodes": {"arms", "hub", "workers"},
    "review": {"episodes", "arms", "workers"},
    "pipelines": {"models", "hub", "arms", "alarm"},
    "training": {"pipelines", "models", "episodes", "arms", "hub", "alarm", "interop.reference_checkpoint"},
    "control": {"episodes", "arms", "alarm", "pipelines.execution", "pipelines.arguments"},  # free of torch
    "simulation": {"pipelines", "episodes", "arms", "alarm", "success", "workers"},
    "tasks": {"simulation", "episodes", "arms", "workers"},
    "interop": {"pipelines", "models", "episodes", "arms", "hub"},
    "cli": {
        *("tasks", "simulation", "interop", "training", "control", "hub", "pipelines", "models", "episodes", "arms"),
        *("success", "review", "workers", "alarm"),
    },
}


@pytest.mark.parametrize("folder", IMPORTS)
def test_imports_run_one_way(folder):
    found = set()
    for file in (ROOT / "dp_hf" / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            modules = []
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{file}: relative import"
                modules = [node.module]
            elif isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            for module in modules:
                package, _, rest = module.partition(".")
                imported = rest.split(".")[0]
                if package == "dp_hf" and imported in IMPORTS and imported != folder:
                    imported = imported if imported in IMPORTS[folder] else rest
                    assert imported in IMPORTS[folder], f"{file.relative_to(ROOT)} imports {module}"
                    found.add(imported)
    assert found == IMPORTS[folder], f"{folder} does not import {IMPORTS[folder] - found}: take it out of the graph"


def test_import_and_help_leave_the_heavy_libraries_alone():
    code = "import sys, dp_hf; from dp_hf.cli.main import main; main(['--help']); print(sorted(sys.modules))"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    for library in ("torch", "diffusers", "timm", "datasets", "mujoco", "numpy"):
        assert f"'{library}'" not in output
    assert all(command in output for command in COMMANDS)


def test_the_public_names_are_listed_typed_and_there():
    import dp_hf

    names = {name for name in dp_hf.__all__ if name != "__version__"}
    assert names >= {"DiffusionPolicyPipeline", "DiffusionPolicyModel", "Normalizer", "open_data", "EpisodeWriter"}
    assert names >= {"ActionChunker", "train"}
    assert names <= set(dir(dp_hf))
    assert all(getattr(dp_hf, name).__name__ == name for name in names)
    tree = ast.parse(Path(dp_hf.__file__).read_text(encoding="utf-8"))
    (typed,) = (node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    imports = {alias.asname: statement.module for statement in typed.body for alias in statement.names}
    assert imports == dp_hf._LAZY
    assert Path(dp_hf.__file__).with_name("py.typed").is_file()
    with pytest.raises(AttributeError, match="no attribute 'Pipeline'"):
        dp_hf.Pipeline  # noqa: B018


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_and_a_script(command, capsys):
    with pytest.raises(SystemExit) as exit_:
        main([command, "--help"])
    assert exit_.value.code == 0
    assert "usage" in capsys.readouterr().out
    script = (ROOT / "scripts" / f"{command.replace('-', '_')}.py").read_text(encoding="utf-8")
    assert f"from dp_hf.cli.{command.replace('-', '_')} import main" in script


def test_unknown_command_and_version(capsys):
    import dp_hf

    assert main(["fly"]) == 2
    assert "no command 'fly'" in capsys.readouterr().err
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == dp_hf.__version__
    assert main([]) == 2
