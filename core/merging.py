"""The result of a run as a whole model: what is asked of the engine, and what it answers."""

from __future__ import annotations

from pathlib import Path

from core.errors import RunError
from core.rundir import RunDir
from core.value import Value

CLOSE = 0.95
"""Below this share of like next words a merged model is said to answer otherwise."""


class Merge(Value):
    """Which run becomes a model, and where that is written."""

    run: Path
    out: Path


class Proof(Value):
    """The written model, read again and compared with the model that was trained."""

    tokens: int
    """Places of the run's own rows at which both were asked for the next word."""
    same: float
    """Share of the places at which both find the same word likeliest."""
    difference: float
    """Largest difference between their log-likelihoods of the words that stand there, in nats."""

    @property
    def close(self) -> bool:
        """Whether both answer alike, as far as was looked."""
        return self.same >= CLOSE

    def __str__(self) -> str:
        return (
            f"Read again and compared at {self.tokens:,} places: the same next word at "
            f"{self.same:.1%}, log-likelihoods at most {self.difference:.2g} apart."
        )


class Merged(Value):
    """A model folder that needs no adapter."""

    folder: Path
    files: tuple[str, ...]
    bytes: int
    proof: Proof


def whole_model(run: RunDir) -> Path | None:
    """The folder that holds a run's result as a whole model, if there is one."""
    return next((folder for folder in (run.model, run.merged) if folder.is_dir()), None)


def mergeable(run: RunDir) -> Merge:
    """What to ask for, at the usual place. Raises RunError when it cannot work."""
    if not run.adapter.is_dir():
        raise RunError(
            f"{run.root.name} has no adapter to merge.",
            hint="Choose a finished run that trained an adapter; a full fine-tune is whole.",
        )
    recipe = run.load_recipe()
    if not recipe.adaptation.merges:
        raise RunError(
            f"What {recipe.adaptation.title} has learned cannot become part of the weights.",
            hint="Use the adapter together with its model, or train with LoRA.",
        )
    if not recipe.objective.speaks:
        raise RunError(
            f"{run.root.name} is a reward model: it judges answers and writes none.",
            hint="Use it as a reward, in PPO or GRPO.",
        )
    return Merge(run=run.root, out=run.merged)
