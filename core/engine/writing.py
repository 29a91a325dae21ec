"""Let a model write freely: replies to prompts, drawn by chance, each told as soon as it is there.

Prompts are answered a few at a time; the same prompts and seeds give the same replies on the same
machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TextIO

import torch
from transformers import GenerationConfig, PreTrainedTokenizerBase

from core import models
from core.draft import Settings
from core.engine.encode import question
from core.engine.load import load_model, load_tokenizer
from core.engine.score import ends, measuring, padding
from core.errors import ModelError
from core.making.local import Writing, Written
from core.making.order import Reply
from core.recipe import Recipe

TOGETHER = 8
"""Prompts that are answered at once."""


def write(asked: Writing) -> Written:
    """Append a reply to each prompt, in order, as a line of JSON. Raises CoreError."""
    tokenizer = load_tokenizer(asked.model)
    prompts = [question(tokenizer, list(prompt.messages)) for prompt in asked.prompts]
    _refuse_long(asked, prompts)
    model = load_model(asked.model, Recipe(), reading())
    with asked.replies.open("a", encoding="utf-8") as file:
        for start in range(0, len(prompts), TOGETHER):
            stop = start + TOGETHER
            seeds = [prompt.seed for prompt in asked.prompts[start:stop]]
            for reply in _replies(model, tokenizer, prompts[start:stop], seeds[0], asked):
                _tell(reply, file)
    return Written(replies=len(prompts))


def reading() -> Settings:
    """The number format and device of a model that is only read."""
    cuda = torch.cuda.is_available()
    return Settings(
        device="cuda" if cuda else "cpu", bf16=cuda and torch.cuda.is_bf16_supported(),
        learning_rate=0, max_length=1, micro_batch=1, accumulation=1, checkpointing=False,
    )  # fmt: skip


def _refuse_long(asked: Writing, prompts: Sequence[list[int]]) -> None:
    context = models.look(asked.model).context
    needed = max(map(len, prompts)) + asked.longest
    if context and needed > context:
        raise ModelError(
            f"A request of {needed - asked.longest:,} tokens and a reply of {asked.longest:,} do "
            f"not fit into the {context:,} tokens that the model reads.",
            hint="Lower --max-tokens or --examples, or choose a model with a longer context.",
        )


def _replies(
    model: Any, tokenizer: PreTrainedTokenizerBase, prompts: Sequence[list[int]], seed: int,
    asked: Writing,
) -> Iterator[Reply]:  # fmt: skip
    pad, width = padding(tokenizer), max(map(len, prompts))
    ids = torch.tensor([[pad] * (width - len(p)) + p for p in prompts], device=model.device)
    seen = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts])
    last = ends(model, tokenizer)
    with measuring(model):
        torch.manual_seed(seed)
        made = model.generate(
            input_ids=ids,
            attention_mask=seen.to(model.device),
            generation_config=_sampling(asked, pad, last),
        )[:, width:].tolist()
    for prompt, tokens in zip(prompts, made, strict=True):
        said = tokens[: next((i for i, token in enumerate(tokens) if token in last), len(tokens))]
        text = tokenizer.decode(said, skip_special_tokens=True)
        yield Reply(text=text, input_tokens=len(prompt), output_tokens=len(said))


def _sampling(asked: Writing, pad: int, last: list[int]) -> GenerationConfig:
    drawn = {"do_sample": True, "temperature": asked.temperature} if asked.temperature else {}
    return GenerationConfig(
        max_new_tokens=asked.longest, pad_token_id=pad, eos_token_id=last, use_cache=True,
        **(drawn or {"do_sample": False}),
    )  # fmt: skip


def _tell(reply: Reply, file: TextIO) -> None:
    file.write(reply.model_dump_json() + "\n")
    file.flush()
