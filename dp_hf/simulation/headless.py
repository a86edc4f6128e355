"""Makes MuJoCo importable and able to render without a display, or says in one sentence what to install."""

import ctypes
import os
import sys
from ctypes.util import find_library
from importlib import reload
from importlib.util import find_spec

from dp_hf.errors import UserError

ENVIRONMENT_ID = "dp_hf/CubeStacking-v0"
MAX_EPISODE_STEPS = 150


def prepare() -> None:
    """Chooses the OpenGL library, imports MuJoCo and registers the environment.

    Raises:
        UserError: a package is missing, or MUJOCO_GL names a library that cannot be loaded.
    """
    choose = sys.platform == "linux" and "MUJOCO_GL" not in os.environ
    came_too_late = choose and "mujoco" in sys.modules
    if find_spec("triton"):
        # Triton, which torch imports when it pleases, crashes when Mesa has loaded its own LLVM before, as it does for
        # MuJoCo 3.2 when that is imported, and for later ones with the first picture.
        import triton  # noqa: F401
    if choose:
        os.environ["MUJOCO_GL"] = find_gl()
    try:
        import gymnasium
        import mujoco

        if came_too_late:
            # MuJoCo has read MUJOCO_GL when it was imported; here it reads it again.
            reload(sys.modules[mujoco.Renderer.__module__].gl_context)
    except ModuleNotFoundError as error:
        raise UserError(f"the simulator needs {error.name}: pip install dp_hf[sim]") from error
    except Exception as error:  # OpenGL fails in its own ways: AttributeError, RuntimeError, ImportError
        raise no_opengl(error) from error
    gymnasium.register(
        id=ENVIRONMENT_ID,
        entry_point="dp_hf.simulation.environment:CubeStackingEnv",
        max_episode_steps=MAX_EPISODE_STEPS,
    )


def find_gl() -> str:
    """The value for MUJOCO_GL: "egl" where EGL has a device, else "osmesa", else "disable" (physics without images)."""
    if find_library("EGL") and _num_egl_devices() > 0:
        return "egl"
    return "osmesa" if find_library("OSMesa") else "disable"


def no_opengl(error: Exception) -> UserError:
    """The error that says how to make MuJoCo render."""
    return UserError(
        f"MuJoCo cannot render with MUJOCO_GL={os.environ.get('MUJOCO_GL')} ({error}): install the Debian packages "
        "libegl1 libegl-mesa0 libgl1-mesa-dri, or libosmesa6"
    )


def _num_egl_devices() -> int:
    egl = ctypes.CDLL(find_library("EGL"))
    egl.eglGetProcAddress.restype = ctypes.c_void_p
    address = egl.eglGetProcAddress(b"eglQueryDevicesEXT")
    if not address:
        return 0
    query_devices = ctypes.CFUNCTYPE(ctypes.c_uint, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)(address)
    count = ctypes.c_int(0)
    return count.value if query_devices(0, None, ctypes.byref(count)) else 0
