"""ORPO: imitation and odds in one loss, learned by TRL's experimental ORPOTrainer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from trl.experimental.orpo import ORPOConfig, ORPOTrainer

from core.engine.contrast import Contrasted, ContrastTrainer
from core.engine.encode import Progress
from core.engine.formulas import contrast_loss
from core.engine.likelihood import ranked
from core.engine.score import heldout_loss
from core.engine.trainer import Measure
from core.objectives import ORPO


class OddsTrainer(ContrastTrainer, ORPOTrainer):  # type: ignore[misc]
    """ORPO on pairs that are encoded already."""


class Odds(Contrasted):
    """Learns the better answer, and to avoid the worse one."""

    trainer: ClassVar = OddsTrainer

    @property
    def objective(self) -> ORPO:
        """Beta."""
        assert isinstance(self.recipe.objective, ORPO)
        return self.recipe.objective

    def measure(self, model: Any, progress: Progress | None = None) -> Measure:
        """Loss per pair; TRL's imitation learns the question as well."""
        each, tokens = self.likelihoods(model, progress).unbind(-1)
        mean = each / tokens
        whole = [replace(row, trained=[True] * len(row.ids)) for row in self.sides[::2]]
        imitation = heldout_loss(model, whole, self.length, self.pad)
        beta = self.objective.beta
        loss = contrast_loss(ORPOTrainer, mean, imitation, beta=beta)
        return Measure(loss, metrics=ranked(*(beta * mean)))

    def arguments(self, common: dict[str, Any]) -> ORPOConfig:
        """As every trainer of this family, and beta."""
        return ORPOConfig(**self.settled(common), beta=self.objective.beta)
