"""Run folders of every format there ever was open, verify, and go on to their end."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from core.engine.__main__ import run as engine
from core.manifest import FORMAT as MANIFEST_FORMAT
from core.manifest import MANIFEST
from core.rundir import FORMAT, RunDir, list_runs
from tests.engine.conftest import losses

pytestmark = [pytest.mark.engine, pytest.mark.filterwarnings("default")]
SAMPLES = sorted((Path(__file__).parents[1] / "data" / "golden").iterdir())


def test_there_is_a_sample_of_every_format() -> None:
    assert [path.name for path in SAMPLES] == [f"format-{n}" for n in range(1, FORMAT + 1)]
    newest = next(SAMPLES[-1].glob("run/checkpoints/*")) / MANIFEST
    assert json.loads(newest.read_text(encoding="utf-8"))["format"] == MANIFEST_FORMAT


@pytest.mark.parametrize("folder", SAMPLES, ids=lambda path: path.name)
def test_an_old_run_opens_and_goes_on(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(folder, tmp_path / "place")
    monkeypatch.chdir(tmp_path / "place")  # the rows lie there
    run = RunDir.open(tmp_path / "place" / "run")
    before = run.history()
    assert (before.state, before.step, before.total) == ("stopped", 2, 4)
    assert run.newest_valid() == (2, [])
    assert [(one.name, one.outcome) for one in list_runs(tmp_path / "place")] == [
        ("golden", "stopped")
    ]
    assert engine(run, run.control().serial) == 0
    after = run.history()
    assert (after.state, after.step) == ("finished", 4)
    assert losses(after)[:2] == losses(before)
    assert [found.step for found in after.checkpoints] == [2, 4]
    numbers = [event.seq for event in run.events()]
    assert numbers == list(range(1, len(numbers) + 1))
