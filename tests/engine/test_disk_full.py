"""Training on a disk that fails: it waits, loses nothing, and goes on or stops as it is told."""

from __future__ import annotations

import errno
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from core import disk, durable
from core.disk import Disk
from core.events import Event, Finished, Paused, Saved, Warned
from core.history import History
from core.recipe import Recipe
from core.rundir import RunDir
from tests.core.disks import FailAt
from tests.engine.conftest import create, go, losses, weights

pytestmark = [pytest.mark.engine, pytest.mark.filterwarnings("default")]


@pytest.fixture
def short(recipe: Recipe) -> Recipe:
    """Four small steps, a checkpoint after every second."""
    return (
        recipe.edit("data.heldout_share", 0)
        .edit("training.max_steps", 4)
        .edit("training.micro_batch", 2)
        .edit("training.accumulation", 1)
        .edit("checks.save_every", 2)
    )


class Listening:
    """Keeps what was said, and does something when training pauses by itself."""

    def __init__(self, then: Callable[[RunDir, Paused], None]) -> None:
        self.then = then
        self.heard: list[Event] = []

    def __call__(self, run: RunDir, event: Event) -> None:
        self.heard.append(event)
        if isinstance(event, Paused) and event.reason:
            self.then(run, event)

    def kinds(self) -> list[str]:
        wanted = Paused | Saved | Warned | Finished
        return [event.kind for event in self.heard if isinstance(event, wanted)]


class Quick(Disk):
    """Waits for nothing but the disk itself, and then for a moment only."""

    def wait(self, seconds: float) -> None:
        """No time passes."""


class Full(Quick):
    """No checkpoint can be made while it is full."""

    full = False
    code = errno.ENOSPC

    def mkdir(self, path: Path) -> None:
        if self.full:
            raise OSError(self.code, "x", str(path))
        super().mkdir(path)


def test_a_full_disk_pauses_and_stop_still_works(tmp_path: Path, short: Recipe) -> None:
    """Then the run goes on from what was saved before."""
    run, full = create(tmp_path / "run", short), Full()

    def fill(run: RunDir, event: Event) -> None:
        full.full |= isinstance(event, Saved)
        heard(run, event)

    def stop(run: RunDir, event: Paused) -> None:
        assert run.newest_valid() == (2, [])
        run.ask("stop")

    heard = Listening(stop)
    with disk.using(full):
        story = go(run, fill)
    assert heard.kinds() == ["saved", "paused", "warned", "finished"]
    assert (story.state, story.step) == ("stopped", 4)
    told = next(event for event in heard.heard if isinstance(event, Paused))
    assert "step-00000004 cannot be written" in told.reason
    assert "MB are needed" in told.reason
    assert "are free" in told.reason
    assert "Make room" in told.hint
    assert go(run).state == "finished"


def test_training_goes_on_by_itself_when_there_is_room(tmp_path: Path, short: Recipe) -> None:
    """The third call of the second save fails; nothing of it is left."""
    run, bad = create(tmp_path / "run", short), FailAt(10**9, errno.ENOSPC)

    def spoil(run: RunDir, event: Event) -> None:
        if isinstance(event, Saved) and event.step == 2:
            bad.number = bad.calls + 8
        heard(run, event)

    def look(run: RunDir, event: Paused) -> None:
        assert run.newest_valid() == (2, [])
        assert [path.name for path in run.checkpoints.iterdir()] == ["step-00000002"]
        assert run.history().outcome(alive=True).state == "paused"
        assert "The disk is full" in str(run.history().outcome(alive=True))

    heard = Listening(look)
    with disk.using(bad):
        story = go(run, spoil)
    assert heard.kinds() == ["saved", "paused", "saved", "paused", "finished"]
    assert story.state == "finished"
    assert bad.waited > 4
    assert run.newest_valid() == (4, [])


@pytest.mark.slow
def test_every_call_of_a_real_save_may_fail(tmp_path: Path, short: Recipe) -> None:
    """One run, a checkpoint per step; each time another call fails, once or twice in a row."""
    long = short.edit("training.max_steps", 80).edit("training.epochs", 100)
    long = long.edit("checks.save_every", 1)
    straight = create(tmp_path / "straight", long)
    with disk.using(Quick()):
        expected = losses(go(straight))
    for code in (errno.ENOSPC, errno.EIO):
        run, bad = create(tmp_path / str(code), long), FailAt(10**9, code)
        reached = []

        def spoil(run: RunDir, event: Event, bad: FailAt = bad, seen: list[int] = reached) -> None:
            if isinstance(event, Saved):
                seen.append(bad.failed)
                bad.number = bad.calls + event.step
            if isinstance(event, Paused):
                whole = run.newest_valid()[0]
                assert whole == event.step or (event.paused and whole == event.step - 1)

        with disk.using(bad):
            story = go(run, spoil)
        assert story.state == "finished"
        assert losses(story) == expected
        assert weights(run) == weights(straight)
        paused = [e for e in run.events() if isinstance(e, Paused) and e.paused]
        print(f"{errno.errorcode[code]}: {len(paused)} pauses in 80 saves")
        assert len(paused) > 30
        assert all("needed" in e.reason and "free" in e.reason for e in paused)


@pytest.mark.slow
def test_a_pause_for_the_disk_changes_no_bit(tmp_path: Path, short: Recipe) -> None:
    short = short.edit("training.max_steps", 6)
    straight = create(tmp_path / "straight", short)
    expected = go(straight)
    run = create(tmp_path / "run", short)
    full = Full()

    def fill(run: RunDir, event: Event) -> None:
        if isinstance(event, Saved) and event.step == 2:
            full.full = True
        if isinstance(event, Paused) and event.paused:
            run.ask("continue")  # too early
            full.full = pauses.pop()

    pauses = [False, True, True]
    with disk.using(full):
        story = go(run, fill)
    assert not pauses
    assert losses(story) == losses(expected)
    assert weights(run) == weights(straight)


@pytest.mark.slow
def test_a_folder_that_vanishes_and_comes_back(tmp_path: Path, short: Recipe) -> None:
    run = create(tmp_path / "run", short)
    away = tmp_path / "away"

    def take(run: RunDir, event: Event) -> None:
        heard.append(event)
        if isinstance(event, Saved) and event.step == 2:
            run.root.rename(away)
        if isinstance(event, Paused) and event.paused:
            assert "is gone" in event.reason
            assert not run.root.exists(), "nothing is made in its place"
            away.rename(run.root)

    heard: list[Event] = []
    with disk.using(Quick()):
        story = go(run, take)
    assert story.state == "finished"
    assert story.step == 4
    assert [event.step for event in heard if isinstance(event, Paused)] == [4, 4]
    assert run.newest_valid() == (4, [])
    assert durable.verify(run.adapter) is None


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 60 MB; mounting one takes rights that not everybody has."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=60m", "none", str(place)]
    if not shutil.which("mount") or subprocess.run(command, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill_up(place: Path, leave: int) -> Path:
    """A file that takes the room, but for so many bytes."""
    filler = place / "filler"
    size = shutil.disk_usage(place).free - leave
    with filler.open("wb") as file:
        for _ in range(size // 65_536):
            file.write(bytes(65_536))
    return filler


@pytest.mark.slow
@pytest.mark.parametrize("leave", [2**16, 2**20, 3 * 2**20])
def test_a_really_full_disk(
    small_disk: Path, short: Recipe, leave: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The libraries themselves run into it, at different files; nobody looked for room before."""
    monkeypatch.setattr("core.engine.patience.lack_of_room", lambda place, need: None)
    run = create(small_disk / "run", short)
    filled = []

    def fill(run: RunDir, event: Event) -> None:
        if isinstance(event, Saved) and event.step == 2:
            filled.append(fill_up(small_disk, leave))
        if isinstance(event, Paused) and event.paused:
            assert "The disk is full" in event.reason
            assert "needed" in event.reason
            assert run.newest_valid() == (2, [])
            assert [path.name for path in run.checkpoints.iterdir()] == ["step-00000002"]
            filled[0].unlink()

    with disk.using(Quick()):
        story = go(run, fill)
    assert story.state == "finished"
    assert [e.paused for e in run.events() if isinstance(e, Paused)] == [True, False]
    assert run.newest_valid() == (4, [])
    assert durable.verify(run.adapter) is None


@pytest.mark.slow
def test_a_stop_gets_through_on_a_really_full_disk(small_disk: Path, short: Recipe) -> None:
    run = create(small_disk / "run", short)

    def fill(run: RunDir, event: Event) -> None:
        if isinstance(event, Saved) and event.step == 2:
            fill_up(small_disk, 0)
            with suppress(OSError):
                (small_disk / "rest").write_bytes(bytes(2**20))
            assert shutil.disk_usage(small_disk).free == 0
        if isinstance(event, Paused) and event.paused:
            run.ask("stop")

    with disk.using(Quick()):
        story = go(run, fill)
    assert story.state in ("stopped", "running"), "the log is as full as the disk"
    for name in ("filler", "rest"):
        (small_disk / name).unlink()
    assert go(run).state == "finished"


@pytest.mark.slow
def test_a_disk_that_becomes_read_only(small_disk: Path, short: Recipe) -> None:
    run = create(small_disk / "run", short)

    def remount(how: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{how}", str(small_disk)], check=True)

    def take(run: RunDir, event: Event) -> None:
        if isinstance(event, Saved) and event.step == 2:
            heard.append(event.kind)
            full.full = True  # an open log keeps a disk from being read-only
        if isinstance(event, Paused) and event.paused:
            assert "EROFS" in event.reason
            full.full = False

    heard: list[str] = []
    full = Full()
    full.code = errno.EROFS
    with disk.using(full):
        assert go(run, take).state == "finished"
    remount("ro")
    shutil.copytree(run.root, small_disk.parent / "copy")
    before = History()
    for event in run.events():
        before.apply(event)
    with pytest.raises(OSError, match="Read-only"):
        durable.try_out(run.root)
    remount("rw")
    assert heard
