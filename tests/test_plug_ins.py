"""Backends of other packages: how they are found, and what is said of those that do not work."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from processes import ROOT, run_python
from test_backend import NAME

from tinygradrnn.backend import (
    BackendUnavailableError,
    available_backends,
    load_backend,
    use_backend,
)

pytestmark = pytest.mark.numpy_only("about packages that are installed")


@pytest.fixture
def register(tmp_path, monkeypatch):
    """Lay out an installed package that registers a backend."""

    def lay_out(package: str, name: str, source: str = "") -> str:
        module = package.replace("-", "_")
        information = tmp_path / f"{module}-1.0.dist-info"
        information.mkdir()
        (information / "METADATA").write_text(f"Name: {package}\nVersion: 1.0\n")
        (information / "entry_points.txt").write_text(
            f"[tinygradrnn.backends]\n{name} = {module}:Plugged\n"
        )
        (tmp_path / f"{module}.py").write_text(source)
        monkeypatch.syspath_prepend(tmp_path)
        return name

    return lay_out


def test_third_party_package(mirror):
    code = """
import tinygradrnn as tg
x = tg.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
loss = (x * x)[[0, 0, 1]].sum()
loss.backward()
print(type(x.data).__name__, type(loss.data).__name__, type(x.grad.data).__name__)
print(x.grad.numpy().tolist(), loss.item())
print(tg.available_backends()["mirror"])
try: tg.use_backend("miror")
except ValueError as error: print(error)
"""
    said = run_python(code, backend="mirror", path=(mirror,)).splitlines()
    assert said[0] == "MirrorArray MirrorArray MirrorArray"
    assert said[1] == "[[4.0, 8.0], [6.0, 8.0]] 35.0"
    assert said[2] == "(True, 'always')"
    assert "Did you mean 'mirror'?" in said[3] and "Plug-ins found: mirror (" in said[3]


def test_plug_in_is_not_imported_before_it_is_asked_for(register):
    register("unasked", "unasked", "raise SystemError('was imported')")
    load_backend("numpy", "the tests")
    assert "unasked" not in sys.modules
    assert available_backends()["unasked"] == (False, "SystemError: was imported")


def test_plug_in_that_fails_to_load_keeps_the_cause(register):
    name = register("crashing", "crashing", "import no_such_library")
    with pytest.raises(BackendUnavailableError) as caught:
        use_backend(name)
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)
    assert str(caught.value).startswith("The crashing backend was asked for (use_backend('crash")
    assert (
        "but loading it from crashing:Plugged (crashing) failed: ModuleNotFoundError: No module "
        "named 'no_such_library'. To run on the CPU: write use_backend(\"numpy\") there."
    ) in str(caught.value)


@pytest.mark.parametrize(
    ("package", "body", "says"),
    [
        (
            "lacking",
            "xp = None; to_numpy = asarray = memory_info = device = available",
            "lacks array_type, name, protocol, scatter_add, synchronize",
        ),
        ("older", "protocol = 0; name = 'older'", "version 0 of the backend protocol; this tiny"),
        ("alias", "name = 'liar'; ", "is registered as 'alias' but names itself 'liar'"),
        ("thief", "name = 'thief'", "arrays of type ndarray, which are those of the numpy back"),
    ],
)
def test_plug_in_that_breaks_the_protocol(register, package, body, says):
    base = "object" if package == "lacking" else "NumPyBackend"
    source = f"""
from tinygradrnn_numpy import NumPyBackend
class Plugged({base}):
    available = staticmethod(lambda: (True, ""))
    {body}
"""
    with pytest.raises(BackendUnavailableError, match=says):
        use_backend(register(package, package, source))


def test_built_in_name_cannot_be_taken(register):
    code = "from tinygradrnn.backend import *; use_backend('numpy')"
    register("usurper", "numpy")
    path = Path(sys.path[0])
    said = run_python(code, path=(path,), fails=True)
    assert "'numpy' is built in, but it is registered by: tinygradrnn, usurper." in said


def test_name_claimed_twice(register):
    register("first-comer", "claimed")
    register("second-comer", "Claimed")
    with pytest.raises(BackendUnavailableError, match="registered by: first-comer, second-comer"):
        use_backend("claimed")
    usable, reason = available_backends()["claimed"]
    assert not usable and "can be registered only once" in reason


def test_source_folder_that_was_never_installed(tmp_path):
    """Without an installation nothing is registered: say so, not "unknown backend"."""
    (tmp_path / "tinygradrnn").symlink_to(ROOT / "tinygradrnn")
    (tmp_path / "numpy").symlink_to(Path(np.__file__).parent)
    said = run_python(NAME, "-S", path=(tmp_path,), fails=True)
    assert "The numpy backend ships with tinygradrnn, but no installed package" in said
    assert said.endswith("pip install -e .")
