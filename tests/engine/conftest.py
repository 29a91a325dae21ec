"""Real runs of the real engine, inside the test's process so that libraries load once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from core import mixing, models
from core.engine import rendering
from core.engine.emit import Voice
from core.engine.run import train
from core.engine.wishes import Wishes
from core.events import Event, Started
from core.history import History
from core.machine import read_machine
from core.places import sample
from core.plan import Facts, Plan, make_plan
from core.recipe import Recipe, parse
from core.rundir import RunDir

torch.set_num_threads(1)  # quick whatever else the machine does, and the same everywhere

Listener = Callable[[RunDir, Event], None]


class Listening(Voice):
    """Also tells the test, which may then press a button at an exact step."""

    def __init__(self, run: RunDir, listener: Listener) -> None:
        super().__init__(run)
        self._run, self._listener = run, listener

    def say(self, event: Event) -> None:
        super().say(event)
        self._listener(self._run, event)


def plan_of(recipe: Recipe) -> Plan:
    """The plan of a recipe on this machine."""
    facts = Facts(
        machine=read_machine(),
        model=models.look(models.resolve(recipe.model)),
        **dict(mixing.look(recipe.data)),
    )
    return make_plan(recipe, facts)


def create(root: Path, recipe: Recipe) -> RunDir:
    """A new run on the processor."""
    return RunDir.create(root, recipe, plan_of(recipe).model_dump_json())


def go(run: RunDir, listener: Listener = lambda run, event: None) -> History:
    """Train, or go on from the newest checkpoint; raises what the engine would have told."""
    resumed, _ = run.newest_valid()
    voice = Listening(run, listener)
    try:
        with run.lock().acquire(timeout=2):
            voice.say(Started(pid=0, resumed=resumed))
            voice.say(train(run, voice, Wishes(run, run.control().serial), resumed))
    finally:
        voice.close()
    return run.history()


def losses(history: History) -> list[float]:
    return [step.loss for step in history.steps]


def weights(run: RunDir) -> dict[str, str]:
    """A digest of every weight file of the artefact."""
    folder = run.adapter if run.adapter.exists() else run.model
    return {
        p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.glob("*.safetensors")
    }


@pytest.fixture(autouse=True, scope="module")
def nothing_renders_on() -> Iterator[None]:
    """No process that renders a stranger's template outlives the tests of a file."""
    yield
    rendering.stop()


@pytest.fixture(scope="session")
def tickets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first 40 sample tickets in a file of their own."""
    path = tmp_path_factory.mktemp("data") / "tickets.jsonl"
    lines = sample("tickets.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[:40]), encoding="utf-8")
    return path


@pytest.fixture
def recipe(tickets: Path) -> Recipe:
    """Ten steps of eight rows on the starter model, without generated answers."""
    return parse(
        {
            "model": "starter",
            "data": {"path": str(tickets), "heldout_share": 0.2},
            "training": {
                "max_steps": 10, "micro_batch": 4, "accumulation": 2, "learning_rate": 1e-3,
                "max_length": 256, "device": "cpu",
            },
            "checks": {"every": 5, "score_rows": 0, "answer_length": 2},
        }
    )  # fmt: skip
