"""The same rows are encoded once, and never taken for others."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerBase

from core.engine import kept_tokens
from core.engine.encode import Row, prepare_template
from core.engine.imitate import Imitate
from core.engine.kept_tokens import encode_once, make_room
from core.engine.load import load_tokenizer
from core.engine.rows import Corpus, gather
from core.mixing import read
from core.places import starter, tokens_home
from core.recipe import Recipe

pytestmark = [pytest.mark.engine, pytest.mark.filterwarnings("default")]


@pytest.fixture
def tokenizer() -> PreTrainedTokenizerBase:
    found = load_tokenizer(starter())
    prepare_template(found)
    return found


def gathered(recipe: Recipe, tokenizer: PreTrainedTokenizerBase) -> Corpus[Row]:
    return gather(recipe, tokenizer, Imitate.encode, lambda *_: None, lambda *_: None)


def entries() -> set[str]:
    return {path.name for path in tokens_home().iterdir()}


def refuse_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    def encode(*_: object) -> None:
        raise AssertionError("encoded again")

    monkeypatch.setattr(kept_tokens, "encode", encode)


def test_the_second_start_encodes_nothing_and_is_the_same(
    recipe: Recipe, tokenizer: PreTrainedTokenizerBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = gathered(recipe, tokenizer)
    assert len(entries()) == 2, "rows to learn from, and rows to measure on"
    refuse_encoding(monkeypatch)
    heard: list[tuple[int, int]] = []
    again = gather(recipe, tokenizer, Imitate.encode, lambda *_: None, lambda *at: heard.append(at))
    assert again == first
    assert heard[-1] == (40, 40)
    assert type(again.train[0].ids[0]) is int
    assert type(again.train[0].trained[0]) is bool


@pytest.mark.parametrize("what", ["row", "template", "tokenizer"])
def test_whatever_changes_a_token_is_encoded_anew(
    what: str, recipe: Recipe, tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    examples = read(recipe).train
    encode_once(tokenizer, examples)
    before = entries()
    if what == "row":
        examples[3].messages[-1]["content"] += "!"
    elif what == "template":
        tokenizer.chat_template = str(tokenizer.chat_template) + " "
    else:
        folder = shutil.copytree(starter(), tmp_path / "model")
        with (folder / "tokenizer_config.json").open("a", encoding="utf-8") as file:
            file.write("\n")
        tokenizer = load_tokenizer(folder)
        prepare_template(tokenizer)
    encode_once(tokenizer, examples)
    assert len(entries() - before) == 1


@pytest.mark.parametrize("damage", ["changed", "torn", "gone"])
def test_damage_is_noticed_and_mended(
    damage: str, recipe: Recipe, tokenizer: PreTrainedTokenizerBase
) -> None:
    examples = read(recipe).train
    whole = encode_once(tokenizer, examples)
    [place] = tokens_home().iterdir()
    file = place / "ids.npy"
    content = file.read_bytes()
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(content[:-4] + b"\1\0\0\0" if damage == "changed" else content[:-4])
    assert encode_once(tokenizer, examples) == whole
    assert file.read_bytes() == content


def test_what_cannot_be_kept_is_still_encoded(
    recipe: Recipe, tokenizer: PreTrainedTokenizerBase
) -> None:
    tokens_home().parent.mkdir(parents=True)
    tokens_home().write_text("in the way")
    assert len(encode_once(tokenizer, read(recipe).train)) == 32


def test_the_longest_unused_goes_first(tmp_path: Path) -> None:
    for age, name in enumerate(("new", "middle", "old")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "ids.npy").write_bytes(bytes(100))
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    make_room(tmp_path, 250)
    assert {path.name for path in tmp_path.iterdir()} == {"new", "middle"}
