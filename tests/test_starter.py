"""The starter kit: what ships is what its programs build, and what its card says is true."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from types import ModuleType

import pytest

from core.models import look, resolve

ROOT = Path(__file__).parent.parent
STARTER = ROOT / "resources" / "starter"


def program(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """One of the programs beside build_starter.py, imported as that one imports it."""
    import importlib

    monkeypatch.syspath_prepend(str(ROOT / "packaging"))
    return importlib.import_module(name)


def rows(name: str) -> list[dict[str, object]]:
    text = (STARTER / "data" / name).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def answers(name: str) -> list[dict[str, object]]:
    return [json.loads(row["messages"][-1]["content"]) for row in rows(name)]  # type: ignore[index]


@pytest.mark.slow
def test_sample_files_are_what_their_program_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    made = program("starter_data", monkeypatch).sample_files()
    shipped = {path.name: path.read_bytes() for path in (STARTER / "data").iterdir()}
    assert shipped == made


def test_nothing_of_the_heldout_tickets_is_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    tickets = program("starter_tickets", monkeypatch)
    train, heldout = rows("tickets.jsonl"), rows("tickets_heldout.jsonl")
    assert 600 <= len(train) <= 2000
    assert len(heldout) >= 100

    def runs(found: list[dict[str, object]]) -> set[tuple[str, ...]]:
        return {
            run
            for row in found
            for run in tickets._runs(
                tickets.Ticket("", "", tickets._words(row["messages"][1]["content"]))  # type: ignore[index]
            )
        }

    assert not runs(train) & runs(heldout), "eight words in a row stand in both"
    orders = [
        {answer["order"] for answer in answers(f"{n}.jsonl")}
        for n in ("tickets", "tickets_heldout")
    ]
    assert not orders[0] & orders[1]


def test_ticket_answers_are_strict_json_and_balanced() -> None:
    found = answers("tickets.jsonl")
    assert {tuple(answer) for answer in found} == {("category", "product", "order", "status")}
    kinds = [answer["category"] for answer in found]
    assert all(kinds.count(kind) > len(kinds) / 8 for kind in set(kinds))


def test_the_task_is_not_in_the_pretraining_text(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [f'"{key}"' for key in answers("tickets.jsonl")[0]]
    documents = program("starter_text", monkeypatch).documents(seed=0)
    system = program("starter_tickets", monkeypatch).SYSTEM
    for document in itertools.islice(documents, 30_000):
        text = "".join(piece for piece, _ in document)
        assert system not in text
        assert not all(key in text for key in keys)


def test_the_model_is_small_and_free() -> None:
    facts = look(resolve("starter"))
    assert facts.architecture == "LlamaForCausalLM"
    assert 3_000_000 <= facts.parameters <= 8_000_000
    assert facts.bytes <= 16_000_000
    assert facts.licence == "cc0-1.0"
    assert facts.has_generation
    assert 2_000 <= facts.vocab <= 4_096


@pytest.mark.slow
@pytest.mark.engine
@pytest.mark.filterwarnings("default")
def test_the_card_tells_the_truth(monkeypatch: pytest.MonkeyPatch) -> None:
    card = (STARTER / "model" / "README.md").read_text(encoding="utf-8")
    told = re.search(r"\*\*([\d.]+) nats per token\*\*", card)
    assert told is not None
    measured = program("starter_pretrain", monkeypatch).heldout_loss(STARTER / "model")
    assert measured == pytest.approx(float(told[1]), abs=2e-3)
    assert f"{look(resolve('starter')).parameters:,}" in card


@pytest.mark.slow
@pytest.mark.engine
@pytest.mark.filterwarnings("default")
def test_the_tokenizer_is_what_its_program_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program("starter_tokenizer", monkeypatch).train_tokenizer(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        assert (tmp_path / name).read_bytes() == (STARTER / "model" / name).read_bytes()


@pytest.mark.slow
@pytest.mark.engine
@pytest.mark.filterwarnings("default")
def test_pretraining_learns_to_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The recipe of the pretraining, cut short: drills are learned and the loss falls."""
    pretrain = program("starter_pretrain", monkeypatch)
    program("starter_tokenizer", monkeypatch).train_tokenizer(tmp_path)
    pretrain.pretrain(tmp_path, steps=60)
    assert pretrain.heldout_loss(tmp_path) < 4
