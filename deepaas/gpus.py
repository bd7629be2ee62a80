"""Tells whether the workers would see a GPU, without asking any library of one."""

import glob
import os
from collections.abc import Mapping

NVIDIA = "/dev/nvidia[0-9]*"
"""The devices of NVIDIA's driver, one a GPU."""

OTHERS = ("/dev/kfd", "/dev/dxg")
"""The devices of AMD's ROCm, and of Windows' subsystem for Linux."""

HIDING = {
    NVIDIA: ("CUDA_VISIBLE_DEVICES",),
    OTHERS[0]: ("HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"),
    OTHERS[1]: ("CUDA_VISIBLE_DEVICES",),
}
"""The environment variables that can hide each kind of device."""

NONE = ("", "-1", "NoDevFiles")
"""Values of these variables that hide all devices."""


def is_gpu_visible(environment: Mapping[str, str] = os.environ, root: str = "") -> bool:
    """Tell whether a process with this environment sees a GPU of this machine.

    `root` is put before the paths of devices.
    """
    return any(
        glob.glob(root + device)
        and not any(environment.get(name, "0").strip() in NONE for name in variables)
        for device, variables in HIDING.items()
    )
