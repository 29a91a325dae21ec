"""What is learned is exactly what TRL's own assistant-only loss would learn."""

from __future__ import annotations

from pathlib import Path

import pytest
from datasets import Dataset
from trl import SFTConfig, SFTTrainer

from core.engine.emit import Voice
from core.engine.encode import IGNORED, count, encode, end_token, prepare_template, show
from core.engine.load import load_model, load_tokenizer
from core.engine.run import Job, read_rows
from core.engine.wishes import Wishes
from core.mixing import read
from core.places import starter
from core.plan import Plan
from core.recipe import Recipe
from tests.engine.conftest import create

pytestmark = [pytest.mark.engine, pytest.mark.filterwarnings("default")]


def test_labels_are_the_collators(tmp_path: Path, recipe: Recipe) -> None:
    run = create(tmp_path / "run", recipe)
    settings = Plan.model_validate_json(run.plan_file.read_bytes()).settings
    assert settings is not None
    job = Job(
        run, recipe, settings, Voice(run), Wishes(run, run.control().serial), None, run.history()
    )
    _, lesson = read_rows(job, starter())
    ours = lesson.dataset()

    train = read(recipe).train
    theirs = SFTTrainer(
        model=load_model(starter(), recipe, settings),
        args=SFTConfig(
            output_dir=str(tmp_path / "trl"), assistant_only_loss=True, max_length=256,
            use_cpu=True, bf16=False, report_to="none", gradient_checkpointing=False,
        ),
        train_dataset=Dataset.from_list([{"messages": e.messages} for e in train]),
        processing_class=load_tokenizer(starter()),
    )  # fmt: skip
    assert len(ours) == len(theirs.train_dataset) > 0
    batch = theirs.data_collator([theirs.train_dataset[i] for i in range(len(ours))])
    mine = theirs.data_collator([ours[i] for i in range(len(ours))])
    assert (batch["input_ids"] == mine["input_ids"]).all()
    assert (batch["labels"] == mine["labels"]).all()
    assert (mine["labels"] != IGNORED).any()


def test_answers_and_their_end_are_trained_and_nothing_else(recipe: Recipe) -> None:
    tokenizer = load_tokenizer(starter())
    prepare_template(tokenizer)
    train = read(recipe).train
    for example, row in zip(train, encode(tokenizer, train), strict=True):
        learned = [token for token, on in zip(row.ids, row.trained, strict=True) if on]
        text = tokenizer.decode(learned)
        assert text.strip() == example.messages[-1]["content"] + "<|im_end|>"


def test_shown_pieces_are_the_text_with_its_kinds(recipe: Recipe) -> None:
    tokenizer = load_tokenizer(starter())
    prepare_template(tokenizer)
    train = read(recipe).train
    emoji = train[0]
    emoji.messages[-1]["content"] = "Grüße 🎉 naïve"
    (row,) = encode(tokenizer, [emoji])
    shown = show(tokenizer, row, len(row.ids) - 3)
    assert "Grüße 🎉 naïve" in "".join(piece.text for piece in shown.pieces)
    assert {piece.kind for piece in shown.pieces} == {"trained", "context", "cut"}


def test_the_audit_counts_what_every_length_cuts(recipe: Recipe) -> None:
    tokenizer = load_tokenizer(starter())
    note = prepare_template(tokenizer)
    rows = encode(tokenizer, read(recipe)[0])
    sizes = sorted(len(row.ids) for row in rows)
    length = sizes[len(sizes) // 2]
    facts = count(rows, length, 0, note, end_token(tokenizer, rows))
    assert facts.end_token == "<|im_end|>"
    assert facts.ended == sum(row.end < length for row in rows)
    assert 0 < facts.ended < facts.rows
    assert [at.length for at in facts.at_lengths] == [512, 1024, 2048, 4096]
    assert [at.cut for at in facts.at_lengths] == [
        sum(size > at.length for size in sizes) for at in facts.at_lengths
    ]
    assert facts.at_lengths[0].untrained == sum(not row.learns(512) for row in rows)
