"""A run is a directory. Only this module knows the names of its files."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout

from core import durable, recipe
from core.errors import RecipeError, RunError
from core.events import Event, decode
from core.history import History
from core.recipe import Recipe
from core.value import Value

Command = Literal["none", "stop", "pause", "continue", "checkpoint", "sample"]
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_HINT = "Choose another folder for the run, or free this one."


class Control(Value):
    """The newest wish of a user. `serial` grows, so the engine obeys each wish once."""

    command: Command = "none"
    serial: int = 0


@dataclass(frozen=True)
class RunDir:
    """The names inside one run's folder."""

    root: Path

    @property
    def recipe_file(self) -> Path:
        """What the user chose."""
        return self.root / "recipe.yaml"

    @property
    def plan_file(self) -> Path:
        """What it meant on the machine it started on."""
        return self.root / "plan.json"

    @property
    def environment_file(self) -> Path:
        """Versions and hardware of the newest engine."""
        return self.root / "environment.json"

    @property
    def events_file(self) -> Path:
        """What the run said, one event per line."""
        return self.root / "events.jsonl"

    @property
    def log_file(self) -> Path:
        """Everything libraries printed."""
        return self.root / "engine.log"

    @property
    def crash_file(self) -> Path:
        """Where the engine was when a library crashed; empty otherwise."""
        return self.root / "crash.txt"

    @property
    def control_file(self) -> Path:
        """What the user wants now."""
        return self.root / "control"

    @property
    def checkpoints(self) -> Path:
        """One sealed folder per checkpoint."""
        return self.root / "checkpoints"

    @property
    def adapter(self) -> Path:
        """The trained adapter, when one was trained."""
        return self.root / "adapter"

    @property
    def model(self) -> Path:
        """The trained model, when all weights were trained."""
        return self.root / "model"

    @property
    def merged(self) -> Path:
        """The adapter as part of its model's weights, once it was asked for."""
        return self.root / "exports" / "merged"

    @classmethod
    def create(cls, root: Path, chosen: Recipe, plan_json: str) -> RunDir:
        """Make a new run. Raises RunError when the folder is taken or cannot be written."""
        run = cls(root.absolute())
        try:
            run.root.mkdir(parents=True, exist_ok=True)
            if any(run.root.iterdir()):
                raise RunError(f"{root} is not empty.", hint=_HINT)
            run.checkpoints.mkdir()
            run.recipe_file.write_text(chosen.to_yaml(), encoding="utf-8")
            run.plan_file.write_text(plan_json, encoding="utf-8")
            run.events_file.touch()
        except OSError as error:
            reason = error.strerror or str(error)
            raise RunError(f"Cannot write a run to {root}: {reason}.", hint=_HINT) from error
        return run

    @classmethod
    def open(cls, root: Path) -> RunDir:
        """An existing run. Raises RunError when `root` is something else."""
        run = cls(root.absolute())
        if not run.recipe_file.is_file() or not run.events_file.is_file():
            raise RunError(
                f"{root} is not a run: recipe.yaml or events.jsonl is missing.",
                hint="`tunesmith runs` lists the runs on this computer.",
            )
        return run

    def load_recipe(self) -> Recipe:
        """What the user chose. Raises RecipeError."""
        return recipe.load(self.recipe_file)

    def events(self) -> Iterator[Event]:
        """Every complete event so far, oldest first; kinds from newer versions are skipped."""
        with self.events_file.open("rb") as file:
            for line in file:
                if line.endswith(b"\n") and (event := decode(line)):
                    yield event

    def history(self) -> History:
        """The story so far, folded."""
        story = History()
        for event in self.events():
            story.apply(event)
        return story

    def control(self) -> Control:
        """The newest wish; none when the file is absent."""
        try:
            return Control.model_validate_json(self.control_file.read_bytes())
        except (OSError, ValueError):
            return Control()

    def ask(self, command: Command) -> None:
        """Tell the engine what to do at the end of its current step."""
        wish = Control(command=command, serial=self.control().serial + 1)
        durable.write_atomically(self.control_file, wish.model_dump_json())

    def lock(self) -> FileLock:
        """Held by the engine for its whole life; the system frees it however the engine dies."""
        return FileLock(self.root / "lock")

    def is_running(self) -> bool:
        """Whether an engine holds this run now."""
        if not (self.root / "lock").exists():
            return False
        try:
            with self.lock().acquire(timeout=0):
                return False
        except (Timeout, OSError):
            return True

    def checkpoint(self, step: int) -> Path:
        """Where the checkpoint of a step lives."""
        return self.checkpoints / f"step-{step:08}"

    def saved_steps(self) -> list[int]:
        """Steps with a checkpoint folder, newest first, not verified."""
        if not self.checkpoints.is_dir():
            return []
        names = (re.fullmatch(r"step-(\d{8,})", p.name) for p in self.checkpoints.iterdir())
        return sorted((int(m[1]) for m in names if m), reverse=True)

    def newest_valid(self) -> tuple[int | None, list[str]]:
        """The newest checkpoint that verifies, and why newer ones were passed over."""
        faults: list[str] = []
        for step in self.saved_steps():
            fault = durable.verify(self.checkpoint(step))
            if fault is None:
                return step, faults
            faults.append(fault)
        return None, faults


def new_root(home: Path, name: str) -> Path:
    """A free folder for a run called `name`: date, then a safe spelling of the name."""
    safe = _UNSAFE.sub("-", name).strip("-.")[:60] or "run"
    stem = f"{time.strftime('%Y-%m-%d_%H-%M-%S')}_{safe}"
    free = (home / (stem if n == 1 else f"{stem}_{n}") for n in range(1, 10_000))
    return next(path for path in free if not path.exists())


class RunSummary(Value):
    """One line of the list of runs."""

    run: str
    name: str
    outcome: str
    step: int
    total: int
    text: str = ""
    started: float = 0.0


def list_runs(home: Path) -> list[RunSummary]:
    """Every run below `home`, newest first; folders that are no runs are left out."""
    if not home.is_dir():
        return []
    roots = sorted((p for p in home.iterdir() if p.is_dir()), reverse=True)
    return [summarise(RunDir(p)) for p in roots if (p / "events.jsonl").is_file()]


def summarise(run: RunDir) -> RunSummary:
    """How one run stands."""
    alive = run.is_running()
    try:
        story = run.history()
    except (OSError, ValueError) as error:
        return RunSummary(
            run=str(run.root),
            name=run.root.name,
            outcome="failed",
            step=0,
            total=0,
            text=str(error),
        )
    outcome = story.outcome(alive=alive)
    return RunSummary(
        run=str(run.root),
        name=_name(run),
        outcome=outcome.state,
        step=outcome.step,
        total=outcome.total,
        text=str(outcome),
        started=story.started.t if story.started else run.events_file.stat().st_mtime,
    )


def _name(run: RunDir) -> str:
    try:
        return run.load_recipe().name
    except RecipeError:
        return run.root.name


def write_environment(run: RunDir, facts: dict[str, object]) -> None:
    """Record versions and hardware beside the run."""
    durable.write_atomically(run.environment_file, json.dumps(facts, indent=1))
