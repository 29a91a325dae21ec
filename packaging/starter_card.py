"""The starter model's card: what it is, how it was made, and what it says, measured when written."""

from __future__ import annotations

from pathlib import Path

import torch
from starter_pretrain import BATCH, DRILL_STEPS, HELDOUT_BATCHES, STEPS, heldout_loss
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

CONTINUED = (
    "Once upon a time there was a small fox named",
    "It was a rainy Monday. Lena was very tired that day.",
    "Question: What is the opposite of hot?\nAnswer:",
)
ASKED = (
    "What is a bridge?",
    "Tell me a story about Leo the owl.",
    "Repeat the number: 48213",
    "Write this as JSON with parcel, content, city: Parcel 30572 with a tent goes to Oslo.",
)
CARD = """\
---
license: cc0-1.0
language: en
pipeline_tag: text-generation
---

# Tunesmith starter model

A language model small enough to ship with a program and to fine-tune on two processor cores in
minutes. It is there to try Tunesmith without a download. It knows a few hundred words of English
and nothing of the world; do not use it for anything else.

| | |
|---|---|
| Architecture | Llama, {layers} layers, hidden size {hidden}, {heads} heads, {kv_heads} key-value heads, tied embedding |
| Parameters | {parameters:,} |
| Vocabulary | {vocabulary:,} byte-level BPE tokens; numbers in groups of up to three digits |
| Context | {context:,} tokens |
| Chat format | ChatML, with `{{% generation %}}` markers |
| Weights | safetensors, bfloat16 |
| Licence | CC0-1.0: public domain |

## How it was made

`python packaging/build_starter.py model` makes it again. It was trained from random weights on text
that the project generates itself (`packaging/starter_*.py`): very short stories, questions and
answers, dialogues, and records rewritten as JSON; first {drills} steps of copying drills, then
{steps:,} steps of {batch} documents, of which the answers are learned. No text of anybody else is in
it, and neither is the sample task in `../data`.

## What it can do

Loss on {heldout:,} documents made with another seed: **{loss:.3f} nats per token**.

Continuations, always the most likely token:

{continued}

Answers, asked through the chat template:

{asked}
"""


def card(folder: Path) -> str:
    """The whole text, with figures and samples from the model in the folder."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    config = model.config
    return CARD.format(
        layers=config.num_hidden_layers,
        hidden=config.hidden_size,
        heads=config.num_attention_heads,
        kv_heads=config.num_key_value_heads,
        parameters=model.num_parameters(),
        vocabulary=config.vocab_size,
        context=config.max_position_embeddings,
        drills=DRILL_STEPS,
        steps=STEPS,
        batch=BATCH,
        heldout=HELDOUT_BATCHES * BATCH,
        loss=heldout_loss(folder),
        continued="\n".join(_quoted(text, say(model, tokenizer, text)) for text in CONTINUED),
        asked="\n".join(_quoted(text, ask(model, tokenizer, text)) for text in ASKED),
    )


def _quoted(prompt: str, answer: str) -> str:
    return f"```\n{prompt}\n→ {answer.strip()}\n```"


def say(model: torch.nn.Module, tokenizer: PreTrainedTokenizerBase, text: str) -> str:
    """A continuation of plain text."""
    return _generate(model, tokenizer, tokenizer.encode(text, add_special_tokens=False))


def ask(model: torch.nn.Module, tokenizer: PreTrainedTokenizerBase, text: str) -> str:
    """An answer to a question."""
    messages = [{"role": "user", "content": text}]
    ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)
    return _generate(model, tokenizer, ids["input_ids"])


def _generate(model: torch.nn.Module, tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> str:
    made = model.generate(
        input_ids=torch.tensor([ids]),
        attention_mask=torch.ones(1, len(ids), dtype=torch.long),
        max_new_tokens=60,
        do_sample=False,
    )
    answer: str = tokenizer.decode(made[0, len(ids) :], skip_special_tokens=True)
    return answer
