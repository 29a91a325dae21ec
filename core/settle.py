"""Automatic values made concrete, and the numbers of a run: memory, steps, time."""

from __future__ import annotations

import importlib.util

from core.draft import Decision, Draft, Facts, Settings
from core.joining import settle_joining
from core.machine import Machine
from core.memory import Bill, Setup, estimate
from core.memory.choice import Fits, verdict
from core.memory.correction import corrected
from core.memory.disk import disk_need
from core.memory.goals import headless
from core.memory.setup import Optimizer
from core.models import ModelFacts
from core.objectives import Distill
from core.pace import context_of, correction_of, run_seconds, tokens_read
from core.portions import (
    count_steps,
    settle_batch,
    settle_portions,
    sources,
    split_sizes,
    tokens,
    told_steps,
    with_steps,
)  # fmt: skip
from core.rates import automatic_rate
from core.recipe import Recipe
from core.speeding import settle_kernels
from core.teachers import numbers_of


def make_draft(recipe: Recipe, facts: Facts) -> Draft:
    """The numbers of a recipe: without data the memory of full rows, without a model nothing."""
    bare = Draft(limit=_limit(recipe, facts.machine), device=_device_name(recipe, facts.machine))
    if facts.model is None:
        return bare
    settings, decisions = settle(recipe, facts)
    draft = bare.model_copy(
        update={
            "bill": _bill(recipe, facts, make_setup(recipe, facts, settings)),
            "parameters": facts.model.parameters,
            "trainable": trainable(recipe, facts.model),
            "decisions": tuple(decisions),
        }
    )
    return draft if facts.data is None else _with_rows(draft, recipe, facts, settings)


def trainable(recipe: Recipe, model: ModelFacts) -> int:
    """How many numbers a run trains: a reward model has a score where words were, and trains it."""
    chosen = recipe.adaptation
    if recipe.objective.speaks:
        return chosen.trainable(model)
    whole = chosen.trains_base and not chosen.partly
    return chosen.trainable(headless(model)) if whole else chosen.trainable(model) + model.hidden


def _with_rows(draft: Draft, recipe: Recipe, facts: Facts, settings: Settings) -> Draft:
    """What follows from the data: rows, steps, time."""
    assert facts.model is not None
    rows, heldout = split_sizes(recipe, facts)
    read = tokens_read(recipe, facts, settings)
    return draft.model_copy(
        update={
            "rows": rows,
            "heldout": heldout,
            "settings": settings,
            "disk": disk_need(
                facts.model,
                recipe.adaptation,
                draft.trainable,
                settings.optimizer,
                recipe.checks.keep,
                recipe.training.directions,
            ),
            "sources": sources(recipe, facts),
            "tokens": read,
            "seconds": run_seconds(recipe, facts, settings, read),
            "measure": settings.device == "cuda",
        }
    )


def _bill(recipe: Recipe, facts: Facts, setup: Setup) -> Bill:
    """Of the traced step where this very one was traced, else a formula's, corrected by what was
    measured here before."""
    assert facts.model is not None
    quick = estimate(facts.model, recipe.adaptation, setup, context_of(facts.machine))
    exact = facts.exact
    if exact is not None and exact.holds(facts.model.path, recipe.adaptation, setup):
        return exact.found.bill(quick, setup)
    return corrected(quick, correction_of(recipe, facts, cuda=setup.cuda))


def settle(recipe: Recipe, facts: Facts) -> tuple[Settings, list[Decision]]:
    """Give every automatic value a number and a reason; steps need data."""
    assert facts.model is not None
    device, bf16, decisions = _settle_device(recipe, facts.machine)
    portions, reasons = settle_portions(recipe, facts)
    decisions += reasons
    rate = recipe.training.learning_rate
    if rate is None:
        rate, because = automatic_rate(recipe, facts.model)
        decisions.append(Decision(name="Learning rate", value=f"{rate:g}", because=because))
    fixed = Settings(
        device=device, bf16=bf16, learning_rate=rate, checkpointing=False, **portions
    )  # fmt: skip
    fixed, joining = settle_joining(recipe, facts, fixed)
    fixed, batch = settle_batch(recipe, facts, fixed)
    decisions += [*batch, *joining]
    if recipe.training.optimizer == "auto":
        optimizer, why = _automatic_optimizer(recipe, facts, fixed)
        decisions.append(Decision(name="Optimizer", value=optimizer, because=why))
    else:
        optimizer = recipe.training.optimizer
    fixed = fixed.model_copy(update={"optimizer": optimizer})
    checkpointing, why = _settle_checkpointing(recipe, facts, fixed)
    decisions.append(
        Decision(name="Checkpointing", value="on" if checkpointing else "off", because=why)
    )
    kernels, told = settle_kernels(recipe, facts, fixed)
    decisions.append(told)
    settings = fixed.model_copy(update={"checkpointing": checkpointing, "kernels": kernels})
    decisions.append(_on_out_of_memory(recipe))
    if facts.data is not None:
        settings = with_steps(recipe, settings, count_steps(recipe, facts, settings))
        decisions += told_steps(recipe, facts, settings)
    return settings, decisions


def recovers(recipe: Recipe) -> bool:
    """Whether a step that ran out of memory is taken again with fewer rows at once."""
    return recipe.training.on_out_of_memory == "recover" and recipe.objective.divisible


def _on_out_of_memory(recipe: Recipe) -> Decision:
    if recovers(recipe):
        because = "half as many rows at once give the same result up to rounding"
        return Decision(name="When memory runs out", value="recover", because=because)
    because = "the recipe says so"
    if recipe.training.on_out_of_memory != "stop":
        because = "smaller batches would change the result, since rows of a batch belong together"
    return Decision(name="When memory runs out", value="stop", because=because)


def device_of(recipe: Recipe, machine: Machine) -> str:
    """Where a run trains."""
    wanted = recipe.training.device
    return wanted if wanted != "auto" else "cuda" if machine.gpus else "cpu"


def _settle_device(recipe: Recipe, machine: Machine) -> tuple[str, bool, list[Decision]]:
    wanted, device = recipe.training.device, device_of(recipe, machine)
    bf16 = device == "cuda" and machine.bf16
    found = machine.gpus[0].name if machine.gpus else "no NVIDIA GPU was found"
    because = f"{found}" if wanted == "auto" else "the recipe says so"
    precision = "the GPU is Ampere or newer" if bf16 else "exact, and no slower here"
    return (
        device,
        bf16,
        [
            Decision(name="Device", value=device, because=because),
            Decision(name="Precision", value="bf16" if bf16 else "fp32", because=precision),
        ],
    )


SMALL_CARD = 26_000_000_000
"""Bytes: cards that are sold as 24 GB say up to 25.8e9. On larger ones nobody is surprised by
rounded states; the ways to need less name them."""


def _automatic_optimizer(recipe: Recipe, facts: Facts, settings: Settings) -> tuple[Optimizer, str]:
    """AdamW, unless only its paged 8-bit form fits a small card with all that saves memory."""
    usual = "exact, and torch's own"
    if not recipe.adaptation.trains_base:
        return "adamw", f"{usual}; so few weights are trained that others would save little"
    limit = _limit(recipe, facts.machine)
    if settings.device != "cuda" or limit > SMALL_CARD or not has_bitsandbytes():
        return "adamw", usual
    again = recipe.training.checkpointing != "off" and recipe.adaptation.recomputes
    least = settings.model_copy(update={"checkpointing": again})
    if _judge(recipe, facts, least) != "no":
        return "adamw", usual
    paged = least.model_copy(update={"optimizer": "paged_adamw_8bit"})
    if _judge(recipe, facts, paged) == "no":
        return "adamw", f"{usual}; in 8 bits and paged it would not fit either"
    return "paged_adamw_8bit", "only with states in 8 bits, paged when room is short, does it fit"


def has_bitsandbytes() -> bool:
    """Whether the package of 4-bit weights and 8-bit optimizers is there."""
    return importlib.util.find_spec("bitsandbytes") is not None


def _judge(recipe: Recipe, facts: Facts, settings: Settings) -> Fits:
    """Whether the device has room for the longest step with these settings."""
    bill = _bill(recipe, facts, make_setup(recipe, facts, settings))
    return verdict(bill.total, _limit(recipe, facts.machine), bill.band)


def _settle_checkpointing(recipe: Recipe, facts: Facts, settings: Settings) -> tuple[bool, str]:
    chosen = recipe.training.checkpointing
    if chosen != "auto":
        return chosen == "on", "the recipe says so"
    if not recipe.adaptation.recomputes:
        return False, f"{recipe.adaptation.title} does not work with it"
    if _judge(recipe, facts, settings) == "fits":
        return False, "the memory is enough without it, and it costs about 25 % time"
    return True, "without it the memory would not be enough"


def setup_of(recipe: Recipe, facts: Facts) -> Setup:
    """The step that a run takes on its longest rows, with automatic values made concrete."""
    settings, _ = settle(recipe, facts)
    return make_setup(recipe, facts, settings)


def make_setup(recipe: Recipe, facts: Facts, settings: Settings) -> Setup:
    """The step that a run with these settings takes on its longest rows."""
    full = Setup(
        cuda=settings.device == "cuda",
        dtype="bf16" if settings.bf16 else "fp32",
        rows=settings.micro_batch,
        length=settings.max_length,
        accumulation=settings.accumulation,
        checkpointing=settings.checkpointing,
        objective=recipe.objective.counted_as or recipe.objective.kind,
        optimizer=settings.optimizer,
        directions=recipe.training.directions,
        loss="logits" if keeps_logits(recipe) else "fused",
        teacher=_teacher(recipe),
    )
    return full.model_copy(update=_rows(recipe, facts, settings))


def keeps_logits(recipe: Recipe) -> bool:
    """Whether a step holds the logits of a whole batch instead of computing them in parts."""
    return recipe.objective.keeps_logits or recipe.training.label_smoothing > 0


def _teacher(recipe: Recipe) -> int:
    """Parameters of a second model, which the first one learns from."""
    goal = recipe.objective
    return numbers_of(goal.teacher) if isinstance(goal, Distill) else 0


def _rows(recipe: Recipe, facts: Facts, settings: Settings) -> dict[str, object]:
    """The longest batch: rows that differ in length need a mask, unless attention keeps the rows
    of a joined batch apart by itself.

    TRL joins a batch of packed rows to one row, as it does without padding.
    """
    assert facts.model is not None
    batch, length = settings.micro_batch, settings.max_length
    if settings.packing:
        return {"rows": 1, "length": batch * length, "padded": not facts.model.attends}
    goal = recipe.objective
    ragged = batch > 1 or goal.paired
    if facts.data is not None:
        length = min(length, max(1, tokens(recipe, facts, length).longest) + goal.room)
    if settings.padding_free:
        return {"rows": 1, "length": batch * length, "padded": False}
    return {"length": length + goal.writes, "padded": ragged}


def _limit(recipe: Recipe, machine: Machine) -> int:
    if recipe.training.device != "cpu" and machine.gpus:
        return machine.gpus[0].total
    return machine.memory


def _device_name(recipe: Recipe, machine: Machine) -> str:
    if recipe.training.device != "cpu" and machine.gpus:
        return machine.gpus[0].name
    return "this computer's memory"
