"""What a model knows of the held-out rows: loss per trained token, and answers compared exactly."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from transformers import GenerationConfig, PreTrainedTokenizerBase

from core.dataset import Example
from core.engine.encode import IGNORED, Row, question
from core.events import Answer

LOGIT_BUDGET = 2**27
"""Logits held at once while measuring loss: half a gigabyte in 32 bits."""
ANSWER_BATCH = 32
SHARE: ContextVar[float] = ContextVar("SHARE", default=1.0)
"""Share of the usual portions that is held at once, since memory ran out."""

Progress = Callable[[int, int], None]


def at_once(size: int) -> int:
    """Rows held at once where `size` are usual."""
    return max(1, int(size * SHARE.get()))


@contextmanager
def measuring(model: torch.nn.Module) -> Iterator[None]:
    """Look without touching: no gradients, no dropout, no change of the random state."""
    training = model.training
    model.eval()
    try:
        with torch.random.fork_rng(), torch.no_grad():
            yield
    finally:
        model.train(training)


def heldout_loss(
    model: Any, rows: Sequence[Row], length: int, pad: int, progress: Progress | None = None
) -> float:
    """Mean negative log-likelihood per trained token, in nats; every token counts the same."""
    found = row_losses(model, rows, length, pad, progress)
    return sum(loss for loss, _ in found) / max(1, sum(tokens for _, tokens in found))


def row_losses(
    model: Any, rows: Sequence[Row], length: int, pad: int, progress: Progress | None = None
) -> list[tuple[float, int]]:
    """Negative log-likelihood of each row's trained tokens, and how many there are."""
    found: dict[int, tuple[float, int]] = {}
    with measuring(model):
        for places in batches(rows, length, model.config.get_text_config().vocab_size):
            losses = _batch_losses(model, [rows[place] for place in places], length, pad)
            found |= dict(zip(places, losses, strict=True))
            if progress:
                progress(len(found), len(rows))
    return [found[place] for place in range(len(rows))]


def batches(rows: Sequence[Row], length: int, vocabulary: int) -> Iterator[list[int]]:
    """Places of rows of similar length together, so that little is padding."""
    batch: list[int] = []
    budget = LOGIT_BUDGET * SHARE.get()
    for place in sorted(range(len(rows)), key=lambda place: len(rows[place].ids)):
        width = min(length, len(rows[place].ids))
        if batch and (len(batch) + 1) * width * vocabulary > budget:
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch


def _batch_losses(
    model: Any, batch: Sequence[Row], length: int, pad: int
) -> list[tuple[float, int]]:
    inputs = joined([row.cut(length) for row in batch], pad, model.device)
    logits, wanted = predictions(model, inputs), inputs["labels"][:, 1:]
    losses = torch.nn.functional.cross_entropy(
        logits.float().flatten(0, 1), wanted.flatten(), ignore_index=IGNORED, reduction="none"
    ).view_as(wanted)
    tokens = (wanted != IGNORED).sum(1)
    return list(zip(losses.sum(1).tolist(), tokens.tolist(), strict=True))


def joined(
    cut: Sequence[tuple[list[int], list[int]]], pad: int, device: torch.device
) -> dict[str, torch.Tensor]:
    """Ids and labels of rows as one batch, padded on the right."""
    width = max(len(ids) for ids, _ in cut)
    columns = {
        "input_ids": [ids + [pad] * (width - len(ids)) for ids, _ in cut],
        "labels": [known + [IGNORED] * (width - len(known)) for _, known in cut],
        "attention_mask": [[1] * len(ids) + [0] * (width - len(ids)) for ids, _ in cut],
    }
    return {name: torch.tensor(rows, device=device) for name, rows in columns.items()}


def predictions(model: Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """Logits of the second to the last token. Shape: rows x (tokens - 1) x vocabulary."""
    ids, seen = inputs["input_ids"], inputs["attention_mask"]
    logits: torch.Tensor = model(input_ids=ids, attention_mask=seen, use_cache=False).logits
    return logits[:, -ids.shape[1] : -1]  # trained places before the row are no part of it


def answers(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    examples: Sequence[Example],
    longest: int,
    progress: Progress | None = None,
) -> list[Answer]:
    """Greedy answers to the last question of each example, compared with the expected text."""
    prompts = [question(tokenizer, example.messages[:-1]) for example in examples]
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    texts = [""] * len(prompts)
    size = at_once(ANSWER_BATCH)
    for start in range(0, len(order), size):
        chosen = order[start : start + size]
        replies = generate(model, tokenizer, [prompts[i] for i in chosen], longest)
        for index, reply in zip(chosen, replies, strict=True):
            texts[index] = reply
        if progress:
            progress(min(len(order), start + size), len(order))
    return [_judge(example, text) for example, text in zip(examples, texts, strict=True)]


def _judge(example: Example, text: str) -> Answer:
    expected = example.messages[-1]["content"]
    return Answer(
        prompt=example.messages[-2]["content"],
        expected=expected,
        answer=text,
        correct=text.strip() == expected.strip(),
    )


def generate(
    model: Any, tokenizer: PreTrainedTokenizerBase, prompts: Sequence[list[int]], longest: int
) -> list[str]:
    """Greedy continuations without special tokens; stops at the model's own end tokens."""
    made = extend(model, tokenizer, prompts, longest, do_sample=False)
    replies: list[str] = tokenizer.batch_decode(made, skip_special_tokens=True)
    return replies


def extend(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[list[int]],
    longest: int,
    seed: int | None = None,
    **how: Any,
) -> torch.Tensor:
    """The tokens that follow each prompt, in one batch; `how` is how they are chosen."""
    pad = padding(tokenizer)
    width = max(len(prompt) for prompt in prompts)
    ids = torch.tensor([[pad] * (width - len(p)) + p for p in prompts], device=model.device)
    seen = torch.tensor(
        [[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=model.device
    )
    settings = GenerationConfig(
        max_new_tokens=longest,
        pad_token_id=pad,
        eos_token_id=ends(model, tokenizer),
        use_cache=True,
        **how,
    )
    with measuring(model):
        if seed is not None:
            torch.manual_seed(seed)
        made = model.generate(input_ids=ids, attention_mask=seen, generation_config=settings)
    new: torch.Tensor = made[:, width:]
    return new


def ends(model: Any, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Every token that ends an answer: the model's own list and the tokenizer's end token."""
    known = model.generation_config.eos_token_id
    listed = known if isinstance(known, list) else [known]
    return sorted({token for token in [*listed, tokenizer.eos_token_id] if token is not None})


def padding(tokenizer: PreTrainedTokenizerBase) -> int:
    """The padding token, or the end token where a tokenizer has none."""
    pad = tokenizer.pad_token_id
    return int(tokenizer.eos_token_id if pad is None else pad)


def exact_match(scored: Sequence[Answer]) -> float | None:
    """Share of answers that are exactly as expected; None when nothing was asked."""
    return sum(bool(a.correct) for a in scored) / len(scored) if scored else None
