"""What the untrained model thinks of the training rows, computed once before the first step.

Full fine-tuning changes the very model that is compared with: a second one in memory would cost 4
more bytes per parameter, and TRL would load it from disk again.
"""

from __future__ import annotations

from typing import Any, ClassVar

from datasets import Dataset
from torch.utils.data import DataLoader

from core.engine.trainer import Watched


class Remembering(Watched):
    """Goes in front of TRL's trainers that look back at the untrained model."""

    remembered: ClassVar[tuple[str, ...]]
    """The columns that TRL looks the reference up in."""

    def _prepare_dataset(self, dataset: Dataset, *unused: Any) -> Dataset:
        """TRL must not tokenise again what is encoded."""
        return dataset

    def _precompute_ref_logps(self, dataset: Dataset, name: str, batch_size: int) -> Dataset:
        """TRL's reference, told as progress and kept in memory; TRL would leave a file behind."""
        found: dict[str, list[float]] = {column: [] for column in self.remembered}
        done = 0
        for batch in DataLoader(dataset, batch_size, collate_fn=self.data_collator):
            sides = self.compute_ref_log_probs(self.model, self._prepare_inputs(batch))
            for column, log_probs in zip(found.values(), sides, strict=True):
                column += [] if log_probs is None else log_probs.tolist()
            done = min(done + batch_size, len(dataset))
            self.watch.voice.phase("reference", done, len(dataset))
            self.watch.wishes.look()
        for column_name, values in found.items():
            dataset = dataset.add_column(column_name, values) if values else dataset
        return dataset
