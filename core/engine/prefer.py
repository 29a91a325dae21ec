"""Direct preference optimisation: pairs of answers, learned by TRL's DPOTrainer.

The loss compares the model with itself before training. With an adapter that reference is the
base with the adapter switched off, in every step. In full fine-tuning the log-probabilities of
all training pairs are computed once, before the first step.
"""

from __future__ import annotations

from typing import Any, ClassVar

from trl import DPOConfig, DPOTrainer

from core.engine.encode import Progress
from core.engine.formulas import dpo_loss
from core.engine.likelihood import ranked
from core.engine.pairs import Pair
from core.engine.pairwise import Pairwise
from core.engine.reference import Remembering
from core.engine.trainer import Measure
from core.objectives import DPO


class PreferenceTrainer(Remembering, DPOTrainer):  # type: ignore[misc]
    """Preference optimisation on pairs that are encoded already."""

    remembered: ClassVar = ("ref_chosen_logps", "ref_rejected_logps")


class Prefer(Pairwise):
    """Learns to prefer better answers, compared with the model as it was."""

    trainer: ClassVar = PreferenceTrainer

    @property
    def objective(self) -> DPO:
        """Beta and the kind of loss."""
        assert isinstance(self.recipe.objective, DPO)
        return self.recipe.objective

    def prepare(self, model: Any, progress: Progress) -> None:
        """Remember what the untrained model thinks of the held-out pairs."""
        super().prepare(model, progress)
        if self.corpus.heldout:
            self.reference = self.likelihoods(model, progress)[..., 0]

    def measure(self, model: Any, progress: Progress | None = None) -> Measure:
        """Loss per pair, and the share of pairs that are preferred the right way round."""
        now, tokens = self.likelihoods(model, progress).unbind(-1)
        chosen = self.objective
        loss = dpo_loss(
            chosen.loss_type, chosen.beta, chosen.label_smoothing, now, self.reference, tokens
        )
        found = ranked(*(chosen.beta * (now - self.reference)))
        return Measure(loss, found["accuracy"], {"margin": found["margin"]})

    def columns(self, pair: Pair) -> dict[str, list[int]]:
        """TRL's own collator joins them to one batch of better, then worse answers."""
        return _columns(pair, self.length)

    def arguments(self, common: dict[str, Any]) -> DPOConfig:
        """Rows are cut and dropout is settled before TRL sees either."""
        return DPOConfig(
            **common,
            beta=self.objective.beta,
            loss_type=[self.objective.loss_type],
            label_smoothing=self.objective.label_smoothing,
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
