"""Traces steps of our engine, to judge the closed form by: bytes into a table.

    python tests/bench/memory_traces.py

About ten minutes. The table is tests/data/memory/engine_traces.csv.
"""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from core.engine.trace import trace  # noqa: E402 - a script finds its project first
from core.memory.setup import Setup  # noqa: E402
from core.recipe import parse  # noqa: E402
from tests.core.memory_rows import TRACES, configuration  # noqa: E402

USUAL = ("qwen2.5-0.5b", "llama-3.2-3b", "llama-3.1-8b")
LENGTHS = ((1, 512), (2, 2048), (1, 8192))
"""Rows and tokens."""
UNUSUAL: tuple[tuple[str, dict[str, Any], dict[str, Any]], ...] = (
    ("qwen2.5-7b", {"kind": "lora"}, {"length": 2048, "checkpointing": True}),
    ("qwen2.5-7b", {"kind": "lora", "targets": "attention"}, {"length": 1024, "rows": 2}),
    ("mistral-7b-v0.3", {"kind": "qlora"}, {"length": 1024, "optimizer": "paged_adamw_8bit"}),
    ("llama-3.2-3b", {"kind": "full"}, {"checkpointing": True, "optimizer": "adamw_8bit"}),
    ("llama-3.2-3b", {"kind": "full"}, {"checkpointing": True, "accumulation": 4}),
    ("llama-3.2-3b", {"kind": "full"}, {"rows": 4, "loss": "logits"}),
    ("llama-3.2-3b", {"kind": "lora"}, {"rows": 2, "padded": True}),
    ("llama-3.2-3b", {"kind": "lora"}, {"rows": 2, "padded": True, "checkpointing": True}),
    ("llama-3.2-3b", {"kind": "lora"}, {"attention": "eager"}),
    ("llama-3.2-3b", {"kind": "lora"}, {"checkpointing": True, "loss": "logits"}),
    ("llama-3.2-3b", {"kind": "lora"}, {"rows": 2, "length": 512, "attention": "efficient"}),
    ("qwen2.5-0.5b", {"kind": "lora"}, {"rows": 2, "padded": True}),
    ("qwen2.5-0.5b", {"kind": "lora"}, {"rows": 2, "dtype": "fp32"}),
    ("qwen2.5-0.5b", {"kind": "full"}, {"checkpointing": True, "optimizer": "adafactor"}),
    ("qwen2.5-0.5b", {"kind": "full"}, {"checkpointing": True, "optimizer": "adamw_foreach"}),
    ("qwen2.5-0.5b", {"kind": "full"}, {"checkpointing": True, "optimizer": "sgd"}),
    ("qwen2.5-0.5b", {"kind": "lora"}, {"rows": 2, "cuda": False}),
    ("qwen2.5-0.5b", {"kind": "lora"}, {"rows": 2, "cuda": False, "checkpointing": True}),
    ("qwen2.5-0.5b", {"kind": "full"}, {"rows": 2, "cuda": False}),
    ("qwen2.5-0.5b", {"kind": "full"}, {"rows": 2, "cuda": False, "checkpointing": True}),
)
PAIRED = ("smollm2-135m", "qwen2.5-0.5b", "llama-3.1-8b")
PAIRED_UNUSUAL: tuple[tuple[str, dict[str, Any], dict[str, Any]], ...] = (
    ("qwen2.5-0.5b", {"kind": "lora"}, {"rows": 2, "padded": True}),
    ("qwen2.5-0.5b", {"kind": "qlora"}, {"rows": 4, "length": 512, "padded": True,
                                         "checkpointing": True}),
    ("llama-3.1-8b", {"kind": "lora"}, {"padded": True}),
    ("llama-3.1-8b", {"kind": "qlora"}, {"rows": 2, "padded": True, "checkpointing": True}),
    ("qwen2.5-0.5b", {"kind": "full"}, {"rows": 2, "padded": True}),
    ("qwen2.5-0.5b", {"kind": "lora"}, {"rows": 2, "cuda": False}),
)  # fmt: skip


def cases() -> list[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Shapes, adaptations and steps."""
    usual = [
        (name, {"kind": kind}, {"checkpointing": saved, "rows": rows, "length": length})
        for name in USUAL
        for kind in ("lora", "qlora", "full")
        for saved in (False, True)
        for rows, length in LENGTHS
    ]
    pairs = [
        (name, {"kind": kind}, {"checkpointing": saved, "rows": rows, "length": length})
        for name in PAIRED
        for kind in ("lora", "qlora", "full")
        for saved in (False, True)
        for rows, length in LENGTHS[:2]
    ]
    paired = [
        (name, kind, step | {"objective": "dpo"}) for name, kind, step in (*pairs, *PAIRED_UNUSUAL)
    ]
    return [*usual, *UNUSUAL, *paired]


def main() -> None:
    lines = []
    for name, chosen, step in cases():
        setup = Setup.model_validate(step)
        adaptation = parse({"adaptation": chosen}).adaptation
        found = trace(configuration(name), adaptation, setup)
        lines.append(
            {"shape": name, "adaptation": json.dumps(chosen, separators=(",", ":"))}
            | {"setup": setup.model_dump_json(exclude_defaults=True)}
            | found.model_dump(include={"allocated_bytes", "reserved_bytes", "expandable_bytes"})
        )
        print(*lines[-1].values(), flush=True)
    with TRACES.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, lines[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)


if __name__ == "__main__":
    main()
