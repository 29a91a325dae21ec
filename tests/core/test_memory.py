"""The closed form of memory against published measurements, and what must hold for any step."""

from __future__ import annotations

import csv
import statistics
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.adapt import ADAPTATIONS, Adaptation, Full, Lora, QLora
from core.errors import ModelError
from core.memory import Setup, estimate
from core.models import ModelFacts, look

DATA = Path(__file__).parents[1] / "data" / "memory"
SHAPES = DATA / "shapes"
MIB = 1 << 20
Row = dict[str, str]


def shape(name: str) -> ModelFacts:
    return look(SHAPES / f"{name}.json")


def published() -> list[Row]:
    with (DATA / "traced_rows.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def adaptation(row: Row) -> Adaptation:
    chosen = {"rank": int(row["rank"]), "targets": row["targets"]}
    if row["method"] == "lora":
        return Lora(**chosen)
    return QLora(**chosen, double_quantisation=row["double_quant"] == "yes")


def setup(row: Row) -> Setup:
    """A step of the plain loop that the rows were measured with."""
    return Setup.model_validate(
        {name: row[name] for name in ("rows", "length", "dtype", "attention", "optimizer")}
        | {name: row[name] == "yes" for name in ("checkpointing", "kbit_prepare", "double_quant")}
        | {"engine": "plain", "loss": "logits"}
    )


def test_published_measurements() -> None:
    """Steps on a Tesla T4 (fitcheck-llm 0.3.1); reserved memory of NF4 differs between sessions."""
    allocated, reserved = [], []
    for row in published():
        bill = estimate(shape(row["shape"]), adaptation(row), setup(row))
        allocated.append(abs(bill.allocated / MIB / float(row["allocated_mib"]) - 1))
        reserved.append(abs(bill.reserved / MIB / float(row["reserved_mib"]) - 1))
    assert len(allocated) >= 30
    assert statistics.mean(allocated) <= 0.015
    assert max(allocated) <= 0.12
    assert statistics.median(reserved) <= 0.05


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("llama-3.1-8b", 8_030_261_248),
        ("llama-3.2-3b", 3_212_749_824),
        ("llama-3.1-70b", 70_553_706_496),
        ("mistral-7b-v0.3", 7_248_023_552),
        ("qwen2.5-7b", 7_615_616_512),
    ],
)
def test_parameters_of_known_shapes(name: str, parameters: int) -> None:
    """The figures on the models' pages; biases are left out."""
    assert shape(name).parameters == pytest.approx(parameters, rel=1e-4)


def test_trained_numbers_of_a_known_shape() -> None:
    """28 layers, hidden 3072, 8 key-value heads of 128, rank 16 on q, k, v and o."""
    assert Lora(rank=16, targets="attention").trainable(shape("llama-3.2-3b")) == 9_175_040


@pytest.mark.parametrize("kind", ADAPTATIONS)
@given(
    rows=st.integers(1, 16),
    length=st.integers(16, 4096),
    checkpointing=st.booleans(),
    accumulation=st.sampled_from([1, 4]),
)
def test_what_holds_for_every_step(
    kind: type[Adaptation], rows: int, length: int, checkpointing: bool, accumulation: int
) -> None:
    model, chosen = shape("qwen2.5-0.5b"), kind()
    one = Setup(rows=rows, length=length, checkpointing=checkpointing, accumulation=accumulation)
    bill = estimate(model, chosen, one)
    assert sum(item.bytes for item in bill.items) == bill.total
    assert bill.allocated <= bill.reserved < bill.total
    more = estimate(model, chosen, one.model_copy(update={"rows": rows + 1}))
    assert more.allocated >= bill.allocated
    recomputed = estimate(model, chosen, one.model_copy(update={"checkpointing": True}))
    assert recomputed.allocated <= bill.allocated


def test_methods_are_ordered_as_everybody_knows() -> None:
    step = Setup(rows=1, length=2048, checkpointing=True)
    bills = [
        estimate(shape("llama-3.1-8b"), kind, step).total for kind in (QLora(), Lora(), Full())
    ]
    assert bills == sorted(bills)
    assert bills[0] < 12e9 < bills[1] < 24e9 < 80e9 < bills[2]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"model_type": "llama", "num_hidden_layers": 0, "hidden_size": 8}', "does not tell"),
        ('{"model_type": "llama", "num_hidden_layers": 1000000000}', "expected is a whole number"),
        ('{"model_type": "llama", "num_hidden_layers": "many"}', "expected is a whole number"),
        ('{"model_type": "mixtral", "num_local_experts": 8}', "how large its experts are"),
        ("[]", "not a JSON object"),
    ],
)
def test_nonsense_is_refused_in_a_sentence(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ModelError, match=words):
        look(path)
