"""Continued pretraining: plain texts, every token learned, by TRL's SFTTrainer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from datasets import Dataset
from transformers import PreTrainedTokenizerBase
from trl import pack_dataset

from core.dataset import Example
from core.engine.encode import Progress, Row
from core.engine.imitate import Imitate
from core.engine.plain import encode_texts, parted
from core.engine.score import generate, heldout_loss
from core.engine.trainer import Measure
from core.events import Answer

OPENING = 0.5
"""Share of a held-out text that is given, the rest is asked for."""


class ContinueText(Imitate):
    """Learns to read on."""

    judged: ClassVar = False

    @staticmethod
    def encode(
        tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example], progress: Progress
    ) -> list[Row]:
        """One row per text."""
        return encode_texts(tokenizer, examples, progress)

    def measure(self, model: Any, progress: Progress | None = None) -> Measure:
        """Loss per token, and what it means."""
        rows = parted(self.corpus.heldout, self.length)
        loss = heldout_loss(model, rows, self.length, self.pad, progress)
        return Measure(loss, metrics={"perplexity": math.exp(min(loss, 700.0))})

    def answers(
        self,
        model: Any,
        tokenizer: PreTrainedTokenizerBase,
        examples: Sequence[Example],
        progress: Progress | None = None,
    ) -> list[Answer]:
        """How a model goes on from the first half of a text, or from a probe."""
        found: list[Answer] = []
        for example in examples:
            opening, rest = _opened(example)
            prompt = tokenizer(opening)["input_ids"]
            if prompt[-1:] == [tokenizer.eos_token_id]:
                prompt = prompt[:-1]
            (said,) = generate(model, tokenizer, [prompt], self.recipe.checks.answer_length)
            found.append(Answer(prompt=opening, expected=rest, answer=said))
            if progress:
                progress(len(found), len(examples))
        return found

    def dataset(self) -> Dataset:
        """Texts parted at the length, joined to full sequences if the recipe says so."""
        rows = parted(self.corpus.train, self.length)
        both = {"input_ids": [row.ids for row in rows], "labels": [row.ids for row in rows]}
        found = Dataset.from_dict(both)
        return pack_dataset(found, self.length, "bfd") if self.settings.packing else found

    def places(self) -> list[int | str]:
        """Parts of a text stand where the text stands."""
        rows = parted(self.corpus.train, self.length)
        return [] if self.settings.packing else [row.place for row in rows]


def _opened(example: Example) -> tuple[str, str]:
    """What is given of a text, and how it goes on."""
    first, *others = (str(message["content"]) for message in example.messages)
    if others:  # a probe: a question without an answer
        return first, others[-1]
    words = first.split(" ")
    kept = max(1, round(len(words) * OPENING))
    return " ".join(words[:kept]), " ".join(words[kept:])
