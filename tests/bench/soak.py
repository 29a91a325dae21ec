"""Long runs: how fast the story of a million events opens, and whether memory stays flat.

    OMP_NUM_THREADS=1 python tests/bench/soak.py open [--events 1000000]
    OMP_NUM_THREADS=1 python tests/bench/soak.py follow [--minutes 120]

`open` writes a run of so many events and opens it headless and in the real window (offscreen).
`follow` trains the starter model on one short row at a time, as fast as the machine can, while the
real window watches, and notes the memory of both once a minute. Writes soak_open.json or
soak_follow.json beside itself.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import psutil  # noqa: E402 - a script finds its project first

from core.commands import gather  # noqa: E402
from core.events import (  # noqa: E402
    Evaluated,
    Event,
    Finished,
    Memory,
    Saved,
    Started,
    Step,
    encode,
)
from core.machine import read_machine  # noqa: E402
from core.places import sample  # noqa: E402
from core.plan import make_plan  # noqa: E402
from core.recipe import Recipe, parse  # noqa: E402
from core.rundir import RunDir  # noqa: E402
from gui import settings  # noqa: E402
from gui.app import make_application  # noqa: E402
from gui.collector import Collector  # noqa: E402
from gui.runner import Runner  # noqa: E402
from gui.session import Session  # noqa: E402
from gui.window import Window  # noqa: E402

HERE = Path(__file__).parent
GB = 1 << 30
MEMORY = Memory(
    gpu_allocated=9 * GB, gpu_reserved=10 * GB, gpu_used=11 * GB, gpu_total=24 * GB,
    gpu_busy=97, host_used=3 * GB, host_total=32 * GB,
)  # fmt: skip


def story(count: int) -> Iterator[Event]:
    """A run of so many events: steps, and now and then a look at the held-out rows and a save."""
    yield Started(pid=1, device="a card")
    for step in range(1, count - 1):
        loss = 3.0 / step**0.3 + 0.1 * (step * 7919 % 97) / 97
        yield Step(step=step, total=count, loss=loss, learning_rate=2e-4, grad_norm=1.25,
                   tokens=step * 4_096, tokens_per_second=11_000.5, seconds=step * 0.4,
                   memory=MEMORY)  # fmt: skip
        if step % 1_000 == 0:
            yield Evaluated(step=step, loss=loss, best=step % 5_000 == 0)
            yield Saved(step=step, path=f"checkpoints/step-{step:08}", bytes=1 << 20)
    yield Finished(step=count - 2)


def resident(process: psutil.Process) -> float:
    """MB that a process holds, after its window has collected."""
    return float(process.memory_info().rss) / 1e6


def open_long(count: int, home: Path) -> dict[str, Any]:
    """Seconds per 100,000 events and growth in MB, headless and in the window."""
    run = RunDir.create(home / "run", Recipe(name="long"), "{}")
    with run.events_file.open("ab") as file:
        file.writelines(encode(event) for event in story(count))
    told = sum(1 for _ in run.events())
    found: dict[str, Any] = {"events": told, "bytes": run.events_file.stat().st_size}
    found["headless"] = timed(told, lambda: run.history().step)
    window, spin = show_window()

    def watch() -> int:
        window.runner.open(run.root)
        spin(lambda: window.runner.history.state == "finished" and window.settled)
        return window.runner.history.step

    found["window"] = timed(told, watch)
    window.close()
    return found


def timed(events: int, work: Callable[[], int]) -> dict[str, float]:
    """How long, and how much memory it leaves taken."""
    gc.collect()
    process = psutil.Process()
    before, begun, used = resident(process), time.perf_counter(), time.process_time()
    last = work()
    seconds, used = time.perf_counter() - begun, time.process_time() - used
    gc.collect()
    assert last, "the story has steps"
    return {"seconds": round(seconds, 1), "per_100k": round(seconds / events * 1e5, 2),
            "cpu_per_100k": round(used / events * 1e5, 2),
            "grown_mb": round(resident(process) - before, 1)}  # fmt: skip


def show_window() -> tuple[Window, Callable[[Callable[[], bool]], None]]:
    """The real window, and how to keep it alive until something is true."""
    app = make_application()
    Collector(app)
    window = Window(Session(read_machine(ROOT), Recipe()), Runner(), settings.Looks())
    window.show()

    def spin(done: Callable[[], bool]) -> None:
        while not done():
            app.processEvents()
            time.sleep(0.005)

    spin(lambda: window.settled)
    return window, spin


def endless() -> Recipe:
    """The starter model, one short row a step, more steps than there is time for.

    The rate is low: a run that diverges is paused.
    """
    return parse({
        "name": "soak", "model": "starter",
        "data": {"path": str(sample("tickets.jsonl")), "heldout_share": 0.02},
        "training": {
            "max_steps": 10_000_000, "epochs": 1_000, "accumulation": 1, "micro_batch": 1,
            "learning_rate": 1e-5, "schedule": "constant", "warmup": 0,
        },
        "checks": {"score_rows": 0, "every": 2_000, "save_every": 2_000, "keep": 2},
    })  # fmt: skip


def follow_long(minutes: float) -> dict[str, Any]:
    """MB of the engine and of the window that watches it, once a minute."""
    chosen = endless()
    plan = make_plan(chosen, gather(chosen, count=True))
    window, spin = show_window()
    window.runner.start(chosen, plan)
    spin(lambda: window.runner.history.step >= 100)
    assert window.runner.history.started is not None
    engine, own = psutil.Process(window.runner.history.started.pid), psutil.Process()
    rows: list[dict[str, float]] = []
    for minute in range(int(minutes) + 1):
        if not window.runner.alive():
            break
        rows.append({"minute": minute, "step": window.runner.history.step,
                     "engine_mb": round(resident(engine), 1),
                     "window_mb": round(resident(own), 1)})  # fmt: skip
        print(json.dumps(rows[-1]), flush=True)
        until = time.monotonic() + 60
        spin(lambda until=until: time.monotonic() > until or not window.runner.alive())  # type: ignore[misc]
    window.runner.stop_and_wait()
    return {"minutes": minutes, "outcome": str(window.runner.outcome()), "rows": rows}


def main() -> None:
    """Measure and write down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("job", choices=("open", "follow"))
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--minutes", type=float, default=120)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ["TUNESMITH_HOME"] = home
        if given.job == "open":
            found = open_long(given.events, Path(home))
        else:
            found = follow_long(given.minutes)
    told = {"command": f"python tests/bench/soak.py {' '.join(sys.argv[1:])}", **found}
    (HERE / f"soak_{given.job}.json").write_text(json.dumps(told, indent=1) + "\n")
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
