"""Why there is no GPU: each situation has its own message. What CUDA and CuPy report is faked here,
except for what this machine really shows."""

from __future__ import annotations

import ctypes
import sys
from importlib.util import find_spec
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import tinygradrnn_cupy
from processes import run_python
from tinygradrnn_cupy import diagnosis

from tinygradrnn import plugins
from tinygradrnn.backend import BackendUnavailableError, available_backends, load_backend
from tinygradrnn.commands import info


class CUDARuntimeError(RuntimeError):
    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class OutOfMemoryError(MemoryError):
    pass


class NVRTCError(RuntimeError):
    status = 5  # of another library: it must not be read as one of the CUDA runtime's


def fake_cupy(*, driver=13000, built_for=13020, devices=1, first_kernel=None):
    """What the backend asks of CuPy; an exception is raised where it is given."""

    def count():
        if isinstance(devices, Exception):
            raise devices
        return devices

    class Array(np.ndarray):
        def get(self):
            return np.asarray(self)

    def zeros(*shape, dtype):
        if first_kernel is not None:
            raise first_kernel
        return np.zeros(shape, dtype).view(Array)

    cupy = ModuleType("cupy")
    cupy.__version__ = "14.2.0"
    cupy.ndarray = Array
    cupy.zeros = zeros
    cupy.ElementwiseKernel = lambda *source: None
    cupy.cuda = SimpleNamespace(
        runtime=SimpleNamespace(
            CUDARuntimeError=CUDARuntimeError,
            driverGetVersion=lambda: driver,
            runtimeGetVersion=lambda: built_for,
            getDeviceCount=count,
            getDevice=lambda: 0,
            getDeviceProperties=lambda number: {"name": b"NVIDIA H200"},
        )
    )
    return cupy


NO_GPU = CUDARuntimeError(
    35, "cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime version"
)
SITUATIONS = {
    "no driver": (
        {"driver": 0, "devices": NO_GPU},
        "this machine has no NVIDIA driver (libcuda.so.1 was not found), so there is no GPU to run "
        'on. CuPy 14.2.0 is installed; CUDA words this as "CUDA driver version is insufficient for '
        'CUDA runtime version", but nothing is out of date. Run on a machine with a GPU (in a '
        "container: --gpus all).",
    ),
    "old driver": (
        {"driver": 12040, "devices": NO_GPU},
        "the driver supports CUDA 12.4; this CuPy was built for 13.2. Install tinygradrnn[cuda12] "
        "(after pip uninstall cupy-cuda13x: two CuPys exclude each other) or update the driver.",
    ),
    "driver too old for any": (
        {"driver": 11080, "built_for": 12090, "devices": NO_GPU},
        "the driver supports CUDA 11.8; this CuPy was built for 12.9. Update the driver.",
    ),
    "no visible device": (
        {"devices": CUDARuntimeError(100, "cudaErrorNoDevice: no CUDA-capable device")},
        "0 GPUs are visible to CuPy 14.2.0 (CUDA_VISIBLE_DEVICES=''). Make one visible: nvidia-smi "
        "lists what the machine has, CUDA_VISIBLE_DEVICES what a process may see.",
    ),
    "broken toolkit": (
        {"first_kernel": RuntimeError("Failure finding libnvrtc.so.13")},
        "the CUDA toolkit parts CuPy compiles with were not found or do not work (RuntimeError: "
        "Failure finding libnvrtc.so.13). Run pip install 'cupy-cuda13x[ctk]' or set CUDA_PATH.",
    ),
    "toolkit that does not know the GPU": (
        {"built_for": 12090, "first_kernel": NVRTCError("NVRTC_ERROR_INVALID_OPTION (5)")},
        "the CUDA toolkit parts CuPy compiles with were not found or do not work (NVRTCError: "
        "NVRTC_ERROR_INVALID_OPTION (5)). Run pip install 'cupy-cuda12x[ctk]' or set CUDA_PATH.",
    ),
    "full GPU": (
        {"first_kernel": OutOfMemoryError("Out of memory allocating 512 bytes")},
        "the GPU has no memory left (Out of memory allocating 512 bytes). nvidia-smi lists the "
        "processes that hold it; CUDA_VISIBLE_DEVICES chooses another GPU.",
    ),
    "anything else": (
        {"devices": CUDARuntimeError(999, "cudaErrorUnknown: unknown error")},
        "CUDA failed (cudaErrorUnknown: unknown error). Check with nvidia-smi that the GPU works.",
    ),
}


@pytest.fixture
def machine(monkeypatch):
    """A Linux machine with an NVIDIA driver for a CUDA, or without one, and with a CuPy or none."""

    def set_up(driver: int | None, cupy: ModuleType | None = None, status: int = 0) -> None:
        class Library:
            def __init__(self, name: str) -> None:
                assert name == "libcuda.so.1"
                if driver is None:
                    raise OSError(f"{name}: cannot open shared object file")

            def cuDriverGetVersion(self, version) -> int:
                version._obj.value = driver
                return status

        monkeypatch.setattr(sys, "platform", "linux")
        monkeypatch.setattr(ctypes, "CDLL", Library)
        monkeypatch.setattr(tinygradrnn_cupy, "find_spec", lambda name: cupy)
        monkeypatch.setitem(sys.modules, "cupy", cupy)
        monkeypatch.delitem(plugins._loaded, "cupy", raising=False)
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")

    return set_up


@pytest.mark.parametrize("name", SITUATIONS)
def test_situations_with_cupy(machine, name):
    reported, message = SITUATIONS[name]
    machine(13000, fake_cupy(**reported))
    if "first_kernel" in reported:  # seen when the backend is made, not before
        assert available_backends()["cupy"] == (True, "CuPy 14.2.0, 1 visible GPU")
    else:
        assert available_backends()["cupy"] == (False, message)
    line = sys._getframe().f_lineno + 2
    with pytest.raises(BackendUnavailableError) as caught:
        load_backend("cupy", "the tests")
    assert str(caught.value) == (
        f"The cupy backend was asked for (the tests at {__file__}:{line}) but {message} To run on "
        'the CPU: write "numpy" there (tinygradrnn.use_backend("numpy") is for the whole process).'
    )


def test_a_gpu_that_works(machine, capsys):
    machine(13000, fake_cupy())
    info.run(None)
    assert (
        "  cupy runs: CuPy 14.2.0, 1 visible GPU, NVIDIA H200 (GPU 0)\n" in capsys.readouterr().out
    )


def test_info_tries_the_gpu(machine, capsys):
    """It does not say that a GPU runs on which no kernel compiles."""
    reported, message = SITUATIONS["broken toolkit"]
    machine(13000, fake_cupy(**reported))
    info.run(None)
    out = capsys.readouterr().out
    assert f"  cupy does not run: {message.partition('. ')[0]}.\n" in out
    assert "    Run pip install 'cupy-cuda13x[ctk]' or set CUDA_PATH." in out


ABSENT = {
    13010: "The NVIDIA driver supports CUDA 13.1: pip install 'tinygradrnn[cuda13]'.",
    12040: "The NVIDIA driver supports CUDA 12.4: pip install 'tinygradrnn[cuda12]'.",
    14000: "The NVIDIA driver supports CUDA 14.0: pip install 'tinygradrnn[cuda13]'.",
    11080: "The NVIDIA driver supports CUDA 11.8, and CuPy needs 12.0 or newer: update the driver "
    "first.",
}


@pytest.mark.parametrize("driver", ABSENT)
def test_which_cupy_a_driver_needs(machine, driver):
    machine(driver)
    assert available_backends()["cupy"] == (False, f"CuPy is not installed. {ABSENT[driver]}")


@pytest.mark.parametrize(("driver", "status"), [(None, 0), (0, 0), (13000, 999)])
def test_neither_cupy_nor_a_driver(machine, driver, status):
    machine(driver, status=status)
    assert available_backends()["cupy"] == (
        False,
        "CuPy is not installed, and this machine has no NVIDIA driver (libcuda.so.1 was not "
        "found), so there is no GPU to run on. On a machine with a GPU install the CuPy that "
        'matches the "CUDA Version" that nvidia-smi shows: pip install '
        "'tinygradrnn[cuda13]' (13.x) or 'tinygradrnn[cuda12]' (12.x).",
    )


def test_on_macos_nothing_is_to_be_installed(machine, monkeypatch):
    machine(None)
    monkeypatch.setattr(sys, "platform", "darwin")
    assert "It does not run on macOS" in available_backends()["cupy"][1]


def test_on_windows_the_driver_has_another_name(machine, monkeypatch):
    machine(None)
    monkeypatch.setattr(sys, "platform", "win32")
    assert diagnosis.driver_library() == "nvcuda.dll"


INFO = "from tinygradrnn.cli import main; raise SystemExit(main(['info']))"


@pytest.mark.skipif(find_spec("cupy") is None, reason="CuPy is not installed")
@pytest.mark.skipif(diagnosis.driver_version() is not None, reason="has an NVIDIA driver")
def test_cupy_itself_on_a_machine_without_a_driver():
    code = "from tinygradrnn.backend import *; get_backend()"
    said = run_python(code, backend="cupy", fails=True)
    assert "(TINYGRADRNN_BACKEND=cupy in the environment, read at first use, <string>:1)" in said
    assert f"but this machine has no NVIDIA driver ({diagnosis.driver_library()} was not" in said
    assert "nothing is out of date" in said
    assert "cupy does not run: this machine has no NVIDIA driver" in run_python(INFO)
    said = run_python(INFO, backend="auto")
    assert (
        "active backend: numpy on cpu, from TINYGRADRNN_BACKEND in the environment (auto: " in said
    )
