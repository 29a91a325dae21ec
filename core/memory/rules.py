"""Rules of thumb for memory, and why a computed figure differs from them."""

from __future__ import annotations

from core.memory.cost import Method
from core.numbers import show_bytes
from core.value import Value

NEAR = 0.2
"""A rule speaks of models within 20 % of its size."""


class Rule(Value):
    """What is usually said of one size of model, in GB (1e9 bytes)."""

    billions: int
    full: int
    lora: int
    qlora: int

    def bytes(self, method: Method) -> int:
        """The rule's figure for a method."""
        return {"full": self.full, "lora": self.lora, "qlora": self.qlora}[method] * 10**9


RULES = (
    Rule(billions=7, full=112, lora=16, qlora=6),
    Rule(billions=13, full=208, lora=28, qlora=10),
    Rule(billions=70, full=1120, lora=160, qlora=48),
)
COUNTED: dict[Method, str] = {
    "full": "16 bytes per parameter (weights, gradients and two 32-bit Adam states, with 32-bit "
    "master weights) and no activations",
    "lora": "2 bytes per weight and a flat allowance for adapters, whatever the length and batch",
    "qlora": "half a byte per weight and a flat allowance, though embeddings and norms stay at 2 "
    "or 4 bytes",
}
"""What the rules count."""


def rule_for(parameters: int) -> Rule | None:
    """The rule for the nearest size, None where no size is near."""
    nearest = min(RULES, key=lambda rule: abs(parameters / (rule.billions * 1e9) - 1))
    near = abs(parameters / (nearest.billions * 1e9) - 1) <= NEAR
    return nearest if near else None


def compared(method: Method, parameters: int, computed_bytes: int) -> str:
    """One sentence that sets a computed figure beside the rule; empty where there is no rule."""
    rule = rule_for(parameters)
    if rule is None:
        return ""
    said = rule.bytes(method)
    return (
        f"The rule of thumb for {rule.billions}B says {show_bytes(said)}, computed are "
        f"{show_bytes(computed_bytes)} ({computed_bytes / said - 1:+.0%}): the rule counts "
        f"{COUNTED[method]}."
    )
