"""Rows are questions; how good a model is, is what its answers earn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from datasets import Dataset
from peft import PeftModel
from transformers import PreTrainedTokenizerBase

from core import models
from core.dataset import Example
from core.draft import Settings
from core.engine.asked import Asked, encode_asked
from core.engine.encode import Progress
from core.engine.lesson import Lesson
from core.engine.ppo import losses, rollout
from core.engine.ppo.questions import columns_of, scorer_of
from core.engine.ppo.rollout import Written
from core.engine.ppo.trainer import (
    PolicyArguments,
    PolicyTrainer,
    penalised,
    summed,
    texts_of,
    unchanged,
    write,
)
from core.engine.rows import Warn
from core.engine.score import measuring
from core.engine.trainer import Measure
from core.objectives.ppo import PPO
from core.recipe import Recipe

MEASURED = 100
"""Held-out questions answered at each evaluation: a mean reward within a tenth of its spread."""


class Earn(Lesson[Asked]):
    """Learns from rewards of its own answers."""

    trainer: ClassVar = PolicyTrainer
    judged: ClassVar = False

    def __init__(
        self,
        recipe: Recipe,
        settings: Settings,
        tokenizer: PreTrainedTokenizerBase,
        warn: Warn,
        progress: Progress,
    ) -> None:
        super().__init__(recipe, settings, tokenizer, warn, progress)
        self.tokenizer, self.score = tokenizer, scorer_of(self.objective)
        if getattr(recipe.adaptation, "dropout", 0):
            warn("dropout", "Dropout is off: PPO compares how likely the same answer is twice.", "")
        if len(self.corpus.heldout) > MEASURED:
            text = f"Rewards are measured on the first {MEASURED} held-out questions of"
            warn("heldout-part", f"{text} {len(self.corpus.heldout):,}.", "")
        self._tell_tight(models.look(models.resolve(recipe.model)).context, warn)

    def _tell_tight(self, context: int, warn: Warn) -> None:
        """Beyond its context a model writes on, only worse."""
        room = context - self.objective.longest_answer
        tight = [row for row in self.corpus.train if context and len(row.ids) > room]
        if tight:
            text = f"{len(tight):,} questions leave less room than the longest answer needs; "
            hint = f"Shorten objective.longest_answer or the questions to {context:,} in all."
            warn("context", f"{text}the model reads {context:,} tokens.", hint)

    @staticmethod
    def encode(
        tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example], progress: Progress
    ) -> list[Asked]:
        """One question per example."""
        return encode_asked(tokenizer, examples, progress)

    @property
    def objective(self) -> PPO:
        """All that PPO can be told."""
        assert isinstance(self.recipe.objective, PPO)
        return self.recipe.objective

    def measure(self, model: Any, progress: Progress | None = None) -> Measure:
        """Mean reward and length of sampled answers, the same chances every time.

        With an adapter also their distance from the model as it was; without one there is no
        second model to ask.
        """
        found: dict[str, list[float]] = {"reward": [], "length": [], "kl": []}
        asked = self.corpus.heldout[:MEASURED]
        size = self.recipe.training.micro_batch
        for start in range(0, len(asked), size):
            part = asked[start : start + size]
            seed = self.recipe.training.seed + start
            written = write(model, self.tokenizer, part, self.objective, seed, size)
            given = self.score(part, texts_of(self.tokenizer, written))
            scores = penalised(given, written, self.objective)
            found["reward"] += scores.tolist()
            found["length"] += written.lengths.tolist()
            if isinstance(model, PeftModel):
                found["kl"] += self._apart(model, written).tolist()
            if progress:
                progress(start + len(part), len(asked))
        means = {name: sum(each) / len(each) for name, each in found.items() if each}
        return Measure(loss=None, metrics=means)

    def _apart(self, model: Any, written: Written) -> torch.Tensor:
        with measuring(model):
            mine = self._log_probs(model, written)
            with unchanged(model, None) as reference:
                return summed(mine - self._log_probs(reference, written), written.mask)

    def _log_probs(self, model: Any, written: Written) -> torch.Tensor:
        logits = rollout.logits_of(model, written, self.objective.temperature)[0]
        return losses.log_probs_of(logits, written.answers)

    def dataset(self) -> Dataset:
        """Questions, and what a reward may look at."""
        return Dataset.from_list([columns_of(asked) for asked in self.corpus.train])

    def lengths(self, dataset: Dataset) -> list[int]:
        """A question and the longest answer."""
        return [len(ids) + self.objective.longest_answer for ids in dataset["input_ids"]]

    def arguments(self, common: dict[str, Any]) -> PolicyArguments:
        """The library must leave the columns of rewards where they are."""
        return PolicyArguments(**common, objective=self.objective, remove_unused_columns=False)
