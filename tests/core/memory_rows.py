"""Steps whose memory is known: measured on a Tesla T4 by others, or traced by our engine."""

from __future__ import annotations

import csv
import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.adapt import Adaptation, Lora, QLora
from core.memory import Setup
from core.models import ModelFacts, shape_from_config
from core.recipe import parse

DATA = Path(__file__).parents[1] / "data" / "memory"
TRACES = DATA / "engine_traces.csv"
SHARED = DATA / "shared_traces.csv"
PAIRED = DATA / "paired_traces.csv"
MIB = 1 << 20


@dataclass(frozen=True)
class Row:
    """One step and its memory."""

    name: str
    model: ModelFacts
    adaptation: Adaptation
    setup: Setup
    allocated: float
    reserved: float
    """Bytes at the peak, as torch counts them."""


@functools.cache
def shape(name: str) -> ModelFacts:
    """The facts of a model from its configuration alone."""
    return shape_from_config(configuration(name))


def configuration(name: str) -> dict[str, Any]:
    """The public config.json of a model, without what decides no memory."""
    text = (DATA / "shapes" / f"{name}.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


@functools.cache
def published() -> tuple[Row, ...]:
    """Every complete row: LoRA and QLoRA from the package fitcheck-llm 0.3.1."""
    with (DATA / "traced_rows.csv").open(newline="", encoding="utf-8") as file:
        return tuple(_row(line) for line in csv.DictReader(file))


@functools.cache
def traced(table: Path = TRACES) -> tuple[Row, ...]:
    """Steps of our engine, written by tests/bench/memory_traces.py; with expandable segments."""
    with table.open(newline="", encoding="utf-8") as file:
        return tuple(
            Row(
                name=" ".join((line["shape"], line["adaptation"], line["setup"])),
                model=shape(line["shape"]),
                adaptation=parse({"adaptation": json.loads(line["adaptation"])}).adaptation,
                setup=Setup.model_validate_json(line["setup"]),
                allocated=float(line["allocated_bytes"]),
                reserved=float(line["expandable_bytes"]),
            )
            for line in csv.DictReader(file)
        )


def _row(line: dict[str, str]) -> Row:
    return Row(
        name=_name(line),
        model=shape(line["shape"]),
        adaptation=_adaptation(line),
        setup=_setup(line),
        allocated=float(line["allocated_mib"]) * MIB,
        reserved=float(line["reserved_mib"]) * MIB,
    )


def _name(line: dict[str, str]) -> str:
    return f"{line['shape']} {line['method']} {line['rows']} x {line['length']} {line['attention']}"


def _adaptation(line: dict[str, str]) -> Adaptation:
    chosen = {"rank": int(line["rank"]), "targets": line["targets"]}
    if line["method"] == "lora":
        return Lora.model_validate(chosen)
    double = line["double_quant"] == "yes"
    return QLora.model_validate(chosen | {"double_quantisation": double})


def _setup(line: dict[str, str]) -> Setup:
    return Setup.model_validate(
        {name: line[name] for name in ("rows", "length", "dtype", "attention", "optimizer")}
        | {name: line[name] == "yes" for name in ("checkpointing", "kbit_prepare", "double_quant")}
        | {"engine": "plain", "loss": "logits"}
    )
