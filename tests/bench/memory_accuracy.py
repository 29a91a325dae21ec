"""Predicted memory beside measured and traced memory; writes docs/memory-accuracy.md.

    python tests/bench/memory_accuracy.py

Beside our closed form stand rules that others publish, on the same rows: `accelerate
estimate-memory` (training with Adam is four times the weights), the 18 bytes per number of
DeepSpeed's docs/code-docs/source/memory.rst (a full set of states), and the table of LLaMA-Factory
(2 GB per billion numbers for LoRA at 16 bits, 0.5 GB for QLoRA at 4 bits).
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from core.memory import estimate  # noqa: E402 - a script finds its project first
from tests.core.memory_rows import MIB, PAIRED, SHARED, Row, published, traced  # noqa: E402

DOCUMENT = ROOT / "docs" / "memory-accuracy.md"
Rule = Callable[[Row], float]
LLAMA_FACTORY = {"full": 18.0, "lora": 2.0, "qlora": 0.5}
"""Bytes per number: mixed precision, LoRA over 16 bits, QLoRA over 4 bits."""
RULES: dict[str, Rule] = {
    "closed form": lambda row: estimate(row.model, row.adaptation, row.setup).allocated,
    "accelerate, 4 x weights": lambda row: 4 * 2 * row.model.parameters,
    "DeepSpeed, 18 bytes": lambda row: 18 * row.model.parameters,
    "LLaMA-Factory table": lambda row: row.model.parameters * LLAMA_FACTORY[row.adaptation.kind],
}
HEAD = """# How near the memory bill comes

Written by `python tests/bench/memory_accuracy.py`; the same numbers are asserted by
`tests/core/test_memory.py`. Errors are predicted over known, less one. Sizes are MiB.

## Measured by others

{count} steps on a Tesla T4 with transformers and PEFT, published with the package fitcheck-llm
0.3.1 (`tests/data/memory/traced_rows.csv`): LoRA and QLoRA, attention eager and memory-efficient,
135 million to 7 billion parameters. No part of the formula for what is allocated is fitted to
them. What is reserved depends on the order of requests, which no formula knows; its shares
(`core/memory/reserve.py`) are fitted to these rows.

"""
OURS = """
## Traced steps of our engine

{count} steps of `tests/data/memory/engine_traces.csv`, each run on tensors without numbers by
`core.engine.trace` (`python tests/bench/memory_traces.py engine_traces`): LoRA, QLoRA and full
fine-tuning, 0.5 to 47 billion parameters, two mixtures of experts, 512 to 8,192 tokens, with and
without checkpointing. These are traces, not measurements on a GPU. Reserved is with expandable
segments, and its shares are fitted here.

"""
TOGETHER = """
## Traced steps on several GPUs

{count} steps of `tests/data/memory/shared_traces.csv`, each as one of the GPUs sees it: torch's own
`fully_shard` (FSDP2; every layer a unit, and the model around them) or the buckets of
`DistributedDataParallel` (`python tests/bench/memory_traces.py shared_traces`). What FSDP allocates
on streams of its own is counted as if there was one stream, so a GPU may reserve more.

"""
PAIRS = """
## Traced steps on pairs (DPO)

{count} steps of `tests/data/memory/paired_traces.csv` (`python tests/bench/memory_traces.py
paired_traces`): 0.135 to 8 billion parameters. Rows are pairs, so that the model reads twice as
many. Only what the reference takes while it reads (three wide results and two of the hidden size)
was set with these rows in view. Where a model is very small, remainders of blocks that the
allocator does not split weigh more, for SFT as for DPO.

"""


def error(found: float, known: float) -> float:
    """Per cent of what is known."""
    return 100 * (found / known - 1)


def summary(name: str, errors: list[float]) -> str:
    """One line of a table."""
    sizes = [abs(one) for one in errors]
    worst = max(errors, key=abs)
    mean, middle = statistics.mean(sizes), statistics.median(sizes)
    return f"| {name} | {mean:.2f} % | {middle:.2f} % | {worst:+.1f} % |"


def summaries(rows: Iterable[Row], rules: dict[str, Rule]) -> Iterator[str]:
    """A table of rules."""
    known = tuple(rows)
    yield "| rule | mean | median | worst |"
    yield "|---|---|---|---|"
    for name, rule in rules.items():
        yield summary(f"{name}, allocated", [error(rule(row), row.allocated) for row in known])
    on_gpu = [row for row in known if row.setup.cuda]
    reserved = [error(_bill_reserved(row), row.reserved) for row in on_gpu]
    yield summary("closed form, reserved", reserved)


def _bill_reserved(row: Row) -> float:
    return estimate(row.model, row.adaptation, row.setup).reserved


def lines(rows: Iterable[Row], *, rules: bool) -> Iterator[str]:
    """Every row, with what others would say when `rules`."""
    others = [rule for name, rule in RULES.items() if name != "closed form"] if rules else []
    names = " | ".join(
        ["step", "known", "closed form", "error", *list(RULES)[1:]][: 4 + len(others)]
    )
    yield f"| {names} |"
    yield "|" + "---|" * (4 + len(others))
    for row in rows:
        found = RULES["closed form"](row)
        said = "".join(f" {error(rule(row), row.allocated):+.0f} % |" for rule in others)
        wrong = error(found, row.allocated)
        sizes = f"{row.allocated / MIB:,.0f} | {found / MIB:,.0f}"
        yield f"| {row.name.replace('|', '/')} | {sizes} | {wrong:+.2f} % |{said}"


def document() -> str:
    """The whole text."""
    measured, own, shared = published(), traced(), traced(SHARED)
    pairs = traced(PAIRED)
    first = {"closed form": RULES["closed form"]}
    parts = [
        HEAD.format(count=len(measured)) + "\n".join(summaries(measured, RULES)),
        "\n".join(lines(measured, rules=True)),
        OURS.format(count=len(own)).strip("\n"),
        "\n".join(summaries(own, first)),
        "\n".join(lines(own, rules=False)),
        TOGETHER.format(count=len(shared)).strip("\n"),
        "\n".join(summaries(shared, first)),
        "\n".join(lines(shared, rules=False)),
        PAIRS.format(count=len(pairs)).strip("\n"),
        "\n".join(summaries(pairs, first)),
        "\n".join(lines(pairs, rules=False)),
    ]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    text = document()
    print(text)
    DOCUMENT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
