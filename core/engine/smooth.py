"""Imitation with an aim that is spread a little over all words (Szegedy et al. 2016, arXiv
1512.00567).

TRL would compute every step twice for it: once for the loss, once for its figures.
"""

from __future__ import annotations

from typing import Any

import torch

from core.choices import Training
from core.engine.encode import IGNORED
from core.engine.quiet import Quiet


class Smooth(Quiet):
    """The loss of imitation, or that of a smoothed aim where the recipe asks for one."""

    chosen: Training = Training()

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """Gradients of the smoothed loss; the value stays the plain one, so that it compares with
        the held-out loss."""
        share = self.chosen.label_smoothing
        if not share or return_outputs or not self.model.training:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        wanted = inputs["labels"][:, 1:]
        outputs = model(**self._read(inputs), use_cache=False)
        self.count_read(inputs)
        places = inputs["input_ids"].shape[1]
        plain, aim = smoothed(outputs.logits[:, -places:-1], wanted, share)
        count = (wanted != IGNORED).sum() if num_items_in_batch is None else num_items_in_batch
        loss = (plain.detach() + aim - aim.detach()) / torch.as_tensor(count).clamp(min=1)
        return loss + self._balance(outputs, num_items_in_batch)

    def _read(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Without labels, for which the model would compute a loss of its own."""
        asked = {"output_router_logits": True} if self.aux_loss_enabled else {}
        return {name: value for name, value in inputs.items() if name != "labels"} | asked

    def _balance(self, outputs: Any, count: Any) -> Any:
        """What keeps the experts of a mixture busy alike, weighed as TRL weighs it."""
        if not self.aux_loss_enabled:
            return 0.0
        batches = 1 if count is None else self.current_gradient_accumulation_steps
        return self.router_aux_loss_coef * outputs.aux_loss / batches


def smoothed(
    logits: torch.Tensor, wanted: torch.Tensor, share: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Sums over the trained tokens: negative log-likelihood, and the same with a smoothed aim."""
    trained = wanted != IGNORED
    likely = torch.log_softmax(logits[trained].float(), dim=-1)
    plain = -likely.gather(-1, wanted[trained][:, None]).sum()
    even = -likely.mean(dim=-1).sum()
    return plain, (1 - share) * plain + share * even
