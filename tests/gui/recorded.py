"""Runs that were recorded: their folders, and copies of them where the window looks for runs."""

from __future__ import annotations

import shutil
from pathlib import Path

from core.rundir import RunDir

FOLDER = Path(__file__).parents[1] / "data" / "runs"
NAMES = tuple(sorted(path.parent.name for path in FOLDER.glob("*/events.jsonl")))


def copy(name: str, home: Path) -> RunDir:
    """A run of one's own below `home`/runs."""
    root = home / "runs" / f"2026-11-24_06-00-00_{name}"
    shutil.copytree(FOLDER / name, root)
    return RunDir.open(root)
