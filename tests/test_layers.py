"""Who may import whom. Read from the source alone, so that no import is run by accident."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HEAVY = {
    "torch", "transformers", "trl", "peft", "bitsandbytes", "datasets", "accelerate",
}  # fmt: skip
LARGE = {"pyarrow", "openpyxl", "rensa"}
"""Needed for some files only; loaded when such a file is read, so that the window opens at once."""
READS_LARGE = {"reading", "doctor"}
QT = {"PySide6", "shiboken6", "pyqtgraph", "pytestqt"}
LAW = """
redaction reach
value sizing child courtesy disk manifest visible
errors
metrics numbers events places yamls causes awake oddities power
machine weights vault templates
screening
model_files durable
offline
hub_wire
holder
models formats room
rewards teachers
adapt objectives choices data_choices
recipe catalog
repeats
reading findings jsonl
copies hub_spec
anchors
recognise
dataset tokens thinning
history pulse
mixing
doctor
checkup
mending
parting
origins excerpts
memory
draft
portions schedules rates resuming
pace
joining speeding
settle
whatif
misfits
problems
plan
offers rundir hub hub_files queue
vacancy
retention
hub_data
fetch_shape
fetch
answering merging
ladder
asking ranking
converting
making
launch
exact
terminal
describe plan_text watch
plan_page keeper
make_command
commands data_commands
preflight
planning judging exporting model_commands queue_commands
cli
__main__
"""
"""Modules and packages of core, lowest first; each imports only from lines above its own."""
RANK = {name: rank for rank, line in enumerate(LAW.split("\n")) for name in line.split()}
ENGINE_BELOW = RANK["launch"]
"""The engine stands beside launch: it may use whatever stands below it."""
LAZY = {"adapt", "objectives"}
"""May import heavy libraries inside functions, which only the engine calls."""
TUNERS = {"core.adapt.bottleneck_tuner"}
"""Heavy as a whole: classes made of the libraries' own, imported by those functions alone."""


def modules() -> list[tuple[str, Path]]:
    """Every module of core and gui with its file."""
    files = [*(ROOT / "core").rglob("*.py"), *(ROOT / "gui").rglob("*.py")]
    return sorted((dotted(path), path) for path in files)


def dotted(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


class Import:
    """One imported module: its dotted name and whether it is imported only when called."""

    def __init__(self, name: str, *, lazy: bool) -> None:
        self.name, self.lazy = name, lazy
        self.top = name.split(".")[0]


def imports(source: str) -> Iterator[Import]:
    """Everything a source imports, except what only a type checker reads."""
    yield from _imports(ast.parse(source).body, lazy=False)


def _imports(body: list[ast.stmt], *, lazy: bool) -> Iterator[Import]:
    for node in body:
        match node:
            case ast.Import():
                yield from (Import(alias.name, lazy=lazy) for alias in node.names)
            case ast.ImportFrom():
                assert node.level == 0, "relative imports are banned"
                for alias in node.names:
                    yield Import(f"{node.module}.{alias.name}", lazy=lazy)
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                yield from _imports(node.orelse, lazy=lazy)
            case _:
                inside = lazy or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
                yield from _imports(_statements(node), lazy=inside)


def _statements(node: ast.stmt) -> list[ast.stmt]:
    """Statements nested directly in one, in whichever clause."""
    nested = list(ast.iter_child_nodes(node))
    for clause in [n for n in nested if isinstance(n, ast.ExceptHandler | ast.match_case)]:
        nested += clause.body
    return [inner for inner in nested if isinstance(inner, ast.stmt)]


def layer(name: str) -> str:
    """The line of the law a module of core stands on: `core.formats.chat` is `formats`."""
    return name.split(".")[1] if "." in name else ""


def faults(module: str, source: str) -> list[str]:
    """How a module breaks the law."""
    side = module.split(".")[0]
    check = _core_faults if side == "core" else _gui_faults
    return [f"{module} {fault}" for found in imports(source) for fault in check(module, found)]


def _gui_faults(module: str, found: Import) -> Iterator[str]:
    if found.top in HEAVY | LARGE:
        yield f"imports {found.top}: the window never loads the training libraries"
    if f"{found.name}.".startswith("core.engine."):
        yield "imports core.engine: the engine is only ever started as a process"


def _core_faults(module: str, found: Import) -> Iterator[str]:
    own = layer(module)
    if found.top == "gui" or found.top in QT:
        yield f"imports {found.name}: core knows no window"
    lazily = found.lazy and own in LAZY
    if found.top in HEAVY and own != "engine" and module not in TUNERS and not lazily:
        yield f"imports {found.name}: only core.engine loads the training libraries"
    if found.top in LARGE and not (found.lazy and own in READS_LARGE):
        yield f"imports {found.name}: only core.reading and core.doctor do, when they need it"
    if any(f"{found.name}.".startswith(f"{tuner}.") for tuner in TUNERS) and not lazily:
        yield f"imports {found.name}: it loads the training libraries"
    if found.top == "core":
        yield from _order_faults(own, layer(found.name))


def _order_faults(own: str, other: str) -> Iterator[str]:
    if own == other or own == "" or other == "__version__":
        return
    if other == "engine":
        yield "imports core.engine: the engine is only ever started as a process"
    elif other not in RANK:
        yield f"imports core.{other}, which has no place in the law"
    elif RANK[other] >= (ENGINE_BELOW if own == "engine" else RANK.get(own, -1)):
        yield f"imports core.{other}, which does not stand below it"


@pytest.mark.parametrize(("module", "path"), modules(), ids=[name for name, _ in modules()])
def test_the_law_is_kept(module: str, path: Path) -> None:
    assert faults(module, path.read_text(encoding="utf-8")) == []


def test_every_module_of_core_has_a_place() -> None:
    names = {layer(name) for name, _ in modules() if name.startswith("core.")}
    assert names - {"engine"} <= set(RANK)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("core.plan", "import torch"),
        ("core.plan", "def f():\n    import torch"),
        ("core.plan", "try:\n    import torch.nn\nexcept ImportError:\n    pass"),
        ("core.plan", "try:\n    pass\nexcept ImportError:\n    import trl"),
        ("core.plan", "match 1:\n    case 1:\n        import peft"),
        ("core.adapt.lora", "from peft import LoraConfig"),
        ("core.adapt.lora", "class A:\n    import peft"),
        ("core.adapt.bottleneck", "from core.adapt.bottleneck_tuner import register"),
        ("core.adapt.bottleneck", "from core.adapt import bottleneck_tuner"),
        ("core.cli", "def f():\n    from core.adapt import bottleneck_tuner"),
        ("core.plan", "def f():\n    import pyarrow"),
        ("core.reading.columnar", "import pyarrow"),
        ("gui.session", "def f():\n    import openpyxl"),
        ("core.plan", "from PySide6.QtCore import QObject"),
        ("core.engine.run", "import PySide6"),
        ("core.launch", "from gui import session"),
        ("core.launch", "from core.engine import emit"),
        ("core.launch", "from core import engine"),
        ("core.launch", "import core.engine.run"),
        ("core.engine.run", "from core import launch"),
        ("core.engine.run", "from core.terminal import Terminal"),
        ("core.value", "from core.errors import CoreError"),
        ("core.recipe", "from core import plan"),
        ("core.events", "import core.numbers"),
        ("core.plan", "from core.newcomer import thing"),
        ("gui.session", "import torch"),
        ("gui.session", "def f():\n    from transformers import AutoModel"),
        ("gui.session", "from core.engine.emit import Voice"),
        ("gui.session", "from core import engine"),
    ],
)
def test_a_planted_violation_is_found(module: str, source: str) -> None:
    assert len(faults(module, source)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("core.engine.run", "import torch"),
        ("core.adapt.lora", "def f():\n    from peft import LoraConfig"),
        ("core.adapt.lora", "if TYPE_CHECKING:\n    from peft import LoraConfig"),
        ("core.reading.columnar", "def f():\n    import pyarrow"),
        ("core.formats.chat", "from core.formats.base import Format"),
        ("core.engine.run", "from core.rundir import RunDir"),
        ("core.cli", "from core import __version__, commands"),
        ("gui.session", "from core import launch"),
    ],
)
def test_what_is_allowed_is_let_through(module: str, source: str) -> None:
    assert faults(module, source) == []


def test_packaging_stays_a_plain_folder() -> None:
    """With an __init__.py it would hide the library `packaging` that the trainer needs."""
    assert not (ROOT / "packaging" / "__init__.py").exists()


def test_light_modules_load_nothing_heavy() -> None:
    core = [name for name, _ in modules() if name.startswith("core") and layer(name) != "engine"]
    loaded = _loaded_after([n for n in core if n not in {"core.__main__", *TUNERS}])
    assert loaded & (HEAVY | LARGE | QT) == set()


def test_the_window_loads_nothing_heavy() -> None:
    gui = [name for name, _ in modules() if name.startswith("gui") and name != "gui.__main__"]
    loaded = _loaded_after(gui)
    assert loaded & (HEAVY | LARGE) == set()
    assert "PySide6" in loaded, "the probe did not import the window"


def _loaded_after(names: list[str]) -> set[str]:
    """Top-level modules in a fresh interpreter after importing these."""
    program = (
        "import importlib, json, sys\n"
        "for name in json.loads(sys.argv[1]): importlib.import_module(name)\n"
        "print(json.dumps(sorted(m for m in sys.modules if '.' not in m)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps(names)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(json.loads(done.stdout))
