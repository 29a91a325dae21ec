"""Events folded into the curves, counters, scores and outcome that every screen draws."""

from __future__ import annotations

import itertools
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from core.events import (
    Evaluated,
    Event,
    Failed,
    Finished,
    Paused,
    Phase,
    PhaseName,
    Preflight,
    Reduced,
    Sampled,
    Saved,
    Scored,
    Silent,
    Skipped,
    Slept,
    Started,
    Step,
    Warned,
)
from core.numbers import show_bytes, show_duration
from core.thinning import MOST, thinned

PHASES: dict[PhaseName, str] = {
    "measuring": "Measuring memory and time on the longest examples",
    "importing": "Loading the training libraries",
    "tokenising": "Reading the examples",
    "loading": "Loading the model",
    "reference": "Measuring the model before training",
    "scoring": "Answering the held-out questions",
    "beginning": "Computing the beginning of the adapter",
    "training": "Training",
    "saving": "Saving the result",
}
"""What each phase is called, in the window as in the terminal."""

State = Literal["waiting", "running", "paused", "finished", "stopped", "failed", "interrupted"]


@dataclass(frozen=True)
class Outcome:
    """How a run stands, and the one sentence that window, terminal and report all show."""

    state: State
    step: int = 0
    total: int = 0
    saved: int | None = None
    error: str = ""
    early: bool = False
    doubt: str | None = None
    """As in `core.events.Saved`."""

    def __str__(self) -> str:
        where = f"step {self.step:,} of {self.total:,}" if self.total else "the start"
        saved = " Nothing was saved yet."
        if self.saved:
            saved = f" Saved at step {self.saved:,}.{resuming(self.doubt)}"
        match self.state:
            case "waiting":
                return "Not started."
            case "running":
                return f"Training, {where}." if self.step else "Getting ready."
            case "paused":
                return f"Paused at {where}. {self.error}".strip()
            case "finished" if self.early:
                return f"Finished early at {where}: the held-out loss no longer improved."
            case "finished":
                return f"Finished, {where}."
            case "stopped":
                return f"Stopped at {where}.{saved}"
            case "failed":
                return f"Failed at {where}: {self.error}"
            case "interrupted":
                return f"Interrupted at {where}.{saved}"


@dataclass
class History:
    """The story of one run so far. `apply` is the only way it changes."""

    steps: list[Step] = field(default_factory=list)
    """All steps of a usual run; of a very long one, the older ones thinned."""
    evaluations: list[Evaluated] = field(default_factory=list)
    samples: list[Sampled] = field(default_factory=list)
    checkpoints: list[Saved] = field(default_factory=list)
    warnings: list[Warned] = field(default_factory=list)
    silent: Silent | None = None
    """Nothing was heard since then."""
    slept: float = 0.0
    """Seconds that the computer slept while this run was followed."""
    skipped: list[Skipped] = field(default_factory=list)
    reduced: Reduced | None = None
    paused: Paused | None = None
    """The newest pause or its end."""
    phase: Phase | None = None
    preflight: Preflight | None = None
    started: Started | None = None
    before: Scored | None = None
    after: Scored | None = None
    failure: Failed | None = None
    state: State = "waiting"
    early: bool = False
    artefact: str = ""
    discarded: int = 0
    """How many steps were taken back because a resume continued from an older checkpoint."""

    def apply(self, event: Event) -> None:
        """Fold one event in. The order of events is the order of the file."""
        self.silent = None
        match event:
            case Step():  # first, for nearly every event is one
                self._take(event)
            case Silent():
                self.silent = event
            case Started():
                self._start(event)
            case Slept():
                self.slept += event.seconds
            case Phase():
                self.phase, self.state = event, "running"
            case Preflight():
                self.preflight = event
            case Evaluated():
                self.evaluations.append(event)
            case Sampled():
                self.samples.append(event)
            case Saved():
                self.checkpoints.append(event)
            case Warned():
                self._warn(event)
            case Skipped():
                self.skipped.append(event)
            case Reduced():
                self.reduced = event
            case Scored(when="before"):
                self.before = event
            case Scored():
                self.after = event
            case Paused():
                self.paused = event
                self.state = "paused" if event.paused else "running"
            case Failed():
                self.failure, self.state = event, "failed"
            case Finished():
                ended: State = "interrupted" if event.interrupted else "stopped"
                self.state = ended if event.stopped else "finished"
                self.early, self.artefact = event.early, event.artefact

    def _take(self, step: Step) -> None:
        self.state = "running"
        self.steps.append(step)
        if len(self.steps) > MOST:
            self.steps = thinned(self.steps, MOST)

    def _start(self, event: Started) -> None:
        """A new engine took over: forget what its checkpoint has not seen."""
        step = event.resumed or 0
        kept = bisect_right(self.steps, step, key=lambda s: s.step)
        self.discarded += max(0, self.step - step)
        del self.steps[kept:]
        self.evaluations = [e for e in self.evaluations if e.step <= step]
        self.samples = [s for s in self.samples if s.step <= step]
        self.checkpoints = [c for c in self.checkpoints if c.step <= step]
        self.after = None
        self.skipped = [s for s in self.skipped if s.step <= step]
        self.started, self.failure, self.state = event, None, "running"

    def _warn(self, event: Warned) -> None:
        """An engine that goes on finds again what the one before it found."""
        known = [(warning.code, warning.text) for warning in self.warnings]
        if (event.code, event.text) not in known:
            self.warnings.append(event)

    @property
    def step(self) -> int:
        """The last step taken."""
        return self.steps[-1].step if self.steps else 0

    @property
    def total(self) -> int:
        """Steps the run will take, 0 when not known yet."""
        return self.steps[-1].total if self.steps else 0

    @property
    def best(self) -> Evaluated | None:
        """The best look at the held-out rows so far."""
        return next((e for e in reversed(self.evaluations) if e.best), None)

    def outcome(self, *, alive: bool = False) -> Outcome:
        """How the run stands; `alive` says whether an engine holds its lock."""
        state = self.state
        if state in ("running", "paused") and not alive:
            state = "interrupted"
        saved = self.checkpoints[-1] if self.checkpoints else None
        return Outcome(
            state,
            self.step,
            self.total,
            saved.step if saved else None,
            self._trouble(state),
            self.early,
            saved.doubt if saved else None,
        )

    def _trouble(self, state: State) -> str:
        if state == "paused" and self.paused:
            return f"{self.paused.reason} {self.paused.hint}".strip()
        return self.failure.error if self.failure else ""

    @property
    def notes(self) -> list[str]:
        """Everything the user should know, as sentences, each once."""
        said = [f"{one.text} {one.hint}".strip() for one in self.warnings]
        said += [slept_sentence(self.slept)] if self.slept else []
        said += [reduced_sentence(self.reduced)] if self.reduced else []
        said += [skipped_sentence(self.skipped)] if self.skipped else []
        return list(dict.fromkeys(said))

    def seconds_left(self) -> float | None:
        """Time to the last step, from the median pace of the last 50; None before 10 steps."""
        recent = self.steps[-51:]
        paces = sorted(
            later.seconds - earlier.seconds
            for earlier, later in itertools.pairwise(recent)
            if later.seconds >= earlier.seconds
        )
        if len(paces) < 10:
            return None
        return paces[len(paces) // 2] * (self.total - self.step)


def resuming(doubt: str | None) -> str:
    """How exactly a run goes on from a checkpoint, as a sentence to be put behind another one."""
    match doubt:
        case None:
            return ""
        case "":
            return " Resuming ends with the same bits as a run in one go."
    return f" Resuming goes on from there, but not to the same bits: {doubt}."


def reduced_sentence(found: Reduced) -> str:
    """That memory ran out, and what came of it."""
    rows = f"{found.rows:,} row{'s' * (found.rows > 1)}"
    text = f"Memory ran out at step {found.step:,}. Since then {rows} at a time"
    text += ", with gradient checkpointing," if found.recomputed else ""
    return f"{text} are computed: the same rows and the same result, up to rounding."


def skipped_sentence(found: Sequence[Skipped]) -> str:
    """How many steps were left out, which, and where their rows stand."""
    steps = _listed([one.step for one in found])
    what = " or ".join(dict.fromkeys(f"the {one.what}" for one in found))
    rows = _listed([row for one in found for row in one.rows])
    many = f"{len(found):,} steps were" if len(found) > 1 else "1 step was"
    text = f"{many} left out, because {what} was not a finite number (step {steps}"
    return f"{text}; rows {rows})." if rows else f"{text})."


def silent_sentence(found: Silent) -> str:
    """That nothing is heard, and that this need not mean anything."""
    told = f"{PHASES[found.phase]}: nothing was heard for {show_duration(found.seconds)}."
    return f"{told} The process is alive; wait, or end it."


def slept_sentence(seconds: float) -> str:
    """That the computer slept, and the run with it."""
    return f"The computer slept for {show_duration(seconds)}; the run went on afterwards."


def _listed(found: Sequence[object], most: int = 10) -> str:
    return ", ".join(map(str, found[:most])) + ", ..." * (len(found) > most)


def preflight_sentence(found: Preflight) -> str:
    """What trial steps took, in one sentence for window, terminal and log."""
    expected = ""
    if found.estimated:
        off = round(100 * (found.allocated / found.estimated - 1))
        expected = f" (estimate {show_bytes(found.estimated)}, {off:+} %)"
    if not found.fits:
        have = f", {show_bytes(found.limit)} are there" if found.limit else ""
        return f"Measured on this machine: it does not fit{have}; memory ran out {found.reached}."
    reserved = f", {show_bytes(found.reserved)} reserved" if found.cuda else ""
    told = f"Measured on this machine: {show_bytes(found.allocated)} allocated{expected}{reserved}"
    if found.step_seconds is not None and found.seconds is not None:
        told += f", {_pace(found.step_seconds)} per step"
        told += f", about {show_duration(found.seconds)} for all steps"
    return f"{told}."


def _pace(seconds: float) -> str:
    return show_duration(seconds) if seconds >= 10 else f"{seconds:.2f} s"
