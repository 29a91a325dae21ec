"""The computer is put to sleep or shut down by its own programs, called with a list of words."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from core import power
from core.errors import HardwareError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="stand-ins are shell scripts")
DOWN = 'tell application "System Events" to shut down'
Program = Callable[[str, str], Path]


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """Makes a program that notes how it was called; nothing else is on the path."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def make(name: str, then: str = "exit 0") -> Path:
        place = folder / name
        place.write_text(
            f'#!/bin/sh\nfor word in "$@"; do echo "$word"; done > "$0.said"\n{then}\n'
        )
        place.chmod(0o755)
        return place.with_name(f"{name}.said")

    return make


@pytest.mark.parametrize(
    ("platform", "action", "name", "words"),
    [
        ("linux", "sleep", "systemctl", ["suspend", "--no-ask-password"]),
        ("linux", "sleep", "loginctl", ["suspend"]),
        ("linux", "shutdown", "systemctl", ["poweroff", "--no-ask-password"]),
        ("linux", "shutdown", "shutdown", ["-h", "now"]),
        ("darwin", "sleep", "pmset", ["sleepnow"]),
        ("darwin", "shutdown", "osascript", ["-e", DOWN]),
        ("win32", "shutdown", "shutdown", ["/s", "/t", "0"]),
    ],
)  # fmt: skip
def test_the_system_is_asked_in_its_own_words(
    program: Program, platform: str, action: power.Action, name: str, words: list[str]
) -> None:
    said = program(name, "exit 0")
    power.perform(action, platform)
    assert said.read_text(encoding="utf-8").splitlines() == words


def test_windows_is_asked_to_sleep_and_not_to_hibernate(program: Program) -> None:
    said = program("powershell", "exit 0")
    power.perform("sleep", "win32")
    assert "SetSuspendState('Suspend'" in said.read_text(encoding="utf-8")


def test_a_refusal_is_told_in_the_system_s_words_and_not_gone_round(program: Program) -> None:
    program("systemctl", "echo 'Operation inhibited by apt.' >&2; exit 1")
    other = program("shutdown", "exit 0")
    with pytest.raises(HardwareError) as told:
        power.perform("shutdown", "linux")
    assert "could not be shut down: Operation inhibited by apt." in str(told.value)
    assert told.value.hint
    assert not other.exists()


def test_a_program_that_cannot_be_run_is_told(program: Program) -> None:
    program("systemctl", "exit 0").with_name("systemctl").write_bytes(b"no program")
    with pytest.raises(HardwareError, match="could not be put to sleep"):
        power.perform("sleep", "linux")


def test_a_system_without_such_a_program_is_told(program: Program) -> None:
    with pytest.raises(HardwareError, match="no program for it"):
        power.perform("sleep", "linux")
    with pytest.raises(HardwareError, match="no program for it"):
        power.perform("sleep", "plan9")
