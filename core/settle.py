"""Automatic values made concrete, and the numbers of a run: rows, steps, memory, time."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from core import mixing
from core.machine import Machine
from core.memory import Bill, Item, Setup, estimate
from core.mixing import Drawn, Looked
from core.models import ModelFacts
from core.recipe import Recipe
from core.sizing import batch_for, epochs_for, heldout_for, rounded_length
from core.tokens import TokenFacts, guess, token_guess
from core.value import Value


class Decision(Value):
    """A value chosen automatically, and the reason."""

    name: str
    value: str
    because: str


class Settings(Value):
    """The concrete numbers an engine runs with; no `None` and no "auto" is left."""

    device: str
    bf16: bool
    learning_rate: float
    max_length: int
    micro_batch: int
    accumulation: int
    checkpointing: bool
    epochs: float = 3.0
    steps: int = 1
    warmup_steps: int = 0
    every: int = 1
    save_every: int = 1


class Draft(Value):
    """What a recipe comes to on a machine, before anybody judged it."""

    bill: Bill | None = None
    limit: int = 0
    """Memory of the device the run will use, in bytes."""
    device: str = ""
    parameters: int = 0
    trainable: int = 0
    rows: int = 0
    heldout: int = 0
    seconds: float | None = None
    settings: Settings | None = None
    decisions: tuple[Decision, ...] = ()
    sources: tuple[Drawn, ...] = ()
    """Every dataset with its hash and the number of rows drawn."""

    @property
    def items(self) -> tuple[Item, ...]:
        """The parts of the memory bill."""
        return self.bill.items if self.bill else ()

    @property
    def needed(self) -> int:
        """The whole memory bill in bytes."""
        return self.bill.total if self.bill else 0


class Facts(Looked):
    """What is known of the outside world; None means not looked at yet."""

    machine: Machine
    model: ModelFacts | None = None
    tokens: TokenFacts | None = None


def make_draft(recipe: Recipe, facts: Facts) -> Draft:
    """The numbers of a recipe; without a model or data only the device is known."""
    bare = Draft(limit=_limit(recipe, facts.machine), device=_device_name(recipe, facts.machine))
    if facts.model is None or facts.data is None:
        return bare
    settings, decisions = settle(recipe, facts)
    rows, heldout = split_sizes(recipe, facts)
    return Draft(
        bill=estimate(facts.model, recipe.adaptation, make_setup(recipe, facts, settings)),
        limit=bare.limit,
        device=bare.device,
        parameters=facts.model.parameters,
        trainable=recipe.adaptation.trainable(facts.model),
        rows=rows,
        heldout=heldout,
        settings=settings,
        decisions=tuple(decisions),
        sources=_sources(recipe, facts),
        seconds=_seconds(recipe, facts, settings),
    )


def _sources(recipe: Recipe, facts: Facts) -> tuple[Drawn, ...]:
    """Every dataset; rows with one question stay together, so the first is known once counted."""
    first, *rest = mixing.table(recipe.data, facts)
    if facts.tokens is not None:
        others = sum(source.drawn for source in rest if source.where != "heldout")
        first = first.model_copy(update={"drawn": facts.tokens.rows - others})
    return (first, *rest)


def tokens(recipe: Recipe, facts: Facts, length: int) -> TokenFacts:
    """The engine's count when there is one, else a guess from characters."""
    if facts.tokens is not None:
        return facts.tokens
    assert facts.data is not None
    looked = (facts.data, *facts.further)
    rows, _ = split_sizes(recipe, facts)
    counts = mixing.draws(recipe.data, facts).values()
    parts = (rows - sum(counts), *counts)
    chars = sum(n * each.mean_chars for n, each in zip(parts, looked, strict=False)) / max(1, rows)
    longest = max(each.max_chars for each in looked)
    return guess(rows, chars, longest, length)


def split_sizes(recipe: Recipe, facts: Facts) -> tuple[int, int]:
    """Rows to train on and rows held out, as counted, or else by their shares."""
    if facts.tokens is not None:
        return facts.tokens.rows, facts.tokens.heldout
    assert facts.data is not None
    mixed = sum(mixing.draws(recipe.data, facts).values())
    kept = mixing.heldout_rows(recipe.data, facts.data.rows)
    apart = facts.heldout.rows if facts.heldout else 0
    return facts.data.rows - kept + mixed, kept + apart


def settle(recipe: Recipe, facts: Facts) -> tuple[Settings, list[Decision]]:
    """Give every automatic value a number and a reason."""
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
    checkpointing, why = _settle_checkpointing(recipe, facts, fixed)
    decisions.append(
        Decision(name="Checkpointing", value="on" if checkpointing else "off", because=why)
    )
    fixed = fixed.model_copy(update={"checkpointing": checkpointing})
    settings = with_steps(recipe, fixed, count_steps(recipe, facts, fixed))
    decisions += _told_steps(recipe, facts, settings)
    return settings, decisions


def settle_portions(recipe: Recipe, facts: Facts) -> tuple[dict[str, Any], list[Decision]]:
    """Length, epochs and batch, by what the rows are like."""
    training = recipe.training
    rows, _ = split_sizes(recipe, facts)
    told: list[Decision] = list(_told_heldout(recipe, facts))
    length, epochs, accumulation = training.max_length, training.epochs, training.accumulation
    if length is None:
        length, because = automatic_length(facts)
        told.append(Decision(name="Maximum length", value=f"{length:,} tokens", because=because))
    if epochs is None:
        epochs, because = epochs_for(rows)
        told.append(Decision(name="Epochs", value=f"{epochs:g}", because=because))
    if accumulation is None:
        size, because = batch_for(rows)
        accumulation = max(1, round(size / training.micro_batch))
        whole = training.micro_batch * accumulation
        text = f"{whole:,} rows ({training.micro_batch:,} x {accumulation:,})"
        told.append(Decision(name="Effective batch", value=text, because=because))
    return {
        "max_length": length,
        "epochs": epochs,
        "micro_batch": training.micro_batch,
        "accumulation": accumulation,
    }, told


def _told_heldout(recipe: Recipe, facts: Facts) -> Iterator[Decision]:
    data = recipe.data
    assert facts.data is not None
    if data.heldout_share is None and not data.heldout:
        kept, because = heldout_for(facts.data.rows)
        yield Decision(name="Held-out rows", value=f"{kept:,}", because=because)


def automatic_length(facts: Facts) -> tuple[int, str]:
    """The shortest length that leaves nearly all rows whole; guessed until they are counted."""
    assert facts.model is not None
    assert facts.data is not None
    counted = facts.tokens
    if counted is None or not counted.rows:
        chars = max(each.long_chars or each.max_chars for each in (facts.data, *facts.further))
        length = rounded_length(token_guess(chars), facts.model.context)
        return length, "guessed from characters; the run counts tokens and then decides"
    covers = f"covers {math.floor(100 * (1 - counted.cut / counted.rows))} % of rows"
    limited = ", and the model reads no more" if counted.max_length == facts.model.context else ""
    return counted.max_length, f"{covers}; the longest has {counted.longest:,} tokens{limited}"


SIZE_STEPS = ((20e6, 25.0), (200e6, 5.0), (1e9, 2.0))
"""Below so many parameters, so many times the usual rate: small models want larger steps."""


def automatic_rate(recipe: Recipe, model: ModelFacts) -> tuple[float, str]:
    """The usual rate of the method, raised for small models."""
    usual, source = recipe.adaptation.learning_rate
    for size, factor in SIZE_STEPS:
        if model.parameters < size:
            millions = f"{model.parameters / 1e6:.0f} M"
            return usual * factor, f"a model of only {millions} parameters learns with larger steps"
    return usual, source


def count_steps(recipe: Recipe, facts: Facts, settings: Settings) -> int:
    """Optimizer steps of the whole run, as far as rows and tokens are known."""
    return steps_for(recipe, settings, _sequences(recipe, facts, settings))


def _sequences(recipe: Recipe, facts: Facts, settings: Settings) -> int:
    rows, _ = split_sizes(recipe, facts)
    return packed(recipe, facts, settings) if recipe.objective.packing else rows


def packed(recipe: Recipe, facts: Facts, settings: Settings) -> int:
    """Full sequences that the rows would fill."""
    rows, _ = split_sizes(recipe, facts)
    counted = tokens(recipe, facts, settings.max_length)
    return math.ceil(rows * counted.mean / settings.max_length)


def epoch_steps(settings: Settings, rows: int) -> int:
    """Optimizer steps that see so many rows (or packed sequences) once."""
    batches = math.ceil(rows / settings.micro_batch)
    return max(1, math.ceil(batches / settings.accumulation))


def steps_for(recipe: Recipe, settings: Settings, rows: int) -> int:
    """Optimizer steps for so many rows (or packed sequences), counted as the trainer counts."""
    steps = max(1, math.ceil(epoch_steps(settings, rows) * settings.epochs))
    limit = recipe.training.max_steps
    return min(steps, limit) if limit else steps


def seen_share(recipe: Recipe, facts: Facts, settings: Settings) -> float:
    """Epochs that the steps of a run really make."""
    return settings.steps / epoch_steps(settings, _sequences(recipe, facts, settings))


def _told_steps(recipe: Recipe, facts: Facts, settings: Settings) -> Iterator[Decision]:
    whole = settings.micro_batch * settings.accumulation
    unit = "sequences" if recipe.objective.packing else "rows"
    counted = _sequences(recipe, facts, settings)
    because = f"{counted:,} {unit} x {settings.epochs:g} epochs, {whole:,} at a time"
    if recipe.training.max_steps == settings.steps:
        because = "the recipe sets this limit"
    yield Decision(name="Steps", value=f"{settings.steps:,}", because=because)
    on, why = "on" if recipe.objective.packing else "off", _packing_reason(recipe, facts, settings)
    yield Decision(name="Packing", value=on, because=why)
    if recipe.checks.every is None:
        often = f"{settings.every} steps"
        yield Decision(name="Evaluate every", value=often, because="ten looks per run")


PACK_BELOW = 0.25
"""Rows that fill less than this share of the length on average are worth packing."""
PACKED_STEPS = 50
"""Packing that leaves fewer steps than this teaches too little."""


def packing_pays(recipe: Recipe, facts: Facts, settings: Settings) -> bool:
    """Whether joined rows would save much time and leave enough steps."""
    filled = tokens(recipe, facts, settings.max_length).mean / settings.max_length
    steps = steps_for(recipe, settings, packed(recipe, facts, settings))
    return filled < PACK_BELOW and steps >= PACKED_STEPS


def _packing_reason(recipe: Recipe, facts: Facts, settings: Settings) -> str:
    if recipe.objective.packing:
        return "the recipe says so"
    filled = tokens(recipe, facts, settings.max_length).mean / settings.max_length
    text = f"a row fills {100 * filled:.0f} % of the maximum length on average"
    if filled >= PACK_BELOW:
        return text
    steps = steps_for(recipe, settings, packed(recipe, facts, settings))
    return f"{text}; packed, {steps:,} steps would be left"


def with_steps(recipe: Recipe, settings: Settings, steps: int) -> Settings:
    """The same settings for the number of steps that the encoded rows really make."""
    every = recipe.checks.every or max(1, math.ceil(steps / 10))
    return settings.model_copy(
        update={
            "steps": steps,
            "warmup_steps": math.ceil(steps * recipe.training.warmup),
            "every": every,
            "save_every": recipe.checks.save_every or every,
        }
    )


def _settle_device(recipe: Recipe, machine: Machine) -> tuple[str, bool, list[Decision]]:
    wanted = recipe.training.device
    device = wanted if wanted != "auto" else "cuda" if machine.gpus else "cpu"
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


def _settle_checkpointing(recipe: Recipe, facts: Facts, settings: Settings) -> tuple[bool, str]:
    chosen = recipe.training.checkpointing
    if chosen != "auto":
        return chosen == "on", "the recipe says so"
    assert facts.model is not None
    need = estimate(facts.model, recipe.adaptation, make_setup(recipe, facts, settings)).total
    if need <= 0.9 * _limit(recipe, facts.machine):
        return False, "the memory is enough without it, and it costs about 25 % time"
    return True, "without it the memory would not be enough"


def make_setup(recipe: Recipe, facts: Facts, settings: Settings) -> Setup:
    """The step that a run with these settings takes on its longest rows."""
    full = Setup(
        cuda=settings.device == "cuda",
        dtype="bf16" if settings.bf16 else "fp32",
        rows=settings.micro_batch,
        length=settings.max_length,
        accumulation=settings.accumulation,
        checkpointing=settings.checkpointing,
    )
    return full.model_copy(update=_rows(recipe, facts, settings))


def _rows(recipe: Recipe, facts: Facts, settings: Settings) -> dict[str, object]:
    """The longest batch: rows that differ in length need a mask, and so do packed ones.

    TRL joins a batch of packed rows to one row (padding_free of its SFTTrainer).
    """
    batch, length = settings.micro_batch, settings.max_length
    if recipe.objective.packing:
        return {"rows": 1, "length": batch * length, "padded": True}
    longest = max(1, tokens(recipe, facts, length).longest)
    return {"length": min(length, longest), "padded": batch > 1}


def _limit(recipe: Recipe, machine: Machine) -> int:
    if recipe.training.device != "cpu" and machine.gpus:
        return machine.gpus[0].total
    return machine.memory


def _device_name(recipe: Recipe, machine: Machine) -> str:
    if recipe.training.device != "cpu" and machine.gpus:
        return machine.gpus[0].name
    return "this computer's memory"


FLOPS_PER_CORE = 25e9
"""Sustained 32-bit multiply-adds of one current CPU core in training, measured on small models."""


def _seconds(recipe: Recipe, facts: Facts, settings: Settings) -> float | None:
    """A rough time on a CPU; None on a GPU, where a guess would mislead."""
    if settings.device != "cpu" or facts.model is None:
        return None
    counted = tokens(recipe, facts, settings.max_length)
    seen = counted.mean * settings.steps * settings.micro_batch * settings.accumulation
    per_token = (6 if recipe.adaptation.kind == "full" else 4) * facts.model.parameters
    return seen * per_token / (FLOPS_PER_CORE * max(1, facts.machine.cores))
