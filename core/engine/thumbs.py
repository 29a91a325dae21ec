"""Answers marked good or bad, learned by TRL's KTOTrainer."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from datasets import Dataset
from transformers import PreTrainedTokenizerBase
from trl import KTOConfig, KTOTrainer
from trl.trainer.utils import disable_dropout_in_model

from core.dataset import Example
from core.engine.encode import Progress
from core.engine.formulas import kto_loss
from core.engine.lesson import Lesson
from core.engine.likelihood import likelihoods, ranked
from core.engine.reference import Remembering
from core.engine.rows import Warn
from core.engine.trainer import Measure
from core.engine.verdicts import Verdict, crossed, encode_verdicts
from core.objectives import KTO

BALANCE = (1.0, 4 / 3)
"""Good rows x their weight, as a multiple of bad ones (KTO paper, equation 8)."""


class ThumbsTrainer(Remembering, KTOTrainer):  # type: ignore[misc]
    """KTO on rows that are encoded already."""

    remembered: ClassVar = ("ref_logps", "ref_KL_logps")


class Thumbs(Lesson[Verdict]):
    """Learns what is good and what is bad."""

    trainer: ClassVar = ThumbsTrainer
    judged: ClassVar = False

    def look(self, warn: Warn) -> None:
        """Say when one kind of verdict outweighs the other."""
        good = sum(verdict.good for verdict in self.corpus.train)
        bad = len(self.corpus.train) - good
        heavy, light = self.objective.good_weight * good, self.objective.bad_weight * bad
        if not BALANCE[0] * light <= heavy <= BALANCE[1] * light:
            text = f"{good:,} answers are good and {bad:,} bad; with their weights that is "
            text += f"{heavy:g} to {light:g}."
            hint = "Set the weights so that good answers weigh 1 to 1.33 times as much as bad ones."
            warn("verdicts-unbalanced", text, hint if good and bad else "Add the other kind.")

    @property
    def objective(self) -> KTO:
        """Beta, weights and the kind of loss."""
        assert isinstance(self.recipe.objective, KTO)
        return self.recipe.objective

    @staticmethod
    def encode(
        tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example], progress: Progress
    ) -> list[Verdict]:
        """One verdict per example."""
        return encode_verdicts(tokenizer, examples, progress)

    def prepare(self, model: Any, progress: Progress) -> None:
        """Remember what the untrained model thinks of the held-out answers."""
        disable_dropout_in_model(model)
        if self.corpus.heldout:
            self.reference = self._likelihoods(model, progress)

    def measure(self, model: Any, progress: Progress | None = None) -> Measure:
        """Loss per row; accuracy is over all couples of a good and a bad answer."""
        now, chosen = self._likelihoods(model, progress), self.objective
        good = torch.tensor([verdict.good for verdict in self.corpus.heldout])
        weights = chosen.good_weight, chosen.bad_weight
        loss = kto_loss(chosen.loss_type, chosen.beta, weights, now, self.reference, good)
        rewards = chosen.beta * (now - self.reference)[0]
        if good.all() or not good.any():
            return Measure(loss)
        return Measure(loss, metrics=ranked(rewards[good][:, None], rewards[~good][None]))

    def _likelihoods(self, model: Any, progress: Progress | None) -> torch.Tensor:
        """Log-likelihoods of answers (0), and of answers to other questions (1)."""
        held = self.corpus.heldout
        answers = [verdict.row for verdict in held]
        others = [crossed(one, other) for one, other in zip(held, _turned(held), strict=True)]
        found = [
            likelihoods(model, rows, self.length, self.pad, progress)[:, 0]
            for rows in (answers, others)
        ]
        return torch.stack(found)

    def dataset(self) -> Dataset:
        """Rows in an order drawn once: TRL pairs each with its neighbour's answer, and needs the
        batches to stay as they are."""
        rows, size = self._drawn(), self.recipe.training.micro_batch
        batches = [rows[start : start + size] for start in range(0, len(rows), size)]
        others = [other for batch in batches for other in _turned(batch, rows[-size - 1 :])]
        columns = [self._columns(*both) for both in zip(rows, others, strict=True)]
        return Dataset.from_list(columns)

    def _drawn(self) -> list[Verdict]:
        rows = list(self.corpus.train)
        random.Random(self.recipe.training.seed).shuffle(rows)
        return rows

    def places(self) -> list[int | str]:
        """In the order that was drawn."""
        return [verdict.place for verdict in self._drawn()]

    def _columns(self, verdict: Verdict, other: Verdict) -> dict[str, Any]:
        room = self.length - verdict.start
        columns = {
            "prompt_ids": verdict.row.ids[: verdict.start],
            "completion_ids": verdict.row.ids[verdict.start : self.length],
            "label": verdict.good,
        }
        drifted = {"KL_completion_ids": other.row.ids[other.start :][:room]}
        return columns | (drifted if self.objective.drifts else {})

    def lengths(self, dataset: Dataset) -> list[int]:
        """Of the longer of both answers that a row is read with."""
        names = [name for name in ("completion_ids", "KL_completion_ids") if name in dataset[0]]
        return [len(row["prompt_ids"]) + max(len(row[name]) for name in names) for row in dataset]

    def arguments(self, common: dict[str, Any]) -> KTOConfig:
        """Rows are cut, in order, and dropout is settled before TRL sees them."""
        return KTOConfig(
            **common,
            beta=self.objective.beta,
            loss_type=self.objective.loss_type,
            desirable_weight=self.objective.good_weight,
            undesirable_weight=self.objective.bad_weight,
            max_length=None,
            disable_dropout=False,
            train_sampling_strategy="sequential",
            precompute_ref_log_probs=self.recipe.adaptation.trains_base,
        )


def _turned(rows: Sequence[Verdict], before: Sequence[Verdict] = ()) -> list[Verdict]:
    """Each row's neighbour, as TRL chooses it within a batch; a row alone takes the one before."""
    around = before if len(rows) == 1 and len(before) > 1 else rows
    return [around[-2], *rows[:-1]] if around is before else [rows[-1], *rows[:-1]]
