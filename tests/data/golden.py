"""Make the sample of a run folder in today's format: `python tests/data/golden.py NAME`.

A run that was stopped at the second of four steps, as small as one can be. Samples of released
formats are never made anew: whatever reads runs must read them for ever.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from core import durable
from core.events import Step
from core.manifest import MANIFEST
from core.places import sample, starter
from core.recipe import parse
from core.rundir import RunDir
from tests.engine.conftest import create, go

HERE = Path(__file__).parent / "golden"
ROWS = "tickets.jsonl"
RECIPE = {
    "name": "golden", "model": "starter", "data": {"path": ROWS, "heldout_share": 0.25},
    "adaptation": {"kind": "lora", "rank": 1, "targets": "attention", "dropout": 0.1},
    "training": {
        "max_steps": 4, "micro_batch": 2, "accumulation": 2, "learning_rate": 1e-3,
        "max_length": 64, "device": "cpu",
    },
    "checks": {"every": 2, "score_rows": 2, "answer_length": 2, "probes": ["Hello"]},
}  # fmt: skip
KEPT = ("run.json", "recipe.yaml", "plan.json", "events.jsonl", "control", "checkpoints")
"""What a run is; the rest is for people, or of the engine that ran last."""


def main(name: str) -> None:
    """Train in a folder where the rows are, so that no path of this computer is written down."""
    with TemporaryDirectory() as place:
        os.chdir(place)
        lines = sample(ROWS).read_text(encoding="utf-8").splitlines(keepends=True)
        Path(ROWS).write_text("".join(lines[:40]), encoding="utf-8")
        run = create(Path("run"), parse(RECIPE))
        go(run, lambda run, event: run.ask("stop") if _second(event) else None)
        folder = HERE / name
        (folder / "run").mkdir(parents=True)
        shutil.copy(ROWS, folder)
        for kept in KEPT:
            copy = shutil.copytree if (run.root / kept).is_dir() else shutil.copy
            copy(run.root / kept, folder / "run" / kept)
    _forget_this_computer(RunDir(folder / "run"), Path(place))


def _forget_this_computer(run: RunDir, place: Path) -> None:
    """Take out where model and rows lay; libraries write it into their files."""
    for path in [*run.root.rglob("*.json"), *run.root.rglob("*.md")]:
        text = path.read_text(encoding="utf-8")
        for here, name in ((str(starter()), "starter"), (f"{place.resolve()}{os.sep}", "")):
            text = text.replace(here, name)
        path.write_text(text, encoding="utf-8")
    (step,) = run.saved_steps()
    facts = json.loads((run.checkpoint(step) / MANIFEST).read_text(encoding="utf-8"))
    known = {name: facts[name] for name in facts.keys() - {"format", "files", "sum"}}
    durable.seal(run.checkpoint(step), **known)


def _second(event: object) -> bool:
    return isinstance(event, Step) and event.step == 2


if __name__ == "__main__":
    main(*sys.argv[1:])
