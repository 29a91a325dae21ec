"""How long after a wish to stop the engine is gone, whatever it was doing.

    OMP_NUM_THREADS=1 python tests/bench/stopping.py [--runs 60] [--seed 1]

Each run trains the starter model as a user's run does, from importing the libraries to scoring the
result, and is told to stop at an instant chosen by chance within the length of a run in one go.
Noted is what the engine was doing, and the seconds until its process had left the run; the step in
hand is finished and a checkpoint written. Writes stopping.json beside itself.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from core import launch  # noqa: E402 - a script finds its project first
from core.commands import gather  # noqa: E402
from core.events import Step  # noqa: E402
from core.places import sample  # noqa: E402
from core.plan import make_plan  # noqa: E402
from core.recipe import Recipe, parse  # noqa: E402
from core.rundir import RunDir  # noqa: E402

LOOK = 0.01


def usual() -> Recipe:
    """A small run with everything in it: held-out looks, checkpoints, scored answers."""
    return parse({
        "name": "stopping", "model": "starter",
        "data": {"path": str(sample("tickets.jsonl")), "heldout_share": 0.05},
        "training": {"max_steps": 24, "accumulation": 1, "micro_batch": 4},
        "checks": {"score_rows": 40, "every": 6, "save_every": 6, "keep": 2},
    })  # fmt: skip


def begin(root: Path, recipe: Recipe) -> launch.Engine:
    """The engine of a new run, as the terminal starts it."""
    return launch.start(root, recipe, make_plan(recipe, gather(recipe, count=True)))


def wait(engine: launch.Engine, most: float) -> bool:
    """Whether the engine ended within so many seconds."""
    until = time.monotonic() + most
    while engine.alive() and time.monotonic() < until:
        time.sleep(LOOK)
    return not engine.alive()


def doing(run: RunDir) -> str:
    """What the engine told last."""
    story = run.history()
    last = list(run.events())[-1:]
    if last and isinstance(last[0], Step):
        return "training"
    return story.phase.name if story.phase else "starting"


def stopped(root: Path, recipe: Recipe, after: float) -> tuple[str, float] | None:
    """What it was doing when told, and the seconds until it was gone; None when it was faster."""
    engine = begin(root, recipe)
    if wait(engine, after):
        return None
    run = RunDir.open(root)
    what, told = doing(run), time.perf_counter()
    run.ask("stop")
    assert wait(engine, 120), f"{root} goes on"
    return what, time.perf_counter() - told


def measure(runs: int, seed: int, home: Path) -> dict[str, Any]:
    """Seconds by what the engine was doing."""
    recipe, lot = usual(), random.Random(seed)
    begun = time.monotonic()
    assert wait(begin(home / "whole", recipe), 600)
    whole = time.monotonic() - begun
    found: dict[str, list[float]] = defaultdict(list)
    for number in range(runs):
        told = stopped(home / f"run-{number}", recipe, lot.uniform(0, whole))
        if told:
            found[told[0]].append(round(told[1], 2))
            print(*told, flush=True)
    return {"seconds_of_a_whole_run": round(whole, 1), "seed": seed, "seconds_until_gone": {
        what: {"stops": len(times), "mean": round(sum(times) / len(times), 2), "most": max(times)}
        for what, times in sorted(found.items())
    }}  # fmt: skip


def main() -> None:
    """Measure and write down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ["TUNESMITH_HOME"] = home
        found = measure(given.runs, given.seed, Path(home))
    command = f"python tests/bench/stopping.py --runs {given.runs} --seed {given.seed}"
    told = {"command": command, "cores": os.cpu_count(), **found}
    (Path(__file__).with_suffix(".json")).write_text(json.dumps(told, indent=1) + "\n")
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
