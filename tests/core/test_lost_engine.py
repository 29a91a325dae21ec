"""In the terminal, too, an engine that was lost is followed by another where that can help."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from core import launch, watch
from core.causes import ATTEMPTS, GPU_LOST
from core.history import History
from core.recipe import Recipe
from core.rundir import RunDir
from core.terminal import Terminal

PROGRAM = Path(__file__).with_name("losing_engine.py")


def follow(run: RunDir, losses: int, code: str, patch: pytest.MonkeyPatch) -> History:
    """Watch an engine that is lost so many times."""
    patch.setattr(watch, "PAUSE", 0.0)
    patch.setattr(
        launch, "engine_command",
        lambda _run, root, _serial, because: [
            sys.executable, str(PROGRAM), root, str(losses), code, because
        ],
    )  # fmt: skip
    story, _ = watch.watch_engine(launch.Engine(run), Terminal())
    return story


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return RunDir.create(tmp_path / "run", Recipe(), "{}")


def lives(run: RunDir) -> int:
    return sum(event.kind == "started" for event in run.events())


def test_what_is_lost_goes_on_and_says_so(
    run: RunDir, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert follow(run, 2, GPU_LOST.code, monkeypatch).state == "finished"
    assert lives(run) == 3
    said = capsys.readouterr().err
    for number in (1, 2):
        assert f"The GPU was lost. Taken up again by itself, attempt {number} of" in said


def test_what_is_lost_again_and_again_is_given_up(
    run: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert follow(run, 99, GPU_LOST.code, monkeypatch).state == "failed"
    assert lives(run) == 1 + ATTEMPTS


def test_what_would_happen_again_is_left(run: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    assert follow(run, 1, "gpu-memory", monkeypatch).state == "failed"
    assert lives(run) == 1
