"""What is shown and counted of a mix of datasets is what is trained."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.engine.imitate import Imitate
from core.engine.load import load_tokenizer
from core.engine.preview import preview
from core.engine.rows import gather, tell_changes
from core.events import Warned
from core.mixing import look, table
from core.places import starter
from core.recipe import Recipe
from tests.engine.conftest import create, go

pytestmark = [pytest.mark.engine, pytest.mark.filterwarnings("default")]


@pytest.fixture
def mixed(recipe: Recipe, tmp_path: Path) -> Recipe:
    """32 chats and a fifth of rows in another format."""
    path = tmp_path / "alpaca.jsonl"
    rows = [{"instruction": f"Say {n}.", "output": str(n)} for n in range(30)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return recipe.edit("data.mix", [{"path": str(path), "share": 0.2}])


def test_preview_and_training_see_the_same_rows(mixed: Recipe) -> None:
    tokenizer = load_tokenizer(starter())
    corpus = gather(mixed, tokenizer, Imitate.encode, lambda *_: None, lambda *_: None)
    shown = preview(mixed, rows=100)
    assert len(corpus.train) == shown.tokens.rows == len(shown.rows) == 40
    assert [row.source for row in shown.rows] == [row.source for row in corpus.train]
    assert [row.line for row in shown.rows] == [row.line for row in corpus.train]
    assert shown.rows[-1].source == "alpaca.jsonl"
    for row, encoded in zip(shown.rows, corpus.train, strict=True):
        assert "".join(piece.text for piece in row.pieces) == tokenizer.decode(encoded.ids)


def test_a_mix_trains(mixed: Recipe, tmp_path: Path) -> None:
    story = go(create(tmp_path / "run", mixed.edit("training.max_steps", 2)))
    assert story.state == "finished"
    assert [warning.code for warning in story.warnings] == []


def test_data_that_changed_since_the_plan_is_told(mixed: Recipe) -> None:
    sources = tuple(table(mixed.data, look(mixed.data)))
    told: list[Warned] = []

    def warn(code: str, text: str, hint: str) -> None:
        told.append(Warned(code=code, text=text, hint=hint))

    tell_changes(sources, warn)
    assert told == []
    with Path(mixed.data.mix[0].path).open("a", encoding="utf-8") as file:
        file.write('{"instruction": "Say more.", "output": "more"}\n')
    tell_changes(sources, warn)
    assert [warning.code for warning in told] == ["data-changed"]
    assert "alpaca.jsonl" in told[0].text


def test_an_automatic_length_is_the_same_in_preview_and_training(mixed: Recipe) -> None:
    chosen = mixed.edit("training.max_length", None)
    tokenizer = load_tokenizer(starter())
    corpus = gather(chosen, tokenizer, Imitate.encode, lambda *_: None, lambda *_: None)
    shown = preview(chosen, rows=1)
    assert corpus.length == shown.tokens.max_length == 128
    assert shown.tokens.cut == 0
