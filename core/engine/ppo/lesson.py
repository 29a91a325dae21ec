"""Rows are questions; how good a model is, is what its answers earn."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from datasets import Dataset
from peft import PeftModel

from core.engine.encode import Progress
from core.engine.ppo import losses, rollout
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
from core.engine.rollouts import Rollouts
from core.engine.rows import Warn
from core.engine.score import at_once, measuring
from core.engine.trainer import Measure
from core.objectives.ppo import PPO


class Earn(Rollouts):
    """Learns from rewards of its own answers."""

    trainer: ClassVar = PolicyTrainer

    def look(self, warn: Warn) -> None:
        """As every lesson of rewards, and what PPO does otherwise than asked."""
        super().look(warn)
        if getattr(self.recipe.adaptation, "dropout", 0):
            warn("dropout", "Dropout is off: PPO compares how likely the same answer is twice.", "")

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
        asked = self.corpus.heldout
        size = at_once(self.recipe.training.micro_batch)
        for start in range(0, len(asked), size):
            part = asked[start : start + size]
            seed = self.recipe.training.seed + start
            written = write(model, self.tokenizer, part, self.objective, seed, size)
            given = self.scorer(part, texts_of(self.tokenizer, written))
            scores = penalised(given, written, self.objective)
            found["reward"] += scores.tolist()
            found["length"] += written.lengths.tolist()
            if isinstance(model, PeftModel):
                found["kl"] += self._apart(model, written).tolist()
            if progress:
                progress(start + len(part), len(asked))
        means = {name: sum(each) / len(each) for name, each in found.items() if each}
        return Measure(None, metrics=means, rewarded=len(asked))

    def _apart(self, model: Any, written: Written) -> torch.Tensor:
        with measuring(model):
            mine = self._log_probs(model, written)
            with unchanged(model, None) as reference:
                return summed(mine - self._log_probs(reference, written), written.mask)

    def _log_probs(self, model: Any, written: Written) -> torch.Tensor:
        logits = rollout.logits_of(model, written, self.objective.temperature)[0]
        return losses.log_probs_of(logits, written.answers)

    def dataset(self) -> Dataset:
        """One row per question, by its number; its tokens are there for the library to count."""
        asked = [row.ids for row in self.corpus.train]
        return Dataset.from_dict({"number": list(range(len(asked))), "input_ids": asked})

    def extras(self) -> dict[str, Any]:
        """The questions behind the numbers, and what their answers earn."""
        return {"asked": self.corpus.train, "score": self.scorer}

    def lengths(self, dataset: Dataset) -> list[int]:
        """A question and the longest answer."""
        return [len(ids) + self.objective.longest_answer for ids in dataset["input_ids"]]

    def arguments(self, common: dict[str, Any]) -> PolicyArguments:
        """The library must leave the numbers of questions where they are."""
        return PolicyArguments(**common, objective=self.objective, remove_unused_columns=False)
