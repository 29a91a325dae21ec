"""CPO and SimPO: pairs without a reference, learned by TRL's experimental CPOTrainer."""

from __future__ import annotations

from typing import Any, ClassVar

from trl.experimental.cpo import CPOConfig, CPOTrainer

from core.engine.encode import Progress, Row
from core.engine.formulas import contrast_loss
from core.engine.likelihood import ranked
from core.engine.pairs import Pair
from core.engine.pairwise import Pairwise
from core.engine.trainer import Measure, Watched
from core.objectives import CPO, SimPO


class ContrastTrainer(Watched):
    """Goes in front of TRL's trainers that would tokenise pairs again, and count no tokens."""

    _read = 0

    def tokenize_row(self, feature: dict[str, Any], *unused: Any) -> dict[str, Any]:
        """Rows are encoded already."""
        return feature

    def get_batch_loss_metrics(
        self, model: Any, batch: dict[str, Any], *rest: Any, **named: Any
    ) -> Any:
        """TRL's loss, and the tokens it has read."""
        sides = (batch[f"{side}_attention_mask"] for side in ("chosen", "rejected"))
        self._read += sum(int(side.sum()) for side in sides)
        return super().get_batch_loss_metrics(model, batch, *rest, **named)

    def log(self, logs: dict[str, float], *rest: Any, **named: Any) -> None:
        """TRL's figures, and the tokens read so far."""
        super().log(logs | {"num_tokens": self._read}, *rest, **named)


class CPOnlyTrainer(ContrastTrainer, CPOTrainer):  # type: ignore[misc]
    """CPO on pairs that are encoded already."""


class Contrasted(Pairwise):
    """Learns pairs in the columns that these trainers read."""

    def columns(self, pair: Pair) -> dict[str, list[int]]:
        """Both sides with question, answer and labels."""
        both = zip(("chosen", "rejected"), pair.sides, strict=True)
        return {
            f"{side}_{name}": column
            for side, row in both
            for name, column in _side(row, self.length).items()
        }

    def settled(self, common: dict[str, Any]) -> dict[str, Any]:
        """Rows are cut and dropout is settled before TRL sees either."""
        return common | {
            "max_length": self.length,
            "disable_dropout": False,
            "remove_unused_columns": False,
        }


def _side(row: Row, length: int) -> dict[str, list[int]]:
    ids, labels = row.cut(length)
    return {"input_ids": ids, "attention_mask": [1] * len(ids), "labels": labels}


class Contrast(Contrasted):
    """Learns to prefer better answers by their likelihood alone."""

    trainer: ClassVar = CPOnlyTrainer

    def measure(self, model: Any, progress: Progress | None = None) -> Measure:
        """Loss per pair, and the share of pairs whose better answer is the likelier one."""
        each, tokens = self.likelihoods(model, progress).unbind(-1)
        known = self._known()
        per_token = known["loss_type"] in ("ipo", "simpo")
        compared = each / tokens if per_token else each
        imitation = float(-each[0].sum() / tokens[0].sum())
        loss = contrast_loss(
            CPOTrainer, compared, imitation, alpha=0.0, label_smoothing=0.0, **known
        )
        return Measure(loss, metrics=ranked(*(known["beta"] * compared)))

    def _known(self) -> dict[str, Any]:
        """What TRL calls the recipe's choices."""
        match self.recipe.objective:
            case SimPO(beta=beta, gamma=gamma):
                return {"loss_type": "simpo", "beta": beta, "simpo_gamma": gamma, "cpo_alpha": 0.0}
            case CPO(beta=beta, loss_type=loss_type, imitation=imitation):
                return {"loss_type": loss_type, "beta": beta, "cpo_alpha": imitation}
        raise AssertionError(self.recipe.objective)

    def arguments(self, common: dict[str, Any]) -> CPOConfig:
        """As every trainer of this family, and the recipe's choices."""
        return CPOConfig(**self.settled(common), **self._known())
