"""Start an engine process, follow what it says, ask it questions. No Qt, no torch."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import psutil

from core import answering, asking, causes
from core.anchors import anchored
from core.asking import WHOLE_MEASUREMENT, ask, engine_command, engine_environment
from core.causes import Cause
from core.errors import DiskError, RecipeError, RunError
from core.events import Event, Failed, Finished, decode
from core.machine import disk_free
from core.memory.measured import Measured
from core.memory.setup import Setup
from core.memory.traced import Request, Traced
from core.merging import Merge, Merged
from core.numbers import show_bytes
from core.plan import Plan
from core.pulse import Pulse
from core.recipe import AnyAdaptation, Recipe
from core.room import disk_error
from core.rundir import RunDir
from core.tokens import Preview

WHOLE_ANSWERING = 12 * 3600.0
"""Seconds: many long answers of a large model; whoever waits can call it off."""
READ_AT_ONCE = 1 << 20
"""Bytes: the story of a week is not taken into memory whole."""


class Engine:
    """A running engine process. Leaving the `with` block by an error stops it."""

    def __init__(self, run: RunDir, because: str = "") -> None:
        self.run = run
        self._kills = causes.memory_kills()
        with _log_of(run) as log:
            self._process = subprocess.Popen(
                engine_command("run", str(run.root), str(run.control().serial), because),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=run.root,  # not where the user is: a stranger's folder, perhaps
                env=engine_environment(),
                start_new_session=True,
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            )

    @property
    def pid(self) -> int:
        """Process id, for telling and for tests."""
        return self._process.pid

    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    def wait(self) -> int:
        """Wait for the end; returns the exit status."""
        return self._process.wait()

    def cause(self) -> Cause:
        """Why the process is gone without a last word."""
        ran_out = causes.memory_kills() > self._kills
        return causes.of_end(self._process.poll(), last_lines(self.run), ran_out=ran_out)

    def stop(self, grace: float = 60.0) -> None:
        """Ask to save and end, insist after `grace` seconds, then end the whole process tree."""
        if self.alive():
            try:
                self.run.ask("stop")
            except RunError:
                grace = 0.0  # nothing can be written there: the signal says the same
        for insist in (self._process.terminate, self._kill_tree):
            try:
                self._process.wait(grace)
                return
            except subprocess.TimeoutExpired:
                insist()
                grace = 5.0
        self._process.wait()

    def _kill_tree(self) -> None:
        try:
            tree = [psutil.Process(self.pid)]
            tree += tree[0].children(recursive=True)
        except psutil.NoSuchProcess:
            return
        for process in tree:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self._process.wait()
        else:
            self.stop(grace=5.0)


def _log_of(run: RunDir) -> BinaryIO:
    """Where libraries print. Raises DiskError, RunError."""
    try:
        return run.log_file.open("ab")
    except OSError as error:
        unknown = RunError(f"{run.log_file} cannot be written: {error}.", hint="Is it still there?")
        raise disk_error(error, run.root) or unknown from error


def start(root: Path, recipe: Recipe, plan: Plan) -> Engine:
    """Create the run and start its engine. Raises DiskError, RunError.

    The plan looked at the disk of the usual folder for runs; this one may lie on another.
    """
    need, free = plan.disk.least if plan.disk else 0, disk_free(root)
    if need > free:
        raise DiskError(
            f"A run in {root} needs {show_bytes(need)}, {show_bytes(free)} are free there.",
            hint="Make room on that disk, or choose another folder.",
        )
    return Engine(RunDir.create(root, _whole(recipe), plan.model_dump_json(indent=1)))


def _whole(recipe: Recipe) -> Recipe:
    """With paths that mean the same from wherever an engine works."""
    return anchored(recipe, Path.cwd())


def resume(run: RunDir, because: str = "") -> Engine:
    """Start a new engine on an interrupted or stopped run. Raises RunError.

    `because` is told by the run, where nobody asked for it.
    """
    if run.is_running():
        raise run.held()
    if run.history().state == "finished":
        raise RunError(
            f"{run.root.name} is already finished; there is nothing to resume.",
            hint="Start a new run with more epochs.",
        )
    return Engine(run, because)


def follow(
    run: RunDir,
    alive: Callable[[], bool],
    *,
    cause: Callable[[], Cause] | None = None,
    detach: Callable[[], bool] = lambda: False,
    poll: float = 0.1,
) -> Iterator[list[Event]]:
    """Yield batches of events, past then new, until the engine is gone or `detach` says so.

    An engine that died in mid-sentence yields a closing Failed that is not in the file, with its
    `cause` if whoever asks started it; one that is silent for long yields Silent, and a computer
    that slept Slept.
    """
    pulse = Pulse()
    with run.events_file.open("rb") as file:
        tail, last, running, more = b"", None, True, False
        while (running or more) and not detach():
            running = alive()  # asked before reading: nothing said last can be lost
            found = file.read(READ_AT_ONCE)
            *lines, tail = (tail + found).split(b"\n")
            batch = [event for line in lines if line and (event := decode(line))]
            last = batch[-1] if batch else last
            for event in batch:
                pulse.heard(event)
            if (sign := pulse.look()) and running:
                batch.append(sign)
            more = len(found) == READ_AT_ONCE
            if not (running or more or isinstance(last, Finished | Failed)):
                batch.append(_died(run, cause() if cause else guess(run)))
            if batch:
                yield batch
            if running and not more:
                time.sleep(poll)


def guess(run: RunDir) -> Cause:
    """Why an engine that somebody else started is gone, as far as its log tells."""
    return causes.of_end(None, last_lines(run), ran_out=False)


def _died(run: RunDir, cause: Cause) -> Failed:
    if run.is_running():  # two asked at the same moment, and the other one was first
        return Failed(error=str(run.held()), hint=run.held().hint)
    step, _ = run.newest_valid()
    way = f"Resume continues from step {step:,}." if step else "Start again; nothing was saved."
    detail = "\n".join(filter(None, (_crash(run), last_lines(run))))
    return Failed(error=cause.text, hint=f"{cause.hint} {way}", detail=detail, code=cause.code)


def _crash(run: RunDir) -> str:
    try:
        return run.crash_file.read_text(encoding="utf-8", errors="replace")[:4_000].strip()
    except OSError:
        return ""


def last_lines(run: RunDir, count: int = 12) -> str:
    """The end of the engine's log, for a person who wants to know more."""
    try:
        with run.log_file.open("rb") as file:
            file.seek(max(0, run.log_file.stat().st_size - 8_000))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-count:])
    except OSError:
        return ""


def preview(recipe: Recipe, rows: int = 5, timeout: float = 600.0) -> Preview:
    """What exactly will be learned: rows as tokens, and counts over the whole set.

    Runs the engine's own encoding in a child process. Raises CoreError with the engine's words.
    """
    late = RunError(
        f"The rows were not counted within {timeout:,.0f} seconds.",
        hint="Try a smaller dataset; `tunesmith run --fast` starts without counting.",
    )
    answer = ask("preview", _whole(recipe).to_yaml(), str(rows), timeout=timeout, late=late)
    return Preview.model_validate(answer)


def trace(model: Path, adaptation: AnyAdaptation, setup: Setup, timeout: float = 300.0) -> Traced:
    """Memory of one step, found by running it without numbers in a child process.

    `model` is a model's folder or its config.json. Raises CoreError with the engine's words.
    """
    late = RunError(
        f"The step was not traced within {timeout:,.0f} seconds.",
        hint="The quick estimate still holds, with a wider margin.",
    )
    request = Request(model=model.absolute(), adaptation=adaptation, setup=setup)
    answer = ask("trace", request.model_dump_json(), timeout=timeout, late=late)
    return Traced.model_validate(answer)


def answer(
    request: answering.Request,
    meanwhile: Callable[[], None] = lambda: None,
    advance: Callable[[int, int], None] = lambda done, total: None,
    timeout: float = WHOLE_ANSWERING,
) -> answering.Answers:
    """What models say to prompts, made in a child process. Raises CoreError with its words.

    What `meanwhile` raises ends the process at once; `advance` is told how many answers are there.
    """
    late = RunError(
        f"The answers were not there within {timeout:,.0f} seconds.",
        hint="Ask fewer prompts, or allow shorter answers.",
    )
    told = ask(
        "answers", request.model_dump_json(), timeout=timeout, late=late, meanwhile=meanwhile,
        advance=advance,
    )  # fmt: skip
    return answering.Answers.model_validate(told)


def merge(request: Merge, meanwhile: Callable[[], None] = lambda: None) -> Merged:
    """A run's adapter as part of its model's weights, in a child process. Raises CoreError."""
    late = RunError(
        f"The model was not merged within {WHOLE_ANSWERING:,.0f} seconds.",
        hint="Look whether the disk is slow or the memory too small for the whole model.",
    )
    told = ask(
        "merge", request.model_dump_json(), timeout=WHOLE_ANSWERING, late=late, meanwhile=meanwhile
    )
    return Merged.model_validate(told)


def measure(
    recipe: Recipe,
    plan: Plan,
    timeout: float = WHOLE_MEASUREMENT,
    meanwhile: Callable[[], None] = lambda: None,
) -> Measured:
    """Memory and time that a run really takes, from trial steps on its longest and usual rows.

    Runs the engine's own training in a child process, which saves nothing. A run that does not
    fit is an answer, not an error. `meanwhile` is called several times a second, and what it
    raises ends the trial. Raises CoreError with the engine's words.
    """
    if plan.settings is None or plan.blockers:
        raise RecipeError(plan.blockers, hint="Only a plan that is ready can be measured.")
    return asking.measure(_whole(recipe), plan.settings, timeout, meanwhile)
