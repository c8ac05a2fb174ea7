"""What is built, what an import costs, and which module may import which."""

from __future__ import annotations

import ast
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
from processes import ROOT, pip_install, run_python

import tinygradrnn

pytestmark = pytest.mark.numpy_only("about files and processes")

PACKAGES = ("tinygradrnn", "tinygradrnn_numpy", "tinygradrnn_cupy")
SOURCES = (ROOT / "tinygradrnn", *(ROOT / "backends").iterdir())
TUTORIALS = sorted((ROOT / "tutorials").glob("[0-9][0-9]_*.py"))

# From the bottom up: a module imports only from those before it. A name stands for all below it,
# except what has a line of its own. The package itself is its table of contents: it may import
# anything, and be imported only by what comes after it.
LAYERS = [
    *(
        "collector",
        "plugins",
        "backend",
        "recording",
        "ranges",
        "arrays",
        "handles",
        "tensors",
        "ops.base",
        "ops",
        "seeds",
        "reduction",
        "lengths",
        "ctc",
        "functional",
        "trees",
    ),
    *("together", "ledgers", "gradients", "recomputing", "graph", "checks"),
    *(
        "nn.states",
        "nn.initialisers",
        "nn.summary",
        "nn.modules",
        "nn.layers",
        "nn.cells.base",
        "nn.cells",
        "nn.ahead",
    ),
    *("nn.rnn", "nn.stacks", "nn"),
    *("clipping", "optim", "analysis", "checkpoint", "drawing", "stepper", "compiler", "testing"),
    *("tinygradrnn", "text", "models", "training", "data", "course"),
    *("commands.flags", "commands.targets", "commands"),
    *("cli", "__main__"),
]
# A tensor's operators and methods are written in terms of what is written in terms of tensors.
BACKWARD_ARROWS = {("tensors", "ops"), ("tensors", "gradients")}

LONGEST = 420
HEAVY = ("cupy", "graphviz", "pygraphviz", "matplotlib", "rich", "safetensors", "pytest")


# ------------------------------------------------------------------------------------- the wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    target = tmp_path_factory.mktemp("installed")
    pip_install(wheel, target)
    return target


def information(wheel: Path, file: str) -> str:
    folder = f"tinygradrnn-{tinygradrnn.__version__}.dist-info"
    return zipfile.ZipFile(wheel).read(f"{folder}/{file}").decode()


def test_wheel_holds_the_packages_and_nothing_else(wheel):
    names = {n for n in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in n}
    assert {name.partition("/")[0] for name in names} == set(PACKAGES)
    tutorials = {f"tinygradrnn/course/tutorials/{path.name}" for path in TUTORIALS}
    assert names - tutorials == {
        path.relative_to(package.parent).as_posix()
        for package in SOURCES
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert tutorials <= names
    assert {f"{package}/py.typed" for package in PACKAGES} <= names
    assert "tinygradrnn/data/shakespeare.txt" in names


def test_wheel_metadata(wheel):
    metadata = Parser().parsestr(information(wheel, "METADATA"))
    assert metadata["License-Expression"] == "MIT"
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["Version"] == tinygradrnn.__version__
    assert "pip install" in metadata.get_payload()
    required = metadata.get_all("Requires-Dist")
    assert not any("cupy" in line for line in required if "extra ==" not in line)
    assert "the tinygradrnn authors" in information(wheel, "licenses/LICENSE")


USE = """
import tinygradrnn as tg, sys
print(tg.__file__)
print(sys.modules[type(tg.get_backend()).__module__].__file__)
x = tg.tensor([1.0, 2.0], requires_grad=True)
(x * x).sum().backward()
print(x.grad.numpy().tolist(), sorted(tg.available_backends()))
"""


@pytest.mark.parametrize("where", ["elsewhere", "repository root", "backends folder"])
def test_wheel_works_wherever_it_is_used(installed, tmp_path, where):
    """Also beside the sources, whose folders must not hide the installed packages."""
    cwd = {"elsewhere": tmp_path, "repository root": ROOT, "backends folder": ROOT / "backends"}
    # -S keeps the development installation out.
    path = (installed, sysconfig.get_path("purelib"), sysconfig.get_path("platlib"))
    package, plug_in, result = run_python(USE, "-S", path=path, cwd=cwd[where]).splitlines()
    assert result == "[2.0, 4.0] ['cupy', 'guard', 'numpy']"
    if where != "repository root":
        assert Path(package).is_relative_to(installed)
    if where != "backends folder":
        assert Path(plug_in).is_relative_to(installed)


@pytest.mark.skipif(not TUTORIALS, reason="there are no tutorials yet")
def test_the_wheel_brings_the_course(installed, tmp_path):
    code = "from tinygradrnn.cli import main; print(main(['tutorial']))"
    path = (installed, sysconfig.get_path("purelib"), sysconfig.get_path("platlib"))
    *listed, where, status = run_python(code, "-S", path=path, cwd=tmp_path).splitlines()
    assert status == "0"
    assert [line[:2] for line in listed] == [path.name[:2] for path in TUTORIALS]
    assert where == f"Their files are in {installed / 'tinygradrnn' / 'course' / 'tutorials'}"


# -------------------------------------------------------------------------------------- imports


def test_import_is_light():
    """An import loads NumPy and nothing heavier, and no backend; a tensor no more than that."""
    code = "import sys, tinygradrnn as tg\n"
    code += "print(sorted(m for m in sys.modules if m.startswith('tinygradrnn_')))\n"
    code += "tg.tensor([1.0])\n"
    code += f"print([name for name in {HEAVY} if name in sys.modules], 'numpy' in sys.modules)"
    assert run_python(code).splitlines() == ["[]", "[] True"]


def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name; the package itself is "tinygradrnn"."""
    package = ROOT / "tinygradrnn"
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        found[".".join(part for part in parts if part != "__init__") or "tinygradrnn"] = path
    return found


def layer(module: str) -> int:
    while module not in LAYERS:
        module, dot, _ = module.rpartition(".")
        assert dot, f"tests/test_packaging.py: LAYERS does not say where {module or 'it'} stands"
    return LAYERS.index(module)


def imports(tree: ast.AST, name: str, is_package: bool, known: set[str]) -> set[str]:
    """The modules of the package that this one imports anywhere, except for its type hints."""
    found = set()
    below = [tree]
    while below:
        node = below.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            below += node.orelse
            continue
        below += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            dotted = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            own = ["tinygradrnn", *name.split(".")][: None if is_package else -1]
            base = own[: len(own) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            dotted = [f"{source}.{alias.name}" for alias in node.names]
        else:
            continue
        for each in dotted:
            if each.partition(".")[0] == "tinygradrnn":
                target = each.partition(".")[2] or "tinygradrnn"
                while target not in known:
                    target = target.rpartition(".")[0] or "tinygradrnn"
                found.add(target)
    return found


def backward_arrows(sources: dict[str, str], packages: set[str]) -> list[str]:
    wrong = []
    for name, source in sources.items():
        if name == "tinygradrnn":
            continue
        for target in imports(ast.parse(source), name, name in packages, set(sources)):
            allowed = (name, target.partition(".")[0]) in BACKWARD_ARROWS
            if layer(target) > layer(name) and not allowed:
                wrong.append(f"{name} imports {target}, which stands below it in LAYERS")
    return sorted(wrong)


def test_no_import_runs_back():
    found = modules()
    packages = {name for name, path in found.items() if path.name == "__init__.py"}
    sources = {name: path.read_text("utf-8") for name, path in found.items()}
    assert not backward_arrows(sources, packages)


@pytest.mark.parametrize(
    ("module", "line", "runs_back"),
    [
        ("recording", "from tinygradrnn.tensors import Tensor", True),
        ("recording", "def f():\n    from tinygradrnn import nn", True),
        ("recording", "import tinygradrnn.optim as o", True),
        ("recording", "import tinygradrnn", True),
        ("recording", "from tinygradrnn import tensor", True),
        ("recording", "from . import graph", True),
        ("nn.cells.lstm", "from ..rnn import RNN", True),
        ("nn.cells.lstm", "from .base import Cell", False),
        ("nn.cells", "from .lstm import LSTMCell", False),
        ("nn.cells", "from ..rnn import RNN", True),
        ("nn.layers", "from tinygradrnn.nn import RNN", True),
        ("nn.layers", "from tinygradrnn.nn import modules", False),
        ("nn.rnn", "import numpy\nfrom tinygradrnn.recording import timestep", False),
        ("tensors", "from tinygradrnn.ops import add", False),
        ("tensors", "from tinygradrnn import nn", True),
        ("recording", "if TYPE_CHECKING:\n    from tinygradrnn.tensors import Tensor", False),
        ("cli", "import tinygradrnn as tg", False),
    ],
)
def test_the_reader_of_imports(module, line, runs_back):
    names = "tinygradrnn recording tensors graph ops nn nn.cells nn.cells.base nn.cells.lstm"
    names += " nn.modules nn.layers nn.rnn optim cli"
    sources = dict.fromkeys(names.split(), "") | {module: line}
    found = backward_arrows(sources, {"tinygradrnn", "ops", "nn", "nn.cells"})
    assert bool(found) == runs_back, found


def test_no_module_has_the_name_of_a_public_function():
    """`import tinygradrnn.draw` would put the module where `tg.draw` was."""
    files = {path.stem for path in (ROOT / "tinygradrnn").iterdir()}
    public = {
        name
        for name in tinygradrnn.__all__
        if callable(getattr(tinygradrnn, name)) and not isinstance(getattr(tinygradrnn, name), type)
    }
    assert {"tensor", "get_backend", "use_backend", "backend_scope", "available_backends"} <= public
    assert not files & (public | {"draw", "compile", "load", "save"})


def test_the_runtime_needs_five_packages():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    names = {need.partition(">")[0] for need in project["dependencies"]}
    assert names == {"numpy", "graphviz", "safetensors", "matplotlib", "rich"}


def test_no_file_is_long():
    lengths = {
        path.relative_to(ROOT).as_posix(): len(path.read_text("utf-8").splitlines())
        for folder in (*SOURCES, ROOT / "tests", ROOT / "benchmarks")
        for path in folder.rglob("*.py")
    }
    assert {path: length for path, length in lengths.items() if length > LONGEST} == {}
