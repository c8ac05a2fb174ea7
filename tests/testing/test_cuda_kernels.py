"""The kernels written by hand compile for real GPUs, by CUDA's compiler, which needs none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tinygradrnn_cupy

ARCHITECTURES = ("sm_80", "sm_90")
NDARRAY, INDEXER, SCALAR = 1, 2, 3


@pytest.fixture(scope="module")
def cupy() -> Any:
    return pytest.importorskip("cupy", reason="CuPy, which writes the kernels, is not installed")


@pytest.fixture(scope="module")
def nvrtc(cupy: Any) -> Any:
    from cupy_backends.cuda.libs import nvrtc

    try:
        nvrtc.getVersion()
    except Exception as error:
        pytest.skip(f"NVRTC (nvidia-cuda-nvrtc-cu12) cannot be loaded: {error}")
    return nvrtc


def source(cupy: Any, kernel: tuple[str, str, str, str], dtype: str) -> str:
    """What CuPy makes of an element-wise kernel, for arrays of a dtype."""
    from cupy._core import _kernel

    made = cupy.ElementwiseKernel(*kernel)
    kinds: list[tuple[Any, ...]] = []
    for parameter in made.params:
        known = np.dtype(parameter.dtype or dtype).type
        if parameter.name == "_ind":
            kinds.append((INDEXER, cupy._core._carray.Indexer, None, 1))
        elif parameter.raw or parameter in made.out_params:
            kinds.append((NDARRAY, cupy.ndarray, known, 1))
        else:
            kinds.append((SCALAR, known, known, 0))
    code = _kernel._get_elementwise_kernel_code(
        tuple(_kernel._ArgInfo(*kind, True, True) for kind in kinds),
        _kernel._TypeMap((("T", np.dtype(dtype).type),)),
        made.params,
        made.operation,
        made.name,
        made.preamble,
    )
    return f"#include <cupy/carray.cuh>\n{code}"


def compiled(cupy: Any, nvrtc: Any, code: str, architecture: str) -> bytes:
    headers = Path(cupy.__file__).parent / "_core" / "include"
    program = nvrtc.createProgram(code, "kernel.cu", (), ())
    try:
        options = (f"-arch={architecture}", "-std=c++17", f"-I{headers}", *toolkit())
        nvrtc.compileProgram(program, options)
        return bytes(nvrtc.getCUBIN(program))
    except nvrtc.NVRTCError as error:
        raise SyntaxError(f"{error}: {nvrtc.getProgramLog(program)}") from error
    finally:
        nvrtc.destroyProgram(program)


def toolkit() -> list[str]:
    """The folders of CUDA's own headers, from its wheels."""
    import nvidia

    return [f"-I{folder}" for root in nvidia.__path__ for folder in Path(root).glob("*/include")]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kernel", tinygradrnn_cupy.KERNELS, ids=lambda kernel: kernel[-1])
def test_kernels_compile(kernel: Any, dtype: str, architecture: str, cupy: Any, nvrtc: Any) -> None:
    binary = compiled(cupy, nvrtc, source(cupy, kernel, dtype), architecture)
    assert kernel[-1].encode() in binary


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_planted_error_is_caught(architecture: str, cupy: Any, nvrtc: Any) -> None:
    takes, gives, body, name = tinygradrnn_cupy.ADD_SEGMENTS
    broken = (takes, gives, body.replace("starts[row]", "start[row]"), name)
    with pytest.raises(SyntaxError, match="start"):
        compiled(cupy, nvrtc, source(cupy, broken, "float32"), architecture)
