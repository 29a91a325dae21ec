"""Lessons on pairs of answers: what they share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from datasets import Dataset
from transformers import PreTrainedTokenizerBase
from trl.trainer.utils import disable_dropout_in_model

from core.dataset import Example
from core.engine import pairs
from core.engine.encode import Progress, Row
from core.engine.lesson import Lesson
from core.engine.likelihood import likelihoods
from core.engine.pairs import Pair


class Pairwise(Lesson[Pair]):
    """Learns which of two answers is the better one."""

    judged: ClassVar = False

    @staticmethod
    def encode(
        tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example], progress: Progress
    ) -> list[Pair]:
        """One pair per example."""
        return pairs.encode_pairs(tokenizer, examples, progress)

    def prepare(self, model: Any, progress: Progress) -> None:
        """Dropout inside of the base would compare answers by chance; an adapter's own, added
        later, is kept."""
        disable_dropout_in_model(model)

    @property
    def sides(self) -> list[Row]:
        """The held-out answers, a better one before each worse one."""
        return [side for pair in self.corpus.heldout for side in pair.sides]

    def likelihoods(self, model: Any, progress: Progress | None) -> torch.Tensor:
        """Log-likelihood and number of tokens, of better (0) and worse (1) answers.

        Shape: 2 x pairs x 2.
        """
        found = likelihoods(model, self.sides, self.length, self.pad, progress)
        return found.reshape(-1, 2, 2).transpose(0, 1)

    def dataset(self) -> Dataset:
        """One row per pair."""
        return Dataset.from_list([self.columns(pair) for pair in self.corpus.train])

    def columns(self, pair: Pair) -> dict[str, list[int]]:
        """A pair as the trainer's collator reads it."""
        raise NotImplementedError

    def lengths(self, dataset: Dataset) -> list[int]:
        """A pair is padded to its longer side."""
        sizes = (max(len(side.ids) for side in pair.sides) for pair in self.corpus.train)
        return [min(size, self.length) for size in sizes]
