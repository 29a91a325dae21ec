"""What computes the same in less time: kernels of other packages."""

from __future__ import annotations

import importlib.util

from core.draft import Decision, Facts, Kernels, Settings
from core.recipe import Recipe

LIGER = {
    f"{family}ForCausalLM"
    for family in (
        "Gemma", "Gemma2", "Gemma3", "Glm4", "Granite", "Llama", "Mistral", "Olmo2", "Olmo3",
        "Phi3", "Qwen2", "Qwen3", "SmolLM3",
    )
}  # fmt: skip
"""Dense text models whose layers liger-kernel 0.8 knows (monkey_patch.py there)."""
BESIDE = ("full", "lora", "qlora")
"""Adaptations that leave the parts of a layer as they are, or only add to linear ones."""
INSTALL = "pip install liger-kernel"


def settle_kernels(recipe: Recipe, facts: Facts, settings: Settings) -> tuple[Kernels, Decision]:
    """Whether norms, rotations and gates are computed by Liger's kernels, and why."""
    wish = recipe.training.kernels
    if wish != "auto":
        return wish, Decision(name="Kernels", value=wish, because="the recipe says so")
    if obstacle := no_liger(recipe, facts, settings.device):
        return "none", Decision(name="Kernels", value="none", because=obstacle)
    because = "they pass over memory less often: same result up to rounding, less time"
    return "liger", Decision(name="Kernels", value="liger", because=because)


def no_liger(recipe: Recipe, facts: Facts, device: str) -> str:
    """Why Liger's kernels cannot be had, as half a sentence; empty when they can."""
    assert facts.model is not None
    family, chosen = facts.model.architecture, recipe.adaptation
    if device != "cuda":
        return "Liger's are made for NVIDIA GPUs"
    if family not in LIGER:
        return f"Liger has none that are known to fit {family}"
    if chosen.kind not in BESIDE:
        return f"Liger's were not made with {chosen.title} in mind"
    if chosen.stored == "int8":
        return "Liger's were not made with layers of 8 bits in mind"
    if not has_liger():
        return f"the package liger-kernel is not installed ({INSTALL})"
    return ""


def has_liger() -> bool:
    """Whether the package of faster layers is there."""
    return importlib.util.find_spec("liger_kernel") is not None
