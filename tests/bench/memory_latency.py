"""How the time of a memory estimate grows with the model and with the length of its rows.

    python tests/bench/memory_latency.py

The numbers to compare are ratios: a closed form looks at no layer and no token, so all are near 1.
"""

from __future__ import annotations

import statistics
import sys
import timeit
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from core.adapt import QLora  # noqa: E402 - a script finds its project first
from core.memory import Setup, estimate  # noqa: E402
from tests.core.memory_rows import shape  # noqa: E402

MODELS = ("qwen2.5-0.5b", "qwen2.5-3b", "llama-3.1-8b", "qwen2.5-14b", "llama-3.1-70b")
LENGTHS = (512, 8192, 131_072)
CALLS, ROUNDS = 200, 5


def seconds(model: str, length: int) -> float:
    """Median time of one call."""
    facts, adaptation, setup = shape(model), QLora(), Setup(length=length)
    rounds = timeit.repeat(lambda: estimate(facts, adaptation, setup), number=CALLS, repeat=ROUNDS)
    return statistics.median(rounds) / CALLS


def main() -> None:
    base = seconds(MODELS[0], LENGTHS[0])
    print(f"{'model':<14} {'length':>7} {'us':>6} {'time x':>7} {'numbers x':>10} {'length x':>9}")
    for model in MODELS:
        for length in LENGTHS:
            taken = seconds(model, length)
            grown = shape(model).parameters / shape(MODELS[0]).parameters
            print(
                f"{model:<14} {length:>7} {1e6 * taken:>6.0f} {taken / base:>7.2f} "
                f"{grown:>10.1f} {length / LENGTHS[0]:>9.0f}"
            )


if __name__ == "__main__":
    main()
