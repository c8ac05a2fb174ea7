"""Which backend is active and why, and what is said when one cannot be had."""

from __future__ import annotations

import re
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from processes import ROOT, run_python

from tinygradrnn.backend import (
    MixedBackendError,
    UnknownBackendError,
    active_origin,
    backend_of,
    backend_of_type,
    backend_scope,
    common_backend,
    get_backend,
    load_backend,
    use_backend,
)

pytestmark = pytest.mark.numpy_only("about how a backend is chosen")

WITHOUT_CUPY = "import sys; sys.modules['cupy'] = None\n"
AT_FIRST_USE = "at first use, <string>:1"
UNSET = f"the default: TINYGRADRNN_BACKEND was not set {AT_FIRST_USE}"
VARIABLE = f"TINYGRADRNN_BACKEND in the environment, read {AT_FIRST_USE}"
NAME = "from tinygradrnn.backend import *; print(get_backend().name, '|', active_origin())"


class OtherArray(np.ndarray):
    pass


class Other(type(load_backend("numpy", "the tests"))):
    """A second backend for a machine that has one."""

    name = "other"
    array_type = OtherArray

    def asarray(self, data, dtype=None):
        return np.asarray(data, dtype).view(OtherArray)


@pytest.fixture
def other():
    yield Other()
    backend_of_type.pop(OtherArray, None)


# ------------------------------------------------------------------------ precedence and origin


def test_default_is_numpy():
    assert run_python(NAME) == f"numpy | {UNSET}"


@pytest.mark.parametrize("value", ["", "  "])
def test_empty_variable_counts_as_unset(value):
    assert run_python(NAME, backend=value) == f"numpy | {UNSET}"


def test_variable_ignores_case_and_space():
    assert run_python(NAME, backend=" NumPy ") == f"numpy | {VARIABLE}"


def test_variable_is_read_at_first_use_not_at_import():
    code = "import tinygradrnn as tg, os; os.environ['TINYGRADRNN_BACKEND'] = 'nonsense'\n"
    said = run_python(code + "tg.tensor([1.0])", fails=True)
    assert "UnknownBackendError: 'nonsense' is not a backend" in said


NOTEBOOK = f"""
import os, sys, warnings
sys.path.insert(0, {str(ROOT / "tests")!r})
warnings.simplefilter("always")
def cell(number, code):
    exec(compile(code, f"<cell {{number}}>", "exec"), globals())
cell(1, "import tinygradrnn as tg, numpy as np; from tinygradrnn.backend import active_origin")
"""


def test_variable_that_is_set_after_the_import_counts(mirror):
    """In a notebook: after the import, before the first array."""
    code = """
cell(2, "os.environ['TINYGRADRNN_BACKEND'] = 'mirror'")
cell(3, "\\nx = tg.tensor([1.0])")
print(type(x.data).__name__, '|', active_origin())
"""
    said = run_python(NOTEBOOK + code, "-W", "error", path=(mirror,))
    where = "in the environment, read at first use, <cell 3>:2"
    assert said == f"MirrorArray | TINYGRADRNN_BACKEND {where}"


def test_variable_that_is_set_too_late_is_told_once(mirror):
    code = """
sys.stderr = sys.stdout
cell(2, "x = tg.tensor([1.0])")
cell(3, "os.environ['TINYGRADRNN_BACKEND'] = 'mirror'")
cell(4, "x = tg.nn.Linear(2, 2)")
cell(5, "x = tg.tensor([1.0]); y = tg.tensor([1.0])")
cell(6, "os.environ['TINYGRADRNN_BACKEND'] = 'numpy'; x = tg.tensor([1.0])")
cell(7, "tg.use_backend('mirror'); os.environ['TINYGRADRNN_BACKEND'] = 'numpy'")
cell(8, "print(type(tg.tensor([1.0]).data).__name__)")
"""
    assert run_python(NOTEBOOK + code, path=(mirror,)).splitlines() == [
        "<cell 4>:1: RuntimeWarning: TINYGRADRNN_BACKEND is 'mirror' now, but it is read only "
        "once: the active backend is numpy (from the default: TINYGRADRNN_BACKEND was not set at "
        "first use, <cell 2>:1). To switch, call tinygradrnn.use_backend('mirror'); what was made "
        "before stays where it is.",
        "MirrorArray",
    ]


def test_wrong_variable_is_harmless_where_something_else_decides():
    code = "from tinygradrnn.backend import *; use_backend('numpy'); print(get_backend().name)"
    assert run_python(code, backend="nonsense") == "numpy"


def test_precedence():
    code = f"""
import sys; sys.path.insert(0, {str(ROOT / "tests")!r})
from test_backend import *
def now(): return get_backend().name + " from " + active_origin().partition(" at ")[0]
print(now())
use_backend(Other())
print(now())
with backend_scope("numpy"):
    print(now())
    with backend_scope(Other()): print(now())
    use_backend("numpy")
    print(now())
print(now())
"""
    assert run_python(code, backend="numpy").splitlines() == [
        "numpy from TINYGRADRNN_BACKEND in the environment, read",
        "other from use_backend()",
        "numpy from backend_scope()",
        "other from backend_scope()",
        "numpy from backend_scope()",
        "numpy from use_backend()",
    ]


def test_scope_is_left_after_an_error(other):
    before = get_backend(), active_origin()
    with pytest.raises(ZeroDivisionError), backend_scope(other) as inside:
        assert get_backend() is inside is other
        raise ZeroDivisionError
    assert (get_backend(), active_origin()) == before


def test_origin_names_file_and_line(other):
    line = sys._getframe().f_lineno + 1
    with backend_scope(other):
        assert active_origin() == f"backend_scope() at {__file__}:{line}"


def test_origin_is_a_line_of_the_users_program():
    """Not one of this package, which may lie in between."""
    code = """import tinygradrnn as tg
x = tg.tensor([1.0])
try: x.to('cuda')
except tg.UnknownBackendError as error: print(str(error).partition(').')[0])
try: tg.nn.Linear(1, 1).to('cuda')
except tg.UnknownBackendError as error: print(str(error).partition(').')[0])
"""
    assert run_python(code).splitlines() == [
        "'cuda' is not a backend (from Tensor.to() at <string>:3",
        "'cuda' is not a backend (from Module.to() at <string>:5",
    ]


def test_threads():
    """A new thread sees what use_backend chose; a scope is the affair of its own thread."""
    code = f"""
import sys, threading; sys.path.insert(0, {str(ROOT / "tests")!r})
from test_backend import *
def ask():
    seen = []
    thread = threading.Thread(target=lambda: seen.append(get_backend().name))
    thread.start(); thread.join()
    return seen[0]
use_backend(Other())
inherits = getattr(sys.flags, "thread_inherit_context", 0)
with backend_scope("numpy"): inside = ask()
print(ask(), inside == ("numpy" if inherits else "other"))
"""
    assert run_python(code) == "other True"


def test_first_use_in_many_threads_makes_one_backend():
    code = """
import threading
from tinygradrnn.backend import get_backend
start, seen = threading.Barrier(8), []
def ask(): start.wait(); seen.append(get_backend())
threads = [threading.Thread(target=ask) for _ in range(8)]
for each in threads: each.start()
for each in threads: each.join()
print(len(seen), len(set(map(id, seen))))
"""
    assert run_python(code) == "8 1"


# ------------------------------------------------------------------- auto, with and without CuPy


def test_auto_without_cupy_says_why_once():
    code = WITHOUT_CUPY + "import logging; logging.basicConfig(stream=sys.stdout, level='INFO')\n"
    logged, chosen = run_python(code + NAME + "; get_backend()", backend="auto").splitlines()
    start = "INFO:tinygradrnn:tinygradrnn: backend numpy (auto: CuPy is not installed"
    assert logged.startswith(start)
    why = logged[logged.index("(auto") :]
    where = VARIABLE.replace("<string>:1", "<string>:3")
    assert chosen == f"numpy | {where} {why}"


def test_cupy_absent():
    """What follows depends on the driver of the machine: see test_diagnosis."""
    said = run_python(WITHOUT_CUPY + NAME, backend="cupy", fails=True)
    assert said.startswith(
        "tinygradrnn.plugins.BackendUnavailableError: The cupy backend was asked for "
        "(TINYGRADRNN_BACKEND=cupy in the environment, read at first use, <string>:2) but CuPy is "
        "not installed"
    )
    assert said.endswith(
        'To run on the CPU: unset TINYGRADRNN_BACKEND or call tinygradrnn.use_backend("numpy").'
    )


def test_cupy_absent_at_a_call():
    code = WITHOUT_CUPY + "from tinygradrnn.backend import *; "
    said = run_python(code + "use_backend('cupy')", fails=True)
    assert "asked for (use_backend('cupy') at <string>:2) but CuPy is not installed" in said
    assert said.endswith('To run on the CPU: write use_backend("numpy") there.')
    for call in ("backend_scope('cupy')", "load_backend('cupy', 'Tensor.to()')"):
        said = run_python(code + call, fails=True)
        assert said.endswith(
            'write "numpy" there (tinygradrnn.use_backend("numpy") is for the whole process).'
        )


@pytest.fixture
def broken_cupy(tmp_path) -> Path:
    (tmp_path / "cupy.py").write_text("raise ImportError('libcublas.so.13 is gone')\n")
    return tmp_path


def test_broken_cupy_is_named_with_its_cause(broken_cupy):
    code = "from tinygradrnn.backend import *\ntry: get_backend()\n"
    code += "except BackendUnavailableError as e: print(e, '|', repr(e.__cause__))"
    said = run_python(code, backend="cupy", path=(broken_cupy,))
    assert "but CuPy is installed but does not import (libcublas.so.13 is gone)." in said
    assert said.endswith("| ImportError('libcublas.so.13 is gone')")


def test_auto_does_not_hide_a_broken_cupy(broken_cupy):
    said = run_python(NAME, "-W", "error", backend="auto", path=(broken_cupy,), fails=True)
    assert said.startswith("RuntimeWarning: The 'auto' backend is numpy, because cupy is broken")
    assert "libcublas.so.13 is gone" in said
    said = run_python(NAME, "-W", "ignore", backend="auto", path=(broken_cupy,))
    assert said.startswith(f"numpy | {VARIABLE} (auto: cupy is broken")


def test_available_backends_reports_a_broken_cupy(broken_cupy):
    code = "from tinygradrnn.backend import *; print(available_backends()['cupy'])"
    said = run_python(code, path=(broken_cupy,))
    assert said.startswith("(False, ") and "libcublas.so.13 is gone" in said


# ---------------------------------------------------------------------------------- wrong names


def test_unknown_name_in_the_environment():
    assert run_python(NAME, backend="cuda", fails=True) == (
        "tinygradrnn.plugins.UnknownBackendError: 'cuda' is not a backend (from "
        f"{VARIABLE}). Did you mean 'cupy'? Available names: numpy, cupy, guard, auto. Plug-ins "
        "found: "
        "none (entry-point group 'tinygradrnn.backends'). tinygradrnn.use_backend() takes any of "
        "them."
    )


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("gpu", "Did you mean 'cupy'?"),
        ("np", "Did you mean 'numpy'?"),
        ("numpi", "Did you mean 'numpy'?"),
        ("auot", "Did you mean 'auto'?"),
        ("cupy:1", "Choose the GPU with CUDA_VISIBLE_DEVICES and the backend with 'cupy'."),
        ("zzz", "use_backend() at"),
        ("", "'' is not a backend"),
    ],
)
def test_unknown_name_in_a_call(name, hint):
    before = get_backend()
    with pytest.raises(UnknownBackendError, match=re.escape(hint)):
        use_backend(name)
    with pytest.raises(ValueError):
        backend_scope(name)
    assert get_backend() is before


# ------------------------------------------------------------------ which backend an array is of


@pytest.mark.parametrize("array", [np.zeros(2), np.float32(1), np.int64(1), np.zeros(2).sum()])
def test_backend_of_numpy_arrays_and_scalars(array):
    assert backend_of(array).name == "numpy"


def test_backend_of_follows_the_array_not_the_active_backend(other):
    with backend_scope(other):
        assert backend_of(np.zeros(2)).name == "numpy"
        assert backend_of(other.asarray([1.0])) is other


def test_backend_of_loads_the_owner_of_a_type_at_first_sight():
    code = "from tinygradrnn.backend import *; import numpy\n"
    code += "print(len(backend_of_type), backend_of(numpy.zeros(2)).name, len(backend_of_type))"
    assert run_python(code) == "0 numpy 1"


def test_backend_of_finds_a_plug_in_by_the_type_it_defines(mirror):
    code = "from tinygradrnn.backend import *; import numpy, mirror_backend\n"
    code += "array = numpy.zeros(2).view(mirror_backend.MirrorArray); print(backend_of(array).name)"
    assert run_python(code, path=(mirror,)) == "mirror"


@pytest.mark.parametrize("value", [1.0, [1.0], None, threading.Lock()])
def test_backend_of_something_else(value):
    with pytest.raises(TypeError, match=rf"{type(value).__qualname__} is not an array of a known"):
        backend_of(value)


def test_mixed_operands(other):
    with backend_scope(other):
        arrays = [np.zeros(2), np.zeros(2), other.asarray([1.0])]
        assert common_backend("add", arrays[:2]).name == "numpy"
        line = sys._getframe().f_lineno - 3
        with pytest.raises(MixedBackendError) as caught:
            common_backend("where", arrays)
    assert isinstance(caught.value, TypeError)
    assert str(caught.value) == (
        'where got a numpy array and a other array; call .to("numpy") on the third '
        "(no implicit copies between devices). New arrays are made on other (from backend_scope() "
        f"at {__file__}:{line}); tinygradrnn.use_backend() changes that."
    )
