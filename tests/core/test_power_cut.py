"""What a power cut leaves at any instant, on disks that lose whatever was not synced."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from core import disk, durable
from core.engine.emit import Voice
from core.events import Finished, Saved, Step
from core.recipe import Recipe
from core.retention import Retention
from core.rundir import RunDir
from tests.core.disks import CrashDisk, FailAt, PowerCut, power_cuts

STEPS = (10, 20, 30, 40)
FILES = ("adapter.safetensors", "optimizer.safetensors", "deep/state.json")


def text(step: int, name: str) -> bytes:
    return f"{name} at {step} ".encode() * 3


def fill(folder: Path, step: int) -> None:
    (folder / "deep").mkdir()
    for name in FILES:
        (folder / name).write_bytes(text(step, name))


def damaged(folder: Path, step: int) -> bool:
    """Whether a folder that verifies holds anything else than what was saved."""
    return any((folder / name).read_bytes() != text(step, name) for name in FILES)


def save(run: RunDir, voice: Voice, step: int) -> None:
    """As the trainer does it."""
    final = run.checkpoint(step)
    voice.secure()
    with durable.staged(final) as aside:
        fill(aside, step)
        size = durable.seal(aside, step=step)
    voice.say(Saved(step=step, path=final.name, bytes=size))


def checkpoints(place: Path, crash: CrashDisk, steps: Sequence[int] = STEPS) -> None:
    run = RunDir.create(place / "run", Recipe(name="One"), "{}")
    crash.ack(("run",))
    voice, kept = Voice(run), Retention(run, keep=2)
    for step in steps:
        voice.say(Step(step=step, total=40, loss=1.0))
        save(run, voice, step)
        crash.ack(("step", step))
        kept.trust(step)
        kept.let_go(best=10)
    voice.close()


def saved_again(place: Path, crash: CrashDisk) -> None:
    """The same step a second time, as after a save whose last sync failed."""
    run = RunDir.create(place / "run", Recipe(name="One"), "{}")
    voice = Voice(run)
    voice.say(Step(step=10, total=40, loss=1.0))
    for _ in range(2):
        save(run, voice, 10)
        crash.ack(("step", 10))
    voice.close()


def check_run(place: Path, promised: list[Any]) -> str:
    """What is wrong after a restart; empty when nothing is."""
    run = RunDir(place / "run")
    if promised:
        run = RunDir.open(run.root)
        assert run.load_recipe().name == "One"
    if not run.events_file.is_file():
        return "" if not promised else "the log is gone"
    durable.sweep(run.root)
    durable.sweep(run.checkpoints)
    Voice(run).close()
    told = {event.step for event in run.events() if isinstance(event, Saved)}
    whole = [s for s in run.saved_steps() if durable.verify(run.checkpoint(s), alone=True) is None]
    if any(damaged(run.checkpoint(step), step) for step in whole):
        return "damaged taken for whole"
    steps = [what[1] for what in promised if what[0] == "step"]
    newest, _ = run.newest_valid()
    if newest and newest not in {event.step for event in run.events() if isinstance(event, Step)}:
        return "a step that a checkpoint has taken is lost"
    if steps and (newest is None or newest < max(steps)):
        return "an acknowledged checkpoint is lost"
    if 10 in steps and 10 not in whole:
        return "the best checkpoint is lost"
    if not set(steps) <= told:
        return "an acknowledgement is lost"
    left = [p.name for p in run.checkpoints.iterdir()] if run.checkpoints.is_dir() else []
    return "something is left" if any(name.startswith(".") for name in left) else ""


def artefact(place: Path, crash: CrashDisk) -> None:
    run = RunDir.create(place / "run", Recipe(), "{}")
    voice = Voice(run)
    with durable.staged(run.adapter) as aside:
        fill(aside, 1)
        durable.seal(aside)
    voice.say(Finished(step=1, artefact="adapter"))
    crash.ack(("artefact", 1))
    voice.close()


def check_artefact(place: Path, promised: list[Any]) -> str:
    run = RunDir(place / "run")
    durable.sweep(run.root)
    whole = run.adapter.is_dir() and durable.verify(run.adapter) is None
    if whole and damaged(run.adapter, 1):
        return "damaged taken for whole"
    return "" if whole or not promised else "the artefact is lost"


def log(place: Path, crash: CrashDisk, length: int = 9) -> None:
    run = RunDir.create(place / "run", Recipe(), "{}")
    voice = Voice(run)
    for step in range(1, length):
        voice.say(Step(step=step, total=8, loss=1.0))
        if step % 3 == 0:
            voice.say(Saved(step=step, path=""))
            crash.ack(("said", step))
    voice.close()


def check_log(place: Path, promised: list[Any]) -> str:
    run = RunDir(place / "run")
    if not run.events_file.is_file():
        return "" if not promised else "the log is gone"
    before = [event.step for event in run.events() if isinstance(event, Step)]
    voice = Voice(run)
    voice.say(Step(step=99, total=8, loss=1.0))
    voice.close()
    after = [event.step for event in run.events() if isinstance(event, Step)]
    told = [event.step for event in run.events() if isinstance(event, Saved)]
    if after != [*before, 99] or before != sorted(before):
        return "the log is mixed up"
    return "" if {step for _, step in promised} <= set(told) else "an acknowledgement is lost"


def export(place: Path, crash: CrashDisk) -> None:
    out = place / "exports" / "merged"
    durable.make_folder(out.parent)
    for version in (1, 2, 3):
        with durable.staged(out) as aside:
            fill(aside, version)
            durable.seal(aside, version=version)
        crash.ack(("export", version))


def check_export(place: Path, promised: list[Any]) -> str:
    out = place / "exports" / "merged"
    durable.sweep(out.parent)
    whole = out.is_dir() and durable.verify(out) is None
    if not whole:
        return "neither the old nor the new export is there" if promised else ""
    version = durable.read_manifest(out)["version"]
    if damaged(out, version):
        return "a mixture is taken for whole"
    return "" if version >= len(promised) else "the new export is lost"


QUICK = FailAt(10**9, 0)
"""Never fails and never waits: recovery is looked at, not its speed."""


class Story(NamedTuple):
    """What is done, and what must hold after a power cut in the middle of it."""

    do: Callable[[Path, CrashDisk], None]
    check: Callable[[Path, list[Any]], str]


STORIES = {
    "checkpoints": Story(checkpoints, check_run),
    "saved again": Story(saved_again, check_run),
    "artefact": Story(artefact, check_artefact),
    "log": Story(log, check_log),
    "export over export": Story(export, check_export),
}
LONG = {
    "many checkpoints": Story(partial(checkpoints, steps=range(10, 90, 10)), check_run),
    "long log": Story(partial(log, length=100), check_log),
}


def tell(story: Story, place: Path) -> CrashDisk:
    place.mkdir()
    crash = CrashDisk(place)
    with disk.using(crash):
        story.do(place, crash)
    return crash


def wrong(story: Story, cut: PowerCut, place: Path) -> str:
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    cut.make(place)
    with disk.using(QUICK):
        return story.check(place, cut.promised)


@pytest.mark.parametrize("name", STORIES)
def test_some_power_cuts(name: str, tmp_path: Path) -> None:
    """A hundred of the states that the slow test goes through."""
    story, crash = STORIES[name], tell(STORIES[name], tmp_path / "real")
    cuts = list(power_cuts(crash, chances=2, every=max(1, len(crash.log) // 30)))
    chosen = cuts[:: max(1, len(cuts) // 100)]
    assert len(chosen) >= 100 or name == "log"
    assert {wrong(story, cut, tmp_path / "cut") for cut in chosen} == {""}


@pytest.mark.slow
def test_every_power_cut(tmp_path: Path) -> None:
    seed, total = 7, 0
    for name, story in (STORIES | LONG).items():
        found: dict[str, int] = {}
        for cut in power_cuts(tell(story, tmp_path / f"real {name}"), seed, chances=12):
            fault = wrong(story, cut, tmp_path / "cut")
            found[fault] = found.get(fault, 0) + 1
        total += sum(found.values())
        print(f"{name}: {found.pop('', 0):,} states whole, others {found} (seed {seed})")
        assert not found
    print(f"{total:,} states")
    assert total >= 5_000


class Careless(CrashDisk):
    """A disk of a program that never waits for it."""

    def sync(self, path: Path) -> None:
        """Nothing."""


def test_the_enumeration_finds_a_log_that_is_not_forced_before_a_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Voice, "secure", lambda voice: None)
    story = Story(partial(checkpoints, steps=(10,)), check_run)
    cuts = list(power_cuts(tell(story, tmp_path / "real"), chances=0))
    found = (wrong(story, cut, tmp_path / "cut") for cut in reversed(cuts))
    assert "a step that a checkpoint has taken is lost" in found


@pytest.mark.parametrize("name", ["checkpoints", "log", "export over export"])
def test_the_enumeration_finds_what_is_not_synced(name: str, tmp_path: Path) -> None:
    """Without a single sync, states are found in which something promised is lost."""
    story, place = STORIES[name], tmp_path / "real"
    place.mkdir()
    careless = Careless(place)
    with disk.using(careless):
        story.do(place, careless)
    cuts = list(power_cuts(careless, every=5))[-200:]
    assert any(_broken(story, cut, tmp_path / "cut") for cut in cuts)


def _broken(story: Story, cut: PowerCut, place: Path) -> bool:
    try:
        return wrong(story, cut, place) != ""
    except Exception:  # noqa: BLE001 - a run that does not open is as lost as any
        return True
