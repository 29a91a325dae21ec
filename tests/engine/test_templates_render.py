"""Templates of the catalogue against the published format of each family, written by hand."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from transformers import AddedToken, PreTrainedTokenizerBase

from core import templates
from core.dataset import Example
from core.engine.encode import Row, asks_alike, encode, prepare_template, question
from core.engine.load import load_tokenizer
from core.errors import DataError, ModelError
from core.places import starter

SYSTEM = {"role": "system", "content": "Be brief."}
ASK = {"role": "user", "content": "Hi"}
SAY = {"role": "assistant", "content": "Hello"}
MORE = {"role": "user", "content": "Bye?"}
LAST = {"role": "assistant", "content": "Bye!"}
TALKS = {"single": [ASK, SAY], "multi": [ASK, SAY, MORE, LAST], "system": [SYSTEM, ASK, SAY]}
EXPECTED = {
    ("chatml", "single"): "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    "Hello<|im_end|>\n",
    ("chatml", "multi"): "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    "Hello<|im_end|>\n<|im_start|>user\nBye?<|im_end|>\n<|im_start|>assistant\nBye!<|im_end|>\n",
    ("chatml", "system"): "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n"
    "Hi<|im_end|>\n<|im_start|>assistant\nHello<|im_end|>\n",
    ("qwen", "single"): "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
    "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello<|im_end|>\n",
    ("qwen", "multi"): "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
    "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello<|im_end|>\n"
    "<|im_start|>user\nBye?<|im_end|>\n<|im_start|>assistant\nBye!<|im_end|>\n",
    ("qwen", "system"): "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n"
    "Hi<|im_end|>\n<|im_start|>assistant\nHello<|im_end|>\n",
    ("llama-3", "single"): "<s><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\nHello<|eot_id|>",
    ("llama-3", "multi"): "<s><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\nHello<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nBye?<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\nBye!<|eot_id|>",
    ("llama-3", "system"): "<s><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\nHello<|eot_id|>",
    ("mistral", "single"): "<s>[INST] Hi[/INST] Hello</s>",
    ("mistral", "multi"): "<s>[INST] Hi[/INST] Hello</s>[INST] Bye?[/INST] Bye!</s>",
    ("mistral", "system"): "<s>[INST] Be brief.\n\nHi[/INST] Hello</s>",
    ("gemma", "single"): "<s><start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\n"
    "Hello<end_of_turn>\n",
    ("gemma", "multi"): "<s><start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\n"
    "Hello<end_of_turn>\n<start_of_turn>user\nBye?<end_of_turn>\n<start_of_turn>model\n"
    "Bye!<end_of_turn>\n",
    ("gemma", "system"): "<s><start_of_turn>user\nBe brief.\n\nHi<end_of_turn>\n"
    "<start_of_turn>model\nHello<end_of_turn>\n",
    ("phi", "single"): "<|user|>\nHi<|end|>\n<|assistant|>\nHello<|end|>\n",
    ("phi", "multi"): "<|user|>\nHi<|end|>\n<|assistant|>\nHello<|end|>\n<|user|>\nBye?<|end|>\n"
    "<|assistant|>\nBye!<|end|>\n",
    ("phi", "system"): "<|system|>\nBe brief.<|end|>\n<|user|>\nHi<|end|>\n<|assistant|>\n"
    "Hello<|end|>\n",
    ("deepseek", "single"): "<s><｜User｜>Hi<｜Assistant｜>Hello<｜end▁of▁sentence｜>",
    ("deepseek", "multi"): "<s><｜User｜>Hi<｜Assistant｜>Hello<｜end▁of▁sentence｜>"
    "<｜User｜>Bye?<｜Assistant｜>Bye!<｜end▁of▁sentence｜>",
    ("deepseek", "system"): "<s>Be brief.<｜User｜>Hi<｜Assistant｜>Hello<｜end▁of▁sentence｜>",
    ("zephyr", "single"): "<s><|user|>\nHi</s>\n<|assistant|>\nHello</s>\n",
    ("zephyr", "multi"): "<s><|user|>\nHi</s>\n<|assistant|>\nHello</s>\n<|user|>\nBye?</s>\n"
    "<|assistant|>\nBye!</s>\n",
    ("zephyr", "system"): "<s><|system|>\nBe brief.</s>\n<|user|>\nHi</s>\n<|assistant|>\n"
    "Hello</s>\n",
    ("alpaca", "single"): "<s>### Instruction:\nHi\n\n### Response:\nHello</s>",
    ("alpaca", "multi"): "<s>### Instruction:\nHi\n\n### Response:\nHello</s>\n\n"
    "### Instruction:\nBye?\n\n### Response:\nBye!</s>",
    ("alpaca", "system"): "<s>Be brief.\n\n### Instruction:\nHi\n\n### Response:\nHello</s>",
    ("vicuna", "single"): "<s>USER: Hi ASSISTANT: Hello</s>",
    ("vicuna", "multi"): "<s>USER: Hi ASSISTANT: Hello</s>USER: Bye? ASSISTANT: Bye!</s>",
    ("vicuna", "system"): "<s>Be brief. USER: Hi ASSISTANT: Hello</s>",
}  # fmt: skip
PLAIN = {"zephyr", "alpaca", "vicuna"}
END = {"mistral": "</s>", **dict.fromkeys(PLAIN, "</s>")}


@cache
def knowing(name: str) -> PreTrainedTokenizerBase:
    """A tokenizer that begins texts with <s>, ends them with </s> and knows a family's tokens."""
    chosen = templates.find(name)
    assert chosen is not None
    found = load_tokenizer(starter())
    found.add_tokens([AddedToken(token, special=True) for token in ("<s>", "</s>", *chosen.tokens)])
    found.bos_token, found.eos_token = "<s>", "</s>"
    prepare_template(found, name)
    return found


def learned(tokenizer: PreTrainedTokenizerBase, row: Row) -> list[str]:
    """Every unbroken stretch of trained tokens, as text."""
    parts: list[list[int]] = []
    before = False
    for token, trained in zip(row.ids, row.trained, strict=True):
        if trained:
            parts = parts if before else [*parts, []]
            parts[-1].append(token)
        before = trained
    return [tokenizer.decode(part) for part in parts]


@pytest.mark.parametrize(("name", "talk"), EXPECTED)
def test_a_template_writes_what_its_family_publishes_and_learns_answers_to_their_end(
    name: str, talk: str
) -> None:
    tokenizer, messages = knowing(name), TALKS[talk]
    (row,) = encode(tokenizer, [Example(line=1, messages=messages)])
    assert tokenizer.decode(row.ids) == EXPECTED[name, talk]
    chosen = templates.find(name)
    assert chosen is not None
    end = chosen.ends or "</s>"
    answers = [m["content"] + end for m in messages if m["role"] == "assistant"]
    assert [text.lstrip(" ") for text in learned(tokenizer, row)] == answers
    before = question(tokenizer, messages[:-1])
    assert row.ids[: len(before)] == before
    assert row.trained[len(before)]
    assert not row.trained[len(before) - 1]
    assert asks_alike(tokenizer)
    assert tokenizer.eos_token == end


def test_the_table_names_every_template_three_times() -> None:
    assert set(EXPECTED) == {(t.name, talk) for t in templates.CATALOGUE for talk in TALKS}


@pytest.mark.parametrize("name", [one.name for one in templates.CATALOGUE])
def test_a_row_with_a_tool_is_refused_by_its_line(name: str) -> None:
    good = Example(line=7, messages=TALKS["single"])
    bad = Example(line=8, messages=[ASK, {"role": "tool", "content": "4"}, SAY])
    with pytest.raises(DataError, match="line 8"):
        encode(knowing(name), [good, bad])


def test_a_system_message_that_would_get_lost_is_refused() -> None:
    lost = Example(line=3, messages=[SYSTEM, SAY])
    for name in ("mistral", "gemma"):
        with pytest.raises(DataError, match="line 3"):
            encode(knowing(name), [lost])


def test_tokens_that_would_be_split_are_refused() -> None:
    with pytest.raises(ModelError, match=r"\[INST\].*split into pieces"):
        prepare_template(load_tokenizer(starter()), "mistral")


def custom(folder: Path, text: str) -> str:
    path = folder / "own.jinja"
    path.write_text(text, encoding="utf-8")
    return str(path)


MARKED = "{% generation %}{{ messages[-1]['content'] }}{% endgeneration %}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (MARKED + "\n\n{% if %}", "mistake in line 3"),
        (MARKED + "{{ raise_exception('never') }}", "refuses a question.*never"),
        (MARKED + "{{ 'x' * 200000 }}", "200,00. characters"),
        (MARKED + "{{ ''.__class__.__mro__ }}", "refuses|cannot be rendered"),
        (MARKED, "never learn to stop"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_file_is_said(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        prepare_template(load_tokenizer(starter()), custom(tmp_path, text))


def test_a_run_goes_on_with_the_template_it_began_with(tmp_path: Path) -> None:
    path, kept = custom(tmp_path, templates.read("chatml")), tmp_path / "chat_template.jinja"
    first, again = load_tokenizer(starter()), load_tokenizer(starter())
    prepare_template(first, path, kept)
    custom(tmp_path, templates.read("qwen"))
    prepare_template(again, path, kept)
    assert again.chat_template == first.chat_template == templates.read("chatml")
