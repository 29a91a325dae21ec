"""What does not go with the chosen optimizer, schedule and rates."""

from __future__ import annotations

from collections.abc import Iterator

from core.choices import PROJECTED, Training
from core.draft import Draft, Facts
from core.errors import Edit, Problem
from core.misfits.base import blocker, warning
from core.recipe import Recipe
from core.settle import device_of, has_bitsandbytes
from core.speeding import no_liger

ROUNDED = ("adamw_8bit", "paged_adamw_8bit", "paged_adamw", "lion", "lion_8bit")
"""Optimizers of bitsandbytes."""
ENDS_LOW = ("cosine", "wsd")
"""Schedules that know a lowest rate."""


def of_training(recipe: Recipe, facts: Facts, _plan: Draft) -> Iterator[Problem]:
    """What cannot work, then what has no effect."""
    yield from _optimizer(recipe, facts)
    yield from _kernels(recipe, facts)
    yield from _projection(recipe, facts)
    yield from _parts(recipe)
    yield from _schedule(recipe.training)
    yield from _betas(recipe.training)


def _optimizer(recipe: Recipe, facts: Facts) -> Iterator[Problem]:
    chosen, where = recipe.training.optimizer, "training.optimizer"
    automatic = Edit(path=where, value="auto", label="Choose automatically")
    if chosen in ROUNDED and not has_bitsandbytes():
        yield blocker(
            where,
            f"The optimizer {chosen} needs the package bitsandbytes, which is not installed.",
            automatic,
        )
    elif chosen.startswith("paged") and (recipe.training.device == "cpu" or not facts.machine.gpus):
        plain = chosen.removeprefix("paged_")
        yield blocker(
            where,
            "Paged optimizers move their memory out of a GPU, and there is none here.",
            Edit(path=where, value=plain, label=f"Use {plain}"),
        )
    if chosen == "muon" and not recipe.adaptation.trains_base:
        yield blocker(
            where,
            "Muon is made for whole weight matrices; the matrices of "
            f"{recipe.adaptation.title} are parts of one.",
            automatic,
        )


def _kernels(recipe: Recipe, facts: Facts) -> Iterator[Problem]:
    if recipe.training.kernels != "liger" or facts.model is None:
        return
    if obstacle := no_liger(recipe, facts, device_of(recipe, facts.machine)):
        yield blocker(
            "training.kernels",
            f"Liger's kernels cannot be used: {obstacle}.",
            Edit(path="training.kernels", value="auto", label="Choose automatically"),
        )


def _projection(recipe: Recipe, facts: Facts) -> Iterator[Problem]:
    """States in few directions: of whole matrices, and of fewer directions than there are."""
    training, chosen = recipe.training, recipe.training.optimizer
    if chosen not in PROJECTED:
        for name in ("projection_rank", "projection_gap", "projection_scale"):
            yield from _unread(training, name, f"the optimizer {chosen}")
        return
    if not recipe.adaptation.trains_base or recipe.adaptation.partly:
        yield blocker(
            "training.optimizer",
            f"{chosen} keeps its states in few directions of whole weight matrices, all of which "
            f"full fine-tuning trains and {recipe.adaptation.title} does not.",
            Edit(path="training.optimizer", value="auto", label="Choose automatically"),
        )
    if chosen == "apollo_mini":
        yield from _unread(training, "projection_rank", "the optimizer apollo_mini")
    elif facts.model is not None and 0 < facts.model.hidden <= training.projection_rank:
        fewer = max(1, facts.model.hidden // 4)
        yield warning(
            "training.projection_rank",
            f"{training.projection_rank:,} directions are all that matrices of a model "
            f"{facts.model.hidden:,} wide have: nothing is saved.",
            Edit(path="training.projection_rank", value=fewer, label=f"Use {fewer:,}"),
        )


def _unread(training: Training, name: str, owner: str) -> Iterator[Problem]:
    """A choice other than the default that nobody reads."""
    default = Training.model_fields[name].default
    if getattr(training, name) != default:
        yield _idle(name, default, owner)


def _parts(recipe: Recipe) -> Iterator[Problem]:
    """Settings for weights that are not there, or for another objective."""
    training, title = recipe.training, recipe.adaptation.title
    if training.lora_plus is not None and not recipe.adaptation.low_rank:
        yield blocker(
            "training.lora_plus",
            f"LoRA+ is for the two matrices of LoRA, which {title} does not have.",
            Edit(path="training.lora_plus", value=None, label="Turn LoRA+ off"),
        )
    tables = bool(getattr(recipe.adaptation, "train_whole", ()))
    reached = tables or recipe.adaptation.trains_base
    if training.embedding_rate is not None and not reached:
        yield blocker(
            "training.embedding_rate",
            f"{title} trains neither embeddings nor the output head.",
            Edit(path="training.embedding_rate", value=None, label="Leave it empty"),
        )
    if training.neftune is not None and recipe.objective.kind != "sft":
        yield blocker(
            "training.neftune",
            "Noise on the embeddings (NEFTune) is made for imitation (SFT); elsewhere it would "
            "also blur what the objective compares.",
            Edit(path="training.neftune", value=None, label="Turn the noise off"),
        )
    if training.label_smoothing and not recipe.objective.aims_at_words:
        yield blocker(
            "training.label_smoothing",
            "Label smoothing is for goals that aim at one right word for every token: imitation "
            f"(SFT) and continued pretraining. {recipe.objective.title} is none of them.",
            Edit(path="training.label_smoothing", value=0.0, label="Turn it off"),
        )


def _schedule(training: Training) -> Iterator[Problem]:
    name, default = training.schedule, Training.model_fields["decay"].default
    if training.final_rate and name not in ENDS_LOW:
        yield _idle("final_rate", 0.0, f"the schedule {name}")
    if training.decay != default and name != "wsd":
        yield _idle("decay", default, f"the schedule {name}")
    if name == "inverse_sqrt" and not training.warmup:
        yield warning(
            "training.warmup",
            "Without a warm-up the schedule inverse_sqrt hardly falls: it falls in proportion to "
            "the length of it.",
            Edit(path="training.warmup", value=0.05, label="Warm up for 5 %"),
        )
    if name == "wsd" and training.warmup + training.decay > 1:
        rest = 1 - training.warmup
        yield blocker(
            "training.decay",
            "Warm-up and decay together are longer than the run.",
            Edit(path="training.decay", value=rest, label=f"Use {rest:g}"),
        )


def _betas(training: Training) -> Iterator[Problem]:
    """Adafactor has none of them, Lion no epsilon."""
    kind = training.optimizer
    names = {"adafactor": ("beta1", "beta2", "epsilon"), "lion": ("epsilon",)}
    for name in names.get(kind.removesuffix("_8bit"), ()):
        yield from _unread(training, name, f"the optimizer {kind}")


def _idle(name: str, default: object, owner: str) -> Problem:
    title = Training.model_fields[name].title
    fix = Edit(path=f"training.{name}", value=default, label="Back to the default")
    return warning(f"training.{name}", f"{title} has no effect with {owner}.", fix)
