"""When memory runs out in a step, the same step is taken again in smaller parts.

The gradients of the whole step are dropped and its rows are learned again in the same order, fewer
at once; a loss that counts tokens or rows of the whole step comes out the same, up to the order in
which numbers are added.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import torch
from accelerate.utils.memory import clear_device_cache

from core.engine.faults import out_of_memory
from core.engine.guard import forget_gradients
from core.engine.optimizers import Optimized
from core.engine.score import SHARE
from core.events import Reduced
from core.recipe import Recipe

Found = TypeVar("Found")
Batch = tuple[Sequence[int], Sequence[Any]]
"""Which rows of the dataset a micro-batch holds, and the rows themselves as they are collated."""
SMALLEST_SHARE = 2.0**-10


class NoRoom(Exception):
    """Nothing is left that would make a step need less memory."""


class Noting:
    """A sampler that remembers what it drew last."""

    def __init__(self, sampler: Any, most: int) -> None:
        self._sampler = sampler
        self.drawn: deque[int] = deque(maxlen=most)

    def __len__(self) -> int:
        return len(self._sampler)

    def __iter__(self) -> Iterator[int]:
        for row in self._sampler:
            self.drawn.append(row)
            yield row

    def set_epoch(self, epoch: int) -> None:
        """Called by the library."""
        if hasattr(self._sampler, "set_epoch"):
            self._sampler.set_epoch(epoch)


class Sparing(Optimized):
    """A trainer that knows the rows of each micro-batch, and can learn them in parts."""

    parts = 1
    """Into how many parts each micro-batch is divided."""
    recomputed = False
    """Whether gradient checkpointing was turned on for want of memory."""
    spares = False
    """Whether a step may be taken again in parts."""
    _at = -1
    _batches: Sequence[Batch] = ()
    _share = 1.0
    """Share of the micro-batch that is being computed."""

    def get_train_dataloader(self) -> Any:
        """The library's, overheard: what was drawn and what was collated."""
        prepared = super().get_train_dataloader()
        loader = getattr(prepared, "base_dataloader", prepared)  # accelerate wraps it
        drawing, collate = loader.batch_sampler, loader.collate_fn
        noting = drawing.sampler = Noting(drawing.sampler, drawing.batch_size)
        self._waiting: deque[Batch] = deque()

        def kept(rows: list[Any]) -> Any:
            self._waiting.append((list(noting.drawn)[-len(rows) :], list(rows)))
            return collate(rows)

        self._collate, loader.collate_fn = collate, kept
        return prepared

    def get_batch_samples(self, *given: Any, **named: Any) -> tuple[list[Any], Any]:
        """The micro-batches of a step, as the library fetches them; their rows are remembered."""
        batches, count = super().get_batch_samples(*given, **named)
        self._batches = [self._waiting.popleft() for _ in batches]
        self._at, self._read_before = -1, self._tokens_read()
        return batches, count

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Any:
        """Forward and backward of a micro-batch, in as many parts as memory asks for.

        Raises NoRoom when it runs out at one row at a time, and what the library raises.
        """
        self._at += 1
        whole = super().training_step
        if not self.spares:
            return whole(model, inputs, num_items_in_batch)
        try:
            if self.parts == 1:
                return whole(model, inputs, num_items_in_batch)
            return self._in_parts(self._at, whole, model, num_items_in_batch)
        except Exception as error:
            if not out_of_memory(error):
                raise
        return self._again(whole, model, num_items_in_batch)

    def _again(self, whole: Callable[..., Any], model: Any, count: Any) -> Any:
        """All micro-batches of the step up to this one; returns the loss of this one alone.

        Called when the error is gone, and with it all that its traceback kept alive.
        """
        while True:
            self._forget_step()
            self._need_less()
            try:
                return [self._in_parts(at, whole, model, count) for at in range(self._at + 1)][-1]
            except Exception as error:
                if not out_of_memory(error):
                    raise

    def _in_parts(self, at: int, whole: Callable[..., Any], model: Any, count: Any) -> Any:
        _, rows = self._batches[at]
        here, self._at = self._at, at
        loss = torch.zeros((), device=self.args.device)
        try:
            for part in divided(rows, self.parts):
                self._share = len(part) / len(rows)
                loss = loss + whole(model, self._collate(part), count)
        finally:
            self._share, self._at = 1.0, here
        return loss

    def _forget_step(self) -> None:
        """As if no micro-batch of this step had been learned, and nothing been counted."""
        forget_gradients(self.optimizer)
        self.forget_losses()
        self._count_again(self._read_before)
        for figures in getattr(self, "_metrics", {}).values():
            figures.clear()
        clear_device_cache(garbage_collection=True)

    def forget_losses(self) -> None:
        """The losses of this step so far are computed again."""

    def told_reduced(self, rows: int) -> None:
        """From here on so many rows are computed at once."""

    def _need_less(self) -> None:
        rows = max(len(rows) for _, rows in self._batches)
        if self.parts < rows:
            self.parts *= 2
        elif not (self.args.gradient_checkpointing or self.recomputed) and self.may_recompute():
            self.recompute()
        else:
            raise NoRoom
        self.told_reduced(-(-rows // self.parts))

    def may_recompute(self) -> bool:
        """Whether what is trained goes together with gradient checkpointing."""
        return True

    def recompute(self) -> None:
        """Turn gradient checkpointing on."""
        self.recomputed = True
        settings = {"use_reentrant": False}
        self.model.gradient_checkpointing_enable(gradient_checkpointing_kwargs=settings)

    def _tokens_read(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in COUNTERS if hasattr(self, name)}

    def _count_again(self, before: dict[str, Any]) -> None:
        for name, count in before.items():
            setattr(self, name, count)

    def begin_reduced(self, found: Reduced) -> None:
        """Go on in the parts that an earlier process came to."""
        self.parts = found.parts
        if found.recomputed:
            self.recompute()

    def rows_of(self, batches: frozenset[int]) -> list[int]:
        """Rows of the dataset in some micro-batches of this step; in all of them if none is named.

        Empty when nothing was noted.
        """
        known = enumerate(self._batches)
        return [row for at, (rows, _) in known if not batches or at in batches for row in rows]


COUNTERS = ("_total_train_tokens", "_read")
"""Where trainers add up the tokens they have read."""


def least(recipe: Recipe) -> Recipe:
    """The recipe as it is once all was tried that leaves the result the same."""
    training = recipe.training.model_dump(mode="json") | {"micro_batch": 1, "checkpointing": "on"}
    return recipe.edit("training", training)


def divided(rows: Sequence[Any], parts: int) -> list[Sequence[Any]]:
    """The same rows in the same order, in at most so many parts as even as can be."""
    size = -(-len(rows) // parts)
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def with_less(ask: Callable[[], Found], tell: Callable[[float], None]) -> Found:
    """What is found on the held-out rows, with ever fewer of them at once if memory runs out.

    The smaller portion is kept for later. Raises what `ask` raises when one row is too much.
    """
    while True:
        try:
            return ask()
        except Exception as error:
            if not out_of_memory(error) or SHARE.get() <= SMALLEST_SHARE:
                raise
        clear_device_cache(garbage_collection=True)
        SHARE.set(SHARE.get() / 2)
        tell(SHARE.get())
