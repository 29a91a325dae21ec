"""Write down every piece of tensor memory that a step allocates and frees, and for what."""

from __future__ import annotations

import bisect
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch.distributed.tensor import DTensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from core.engine.workspaces import BEFORE, CUBLAS, MATRIX_PRODUCTS, WORKSPACES
from core.memory.allocator import EMPTY_CACHE, Event

Phase = Literal["load", "forward", "backward", "optimizer"]
Kind = Literal[
    "weights", "adapters", "gradients", "optimizer", "activations", "loss", "workspaces", "exchange"
]
OUTPUT = "output layer"
ACCUMULATE = "torch::autograd::AccumulateGrad"
"""Has no number of its own; it runs right after the operation whose gradient it keeps."""


@dataclass(frozen=True, slots=True)
class Note:
    """What a piece of memory is for, and where in the step it was asked for."""

    kind: Kind
    phase: Phase
    place: str


class Recorder(TorchDispatchMode):  # type: ignore[misc]
    """Sees the result of every operation; a storage is freed when Python lets go of it.

    `hidden` adds what CUDA kernels ask for and meta kernels do not: workspaces. Memory of a tensor
    counts from the operation that returns it; the rules of `core.engine.workspaces` say whether
    a workspace is asked for before or after the result.
    """

    def __init__(self, *, hidden: bool) -> None:
        super().__init__()
        self.events: list[Event] = []
        self.notes: dict[int, Note] = {}
        self.phase: Phase = "load"
        self.place = ""
        self._hidden = hidden
        self._numbers: dict[int, int] = {}
        self._watched: dict[int, weakref.ref[Any]] = {}
        self._prepared: set[str] = set()
        self._layers: list[tuple[int, str]] = [(0, "")]

    def allocate(self, size: int, kind: Kind) -> int:
        """Memory that no tensor shows; returns its number for `release`."""
        number = len(self.notes)
        self.notes[number] = Note(kind, self.phase, self._where())
        self.events.append(Event(number, size))
        return number

    def release(self, number: int) -> None:
        """Free what `allocate` returned."""
        self.events.append(Event(number))

    def empty_cache(self) -> None:
        """Write down that unused segments were given back."""
        self.events.append(Event(EMPTY_CACHE))

    def watch(self, tensor: torch.Tensor, kind: Kind) -> None:
        """Count a tensor's storage from now until nobody holds it; once, however many views."""
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if size == 0 or key in self._numbers:
            return
        number = self._numbers[key] = self.allocate(size, kind)

        def gone(_: object) -> None:
            del self._numbers[key], self._watched[number]
            self.release(number)

        self._watched[number] = weakref.ref(storage, gone)

    def resized(self, tensor: torch.Tensor, kind: Kind) -> None:
        """The storage of a tensor was given up, or asked for again, while the tensor stayed."""
        number = self._numbers.pop(tensor.untyped_storage()._cdata, None)
        if number is not None:
            del self._watched[number]
            self.release(number)
        self.watch(tensor, kind)

    def rename(self, tensors: Iterable[torch.Tensor], kind: Kind) -> None:
        """Say what already counted tensors turned out to be."""
        for tensor in tensors:
            number = self._numbers.get(tensor.untyped_storage()._cdata)
            if number is not None:
                old = self.notes[number]
                self.notes[number] = Note(kind, old.phase, old.place)

    @contextmanager
    def during(self, phase: Phase) -> Iterator[None]:
        """Everything inside belongs to this phase."""
        before, self.phase, self.place = self.phase, phase, ""
        try:
            yield
        finally:
            self.phase, self.place = before, ""

    def enter(self, place: str) -> None:
        """The model has come to this place; backward finds it again by autograd's numbering."""
        self.place = place
        if self.phase == "forward":
            self._layers.append((torch.autograd._get_sequence_nr(), place))

    def _where(self) -> str:
        node = torch._C._current_autograd_node() if self.phase == "backward" else None
        if node is not None and node.name() != ACCUMULATE:
            index = bisect.bisect(self._layers, node._sequence_nr(), key=lambda entry: entry[0])
            self.place = self._layers[index - 1][1]
        return self.place

    def _kind(self) -> Kind:
        if self.phase == "load":
            return "weights"
        if self.phase == "optimizer":
            return "optimizer"
        return "loss" if self._where() == OUTPUT else "activations"

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if DTensor in types:  # comes back with the part that is on this GPU
            return NotImplemented
        name = func.name().split(".")[0]
        rule = WORKSPACES.get(name) if self._hidden else None
        sizes = rule(args, kwargs or {}) if rule else []
        before = [self.allocate(size, "workspaces") for size in sizes if name in BEFORE]
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self.watch(leaf, self._kind())
        after = [self.allocate(size, "workspaces") for size in sizes if name not in BEFORE]
        for number in before + after:
            self.release(number)
        if self._hidden and name in MATRIX_PRODUCTS:
            self._cublas()
        return result

    def _cublas(self) -> None:
        """One workspace per thread, kept for ever: autograd has a thread of its own."""
        thread = "autograd" if self.phase == "backward" else "main"
        if thread not in self._prepared:
            self._prepared.add(thread)
            self.allocate(CUBLAS, "workspaces")


def highest(events: Iterable[Event], keep: Callable[[int], bool] = lambda number: True) -> int:
    """Most bytes allocated at once, as tensors ask for them, of the pieces that are kept."""
    sizes: dict[int, int] = {}
    level = peak = 0
    for event in events:
        if event.size and keep(event.number):
            sizes[event.number] = event.size
            level += event.size
            peak = max(peak, level)
        elif not event.size:
            level -= sizes.pop(event.number, 0)
    return peak
