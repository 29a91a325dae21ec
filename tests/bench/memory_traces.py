"""Traces steps of our engine, to judge the closed form by: bytes into a table.

    python tests/bench/memory_traces.py engine_traces
    python tests/bench/memory_traces.py shared_traces
    python tests/bench/memory_traces.py paired_traces

About fifteen minutes, three, and five. The tables are tests/data/memory/*_traces.csv: of one GPU,
of several GPUs that share a model, and of pairs (DPO).
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from core.engine.trace import trace  # noqa: E402 - a script finds its project first
from core.memory.setup import Setup  # noqa: E402
from core.recipe import parse  # noqa: E402
from tests.core.memory_rows import DATA, configuration  # noqa: E402

USUAL = ("qwen2.5-0.5b", "llama-3.2-3b", "llama-3.1-8b")
LENGTHS = ((1, 512), (2, 2048), (1, 8192))
"""Rows and tokens."""
Case = tuple[str, dict[str, Any], dict[str, Any]]
"""Shape, adaptation and step."""
UNUSUAL: tuple[Case, ...] = (
    ("qwen2.5-7b", {"kind": "lora"}, {"length": 2048, "checkpointing": True}),
    ("qwen2.5-7b", {"kind": "lora", "targets": "attention"}, {"length": 1024, "rows": 2}),
    ("mistral-7b-v0.3", {"kind": "qlora"}, {"length": 1024, "optimizer": "paged_adamw_8bit"}),
    ("llama-3.2-3b", {"kind": "full"}, {"checkpointing": True, "optimizer": "adamw_8bit"}),
    ("llama-3.2-3b", {"kind": "full"}, {"checkpointing": True, "optimizer": "lion_8bit"}),
    ("llama-3.2-3b", {"kind": "full"}, {"checkpointing": True, "optimizer": "muon"}),
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
    ("llama-3.2-3b", {"kind": "lora"}, {"attention": "eager", "checkpointing": True}),
    ("llama-3.2-3b", {"kind": "qlora"}, {"attention": "eager", "length": 2048}),
    ("llama-3.2-3b", {"kind": "full"}, {"attention": "eager"}),
    ("mixtral-8x7b", {"kind": "qlora"}, {"length": 2048, "checkpointing": True}),
    ("mixtral-8x7b", {"kind": "lora"}, {"length": 2048}),
    ("mixtral-8x7b", {"kind": "lora", "targets": "attention"}, {"length": 8192}),
    ("mixtral-8x7b", {"kind": "full"}, {"length": 4096, "checkpointing": True}),
    ("qwen3-30b-a3b", {"kind": "qlora"}, {"length": 2048, "checkpointing": True}),
    ("qwen3-30b-a3b", {"kind": "lora"}, {"length": 2048}),
    ("qwen3-30b-a3b", {"kind": "lora", "targets": "attention"}, {"length": 8192}),
    ("qwen3-30b-a3b", {"kind": "full"}, {"length": 4096, "checkpointing": True}),
)
PAIRED = ("smollm2-135m", "qwen2.5-0.5b", "llama-3.1-8b")
PAIRED_UNUSUAL: tuple[Case, ...] = (
    ("qwen2.5-0.5b", {"kind": "lora"}, {"rows": 2, "padded": True}),
    ("qwen2.5-0.5b", {"kind": "qlora"}, {"rows": 4, "length": 512, "padded": True,
                                         "checkpointing": True}),
    ("llama-3.1-8b", {"kind": "lora"}, {"padded": True}),
    ("llama-3.1-8b", {"kind": "qlora"}, {"rows": 2, "padded": True, "checkpointing": True}),
    ("qwen2.5-0.5b", {"kind": "full"}, {"rows": 2, "padded": True}),
    ("qwen2.5-0.5b", {"kind": "lora"}, {"rows": 2, "cuda": False}),
)  # fmt: skip


SHARED: tuple[Case, ...] = (
    ("llama-3.1-8b", {"kind": "full"}, {"gpus": 2, "checkpointing": True}),
    ("llama-3.1-8b", {"kind": "full"}, {"gpus": 4, "checkpointing": True}),
    ("llama-3.1-8b", {"kind": "full"}, {"gpus": 8, "checkpointing": True}),
    ("llama-3.1-8b", {"kind": "full"}, {"gpus": 8}),
    ("llama-3.1-8b", {"kind": "full"}, {"gpus": 8, "checkpointing": True, "length": 8192}),
    ("llama-3.1-8b", {"kind": "full"}, {"gpus": 4, "checkpointing": True, "accumulation": 4}),
    ("llama-3.1-8b", {"kind": "lora"}, {"gpus": 2, "checkpointing": True}),
    ("llama-3.1-8b", {"kind": "lora"}, {"gpus": 2}),
    ("llama-3.1-8b", {"kind": "lora"}, {"gpus": 4, "checkpointing": True, "accumulation": 4}),
    ("llama-3.1-8b", {"kind": "qlora"}, {"gpus": 2}),
    ("llama-3.1-70b", {"kind": "lora"}, {"gpus": 8, "checkpointing": True}),
    ("llama-3.1-70b", {"kind": "qlora"}, {"gpus": 2, "checkpointing": True}),
    ("llama-3.2-3b", {"kind": "full"}, {"gpus": 4, "checkpointing": True}),
    ("llama-3.2-3b", {"kind": "lora"}, {"gpus": 2, "dtype": "fp32"}),
    ("mixtral-8x7b", {"kind": "qlora"}, {"gpus": 4, "checkpointing": True}),
    ("mixtral-8x7b", {"kind": "full"}, {"gpus": 8, "checkpointing": True}),
    ("llama-3.1-8b", {"kind": "lora"}, {"sharding": "ddp", "gpus": 2, "checkpointing": True}),
    ("llama-3.2-3b", {"kind": "full"}, {"sharding": "ddp", "gpus": 2, "checkpointing": True}),
    ("qwen2.5-0.5b", {"kind": "full"}, {"gpus": 2}),
    ("qwen2.5-0.5b", {"kind": "lora"}, {"gpus": 4, "checkpointing": True}),
)
"""By FSDP where nothing else is said."""


def engine_traces() -> Iterator[Case]:
    """One GPU."""
    for name in USUAL:
        for kind in ("lora", "qlora", "full"):
            for saved in (False, True):
                for rows, length in LENGTHS:
                    step = {"checkpointing": saved, "rows": rows, "length": length}
                    yield name, {"kind": kind}, step
    yield from UNUSUAL


def shared_traces() -> Iterator[Case]:
    """Several."""
    for name, chosen, step in SHARED:
        yield name, chosen, {"sharding": "fsdp", "length": 2048} | step


def paired_traces() -> Iterator[Case]:
    """Pairs."""
    for name in PAIRED:
        for kind in ("lora", "qlora", "full"):
            for saved in (False, True):
                for rows, length in LENGTHS[:2]:
                    step = {"checkpointing": saved, "rows": rows, "length": length}
                    yield name, {"kind": kind}, step | {"objective": "dpo"}
    for name, chosen, step in PAIRED_UNUSUAL:
        yield name, chosen, step | {"objective": "dpo"}


def write(table: str, cases: Iterable[Case]) -> None:
    """Trace all cases."""
    lines = []
    for name, chosen, step in cases:
        setup = Setup.model_validate(step)
        adaptation = parse({"adaptation": chosen}).adaptation
        found = trace(configuration(name), adaptation, setup)
        lines.append(
            {"shape": name, "adaptation": json.dumps(chosen, separators=(",", ":"))}
            | {"setup": setup.model_dump_json(exclude_defaults=True)}
            | found.model_dump(include={"allocated_bytes", "reserved_bytes", "expandable_bytes"})
        )
        print(*lines[-1].values(), flush=True)
    with (DATA / f"{table}.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, lines[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)


def main() -> None:
    for cases in (engine_traces, shared_traces, paired_traces):
        if cases.__name__ in sys.argv[1:]:
            write(cases.__name__, cases())


if __name__ == "__main__":
    main()
