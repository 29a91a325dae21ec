"""Who holds a run is told by name, and never by a file that has outlived its engine."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from core import cli, holder
from core.errors import RunError
from core.recipe import Recipe
from core.rundir import RunDir

HOLD = """
import sys, time
from pathlib import Path
from core.rundir import RunDir
with RunDir(Path(sys.argv[1])).hold(2):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return RunDir.create(tmp_path / "run", Recipe(), "{}")


def test_the_second_is_told_who_the_first_is_and_takes_over_when_it_is_killed(run: RunDir) -> None:
    words = [sys.executable, "-c", HOLD, str(run.root)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(RunError) as refused, run.hold(0):
            raise AssertionError("two engines on one run")
        assert f"process {other.pid} on {socket.gethostname()}, since 2" in str(refused.value)
        assert refused.value.hint
        other.kill()
    assert run.holder_file.exists(), "nobody has tidied up"
    assert not run.is_running()
    with run.hold(2):
        assert f"process {os.getpid()} on" in str(run.held())
    assert not run.holder_file.exists()


def test_the_terminal_names_the_holder_and_a_way_on(
    run: RunDir, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [sys.executable, "-c", HOLD, str(run.root)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        assert cli.main(["run", "--resume", str(run.root)]) == 2
        other.kill()
    told = capsys.readouterr().err
    who = f"the engine with process {other.pid} on {socket.gethostname()}, since 2"
    assert f"error: run is already running: {who}" in told
    assert "holds it." in told
    assert "hint: Follow it instead, or stop it first." in told


@pytest.mark.parametrize("changes", [{"born": 1.0}, {"pid": 2**30}])
def test_a_dead_process_is_not_named(run: RunDir, changes: dict[str, float]) -> None:
    holder.sign(run.holder_file)
    signed = holder.Holder.model_validate_json(run.holder_file.read_bytes())
    stale = signed.model_copy(update=changes)
    run.holder_file.write_text(stale.model_dump_json(), encoding="utf-8")
    assert "another engine holds it" in str(run.held())


def test_another_computer_is_believed(run: RunDir) -> None:
    told = holder.Holder(pid=2**30, host="elsewhere", since=0, born=1)
    run.holder_file.write_text(told.model_dump_json(), encoding="utf-8")
    assert f"process {2**30} on elsewhere" in str(run.held())


@pytest.mark.parametrize("text", ["", "{", '{"pid": "x"}'])
def test_a_damaged_file_keeps_nobody_from_being_refused(run: RunDir, text: str) -> None:
    run.holder_file.write_text(text, encoding="utf-8")
    with run.lock().acquire(), pytest.raises(RunError, match="another engine"), run.hold(0):
        raise AssertionError("two engines on one run")
