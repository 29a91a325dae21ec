"""How the time of a trace grows with the layers of a model and with the length of its rows.

    python tests/bench/trace_time.py

The numbers to compare are ratios: a trace should grow no faster than the layers, and hardly at all
with the length, which no operation on tensors without numbers looks at. Writes trace_time.json
beside itself.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from core.adapt import QLora  # noqa: E402 - a script finds its project first
from core.engine.trace import trace  # noqa: E402
from core.memory.setup import Setup  # noqa: E402

SHAPES = ROOT / "tests" / "data" / "memory" / "shapes"
MODELS = ("qwen2.5-0.5b", "qwen2.5-3b", "llama-3.1-8b", "qwen2.5-14b", "llama-3.1-70b")
LENGTHS = (512, 2048, 8192)
RESULT = Path(__file__).with_suffix(".json")


def seconds(model: str, length: int) -> tuple[int, float]:
    """Layers of the model, and how long its trace takes."""
    config = json.loads((SHAPES / f"{model}.json").read_text(encoding="utf-8"))
    found = trace(config, QLora(), Setup(length=length, checkpointing=True))
    return config["num_hidden_layers"], found.seconds


def main() -> None:
    seconds(MODELS[0], 64)  # the first trace also loads what libraries load late
    base_layers, base = seconds(MODELS[0], LENGTHS[0])
    print(f"{'model':<14} {'length':>6} {'seconds':>8} {'time x':>7} {'layers x':>8}")
    rows = []
    for model in MODELS:
        for length in LENGTHS:
            layers, taken = seconds(model, length)
            rows.append({"model": model, "length": length, "seconds": round(taken, 2),
                         "time_ratio": round(taken / base, 2),
                         "layers_ratio": round(layers / base_layers, 2)})  # fmt: skip
            print(
                f"{model:<14} {length:>6} {taken:>8.2f} {taken / base:>7.2f} "
                f"{layers / base_layers:>8.2f}",
                flush=True,
            )
    result = {
        "command": "python tests/bench/trace_time.py",
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "runs": rows,
    }
    RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
