"""A trained reward model as a judge: conversations in, one number each out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from core.dataset import Example
from core.engine.encode import Progress, encode, prepare_template
from core.engine.pairs import last_answer
from core.engine.results import open_result
from core.engine.score import at_once, joined, measuring, padding
from core.errors import DataError, RunError
from core.formats import Message
from core.rundir import RunDir

BATCH = 16
Judge = Callable[[Sequence[list[Message]]], list[float]]
"""One number for each conversation, which ends with the assistant's answer."""


def open_judge(root: Path) -> Judge:
    """The judge that a run has made. Raises RunError, ModelError; DataError when it is asked."""
    run = RunDir.open(root)
    if run.load_recipe().objective.kind != "reward":
        raise RunError(
            f"{root.name} did not train a reward model.",
            hint="Choose a run whose goal was a reward model.",
        )
    opened, tokenizer = open_result(run, scores=True)
    prepare_template(tokenizer)
    pad = padding(tokenizer)
    model = as_scorer(opened, pad).eval().requires_grad_(False)
    return lambda talks: rewards(model, [_ids(model, tokenizer, talk) for talk in talks], pad)


def as_scorer(model: Any, pad: int) -> Any:
    """The same model, told where a sequence ends: its number stands on the last other token."""
    model.config.get_text_config().pad_token_id = pad
    return model


def _ids(model: Any, tokenizer: PreTrainedTokenizerBase, talk: list[Message]) -> list[int]:
    """A conversation up to the end of its last answer, as in training."""
    if not talk or talk[-1]["role"] != "assistant":
        raise DataError("There is no answer to judge.", hint="End with the assistant's answer.")
    (row,) = encode(tokenizer, [Example(0, talk)])
    turns = sum(message["role"] == "assistant" for message in talk)
    ids = last_answer(row, turns).ids
    room = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if room and len(ids) > room:
        raise DataError(
            f"A conversation has {len(ids):,} tokens, the judge reads {room:,}.",
            hint="Leave it out, or allow shorter answers.",
        )
    return ids


def rewards(
    model: Any, rows: Sequence[list[int]], pad: int, progress: Progress | None = None
) -> list[float]:
    """One number for each row of tokens, in their order."""
    found: dict[int, float] = {}
    order = sorted(range(len(rows)), key=lambda place: len(rows[place]))
    with measuring(model):
        size = at_once(BATCH)
        for start in range(0, len(order), size):
            places = order[start : start + size]
            given = _judged(model, [rows[place] for place in places], pad)
            found |= dict(zip(places, given, strict=True))
            if progress:
                progress(len(found), len(rows))
    return [found[place] for place in range(len(rows))]


def _judged(model: Any, rows: Sequence[list[int]], pad: int) -> list[float]:
    batch = joined([(ids, ids) for ids in rows], pad, model.device)
    ids, seen = batch["input_ids"], batch["attention_mask"]
    logits = model(input_ids=ids, attention_mask=seen, use_cache=False).logits
    given: list[float] = logits.float().squeeze(-1).tolist()
    return given
