"""Chat templates as a choice of the recipe: what fits a model, and what is said when none does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core import commands, models, templates
from core.errors import ModelError, Problem, RecipeError
from core.machine import read_machine
from core.plan import Facts, make_plan
from core.recipe import Recipe, parse
from tests.core.model_folders import VOCAB, write_model
from tests.core.test_cli import call

FIELD = "data.template"


def base(folder: Path, *tokens: str, end: str = "<|endoftext|>") -> Path:
    """A model without a chat template whose tokenizer never splits these tokens."""
    write_model(folder)
    (folder / "chat_template.jinja").unlink()
    added = [{"id": at, "content": token} for at, token in enumerate(tokens)]
    vocab = {f"t{at}": at for at in range(VOCAB)}
    (folder / "tokenizer.json").write_text(
        json.dumps({"model": {"vocab": vocab}, "added_tokens": added})
    )
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": end} if end else {}))
    return folder


def said(folder: Path, template: str = "") -> list[Problem]:
    """What Review says about the template."""
    raw: dict[str, Any] = {"model": str(folder), "data": {"template": template}}
    facts = Facts(machine=read_machine(), model=models.look(folder))
    return [p for p in make_plan(parse(raw), facts).problems if p.where == FIELD]


@pytest.mark.parametrize(
    ("tokens", "offered"),
    [
        (("<|im_start|>", "<|im_end|>"), "chatml"),
        (("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"), "llama-3"),
        (("<start_of_turn>", "<end_of_turn>"), "gemma"),
        (("[INST]", "[/INST]"), "mistral"),
        (("<|im_end|>",), "alpaca"),
    ],
)
def test_a_base_model_is_offered_what_its_tokens_allow(
    tmp_path: Path, tokens: tuple[str, ...], offered: str
) -> None:
    folder = base(tmp_path / "base", *tokens)
    (problem,) = said(folder)
    assert problem.level == "blocker"
    assert problem.fix is not None
    assert problem.fix.value == offered
    assert said(folder, offered) == [], "the fix is the end of it"


def test_without_an_end_token_nothing_is_offered(tmp_path: Path) -> None:
    (problem,) = said(base(tmp_path / "base", end=""))
    assert problem.fix is None
    (plain,) = said(tmp_path / "base", "alpaca")
    assert "lacks an end-of-text token" in plain.text


def test_a_template_whose_tokens_would_be_split_is_a_blocker(tmp_path: Path) -> None:
    (problem,) = said(base(tmp_path / "base", "<|im_start|>"), "chatml")
    assert problem.level == "blocker"
    assert "lacks <|im_end|>" in problem.text
    assert "Templates that fit: Alpaca, Vicuna, Zephyr." in problem.text
    assert problem.fix is not None
    assert problem.fix.value == "alpaca"


def test_a_model_with_a_template_keeps_it_unless_asked(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "chat")
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "t1"}))
    assert said(folder) == []
    (problem,) = said(folder, "alpaca")
    assert problem.level == "tip"
    assert problem.fix is not None
    assert problem.fix.value == ""


@pytest.mark.parametrize("name", [one.name for one in templates.CATALOGUE])
def test_the_catalogue_is_complete(name: str) -> None:
    text = templates.read(name)
    assert text.count("{%- generation %}") == text.count("{%- endgeneration %}") == 1
    chosen = templates.find(name)
    assert chosen is not None
    for token in (*chosen.tokens, chosen.ends or "eos_token"):
        by_role = token.replace("system", "user").replace("assistant", "user") == "<|user|>"
        assert token in text or (by_role and "'<|' + message['role'] + '|>" in text)


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"x" * (templates.MAX_BYTES + 1), "larger than 100 kB"),
        (b"\xff\xfe", "not UTF-8"),
        (b"  \n", "is empty"),
        (b"{{ messages }}", "does not mark the answers"),
        (None, "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_used_is_a_blocker(
    tmp_path: Path, raw: bytes | None, why: str
) -> None:
    path = tmp_path / "own.jinja"
    if raw is not None:
        path.write_bytes(raw)
    with pytest.raises(ModelError, match=why):
        templates.read(str(path))
    problem = said(write_model(tmp_path / "chat"), str(path))[0]
    assert problem.level == "blocker"
    assert why in problem.text


def test_a_choice_is_a_name_or_a_file() -> None:
    with pytest.raises(RecipeError, match=r"neither a \.jinja file nor one of chatml, llama-3"):
        Recipe().edit(FIELD, "chat-ml")
    assert Recipe().edit(FIELD, "vicuna").data.template == "vicuna"


def test_a_file_is_looked_for_beside_the_recipe(tmp_path: Path) -> None:
    for choice, found in (("own.jinja", str(tmp_path / "own.jinja")), ("phi", "phi"), ("", "")):
        recipe = tmp_path / "recipe.yaml"
        recipe.write_text(f"version: 1\ndata:\n  template: '{choice}'\n")
        assert commands.load(recipe).data.template == found


@pytest.mark.slow
def test_the_terminal_shows_rows_in_a_chosen_template(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text(
        "".join(
            json.dumps({"messages": [{"role": "user", "content": f"Name animal {number}."},
                                     {"role": "assistant", "content": "Hedgehog."}]}) + "\n"
            for number in range(4)
        )
    )  # fmt: skip
    own = tmp_path / "own.jinja"
    own.write_text(templates.read("alpaca").replace("### Response", "### Reply"), encoding="utf-8")
    words = ("data", "preview", str(rows), "--model", "starter", "--template")
    code, out, _ = call(capsys, *words, str(own))
    assert code == 0
    assert "context | ### Reply:" in out
    code, _, err = call(capsys, *words, "mistral")
    assert code != 0
    assert "split into pieces" in err
    code, _, err = call(capsys, *words, "nonsense")
    assert code != 0
    assert "neither a .jinja file nor one of" in err
