"""Direct preference optimisation: pairs of answers, learned by TRL's DPOTrainer.

The loss compares the model with itself before training. With an adapter that reference is the
base with the adapter switched off, in every step. In full fine-tuning the log-probabilities of
all training pairs are computed once, before the first step: a second model in memory would cost 4
more bytes per parameter, and TRL would load it from disk again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from datasets import Dataset
from torch.nn.functional import logsigmoid
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerBase
from trl import DPOConfig, DPOTrainer
from trl.trainer.utils import disable_dropout_in_model

from core.dataset import Example
from core.engine import pairs
from core.engine.encode import Progress
from core.engine.lesson import Lesson
from core.engine.pairs import Pair
from core.engine.score import row_losses
from core.engine.trainer import Measure, Watched
from core.objectives import DPO


class PreferenceTrainer(Watched, DPOTrainer):  # type: ignore[misc]
    """Preference optimisation on pairs that are encoded already."""

    def _prepare_dataset(self, dataset: Dataset, *unused: Any) -> Dataset:
        """TRL must not tokenise again what is encoded."""
        return dataset

    def _precompute_ref_logps(self, dataset: Dataset, name: str, batch_size: int) -> Dataset:
        """TRL's reference, told as progress and kept in memory; TRL would leave a file behind."""
        found: dict[str, list[float]] = {"ref_chosen_logps": [], "ref_rejected_logps": []}
        for batch in DataLoader(dataset, batch_size, collate_fn=self.data_collator):
            sides = self.compute_ref_log_probs(self.model, self._prepare_inputs(batch))
            for column, log_probs in zip(found.values(), sides, strict=True):
                column += log_probs.tolist()
            self.watch.voice.phase("reference", len(found["ref_chosen_logps"]), len(dataset))
            self.watch.wishes.look()
        for column_name, column in found.items():
            dataset = dataset.add_column(column_name, column)
        return dataset


class Prefer(Lesson[Pair]):
    """Learns which of two answers is the better one."""

    trainer: ClassVar = PreferenceTrainer
    judged: ClassVar = False

    @staticmethod
    def encode(
        tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example], progress: Progress
    ) -> list[Pair]:
        """One pair per example."""
        return pairs.encode_pairs(tokenizer, examples, progress)

    @property
    def objective(self) -> DPO:
        """Beta and the kind of loss."""
        assert isinstance(self.recipe.objective, DPO)
        return self.recipe.objective

    def prepare(self, model: Any, progress: Progress) -> None:
        """Remember what the untrained model thinks of the held-out pairs.

        Dropout inside of the base would make its log-probabilities a matter of chance, those of
        the reference as well; an adapter's own dropout, added later, leaves the reference alone.
        """
        disable_dropout_in_model(model)
        if self.corpus.heldout:
            self.reference = self._likelihoods(model, progress)

    def measure(self, model: Any, progress: Progress | None = None) -> Measure:
        """Loss per pair, and the share of pairs that are preferred the right way round."""
        now = self._likelihoods(model, progress)
        ratios, tokens = now[..., 0] - self.reference[..., 0], now[..., 1]
        margins = ratios[0] - ratios[1]
        preferred = (margins > 0).double() + (margins == 0).double() / 2
        loss = preference_loss(self.objective, ratios, tokens).mean()
        return Measure(loss.item(), preferred.mean().item())

    def _likelihoods(self, model: Any, progress: Progress | None) -> torch.Tensor:
        """Log-likelihood and number of tokens, for better and worse answers of each pair."""
        sides = [side for pair in self.corpus.heldout for side in pair.sides]
        found = row_losses(model, sides, self.length, self.pad, progress)
        table = torch.tensor(found, dtype=torch.float64).reshape(-1, 2, 2).transpose(0, 1)
        return table * torch.tensor([-1.0, 1.0], dtype=torch.float64)

    def dataset(self) -> Dataset:
        """Columns that TRL's own collator joins to one batch of better, then worse answers."""
        return Dataset.from_list([_columns(pair, self.length) for pair in self.corpus.train])

    def lengths(self, dataset: Dataset) -> list[int]:
        """A pair is padded to its longer side."""
        return [
            len(row["prompt_ids"]) + max(len(row["chosen_ids"]), len(row["rejected_ids"]))
            for row in dataset
        ]

    def arguments(self, common: dict[str, Any]) -> DPOConfig:
        """Rows are cut and dropout is settled before TRL sees either."""
        return DPOConfig(
            **common,
            beta=self.objective.beta,
            loss_type=[self.objective.loss_type],
            max_length=None,
            disable_dropout=False,
            precompute_ref_log_probs=self.recipe.adaptation.trains_base,
        )


def _columns(pair: Pair, length: int) -> dict[str, list[int]]:
    start = pair.chosen.trained.index(True)
    return {
        "prompt_ids": pair.chosen.ids[:start],
        "chosen_ids": pair.chosen.ids[start:length],
        "rejected_ids": pair.rejected.ids[start:length],
    }


def preference_loss(objective: DPO, ratios: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    """Loss of each pair as TRL's DPOTrainer has it, which offers no function of its own for it.

    `ratios` are log-likelihoods less the reference's, of better (0) and worse (1) answers.
    """
    delta = ratios[0] - ratios[1]
    match objective.loss_type:
        case "sigmoid":
            return -logsigmoid(objective.beta * delta)
        case "hinge":
            return torch.relu(1 - objective.beta * delta)
        case "ipo":
            each = ratios / tokens
            return (each[0] - each[1] - 1 / (2 * objective.beta)) ** 2
