"""Sleep is held off by a program that ends with us, and whose failure harms nothing."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import psutil
import pytest

from core.awake import awake, inhibitor

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="programs of Linux and macOS")


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for the system's program: it notes how it was called, and waits as the real one
    does."""
    place = tmp_path / "bin" / ("caffeinate" if sys.platform == "darwin" else "systemd-inhibit")
    place.parent.mkdir()
    place.write_text('#!/bin/sh\necho "$@" > "$0.said"\nexec cat\n', encoding="utf-8")
    place.chmod(0o755)
    monkeypatch.setenv("PATH", f"{place.parent}:{os.environ['PATH']}")
    return place


def test_it_is_held_while_the_block_runs(program: Path) -> None:
    with awake("A test runs."):
        (child,) = psutil.Process().children()
    assert not child.is_running()


def test_it_says_who_and_why(program: Path) -> None:
    command = inhibitor("linux", "A test runs.", 7)
    if sys.platform == "linux":
        assert command
        assert command[0] == str(program)
        assert {"--what=sleep:idle", "--who=Tunesmith", "--why=A test runs."} <= set(command)
        assert command[-1] == "cat", "it ends when the pipe to it does"


def test_a_program_that_cannot_be_run_harms_nothing(
    program: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    program.write_bytes(b"no program")
    done = []
    with awake("A test runs."):
        done.append(True)
    assert done
    assert "not kept from sleeping" in capfd.readouterr().err


def test_a_program_that_refuses_harms_nothing(program: Path) -> None:
    program.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    with awake("A test runs."):
        pass


def test_without_a_program_it_is_told(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")
    with awake("A test runs."):
        pass
    assert "cannot be kept from sleeping" in capfd.readouterr().err


def test_an_error_inside_comes_out(program: Path) -> None:
    with pytest.raises(ValueError, match="inside"), awake("A test runs."):
        raise ValueError("inside")
