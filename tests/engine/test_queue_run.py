"""Two recipes in the queue, the terminal killed in between, and both are trained all the same."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from core.events import Started
from core.recipe import Recipe
from core.rundir import RunDir

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="a terminal is killed by signal"),
]
ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 1800.0


def words(*said: str) -> list[str]:
    return [sys.executable, "-m", "core", "queue", *said]


def tunesmith(*said: str) -> str:
    done = subprocess.run(
        words(*said), cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def begun(home: Path) -> RunDir:
    """The first run, once its engine has said so."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        for root in sorted((home / "runs").glob("*")):
            run = RunDir(root)
            if run.events_file.is_file() and run.history().started:
                return run
        time.sleep(0.1)
    raise AssertionError("nothing was begun")


def test_a_killed_terminal_loses_nothing(home: Path, tmp_path: Path, recipe: Recipe) -> None:
    for name in ("one", "two"):
        path = tmp_path / f"{name}.yaml"
        short = recipe.edit("name", name).edit("training.max_steps", 4)
        path.write_text(short.to_yaml(), encoding="utf-8")
        tunesmith("add", str(path))
    with subprocess.Popen(
        words("run"), cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as terminal:  # fmt: skip
        first = begun(home)
        terminal.send_signal(signal.SIGKILL)
    assert first.is_running(), "the engine goes on"
    told = json.loads(tunesmith("run", "--json"))
    assert [(one["name"], one["state"]) for one in told["entries"]] == [
        ("one", "finished"), ("two", "finished"),
    ]  # fmt: skip
    runs = [RunDir(Path(one["run"])) for one in told["entries"]]
    assert runs[0] == first
    for run in runs:
        assert sum(isinstance(event, Started) for event in run.events()) == 1
        assert run.history().state == "finished"
        assert run.adapter.is_dir()
    assert sorted(home.glob("runs/*")) == sorted(run.root for run in runs)
