"""Rows per second and peak memory of inspection and doctor, and how both grow with the file.

    python tests/bench/data.py [ROWS ...]        10000 100000 1000000 unless told otherwise

Inspection is what opening a dataset does, the doctor what `tunesmith data inspect` does. Each size
runs in a process of its own on the same kind of short rows. The growth exponent is the slope
between the smallest and the largest size in logarithms: 1 is linear. Writes data.json beside
itself.
"""

from __future__ import annotations

import json
import math
import os
import platform
import random
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RESULT = Path(__file__).with_suffix(".json")
SIZES = (10_000, 100_000, 1_000_000)
JOBS = ("inspect", "doctor")
PROGRAM = """
import json, resource, sys, time
from pathlib import Path
from core.checkup import examine
from core.dataset import inspect_data

look = {"inspect": inspect_data, "doctor": lambda path: examine(path).facts}[sys.argv[1]]
bare = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
begun, worked = time.perf_counter(), time.process_time()
found = look(Path(sys.argv[2]))
seconds, busy = time.perf_counter() - begun, time.process_time() - worked
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"rows": found.rows, "seconds": seconds, "busy": busy, "peak": peak,
                  "bare": bare, "findings": [f.code for f in found.problems]}))
"""
UNIT = 1 if sys.platform == "darwin" else 1024
"""Bytes in which the system counts the peak."""


def write(path: Path, rows: int) -> None:
    """Short rows of twenty-four made-up words, the same on every computer."""
    lot = random.Random(rows)
    syllables = [a + b for a in "bdfgklmnprstvw" for b in ("a", "e", "i", "o", "u", "al", "en")]
    words = ["".join(lot.choices(syllables, k=lot.randint(2, 4))) for _ in range(5_000)]
    with path.open("w", encoding="utf-8") as file:
        for _ in range(rows):
            said = lot.choices(words, k=24)
            row = {"prompt": " ".join(said[:8]) + "?", "answer": " ".join(said[8:]) + "."}
            file.write(json.dumps(row) + "\n")


def measure(job: str, rows: int, folder: Path) -> dict[str, object]:
    """One size, in a fresh process."""
    path = folder / f"{rows}.jsonl"
    if not path.exists():
        write(path, rows)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, job, str(path)],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    assert found["rows"] == rows
    return {
        "rows": rows,
        "megabytes": round(path.stat().st_size / 1e6, 1),
        "seconds": round(found["seconds"], 2),
        "processor_seconds": round(found["busy"], 2),
        "rows_per_second": round(rows / found["seconds"]),
        "rows_per_processor_second": round(rows / found["busy"]),
        "peak_megabytes": round(found["peak"] * UNIT / 1e6, 1),
        "grown_megabytes": round((found["peak"] - found["bare"]) * UNIT / 1e6, 1),
        "findings": found["findings"],
    }


def exponent(runs: list[dict[str, object]], key: str) -> float | None:
    """Slope in logarithms from the smallest to the largest size."""
    if len(runs) < 2:
        return None
    (a, b), (c, d) = (
        (float(str(run["rows"])), float(str(run[key]))) for run in (runs[0], runs[-1])
    )
    return round(math.log(d / b) / math.log(c / a), 2)


def main(sizes: list[int]) -> None:
    """Measure and tell both jobs."""
    with tempfile.TemporaryDirectory() as folder:
        found = {job: [measure(job, size, Path(folder)) for size in sizes] for job in JOBS}
    result: dict[str, object] = {
        "command": " ".join(["python tests/bench/data.py", *map(str, sizes)]),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
    }
    for job, runs in found.items():
        result[job] = {
            "runs": runs,
            "time_exponent": exponent(runs, "processor_seconds"),
            "memory_exponent": exponent(runs, "grown_megabytes"),
        }
        tell(job, runs)
    RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def tell(job: str, runs: list[dict[str, object]]) -> None:
    """Say what was measured of one job."""
    for run in runs:
        print(
            f"{job} {run['rows']:>9,} rows: {run['rows_per_second']:>7,} rows/s "
            f"({run['rows_per_processor_second']:,} of a free processor), "
            f"{run['peak_megabytes']:>7} MB at most, {run['grown_megabytes']} MB of it grown"
        )
    print(
        f"{job}: time grows with rows^{exponent(runs, 'processor_seconds')}, memory with "
        f"rows^{exponent(runs, 'grown_megabytes')}"
    )


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]] or list(SIZES))
