"""How the time of a memory estimate grows with the model and with the length of its rows.

    python tests/bench/memory_latency.py

The numbers to compare are ratios: a closed form looks at no layer and no token, so all are near 1.
Beside it, the whole plan that a slider makes anew, and every GPU of the catalogue judged. Writes
memory_latency.json beside itself.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import timeit
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from core.adapt import QLora  # noqa: E402 - a script finds its project first
from core.catalog import find_gpu, find_model  # noqa: E402
from core.machine import read_machine  # noqa: E402
from core.memory import Setup, estimate  # noqa: E402
from core.offers import offers, planned_for  # noqa: E402
from core.plan import Facts, make_plan  # noqa: E402
from core.recipe import Recipe  # noqa: E402
from core.settle import setup_of  # noqa: E402
from core.whatif import BATCH, largest  # noqa: E402
from tests.core.memory_rows import shape  # noqa: E402

MODELS = ("qwen2.5-0.5b", "qwen2.5-3b", "llama-3.1-8b", "qwen2.5-14b", "llama-3.1-70b")
LENGTHS = (512, 8192, 131_072)
CALLS, ROUNDS = 200, 5
RESULT = Path(__file__).with_suffix(".json")


def seconds(model: str, length: int) -> float:
    """Median time of one estimate."""
    facts, adaptation, setup = shape(model), QLora(), Setup(length=length)
    return median(lambda: estimate(facts, adaptation, setup))


def median(call: Callable[[], object], number: int = CALLS) -> float:
    """Median time of one call in seconds."""
    rounds = timeit.repeat(call, number=number, repeat=ROUNDS)
    return statistics.median(rounds) / number


def main() -> None:
    base = seconds(MODELS[0], LENGTHS[0])
    rows = []
    print(f"{'model':<14} {'length':>7} {'us':>6} {'time x':>7} {'numbers x':>10} {'length x':>9}")
    for model in MODELS:
        for length in LENGTHS:
            taken = seconds(model, length)
            grown = shape(model).parameters / shape(MODELS[0]).parameters
            rows.append({"model": model, "length": length, "microseconds": round(1e6 * taken),
                         "time_ratio": round(taken / base, 2), "numbers_ratio": round(grown, 1),
                         "length_ratio": length / LENGTHS[0]})  # fmt: skip
            print(
                f"{model:<14} {length:>7} {1e6 * taken:>6.0f} {taken / base:>7.2f} "
                f"{grown:>10.1f} {length / LENGTHS[0]:>9.0f}"
            )
    write(rows, whole(base))


def whole(base: float) -> dict[str, float]:
    """What follows from one move of a slider, as multiples of one estimate."""
    model = find_model("llama-3.1-8b").facts()
    facts = Facts(machine=planned_for(read_machine(), find_gpu("RTX 4090")), model=model)
    recipe = Recipe(adaptation=QLora())
    jobs: dict[str, Callable[[], object]] = {
        "plan": lambda: make_plan(recipe, facts),
        "all_gpus": lambda: offers(model, recipe.adaptation, setup_of(recipe, facts)),
        "largest_batch": lambda: largest(recipe, facts, BATCH, 1024),
    }
    taken = {name: median(job, 20) for name, job in jobs.items()}
    for name, time in taken.items():
        print(f"{name:<14} {1e6 * time:>14.0f} us, {time / base:.1f} estimates")
    return {name: round(time / base, 1) for name, time in taken.items()}


def write(rows: list[dict[str, object]], estimates: dict[str, float]) -> None:
    result = {
        "command": "python tests/bench/memory_latency.py",
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "runs": rows,
        "in_estimates": estimates,
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
