"""`python -I -m core.engine run RUN SERIAL [WHY]` trains; `preview RECIPE REPLY ROWS` shows tokens;
`trace REQUEST REPLY` tells the memory of a step; `measure REQUEST REPLY` really takes a few;
`write REQUEST REPLY` lets a model write, `answers REQUEST REPLY` lets models answer prompts,
`merge REQUEST REPLY` puts an adapter into its model, `convert REQUEST REPLY` writes a pickle anew.

SERIAL is the newest wish in the control file when the engine was started: older ones are old news.

Everything heavy is imported late, so that the first event is out before the libraries load.
"""

from __future__ import annotations

import faulthandler
import json
import os
import platform
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from core import durable, reach
from core.awake import awake
from core.courtesy import give_way
from core.engine.confine import confine, no_network
from core.engine.emit import Voice, versions
from core.engine.ending import INTERRUPTED, insist, leave
from core.engine.faults import Stopped, cause_of, explain
from core.engine.remember import answer
from core.engine.wishes import Wishes
from core.errors import CoreError, RunError
from core.events import Failed, Finished, Saved, Started
from core.memory.traced import Request
from core.recipe import load
from core.redaction import cover_streams
from core.rundir import RunDir, write_environment
from core.value import Value
from core.visible import made_visible

LOCK_PATIENCE = 2.0
"""Seconds: whoever asks whether a run is alive holds its lock for a moment."""


def main(arguments: list[str]) -> int:
    """Dispatch; 0 when the job was done, 1 when it failed."""
    cover_streams()
    faulthandler.enable()
    give_way()
    confine()
    _close_network()
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")  # TRL refuses two cards in one process
    match arguments:
        case ["run", root, serial, *because]:
            return run(RunDir.open(Path(root)), int(serial), *because)
        case ["preview", recipe, reply, rows]:
            return preview(Path(recipe), Path(reply), int(rows))
        case ["trace", request, reply]:
            return trace(Path(request), Path(reply))
        case ["measure", request, reply]:
            return measure(Path(request), Path(reply))
        case ["write", request, reply]:
            return write(Path(request), Path(reply))
        case ["answers", request, reply]:
            return answers(Path(request), Path(reply))
        case ["merge", request, reply]:
            return merge(Path(request), Path(reply))
        case ["convert", request, reply]:
            return convert(Path(request), Path(reply))
    print(__doc__, file=sys.stderr)
    return 2


def _close_network() -> None:
    """Python's gate names what asks; the kernel, where it can, stops what Python does not see."""
    reach.guard(lambda: True)
    if sys.platform == "win32":  # the pairs of sockets that libraries wake themselves by are TCP
        reach.let(*reach.LOOPBACK)
    no_network()


def run(folder: RunDir, serial: int, because: str = "") -> int:
    """Train under the run's lock; whatever goes wrong becomes the run's last event.

    `because` says why the run was taken up again when nobody asked for it.
    """
    try:
        with folder.hold(LOCK_PATIENCE), folder.crash_file.open("w") as crash:
            faulthandler.enable(crash)
            try:
                return _locked(folder, serial, because)
            finally:
                faulthandler.enable()  # the file is closed
    except RunError as refused:
        print(f"{refused} {refused.hint}", file=sys.stderr)
        return 1
    except OSError as error:  # a folder that not even its lock or its log can be written in
        print(*explain(error, folder.root), file=sys.stderr)
        return 1


def _locked(folder: RunDir, serial: int, because: str) -> int:
    wishes, voice = Wishes(folder, serial), Voice(folder)
    try:
        wishes.hear(
            lambda interrupted: insist(voice, interrupted=interrupted), lambda: voice.speaking
        )
        if folder.history().state == "finished":
            print("already finished: there is nothing to train", file=sys.stderr)
            return 0
        return INTERRUPTED if _train(folder, voice, wishes, because).interrupted else 0
    except Stopped:
        if voice.over:  # it ended by itself just then
            return 0
        system = wishes.told_to_end
        step = folder.history().outcome().saved or 0
        voice.say(Finished(step=step, stopped=True, interrupted=system))
        return INTERRUPTED if system else 0
    except BaseException as error:  # noqa: BLE001 - the boundary: the story needs its ending
        with suppress(OSError):  # the log lies on the same disk
            traceback.print_exc()
        cause = cause_of(error, folder.root)
        detail = f"{type(error).__name__}: {error}"[:2000]
        voice.say(Failed(error=cause.text, hint=cause.hint, detail=detail, code=cause.code))
        return 1
    finally:
        wishes.closed.set()
        voice.close()


def _train(folder: RunDir, voice: Voice, wishes: Wishes, because: str) -> Finished:
    resumed, faults = folder.newest_valid()
    voice.say(Started(pid=os.getpid(), resumed=resumed, versions=versions()))
    if because:
        voice.warn("taken-up-again", because)
    if resumed is not None:
        _tell_unsaid(folder, voice, resumed)
    for fault in faults:
        voice.warn("checkpoint-damaged", f"A checkpoint was passed over: {fault}.")
    _remember_place(folder)
    if resumed is None:
        from core.engine.preflight import preflight

        preflight(folder, voice, wishes)
    voice.phase("importing")
    from core.engine.run import train

    with awake("A model is being trained."):
        ended = train(folder, voice, wishes, resumed)
    voice.say(ended)
    return ended


def _tell_unsaid(folder: RunDir, voice: Voice, step: int) -> None:
    """Say that a checkpoint is saved if the engine that made it was ended before it could."""
    if any(saved.step == step for saved in folder.history().checkpoints):
        return
    facts = durable.read_manifest(folder.checkpoint(step))
    size = sum(file["bytes"] for file in facts["files"].values())
    path = folder.checkpoint(step).relative_to(folder.root).as_posix()
    best, doubt = facts.get("best_step") == step, str(facts.get("doubt", ""))
    voice.say(Saved(step=step, path=path, bytes=size, best=best, doubt=doubt))


def _remember_place(folder: RunDir) -> None:
    place = {"platform": platform.platform(), "machine": platform.machine()}
    write_environment(folder, {"versions": versions(), **place})


def preview(recipe: Path, reply: Path, rows: int) -> int:
    """Write a Preview, or {"error", "hint"}, as JSON to `reply`."""

    def look() -> Value:
        from core.engine import preview

        return preview.preview(load(recipe), rows)

    return _answer(reply, look)


def trace(request: Path, reply: Path) -> int:
    """Write a Traced, or {"error", "hint"}, as JSON to `reply`."""
    return _answer(reply, lambda: answer(Request.model_validate_json(request.read_bytes())))


def measure(request: Path, reply: Path) -> int:
    """Write a Measured, or {"error", "hint"}, as JSON to `reply`; works in a folder beside it."""

    def take() -> Value:
        from core.asking import Rehearsal
        from core.engine.measure import measure

        asked = Rehearsal.model_validate_json(request.read_bytes())
        return measure(asked.recipe, asked.settings, reply.parent)

    return _answer(reply, take)


def write(request: Path, reply: Path) -> int:
    """Write a Written, or {"error", "hint"}, as JSON to `reply`, and replies to their own file."""

    def say() -> Value:
        from core.engine import writing
        from core.making.local import Writing

        return writing.write(Writing.model_validate_json(request.read_bytes()))

    return _answer(reply, say)


def answers(request: Path, reply: Path) -> int:
    """Write Answers, or {"error", "hint"}, as JSON to `reply`; tells beside it how far it is."""

    def make() -> Value:
        from core.answering import Request as Asked
        from core.asking import tell_progress
        from core.engine.speak import speak

        asked = Asked.model_validate_json(request.read_bytes())
        return speak(asked, lambda done, total: tell_progress(reply, done, total))

    return _answer(reply, make)


def merge(request: Path, reply: Path) -> int:
    """Write a Merged, or {"error", "hint"}, as JSON to `reply`, and the model to its own folder."""

    def make() -> Value:
        from core.engine.merge import merge
        from core.merging import Merge

        return merge(Merge.model_validate_json(request.read_bytes()))

    return _answer(reply, make)


def convert(request: Path, reply: Path) -> int:
    """Write a Written, or {"error", "hint"}, as JSON to `reply`, and the tensors to their file."""

    def make() -> Value:
        from core.converting import Conversion
        from core.engine.convert import convert

        return convert(Conversion.model_validate_json(request.read_bytes()))

    return _answer(reply, make)


def _answer(reply: Path, ask: Callable[[], Value]) -> int:
    try:
        said, code = ask().model_dump_json(), 0
    except BaseException as error:  # noqa: BLE001 - the boundary; tokenizers panics with no Exception
        if not isinstance(error, CoreError):
            traceback.print_exc()
        sentence, hint = explain(error)
        said, code = json.dumps({"error": sentence, "hint": hint}), 1
    reply.write_text(said, encoding="utf-8")
    return code


if __name__ == "__main__":
    sys.stdout, sys.stderr = made_visible(sys.stdout), made_visible(sys.stderr)
    leave(main(sys.argv[1:]))
