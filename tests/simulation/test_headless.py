import os
import subprocess
import sys

import pytest


def run_python(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **environment}, timeout=60
    )


@pytest.mark.parametrize("package", ["mujoco", "gymnasium"])
def test_a_missing_package_is_named_with_the_remedy(package):
    outcome = run_python(f"import sys; sys.modules['{package}'] = None; import dp_hf.simulation")
    assert outcome.stderr.splitlines()[-1].startswith("dp_hf.errors.UserError")
    assert f"needs {package}: pip install dp_hf[sim]" in outcome.stderr


def test_no_opengl_is_one_sentence_and_physics_goes_on():
    code = """
from dp_hf.errors import UserError
from dp_hf.simulation.stacking import make_environment
env = make_environment(cameras=())
env.reset(seed=0)
try:
    make_environment().reset(seed=0)
except UserError as error:
    print(error)
"""
    outcome = run_python(code, MUJOCO_GL="disable")
    assert "libegl1 libegl-mesa0 libgl1-mesa-dri" in outcome.stdout
    # Old MuJoCo has Python say that an exception of its Renderer.__del__ is ignored.
    assert outcome.stderr == "" or outcome.stderr.startswith("Exception ignored in: <function Renderer.__del__")


def test_the_users_choice_of_opengl_is_kept():
    code = "import dp_hf.simulation, os; print(os.environ['MUJOCO_GL'])"
    assert run_python(code, MUJOCO_GL="disable").stdout.strip() == "disable"


def test_torch_may_be_imported_after_rendering():
    code = """
import mujoco
from dp_hf.simulation.stacking import make_environment
env = make_environment(image_size=(24, 42))
env.reset(seed=0)
import torch._dynamo
env.reset(seed=0)
print("both")
"""
    outcome = run_python(code)
    assert (outcome.returncode, outcome.stdout.strip()) == (0, "both"), outcome.stderr
