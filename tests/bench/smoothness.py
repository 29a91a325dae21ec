"""How late the window's event loop is while an engine trains on every core.

    python tests/bench/smoothness.py [--seconds 60] [--rounds 2]

The real window (offscreen) watches a real run of the starter model and draws its curves. A timer of
5 ms notes how much later than that it is called; what a user feels is the worst of a hundred. Side
by side, round by round: no engine at all, an engine that gives way, as windows ask for, and one
that does not. Writes smoothness.json beside itself.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

from PySide6.QtCore import QEventLoop, Qt, QTimer  # noqa: E402 - after soak chose the screen
from soak import endless, show_window  # noqa: E402 - a script finds its project first

from core import courtesy  # noqa: E402
from core.commands import gather  # noqa: E402
from core.plan import make_plan  # noqa: E402
from gui.window import Window  # noqa: E402

TICK = 0.005
CASES = {"no engine": None, "gives way": "1", "does not give way": ""}
"""What engines are told by the environment; None where there is none."""


def lateness(seconds: float) -> list[float]:
    """Milliseconds that each call of a timer came late, in the loop that draws."""
    loop, late = QEventLoop(), list[float]()
    last = time.perf_counter()

    def tick() -> None:
        nonlocal last
        now = time.perf_counter()
        late.append(max(0.0, now - last - TICK) * 1e3)
        last = now

    timer = QTimer(timerType=Qt.TimerType.PreciseTimer, interval=round(TICK * 1e3))
    timer.timeout.connect(tick)
    timer.start()
    QTimer.singleShot(round(seconds * 1e3), loop.quit)
    loop.exec()
    return late


def watched(window: Window, spin: Any, seconds: float, asked: str) -> list[float]:
    """As `lateness`, while a run trains."""
    os.environ[courtesy.ASKED] = asked
    chosen = endless()
    window.runner.start(chosen, make_plan(chosen, gather(chosen, count=True)))
    spin(lambda: window.runner.history.step >= 20)
    late = lateness(seconds)
    window.runner.stop_and_wait()
    return late


def told(late: list[float]) -> dict[str, float]:
    """What was seen, in milliseconds."""
    ordered = sorted(late)
    share = {
        f"p{part:g}": round(ordered[int(len(ordered) * part / 100)], 1) for part in (50, 99, 99.9)
    }
    return {"ticks": len(late)} | share | {"max": round(ordered[-1], 1)}


def measure(seconds: float, rounds: int) -> dict[str, Any]:
    """All cases in turn, so that what else the computer does meets each alike."""
    window, spin = show_window()
    window.show_page("Run")
    late: dict[str, list[float]] = defaultdict(list)
    for _ in range(rounds):
        for case, asked in CASES.items():
            if asked is None:
                late[case] += lateness(seconds)
            else:
                late[case] += watched(window, spin, seconds, asked)
    window.close()
    return {case: told(found) for case, found in late.items()}


def main() -> None:
    """Measure and write down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rounds", type=int, default=2)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        os.environ["TUNESMITH_HOME"] = home
        found = measure(given.seconds, given.rounds)
    rude, kind = found["does not give way"]["p99"], found["gives way"]["p99"]
    report = {
        "command": f"python tests/bench/smoothness.py {' '.join(sys.argv[1:])}".strip(),
        "cores": os.cpu_count(), "milliseconds_late": found,
        "p99_of_giving_way_by_not": round(kind / rude, 2) if rude else None,
    }  # fmt: skip
    (HERE / "smoothness.json").write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
