"""Three faults that other trainers let through, as small files: each is told before a run.

* the end of the answer is left out of what is learned (axolotl, issue 3754);
* every answer lies behind the cut, so that the loss is 0.0 (TRL, issue 6668);
* the question is mapped to the system message (Unsloth, issue 11292).
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from core import cli, mixing, models
from core.engine.encode import prepare_template
from core.engine.load import load_tokenizer
from core.engine.preview import preview
from core.errors import DataError, ModelError
from core.machine import read_machine
from core.places import starter
from core.plan import Facts, make_plan
from core.recipe import Recipe, parse

pytestmark = [pytest.mark.engine, pytest.mark.filterwarnings("default")]
END = "{{- message['content'] + '<|im_end|>' }}\n        {%- endgeneration %}"
UNLEARNED = "{{- message['content'] }}\n        {%- endgeneration %}{{- '<|im_end|>' }}"


@pytest.fixture
def endless(tmp_path: Path) -> Path:
    """The starter model with a template that asks for no end."""
    folder = tmp_path / "endless"
    shutil.copytree(starter(), folder)
    template = folder / "chat_template.jinja"
    text = template.read_text(encoding="utf-8")
    assert END in text
    template.write_text(text.replace(END, UNLEARNED), encoding="utf-8")
    return folder


@pytest.fixture
def two_faced(tmp_path: Path) -> Path:
    """The starter model with a template that asks otherwise than it teaches."""
    folder = tmp_path / "two_faced"
    shutil.copytree(starter(), folder)
    template = folder / "chat_template.jinja"
    text = template.read_text(encoding="utf-8")
    head, sign, tail = text.rpartition("'<|im_start|>assistant\\n'")
    assert sign
    template.write_text(f"{head}'<|im_start|>assistant\\n<think>'{tail}", encoding="utf-8")
    return folder


def test_a_template_that_asks_otherwise_than_it_teaches_is_told(
    two_faced: Path, tmp_path: Path
) -> None:
    data = rows(tmp_path / "a.jsonl", [{"prompt": f"{n}?", "completion": "x"} for n in range(60)])
    recipe = recipe_of(data)
    for model, alike in (("starter", True), (str(two_faced), False)):
        chosen = recipe.edit("model", model)
        counted = preview(chosen, 1).tokens
        assert counted.asks_alike is alike
        facts = Facts(
            machine=read_machine(),
            model=models.look(models.resolve(model)),
            tokens=counted,
            **dict(mixing.look(chosen.data)),
        )
        told = [p for p in make_plan(chosen, facts).problems if "ends a question" in p.text]
        assert bool(told) is not alike


def rows(path: Path, made: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in made), encoding="utf-8")
    return path


def recipe_of(data: Path, **more: Any) -> Recipe:
    return parse({"model": "starter", "data": {"path": str(data)}, **more})


def test_an_end_that_would_not_be_learned_is_refused(endless: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="never learn to stop"):
        prepare_template(load_tokenizer(endless))
    data = rows(tmp_path / "a.jsonl", [{"prompt": f"{n}?", "completion": "x"} for n in range(9)])
    with pytest.raises(Exception, match="never learn to stop"):
        preview(recipe_of(data).edit("model", str(endless)), 1)


def test_answers_behind_the_cut_are_counted_and_stop_the_run(tmp_path: Path) -> None:
    long = [{"prompt": "word " * 400 + str(n), "completion": "yes"} for n in range(12)]
    recipe = recipe_of(rows(tmp_path / "long.jsonl", long), training={"max_length": 64})
    with pytest.raises(DataError, match="No row has anything to learn within 64 tokens"):
        mixing_then_keep(recipe)
    counted = preview(recipe, 1).tokens
    assert (counted.untrained, counted.rows) == (counted.rows, counted.rows)
    facts = Facts(
        machine=read_machine(),
        model=models.look(models.resolve("starter")),
        tokens=counted,
        **dict(mixing.look(recipe.data)),
    )
    assert any("nothing to learn" in problem.text for problem in make_plan(recipe, facts).blockers)


def mixing_then_keep(recipe: Recipe) -> None:
    """What a run does first."""
    from core.engine.encode import encode, keep_trainable

    tokenizer = load_tokenizer(starter())
    prepare_template(tokenizer)
    assert recipe.training.max_length is not None
    keep_trainable(encode(tokenizer, mixing.read(recipe).train), recipe.training.max_length)


@pytest.mark.parametrize("word", ["plan", "check"])
def test_a_question_in_the_system_message_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], word: str
) -> None:
    swapped = [
        {"messages": [
            {"role": "system", "content": f"What is the capital of country {n}?"},
            {"role": "user", "content": "Answer."},
            {"role": "assistant", "content": f"City {n}."},
        ]}
        for n in range(60)
    ]  # fmt: skip
    data = rows(tmp_path / "swapped.jsonl", swapped)
    path = tmp_path / "recipe.yaml"
    path.write_text(recipe_of(data).to_yaml(), encoding="utf-8")
    assert cli.main([word, str(path), "--fast"]) == 0
    assert "had been mapped to the system message" in capsys.readouterr().out
    right = [{"system": "Be brief.", "question": f"Capital of {n}?", "answer": f"City {n}."}
             for n in range(60)]  # fmt: skip
    assert mixing.look(recipe_of(rows(tmp_path / "right.jsonl", right)).data).data is not None
    assert cli.main(["data", "inspect", str(tmp_path / "right.jsonl")]) == 0
    assert "mapped to the system message" not in capsys.readouterr().out
