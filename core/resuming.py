"""Whether a run that is resumed ends with the same bits as one that was never interrupted."""

from __future__ import annotations

from core.draft import Settings
from core.recipe import Recipe


def doubt(recipe: Recipe, settings: Settings) -> str:
    """Why not, as half a sentence; empty where tests prove that it does."""
    if settings.device == "cuda":
        return "a GPU does not always add up in the same order"
    kinds = {reward.kind for reward in getattr(recipe.objective, "rewards", ())}
    if "python" in kinds:
        return "a reward function of your own may not answer the same twice"
    return ""
