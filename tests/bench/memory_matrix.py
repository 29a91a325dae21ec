"""Peak memory of real training runs, measured, beside what the trace predicts.

    python tests/bench/memory_matrix.py --out matrix.csv     # an NVIDIA GPU, about an hour
    python tests/bench/memory_matrix.py --device cpu --tiny  # a minute, proves the harness

Every case trains for three steps with the real engine in a process of its own, on a model of
random numbers in the shape of a known one. Sizes in the table are bytes: peak allocated and
reserved as torch counts them, whole (the driver's count for the card at the end), and the highest
allocation of each phase. On a processor only tensors are counted, by the recorder of the trace.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from core import launch  # noqa: E402 - a script finds its project first
from core.adapt import ADAPTATIONS  # noqa: E402
from core.errors import CoreError  # noqa: E402
from core.memory.setup import Setup  # noqa: E402
from core.places import starter  # noqa: E402

SHAPES = ROOT / "tests" / "data" / "memory" / "shapes"
SMALL = ("qwen2.5-0.5b", "tinyllama-1.1b", "llama-3.2-1b", "qwen2.5-1.5b", "smollm2-1.7b")
MIDDLE = ("qwen2.5-3b", "llama-3.2-3b")
LARGE = ("qwen2.5-7b", "mistral-7b-v0.3", "llama-3.1-8b", "qwen2.5-14b")
STEPS = 3
PATIENCE = 1800.0
"""Seconds one case may take, loading included."""


@dataclass(frozen=True)
class Case:
    """One run to be measured."""

    shape: str
    method: str
    checkpointing: bool
    length: int
    rows: int
    attention: str = "sdpa"
    optimizer: str = "adamw"


_SMALL_CASES: tuple[tuple[Any, ...], ...] = (
    ("lora", False, 512, 8),
    ("lora", True, 2048, 4),
    ("lora", True, 8192, 1, "flash"),
    ("lora", False, 1024, 2, "efficient", "paged_adamw_8bit"),
    ("qlora", False, 1024, 4),
    ("qlora", True, 4096, 2, "flash", "paged_adamw_8bit"),
    ("full", False, 512, 2),
    ("full", True, 2048, 2, "sdpa", "adamw_8bit"),
    ("full", True, 1024, 4, "flash", "paged_adamw"),
)
_MIDDLE_CASES: tuple[tuple[Any, ...], ...] = (
    ("lora", False, 1024, 2),
    ("lora", True, 8192, 1, "flash"),
    ("qlora", False, 2048, 1),
    ("qlora", True, 2048, 4, "sdpa", "adamw_8bit"),
    ("full", True, 1024, 1),
    ("full", True, 512, 4, "sdpa", "paged_adamw_8bit"),
)
_LARGE_CASES: tuple[tuple[Any, ...], ...] = (
    ("lora", False, 512, 2),
    ("lora", True, 4096, 1, "flash"),
    ("qlora", False, 2048, 1),
    ("qlora", True, 8192, 1, "sdpa", "paged_adamw_8bit"),
)


def matrix() -> list[Case]:
    """All cases, shape by shape, so that each model is made once."""
    groups = ((SMALL, _SMALL_CASES), (MIDDLE, _MIDDLE_CASES), (LARGE, _LARGE_CASES))
    return [
        Case(shape, *case)
        for shapes, cases in groups
        for shape, case in itertools.product(shapes, cases)
    ]


def tiny_matrix() -> list[Case]:
    """One case of each method on a model that any machine trains in seconds."""
    return [Case("tiny", kind, kind == "lora", 64, 2) for kind in ("lora", "qlora", "full")]


def configuration(shape: str) -> dict[str, Any]:
    """The config.json of a shape."""
    name = SMALL[0] if shape == "tiny" else shape
    found: dict[str, Any] = json.loads((SHAPES / f"{name}.json").read_text(encoding="utf-8"))
    if shape == "tiny":
        found |= {"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2}
        found |= {"num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 4096}
    return found


def make_model(folder: Path, shape: str) -> None:
    """Random weights in 16 bits with the starter's tokenizer, one file per layer."""
    import torch
    from safetensors.torch import save_file
    from transformers import AutoConfig, AutoModelForCausalLM

    shutil.copytree(starter(), folder, ignore=shutil.ignore_patterns("*.safetensors*"))
    config = configuration(shape)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(
            AutoConfig.for_model(**config), dtype=torch.bfloat16, trust_remote_code=False
        )
    noise = (torch.randn(1 << 20) * 0.02).bfloat16()
    places, written = {}, 0
    for number, (prefix, names) in enumerate(_by_layer(model)):
        file = f"model-{number:05}.safetensors"
        tensors = {f"{prefix}{n}": _filled(p, noise) for n, p in names}
        written += sum(t.numel() * t.element_size() for t in tensors.values())
        save_file(tensors, folder / file, metadata={"format": "pt"})
        places |= dict.fromkeys(tensors, file)
    index = {"metadata": {"total_size": written}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")


def _by_layer(model: Any) -> Iterator[tuple[str, list[tuple[str, Any]]]]:
    named = list(model.named_parameters())
    for prefix, group in itertools.groupby(named, lambda pair: ".".join(pair[0].split(".")[:3])):
        yield "", [(name, parameter) for name, parameter in group if prefix]


def _filled(parameter: Any, noise: Any) -> Any:
    """Vectors are scales and stay near one; matrices repeat the noise."""
    import torch

    if parameter.dim() == 1:
        return torch.ones(parameter.shape, dtype=noise.dtype)
    copies = -(-parameter.numel() // noise.numel())
    return noise.repeat(copies)[: parameter.numel()].reshape(parameter.shape).contiguous()


def adaptation_of(case: Case) -> Any:
    """The choice of a case, with its defaults."""
    return {kind.model_fields["kind"].default: kind for kind in ADAPTATIONS}[case.method]()


def setup_of(case: Case, device: str) -> Setup:
    """The case as the trace describes a step."""
    cuda = device == "cuda"
    return Setup(
        cuda=cuda, dtype="bf16" if cuda else "fp32", rows=case.rows, length=case.length,
        attention=case.attention, checkpointing=case.checkpointing, optimizer=case.optimizer,
    )  # fmt: skip


def predicted(case: Case, device: str, model: Path) -> dict[str, object]:
    """What the trace says about it."""
    try:
        found = launch.trace(model, adaptation_of(case), setup_of(case, device))
    except CoreError as error:
        return {"traced_error": str(error)}
    allocated = found.allocated_bytes if device == "cuda" else found.tensor_bytes
    return {
        "traced_allocated": allocated, "traced_reserved": found.reserved_bytes,
        "traced_expandable": found.expandable_bytes, "traced_seconds": round(found.seconds, 2),
    }  # fmt: skip


def measured(case: Case, device: str, model: Path) -> dict[str, object]:
    """Train in a process of its own; what went wrong becomes the outcome."""
    with tempfile.TemporaryDirectory() as folder:
        reply = Path(folder) / "reply.json"
        work = Path(folder) / "work"
        command = [sys.executable, str(Path(__file__).with_name("memory_case.py"))]
        words = [json.dumps(asdict(case)), device, str(model), str(work), str(reply)]
        try:
            done = subprocess.run(
                command + words,
                stdin=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                cwd=ROOT,
                timeout=PATIENCE,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return {"outcome": "too slow"}
        if reply.is_file():
            return dict(json.loads(reply.read_text(encoding="utf-8")))
        said = done.stderr.decode(errors="replace")
        memory = "out of memory" in said.lower()
        return {"outcome": "out of memory" if memory else said.strip()[-200:]}


COLUMNS = (
    *(field.name for field in fields(Case)), "outcome", "allocated", "reserved", "whole", "load",
    "forward", "backward", "optimizer_step", "traced_allocated", "traced_reserved",
    "traced_expandable", "traced_seconds", "traced_error", "gpu", "torch",
)  # fmt: skip


def run(cases: list[Case], device: str, out: Path) -> None:
    """Measure all cases; a row is written as soon as it is known."""
    with out.open("w", newline="", encoding="utf-8") as file, tempfile.TemporaryDirectory() as home:
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        for shape, group in itertools.groupby(cases, lambda case: case.shape):
            model = Path(home) / shape
            make_model(model, shape)
            for case in group:
                row = asdict(case) | measured(case, device, model) | predicted(case, device, model)
                table.writerow(row)
                file.flush()
                print({name: row.get(name) for name in COLUMNS if row.get(name)}, flush=True)
            shutil.rmtree(model)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true", help="only prove that the harness works")
    parser.add_argument("--out", type=Path, default=Path("memory_matrix.csv"))
    given = parser.parse_args()
    run(tiny_matrix() if given.tiny else matrix(), given.device, given.out)


if __name__ == "__main__":
    main()
