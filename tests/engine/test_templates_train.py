"""A run with a chosen template: what is learned, saved, and used afterwards."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from transformers import GenerationConfig

from core import templates
from core.answering import Request, Sampling, result_of
from core.engine.encode import asks_alike, prepare_template
from core.engine.load import load_tokenizer
from core.engine.preview import preview
from core.engine.speak import open_voice, speak
from core.places import starter
from core.recipe import Recipe
from tests.engine.conftest import create, go, losses

pytestmark = [pytest.mark.engine, pytest.mark.filterwarnings("default"), pytest.mark.slow]
TALK = [
    {"role": "system", "content": "Answer."},
    {"role": "user", "content": "My parcel is lost."},
    {"role": "assistant", "content": "Sorry."},
]


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A model that has ChatML's tokens and no template, and stops at another token."""
    folder = tmp_path / "base"
    shutil.copytree(starter(), folder)
    (folder / "chat_template.jinja").unlink()
    for name, end in (("tokenizer_config", "<|endoftext|>"), ("generation_config", 0)):
        path = folder / f"{name}.json"
        known = json.loads(path.read_text())
        known["eos_token" if isinstance(end, str) else "eos_token_id"] = end
        path.write_text(json.dumps(known))
    return folder


def shorter(recipe: Recipe, base: Path, template: str, kind: str, steps: int) -> Recipe:
    chosen = recipe.edit("model", str(base)).edit("data.template", template)
    return chosen.edit("training.max_steps", steps).edit("adaptation", {"kind": kind})


@pytest.mark.parametrize(("template", "kind"), [("chatml", "lora"), ("chatml", "full"),
                                                ("alpaca", "lora")])  # fmt: skip
def test_the_template_is_saved_and_the_model_stops_at_its_end(
    tmp_path: Path, recipe: Recipe, base: Path, template: str, kind: str
) -> None:
    run = create(tmp_path / "run", shorter(recipe, base, template, kind, 6))
    told = losses(go(run))
    assert told[-1] < told[0]
    end = (templates.find(template) or templates.CATALOGUE[0]).ends or "<|endoftext|>"
    result = run.model if kind == "full" else run.adapter
    saved, trained = load_tokenizer(result), load_tokenizer(base)
    prepare_template(trained, template)
    assert saved.chat_template == trained.chat_template == templates.read(template)
    for prompt in (False, True):
        texts = [
            t.apply_chat_template(TALK, tokenize=False, add_generation_prompt=prompt)
            for t in (saved, trained)
        ]
        assert texts[0] == texts[1]
    assert asks_alike(saved)
    assert saved.eos_token == end
    stops = GenerationConfig.from_pretrained(str(result)).eos_token_id
    assert saved.eos_token_id in stops
    assert 0 in stops, "what ended an answer before still does"
    voice = open_voice(result_of(run, Sampling()))
    assert voice.tokenizer.chat_template == templates.read(template)


def test_a_base_model_learns_to_answer_and_to_stop(
    tmp_path: Path, recipe: Recipe, base: Path
) -> None:
    chosen = shorter(recipe, base, "vicuna", "full", 40).edit("data.path", "sample:prompts.jsonl")
    run = create(tmp_path / "run", chosen.edit("training.learning_rate", 3e-4))
    told = losses(go(run))
    assert told[-1] < told[0] / 2
    asked = (({"role": "user", "content": "Which word is the longest: hedgehog, shoe, bottle?"},),)
    speakers = (result_of(run, Sampling(temperature=0, longest=12)),)
    made = speak(Request(speakers=speakers, prompts=asked), lambda done, total: None)
    ((answer,),) = made.answers
    assert answer.ended


def test_the_preview_shows_the_chosen_template(recipe: Recipe, base: Path) -> None:
    shown = preview(recipe.edit("model", str(base)).edit("data.template", "vicuna"), 1)
    text = "".join(piece.text for piece in shown.rows[0].pieces)
    assert "USER: " in text
    assert shown.tokens.asks_alike
    assert shown.tokens.ended == shown.tokens.rows
    assert shown.tokens.end_token == "<|endoftext|>"
    assert shown.tokens.template_note.startswith("Vicuna")
