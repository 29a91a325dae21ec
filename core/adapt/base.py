"""An adaptation says which numbers of a model are trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from core.adapt.storage import Stored
from core.models import ModelFacts
from core.value import Value

if TYPE_CHECKING:
    from peft import PeftConfig
    from transformers import BitsAndBytesConfig


class Adaptation(Value):
    """A frozen choice that knows its size and how the engine applies it."""

    kind: Any = ""
    title: ClassVar[str]
    summary: ClassVar[str]
    family: ClassVar[str] = ""
    """Under which heading it is offered; empty: among the usual ones, always in sight."""
    learning_rate: ClassVar[tuple[float, str]]
    """Usual learning rate for models of a billion parameters and more, and its source."""
    trains_base: ClassVar[bool] = False
    """Whether weights of the model itself are trained: the result is a model, not an adapter."""
    readme: ClassVar[str] = ""
    """What is written beside an adapter that PEFT alone cannot load: how to load it."""
    partly: ClassVar[bool] = False
    """Whether only some weights of the model itself are trained; the others stay as they are."""
    packs: ClassVar[bool] = True
    """Whether joined rows stay apart; methods that put tokens of their own before a row mix them
    up without a word."""
    recomputes: ClassVar[bool] = True
    """Whether gradient checkpointing works."""
    low_rank: ClassVar[bool] = False
    """Whether it has the two matrices of LoRA, which LoRA+ gives two learning rates."""
    merges: ClassVar[bool] = True
    """Whether the result can become part of the model's own weights."""
    reparametrised: ClassVar[bool] = False
    """Whether an artefact holds less than what is trained, so that checkpoints must hold more."""

    @property
    def stored(self) -> Stored:
        """How the frozen base is stored."""
        return getattr(self, "base", "own")

    @property
    def quantised(self) -> bool:
        """Whether the frozen base is stored in fewer than 16 bits."""
        return self.stored != "own"

    @property
    def keeps_base(self) -> bool:
        """Whether the model with its adapter switched off is the model as it was."""
        return True

    @property
    def mixes(self) -> bool:
        """Whether 32-bit numbers are trained inside of layers that may be kept in 16 bits, which
        only mixed arithmetic multiplies."""
        return False

    @property
    def traced(self) -> bool:
        """Whether the memory of a step was compared with traced steps."""
        return False

    @property
    def widest(self) -> int:
        """Largest rank of its low-rank matrices; 0 without any."""
        return 0

    @property
    def virtual_tokens(self) -> int:
        """Trained places before every row."""
        return 0

    def adapted(self, model: ModelFacts) -> dict[str, tuple[int, int]]:
        """Linear layers of one layer that get an adapter: name -> rows, columns as stored."""
        return {}

    def trainable(self, model: ModelFacts) -> int:
        """How many numbers will be trained."""
        raise NotImplementedError

    def kept(self, model: ModelFacts, tokens: int) -> int:
        """Numbers one layer keeps for backward beside those of LoRA, roughly; see `traced`."""
        return 0

    def frozen(self, model: ModelFacts) -> int:
        """Numbers the adapter adds that are never trained."""
        return 0

    def reaches(self, model: ModelFacts) -> int:
        """Layers that backward passes through, which therefore keep their activations."""
        return model.layers

    def renews(self, model: ModelFacts) -> int:
        """Layers, counted from the output, whose own matrices are trained."""
        return model.layers if self.trains_base else 0

    def trains_head(self, model: ModelFacts) -> bool:
        """Whether the output layer gets gradients."""
        return self.trains_base

    def trains_embeddings(self, model: ModelFacts) -> bool:
        """Whether all numbers of the table of embeddings are trained, as weights of the base."""
        return self.trains_base

    def adapts_experts(self, model: ModelFacts) -> bool:
        """Whether the experts of a mixture get adapters, which makes each as large as itself."""
        return False

    def quantisation(self) -> BitsAndBytesConfig | None:
        """How the frozen base is stored; None keeps its own precision. Called by the engine."""
        from core.adapt.storage import quantisation

        return quantisation(self.stored)

    def peft_config(self) -> PeftConfig | None:
        """The adapter to add, None when the base itself is trained. Called by the engine."""
        return None

    def prepare(self, model: Any) -> None:
        """Choose which weights of a loaded base are trained; all of them unless an adapter is
        added. Called by the engine before the trainer is made."""

    def penalty(self, model: Any) -> Any:
        """What is added to the loss of a batch, None for nothing. Called by the engine."""

    def after_step(self, model: Any, optimizer: Any, step: int, steps: int) -> None:
        """What must happen when the optimizer has taken step `step` of `steps` and gradients are
        still there. Called by the engine."""
