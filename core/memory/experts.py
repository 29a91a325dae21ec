"""Memory of the experts of a layer: feed-forward parts of which every token sees a few.

Counted in traces of Mixtral and Qwen3-MoE: transformers (integrations/moe.py) stacks all experts in
two parameters of three dimensions and multiplies tokens, sorted by expert, in one grouped product.
So memory does not depend on which expert a token is sent to; and what is no linear layer is never
stored in 4 bits. PEFT adapts such a stack as the sum of weight and product (ParamWrapper), which
is as large as the stack. A pair is a token and one expert that sees it.
"""

from __future__ import annotations

from dataclasses import dataclass

from core.adapt import Adaptation
from core.memory.setup import Setup
from core.memory.widths import Widths
from core.models import ModelFacts

WIDE_SCORES = ("Mixtral",)
"""Families whose router gives shares of 32 bits, to which all results are raised."""
_PLACES = 24
"""Per pair: where it comes from, where it goes, and its share."""


@dataclass(frozen=True, slots=True)
class Experts:
    """The experts of one layer and one micro-batch; all results are whole bytes."""

    model: ModelFacts
    tokens: int
    """None when the model is no mixture."""
    number: int
    """Bytes of a number in their weights and results."""
    share: int
    """Bytes of a number in results times the router's shares."""
    sum: int
    """Bytes of a number when the shares are summed."""
    trained: bool
    """Whether they have gradients, of their own or of adapters."""
    adapted: bool
    recomputed: bool

    @property
    def pairs(self) -> int:
        """Tokens times the experts that each sees."""
        return self.tokens * self.model.experts_used

    @property
    def matrix(self) -> int:
        """One of the three matrices, of all experts."""
        return self.number * self.model.experts * self.model.expert_width * self.model.hidden

    def saved(self) -> int:
        """Gate, up, the gate's function, the result; with gradients also what is multiplied."""
        hidden, wide = self.model.hidden, self.model.expert_width
        pair = self.number * (3 * wide + hidden) + _PLACES
        router = 4 * self.model.experts
        if self.trained:
            pair += self.number * (hidden + wide)
            router += 2 * hidden
        return self.pairs * pair + self.tokens * router + 3 * self.matrix * self.adapted

    def added(self) -> int:
        """Most that summing or backward adds to what is saved."""
        hidden, wide = self.model.hidden, self.model.expert_width
        ordering = 3 * self.share * hidden
        summing = (self.share + self.sum) * hidden + self.number * hidden * (not self.trained)
        turning = self.number * (wide if self.trained else 3 * wide - hidden)
        own = self.trained and not self.adapted
        return max(
            self.pairs * ordering,
            0 if self.recomputed else self.pairs * summing,
            self.pairs * turning + self.matrix * self.trained,
            own * (3 * self.matrix - self.pairs * 2 * self.number * wide),
        )


def count_experts(
    model: ModelFacts, adaptation: Adaptation, setup: Setup, width: Widths
) -> Experts:
    """The experts of one layer as the step computes them."""
    wide = model.architecture.startswith(WIDE_SCORES)
    share = 4 if wide else max(width.whole, width.math)
    adapted = adaptation.adapts_experts(model)
    return Experts(
        model=model,
        tokens=setup.rows * setup.length if model.experts else 0,
        number=width.whole,
        share=share,
        sum=4 if setup.engine == "trl" and width.math == 2 and share != 4 else 0,
        trained=adapted or adaptation.trains_base,
        adapted=adapted,
        recomputed=setup.checkpointing,
    )
