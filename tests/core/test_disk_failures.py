"""Every n-th call to the disk fails, for every n: nothing damaged counts, nothing told is lost."""

from __future__ import annotations

import errno
from collections.abc import Callable
from contextlib import suppress
from io import FileIO
from pathlib import Path

import pytest

from core import disk, durable
from core.disk import Disk
from core.engine.emit import Voice
from core.engine.event_log import EventLog
from core.errors import CoreError, DiskError, RunError
from core.events import Saved, Step, Warned
from core.machine import disk_free
from core.recipe import Recipe
from core.retention import Retention
from core.room import disk_error, in_words, lack_of_room
from core.rundir import RunDir
from tests.core.disks import FailAt
from tests.core.test_power_cut import damaged, fill

CODES = [
    errno.ENOSPC,
    *(pytest.param(code, marks=pytest.mark.slow) for code in (errno.EIO, errno.EACCES)),
]
Scenario = Callable[[Path], None]
QUICK = FailAt(10**9, 0)
NEED = 10**18
"""More than any disk has."""


def until_it_passes(
    root: Path, code: int, scenario: Scenario, check: Callable[[Path], None]
) -> int:
    """Let every n-th call fail in a folder of its own, once and for ever; returns the trials."""
    trials = 0
    for broken in (False, True):
        for number in range(1, 500):
            place = root / f"{broken}-{number}"
            place.mkdir()
            bad = FailAt(number, code, broken=broken)
            with disk.using(bad), suppress(OSError, CoreError):
                scenario(place)
            with disk.using(QUICK):
                check(place)
            trials += 1
            if not bad.failed:
                break
        assert not bad.failed
    return trials


def saved_over(place: Path) -> None:
    for version in (1, 2):
        with durable.staged(place / "merged") as aside:
            fill(aside, version)
            durable.seal(aside, version=version)
        (place / f"told-{version}").touch()


@pytest.mark.parametrize("code", CODES)
def test_an_export_over_an_export_is_old_or_new(tmp_path: Path, code: int) -> None:
    def check(place: Path) -> None:
        durable.sweep(place)
        out = place / "merged"
        if out.exists():
            assert durable.verify(out) is None
            version = durable.read_manifest(out)["version"]
            assert not damaged(out, version)
            assert version == 2 or not (place / "told-2").exists()
        else:
            assert not (place / "told-1").exists()
        assert not [path for path in place.iterdir() if path.name.startswith(".")]

    assert until_it_passes(tmp_path, code, saved_over, check) > 60


def checkpoints(place: Path) -> None:
    run = RunDir.create(place / "run", Recipe(), "{}")
    voice, kept = Voice(run), Retention(run, keep=2)
    for step in (1, 2, 3):
        with suppress(OSError):  # the trainer waits and tries again; here it goes on
            with durable.staged(run.checkpoint(step)) as aside:
                fill(aside, step)
                durable.seal(aside, step=step)
            (place / f"told-{step}").touch()
            voice.say(Saved(step=step, path=""))
            kept.trust(step)
        kept.let_go(best=None)
    voice.close()


@pytest.mark.parametrize("code", CODES)
def test_the_newest_checkpoint_that_was_told_is_there(tmp_path: Path, code: int) -> None:
    def check(place: Path) -> None:
        run = RunDir(place / "run")
        durable.sweep(run.checkpoints)
        for step in run.saved_steps():
            if durable.verify(run.checkpoint(step), alone=True) is None:
                assert not damaged(run.checkpoint(step), step)
        told = [step for step in (1, 2, 3) if (place / f"told-{step}").exists()]
        newest, _ = run.newest_valid()
        assert not told or (newest is not None and newest >= max(told))

    assert until_it_passes(tmp_path, code, checkpoints, check) > 150


@pytest.mark.parametrize("code", CODES)
def test_a_new_run_is_a_run_or_none(tmp_path: Path, code: int) -> None:
    def check(place: Path) -> None:
        with suppress(RunError):
            assert RunDir.open(place / "run").load_recipe() == Recipe(name="New")

    def create(place: Path) -> None:
        RunDir.create(place / "run", Recipe(name="New"), "{}")

    assert until_it_passes(tmp_path, code, create, check) > 40


def test_a_new_run_on_a_full_disk_is_refused_in_words(tmp_path: Path) -> None:
    counted = FailAt(10**9, 0)
    with disk.using(counted):
        RunDir.create(tmp_path / "whole", Recipe(), "{}")
    for number in range(1, counted.calls + 1):
        root = tmp_path / str(number)
        with (
            disk.using(FailAt(number, errno.ENOSPC, broken=True)),
            pytest.raises(RunError, match=r"No space left on device\. .+ are free there") as caught,
        ):
            RunDir.create(root, Recipe(), "{}")
        assert caught.value.hint


def test_a_wish_is_old_or_new_and_gets_through_on_a_full_disk(tmp_path: Path) -> None:
    run = RunDir.create(tmp_path / "run", Recipe(), "{}")
    run.ask("pause")
    for number in range(1, 20):
        bad = FailAt(number, errno.ENOSPC)
        with disk.using(bad):
            run.ask("stop")
        assert run.control().command == "stop"
        assert run.control().serial == 1 + number
        if not bad.failed:
            break
    with (
        disk.using(FailAt(1, errno.EROFS, broken=True)),
        pytest.raises(RunError, match="Read-only"),
    ):
        run.ask("pause")
    assert run.control().command == "stop"


def steps(run: RunDir) -> list[int]:
    return [event.step for event in run.events() if isinstance(event, Step)]


def test_the_log_is_complete_whichever_write_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(1, 40):
        run = RunDir.create(tmp_path / str(number), Recipe(), "{}")
        bad = FailAt(2 + number, errno.ENOSPC)  # after opening
        with disk.using(bad):
            voice = Voice(run)
            for step in range(1, 9):
                voice.say(Step(step=step, total=8, loss=1.0))
            voice.say(Saved(step=8, path=""))
            voice.close()
        assert steps(run) == list(range(1, 9))
        assert len(capsys.readouterr().err.splitlines()) == bad.failed
        if not bad.failed:
            return
    raise AssertionError


class Full(Disk):
    """Takes nothing until somebody makes room."""

    room = False

    def write(self, file: FileIO, data: bytes) -> None:
        if not self.room:
            super().write(file, data[:7])
            raise OSError(errno.ENOSPC, "No space left on device")
        super().write(file, data)


def test_events_wait_in_memory_and_a_restart_finds_whole_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = RunDir.create(tmp_path / "run", Recipe(), "{}")
    voice = Voice(run)
    voice.say(Step(step=1, total=3, loss=1.0))
    full = Full()
    with disk.using(full):
        voice.say(Step(step=2, total=3, loss=1.0))
        voice.say(Step(step=3, total=3, loss=1.0))
        assert steps(run) == [1], "a torn line is no event"
        full.room = True
        voice.say(Saved(step=3, path=""))
        assert steps(run) == [1, 2, 3]
    assert capsys.readouterr().err.count("\n") == 1
    voice.close()


def test_a_log_that_waits_too_long_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.engine.event_log.RING", 5)
    run = RunDir.create(tmp_path / "run", Recipe(), "{}")
    voice = Voice(run)
    full = Full()
    with disk.using(full):
        for step in range(1, 10):
            voice.say(Step(step=step, total=9, loss=1.0))
        full.room = True
        voice.say(Step(step=10, total=10, loss=1.0))
    assert steps(run) == [6, 7, 8, 9, 10]
    warned = [event for event in run.events() if isinstance(event, Warned)]
    assert [event.code for event in warned] == ["events-lost"]
    assert warned[0].text.startswith("5 events are missing")
    voice.close()


class Busy(Disk):
    """Refuses to rename for a while, as Windows does while a scanner reads."""

    def __init__(self, times: int) -> None:
        self.times, self.waited = times, 0.0

    def rename(self, old: Path, new: Path) -> None:
        self.times -= 1
        if self.times >= 0:
            raise PermissionError(errno.EACCES, "used by another process", str(old))
        super().rename(old, new)

    def wait(self, seconds: float) -> None:
        self.waited += seconds


def test_a_rename_waits_for_a_scanner_and_not_for_ever(tmp_path: Path) -> None:
    for times in range(9):
        busy = Busy(0)
        with disk.using(busy), durable.staged(tmp_path / "out") as aside:
            fill(aside, times)
            durable.seal(aside)
            busy.times = times
        assert not damaged(tmp_path / "out", times)
    busy = Busy(10**6)
    with disk.using(busy), pytest.raises(PermissionError):
        durable.discard(tmp_path / "out")
    assert 9 < busy.waited < 12
    assert durable.verify(tmp_path / "out") is None


class Unsyncable(Disk):
    """A network drive that knows no fsync."""

    def sync(self, path: Path) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")


def test_a_disk_without_fsync_works_and_is_told_of(tmp_path: Path) -> None:
    assert durable.try_out(tmp_path) == ""
    with disk.using(Unsyncable()):
        assert "power cut" in durable.try_out(tmp_path)
        checkpoints(tmp_path)
    assert RunDir(tmp_path / "run").newest_valid() == (3, [])
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_trying_out_tells_of_a_folder_that_takes_nothing(tmp_path: Path) -> None:
    with disk.using(FailAt(1, errno.EROFS, broken=True)), pytest.raises(OSError, match="Read-only"):
        durable.try_out(tmp_path)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "x", "/run/a.bin"), "The disk is full: /run/a.bin"),
        (OSError(errno.EDQUOT, "x"), "The disk is full"),
        (OSError(errno.EROFS, "x", "/run/a.bin"), "/run/a.bin may not be written (EROFS)"),
        (PermissionError(errno.EACCES, "x"), "may not be written"),
        (OSError(errno.EIO, "x"), "The disk fails to write"),
        (OSError(errno.EFBIG, "x"), "no file so large"),
        (Exception("I/O error: No space left on device (os error 28)"), "The disk is full"),
        (RuntimeError("open file failed with strerror: Read-only file system"), "(EROFS)"),
        (RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 5"), "full"),
        (RuntimeError("basic_ios::clear: iostream error"), "full"),
    ],
)
def test_errors_of_the_disk_are_known_whoever_raises_them(
    error: Exception, words: str, tmp_path: Path
) -> None:
    found = disk_error(error, tmp_path, NEED)
    assert found is not None
    assert words in str(found)
    assert found.hint
    if "large" not in words:
        assert "1000000.0 TB are needed" in str(found)
        assert "are free" in str(found)


def test_other_errors_are_not_the_disk_s(tmp_path: Path) -> None:
    for error in (ValueError("x"), RuntimeError("CUDA error"), RunError("x"), FileNotFoundError()):
        assert disk_error(error, tmp_path) is None
    gone = disk_error(FileNotFoundError(), tmp_path / "usb")
    assert "is gone" in str(gone)


def test_room_is_looked_for_before_anything_is_written(tmp_path: Path) -> None:
    assert lack_of_room(tmp_path, 1) is None
    assert "is full" in str(lack_of_room(tmp_path, NEED))
    assert "is gone" in str(lack_of_room(tmp_path / "usb", 0))
    with pytest.raises(DiskError, match="are needed"), in_words(tmp_path, NEED):
        raise AssertionError("not reached")
    with pytest.raises(DiskError, match="is full"), in_words(tmp_path, 0):
        raise OSError(errno.ENOSPC, "x")
    with pytest.raises(ValueError, match="mine"), in_words(tmp_path, 0):
        raise ValueError("mine")
    assert disk_free(tmp_path) < NEED


def test_the_log_cuts_what_a_killed_engine_left(tmp_path: Path) -> None:
    run = RunDir.create(tmp_path / "run", Recipe(), "{}")
    run.events_file.write_bytes(b'{"kind":"step","step":1,"total":2,"loss":1}\n{"kind":"st')
    log = EventLog(run.events_file)
    log.append(b'{"kind":"step","step":2,"total":2,"loss":1}\n', safe=True)
    log.close()
    assert steps(run) == [1, 2]
