"""The starter model writes: replies in order, the same for the same seed, and counted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core import cli
from core.engine import writing
from core.engine.encode import question
from core.engine.load import load_model, load_tokenizer
from core.engine.score import generate
from core.errors import ModelError
from core.making.local import Writing
from core.making.order import Prompt, Reply
from core.places import starter
from core.recipe import Recipe

ASKED = ("Which word is the longest: hedgehog, shoe, bottle?", "What do we do with a book?")


def asked(folder: Path, *, temperature: float = 1.5, longest: int = 12, seed: int = 1) -> Writing:
    prompts = [
        Prompt(messages=({"role": "user", "content": text},), seed=seed) for text in ASKED * 5
    ]
    return Writing(
        model=starter(), prompts=tuple(prompts), replies=folder / "replies.jsonl",
        longest=longest, temperature=temperature,
    )  # fmt: skip


def replies(request: Writing) -> list[Reply]:
    request.replies.unlink(missing_ok=True)
    writing.write(request)
    lines = request.replies.read_text(encoding="utf-8").splitlines()
    return [Reply.model_validate_json(line) for line in lines]


def test_replies_come_in_order_and_are_counted(tmp_path: Path) -> None:
    said = replies(asked(tmp_path, temperature=0))
    tokenizer, model = load_tokenizer(starter()), load_model(starter(), Recipe(), writing.reading())
    prompts = [question(tokenizer, [{"role": "user", "content": text}]) for text in ASKED]
    alone = [generate(model, tokenizer, [prompt], 12)[0] for prompt in prompts]
    assert [reply.text for reply in said] == alone * 5
    assert [reply.input_tokens for reply in said] == [len(prompt) for prompt in prompts] * 5
    assert all(0 < (reply.output_tokens or 0) <= 12 for reply in said)


def test_chance_depends_on_the_seed_alone(tmp_path: Path) -> None:
    first, again, other = (
        [reply.text for reply in replies(asked(tmp_path, seed=seed))] for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other
    assert len(set(first)) > 2


def test_what_the_model_cannot_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="do not fit into the 1,024 tokens"):
        writing.write(asked(tmp_path, longest=1020))


@pytest.mark.slow
def test_rows_by_a_model_here_are_judged_as_they_come(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The starter knows no such task: every reply arrives, and none is taken for a row."""
    words = ["sample:prompts.jsonl", "-o", str(tmp_path / "out.jsonl"), "--model", "starter"]
    words += ["--rows", "2", "--max-rows", "3", "--per-request", "1", "--max-tokens", "16"]
    status = cli.main(["data", "make", *words, "--json"])
    said = json.loads(capsys.readouterr().out)
    assert status == 2
    assert "None of the 3 rows asked of starter can be used: 3 not the JSON" in said["error"]
    assert list(tmp_path.glob("out*")) == []
