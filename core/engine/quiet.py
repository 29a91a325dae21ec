"""TRL's SFTTrainer, without making the device wait for figures that nobody reads."""

from __future__ import annotations

from typing import Any

import torch
from trl import SFTTrainer


class Quiet(SFTTrainer):  # type: ignore[misc]
    """The same loss; no entropy and no accuracy, which TRL fetches from the device five times in
    every batch."""

    _total_train_tokens: Any

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """Negative log-likelihood of the trained tokens, over those of the whole step.

        Whatever asks for more than that gets TRL's own, slower way.
        """
        if return_outputs or num_items_in_batch is None or self._special():
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        outputs = model(**inputs, use_cache=False, fused_lm_head=True)
        self.count_read(inputs)
        return -outputs.log_probs.sum() / torch.as_tensor(num_items_in_batch).clamp(min=1)

    def count_read(self, inputs: dict[str, Any]) -> None:
        """Add up the tokens of a batch, where they are."""
        mask = inputs.get("attention_mask")
        read = inputs["input_ids"].numel() if mask is None else mask.sum()
        self._total_train_tokens = self._total_train_tokens + read

    def _special(self) -> bool:
        return (
            self.args.loss_type != "nll"
            or self.compute_loss_func is not None
            or self.label_smoother is not None
            or self.aux_loss_enabled
            or self.accelerator.num_processes > 1
            or not self.model.training
        )

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """The tokens read so far, fetched once per step."""
        self._total_train_tokens = int(self._total_train_tokens)
        self._metrics["train"]["num_tokens"] = [self._total_train_tokens]
        super().log(logs, start_time)
