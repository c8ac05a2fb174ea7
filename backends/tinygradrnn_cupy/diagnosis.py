"""Why CuPy does not run here, and what to do about it."""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Any

OLDEST_CUDA, NEWEST_CUDA = 12, 13  # the wheels that CuPy 14 comes in

# cudaError_t
OUT_OF_MEMORY = 2
INSUFFICIENT_DRIVER = 35
NO_DEVICE = 100


def driver_library() -> str:
    """The file name of the NVIDIA driver's library."""
    return "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"


def driver_version() -> int | None:
    """The newest CUDA that the NVIDIA driver supports, as 12040 for 12.4; None without a driver.

    Asked of the driver itself, which needs neither CuPy nor a visible GPU.
    """
    version = ctypes.c_int()
    try:
        status = ctypes.CDLL(driver_library()).cuDriverGetVersion(ctypes.byref(version))
    except (OSError, AttributeError):
        return None
    return version.value if status == 0 and version.value else None


def not_installed() -> str:
    """Say that CuPy is not installed, and which one this machine needs."""
    if sys.platform == "darwin":
        return "CuPy is not installed. It does not run on macOS, for which there are no CUDA GPUs."
    driver = driver_version()
    if driver is None:
        return (
            "CuPy is not installed, and this machine has no NVIDIA driver "
            f"({driver_library()} was not found), so there is no GPU to run on. On a machine with "
            'a GPU install the CuPy that matches the "CUDA Version" that nvidia-smi shows: '
            "pip install 'tinygradrnn[cuda13]' (13.x) or 'tinygradrnn[cuda12]' (12.x)."
        )
    if driver // 1000 < OLDEST_CUDA:
        return (
            f"CuPy is not installed. The NVIDIA driver supports CUDA {readable(driver)}, and CuPy "
            f"needs {OLDEST_CUDA}.0 or newer: update the driver first."
        )
    return (
        f"CuPy is not installed. The NVIDIA driver supports CUDA {readable(driver)}: "
        f"pip install 'tinygradrnn[{extra(driver)}]'."
    )


def diagnose(cupy: Any, error: Exception) -> str:
    """Say what a failed call to CUDA means and what to do about it.

    Parameters
    ----------
    cupy : module
        CuPy, which imports without a GPU too.
    error : Exception
        What its call raised.

    Returns
    -------
    str
        A first sentence that says what is missing, to follow "... was asked for but", then what
        to do about it.
    """
    runtime = cupy.cuda.runtime
    driver, built_for = runtime.driverGetVersion(), runtime.runtimeGetVersion()
    of_runtime = isinstance(error, runtime.CUDARuntimeError)
    status = error.status if of_runtime else None  # type: ignore[attr-defined]
    if status == INSUFFICIENT_DRIVER and driver == 0:
        return (
            f"this machine has no NVIDIA driver ({driver_library()} was not found), so there is "
            f"no GPU to run on. CuPy {cupy.__version__} is installed; CUDA words this as "
            '"CUDA driver version is insufficient for CUDA runtime version", but nothing is out '
            "of date. Run on a machine with a GPU (in a container: --gpus all)."
        )
    if status == INSUFFICIENT_DRIVER:
        switch = "Update"
        if OLDEST_CUDA <= driver // 1000 < built_for // 1000:
            switch = (
                f"Install tinygradrnn[{extra(driver)}] (after pip uninstall "
                f"cupy-cuda{built_for // 1000}x: two CuPys exclude each other) or update"
            )
        return (
            f"the driver supports CUDA {readable(driver)}; this CuPy was built for "
            f"{readable(built_for)}. {switch} the driver."
        )
    if status == NO_DEVICE:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        setting = f"CUDA_VISIBLE_DEVICES={visible!r}" if visible is not None else "by the driver"
        return (
            f"0 GPUs are visible to CuPy {cupy.__version__} ({setting}). Make one visible: "
            "nvidia-smi lists what the machine has, CUDA_VISIBLE_DEVICES what a process may see."
        )
    if status == OUT_OF_MEMORY or type(error).__name__ == "OutOfMemoryError":
        return (
            f"the GPU has no memory left ({error}). nvidia-smi lists the processes that hold it; "
            "CUDA_VISIBLE_DEVICES chooses another GPU."
        )
    if of_runtime:
        return f"CUDA failed ({error}). Check with nvidia-smi that the GPU works."
    return (
        "the CUDA toolkit parts CuPy compiles with were not found or do not work "
        f"({type(error).__name__}: {error}). Run pip install "
        f"'cupy-cuda{built_for // 1000}x[ctk]' or set CUDA_PATH."
    )


def extra(driver: int) -> str:
    """The extra of tinygradrnn with the newest CuPy that a driver runs."""
    return f"cuda{min(driver // 1000, NEWEST_CUDA)}"


def readable(version: int) -> str:
    """12040 as 12.4."""
    return f"{version // 1000}.{version % 1000 // 10}"
