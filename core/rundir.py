"""A run is a directory. Only this module knows the names of its files."""

from __future__ import annotations

import gc
import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout

from core import __version__, durable, holder, recipe
from core.errors import RecipeError, RunError
from core.events import DamagedEvent, Event, decode
from core.history import History
from core.machine import disk_free
from core.numbers import show_bytes
from core.recipe import Recipe
from core.value import Value

Command = Literal["none", "stop", "pause", "continue", "checkpoint", "sample"]
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_HINT = "Choose another folder for the run, or free this one."
RECENT = 100_000
"""Bytes of the story that tell how a living run stands."""
FORMAT = 1
"""Of run folders; grows when an older program would misread one. Runs without a number have 1."""


NEWER = "was made by a newer version of Tunesmith."


class Control(Value):
    """The newest wish of a user. `serial` grows, so the engine obeys each wish once."""

    command: Command = "none"
    serial: int = 0


@dataclass(frozen=True)
class RunDir:
    """The names inside one run's folder."""

    root: Path

    @property
    def about_file(self) -> Path:
        """In which format the folder is, and which version made it."""
        return self.root / "run.json"

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
    def template(self) -> Path:
        """The chat template that the recipe chose, as it was at the start."""
        return self.root / "chat_template.jinja"

    @property
    def holder_file(self) -> Path:
        """Who holds the lock, for telling; the lock alone decides."""
        return self.root / "lock.json"

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
            durable.make_folder(run.root)
            if any(run.root.iterdir()):
                raise RunError(f"{root} is not empty.", hint=_HINT)
            run._fill(chosen, plan_json)
        except OSError as error:
            reason = error.strerror or str(error)
            raise RunError(
                f"Cannot write a run to {root}: {reason}. {show_bytes(disk_free(root))} are free "
                "there.",
                hint=_HINT,
            ) from error
        return run

    def _fill(self, chosen: Recipe, plan_json: str) -> None:
        """The recipe comes last: a folder without one is no run yet."""
        about = {"format": FORMAT, "made_by": __version__}
        durable.make_folder(self.checkpoints)
        durable.write_atomically(self.about_file, json.dumps(about))
        durable.write_atomically(self.plan_file, plan_json)
        durable.write_atomically(self.events_file, "")
        durable.write_atomically(self.control_file, Control().model_dump_json())
        durable.write_atomically(self.recipe_file, chosen.to_yaml())

    @classmethod
    def open(cls, root: Path) -> RunDir:
        """An existing run. Raises RunError when `root` is something else."""
        run = cls(root.absolute())
        if not run.recipe_file.is_file() or not run.events_file.is_file():
            raise RunError(
                f"{root} is not a run: recipe.yaml or events.jsonl is missing.",
                hint="`tunesmith runs` lists the runs on this computer.",
            )
        if run.newer:
            raise RunError(f"{root} {NEWER}", hint="Update Tunesmith to open it.")
        return run

    @property
    def newer(self) -> bool:
        """Whether the folder is in a format that only a newer version knows."""
        try:
            found = json.loads(self.about_file.read_bytes())["format"]
            return isinstance(found, int) and found > FORMAT
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return False

    def load_recipe(self) -> Recipe:
        """What the user chose. Raises RecipeError."""
        return recipe.load(self.recipe_file)

    def events(self) -> Iterator[Event]:
        """Every complete event so far, oldest first; kinds from newer versions are skipped.

        Raises DamagedEvent.
        """
        with self.events_file.open("rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    event = decode(line) if line.endswith(b"\n") else None
                except DamagedEvent as error:
                    place = f"{self.events_file}, line {number:,}"
                    raise DamagedEvent(f"{place}: {error}.", hint=error.hint) from error
                if event:
                    yield event

    def history(self) -> History:
        """The story so far, folded."""
        story = History()
        with _uncollected():
            for event in self.events():
                story.apply(event)
        return story

    def recent(self) -> History:
        """The end of the story, which tells how a living run stands; cheap however long it is."""
        story = History()
        with self.events_file.open("rb") as file:
            skipped = max(0, file.seek(0, os.SEEK_END) - RECENT)
            file.seek(skipped)
            lines = file.read().split(b"\n")
        for line in lines[bool(skipped) : -1]:  # a torn one stands at either end
            if event := decode(line):
                story.apply(event)
        return story

    def control(self) -> Control:
        """The newest wish; none when the file is absent."""
        try:
            return Control.model_validate_json(self.control_file.read_bytes())
        except (OSError, ValueError):
            return Control()

    def ask(self, command: Command) -> None:
        """Tell the engine what to do at the end of its current step. Raises RunError.

        A wish also gets through on a full disk, where no second file has room beside the first.
        """
        wish = Control(command=command, serial=self.control().serial + 1).model_dump_json()
        try:
            durable.write_atomically(self.control_file, wish)
        except OSError:
            try:
                durable.overwrite(self.control_file, wish)
            except OSError as error:
                reason = error.strerror or str(error)
                raise RunError(
                    f"The run's folder cannot be written to: {reason}.",
                    hint="Free some space on the disk, then ask again.",
                ) from error

    def lock(self) -> FileLock:
        """Held by the engine for its whole life; the system frees it however the engine dies."""
        return FileLock(self.root / "lock")

    @contextmanager
    def hold(self, patience: float) -> Iterator[None]:
        """Be the one engine of this run. Raises RunError that names the other one.

        `patience` is in seconds: whoever asks whether a run is alive holds its lock for a moment.
        """
        try:
            with self.lock().acquire(timeout=patience):
                holder.sign(self.holder_file)
                try:
                    yield
                finally:
                    self.holder_file.unlink(missing_ok=True)
        except Timeout:
            raise self.held() from None

    def held(self) -> RunError:
        """What to say to whoever wants a run that another engine holds."""
        return RunError(
            f"{self.root.name} is already running: {holder.describe(self.holder_file)} holds it.",
            hint="Follow it instead, or stop it first.",
        )

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
            fault = durable.verify(self.checkpoint(step), alone=True)
            if fault is None:
                return step, faults
            faults.append(fault)
        return None, faults


@contextmanager
def _uncollected() -> Iterator[None]:
    """Events form no circles, and looking for some takes a tenth of the time of reading them."""
    paused = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if paused:
            gc.enable()


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
    if run.newer:
        return _unreadable(run, f"{run.root.name} {NEWER}")
    alive = run.is_running()
    try:
        story = run.history()
    except (OSError, ValueError) as error:
        return _unreadable(run, str(error))
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


def _unreadable(run: RunDir, why: str) -> RunSummary:
    return RunSummary(
        run=str(run.root), name=run.root.name, outcome="failed", step=0, total=0, text=why
    )


def _name(run: RunDir) -> str:
    try:
        return run.load_recipe().name
    except RecipeError:
        return run.root.name


def write_environment(run: RunDir, facts: dict[str, object]) -> None:
    """Record versions and hardware beside the run."""
    durable.write_atomically(run.environment_file, json.dumps(facts, indent=1))
