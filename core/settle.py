"""Automatic values made concrete, and the numbers of a run: rows, steps, memory, time."""

from __future__ import annotations

import math

from core.dataset import DataFacts
from core.machine import Machine
from core.memory import Bill, Item, Setup, estimate
from core.models import ModelFacts
from core.recipe import Recipe
from core.tokens import TokenFacts, guess
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

    @property
    def items(self) -> tuple[Item, ...]:
        """The parts of the memory bill."""
        return self.bill.items if self.bill else ()

    @property
    def needed(self) -> int:
        """The whole memory bill in bytes."""
        return self.bill.total if self.bill else 0


class Facts(Value):
    """What is known of the outside world; None means not looked at yet."""

    machine: Machine
    model: ModelFacts | None = None
    data: DataFacts | None = None
    heldout: DataFacts | None = None
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
        seconds=_seconds(recipe, facts, settings),
    )


def tokens(recipe: Recipe, facts: Facts) -> TokenFacts:
    """The engine's count when there is one, else a guess from characters."""
    if facts.tokens is not None:
        return facts.tokens
    assert facts.data is not None
    data = facts.data
    return guess(data.rows, data.mean_chars, data.max_chars, recipe.training.max_length)


def split_sizes(recipe: Recipe, facts: Facts) -> tuple[int, int]:
    """Rows to train on and rows held out."""
    assert facts.data is not None
    if recipe.data.heldout:
        return facts.data.rows, facts.heldout.rows if facts.heldout else 0
    kept = round(facts.data.rows * recipe.data.heldout_share)
    return facts.data.rows - kept, kept


def settle(recipe: Recipe, facts: Facts) -> tuple[Settings, list[Decision]]:
    """Give every automatic value a number and a reason."""
    assert facts.model is not None
    training, checks = recipe.training, recipe.checks
    device, bf16, decisions = _settle_device(recipe, facts.machine)
    rate = training.learning_rate
    if rate is None:
        rate, because = automatic_rate(recipe, facts.model)
        decisions.append(Decision(name="Learning rate", value=f"{rate:g}", because=because))
    checkpointing, why = _settle_checkpointing(recipe, facts, device, bf16)
    decisions.append(
        Decision(name="Checkpointing", value="on" if checkpointing else "off", because=why)
    )
    fixed = Settings(
        device=device,
        bf16=bf16,
        learning_rate=rate,
        max_length=training.max_length,
        micro_batch=training.micro_batch,
        accumulation=training.accumulation,
        checkpointing=checkpointing,
    )
    settings = with_steps(recipe, fixed, count_steps(recipe, facts))
    if checks.every is None:
        often = f"{settings.every} steps"
        decisions.append(Decision(name="Evaluate every", value=often, because="ten looks per run"))
    return settings, decisions


SIZE_STEPS = ((20e6, 25.0), (200e6, 5.0), (1e9, 2.0))
"""Below so many parameters, so many times the usual rate: small models want larger steps."""


def automatic_rate(recipe: Recipe, model: ModelFacts) -> tuple[float, str]:
    """The usual rate of the method for the objective, raised for small models."""
    usual, source = recipe.adaptation.learning_rate
    share, why = recipe.objective.rate_share
    usual *= share
    source = f"{source}; {why}" if why else source
    for size, factor in SIZE_STEPS:
        if model.parameters < size:
            factor = min(factor, recipe.objective.most_raised)
            millions = f"{model.parameters / 1e6:.0f} M"
            return usual * factor, f"a model of only {millions} parameters learns with larger steps"
    return usual, source


def count_steps(recipe: Recipe, facts: Facts) -> int:
    """Optimizer steps of the whole run, as far as rows and tokens are known."""
    rows, _ = split_sizes(recipe, facts)
    counted = tokens(recipe, facts)
    if recipe.objective.packs and counted.rows:
        rows = math.ceil(rows * counted.mean / recipe.training.max_length)
    return steps_for(recipe, rows)


def steps_for(recipe: Recipe, rows: int) -> int:
    """Optimizer steps for so many rows (or packed sequences), counted as the trainer counts."""
    training = recipe.training
    batches = math.ceil(rows / training.micro_batch)
    per_epoch = max(1, math.ceil(batches / training.accumulation))
    steps = max(1, math.ceil(per_epoch * training.epochs))
    return min(steps, training.max_steps) if training.max_steps else steps


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


def _settle_checkpointing(
    recipe: Recipe, facts: Facts, device: str, bf16: bool
) -> tuple[bool, str]:
    chosen = recipe.training.checkpointing
    if chosen != "auto":
        return chosen == "on", "the recipe says so"
    assert facts.model is not None
    setup = step_setup(recipe, device=device, bf16=bf16, checkpointing=False)
    setup = setup.model_copy(update=_rows(recipe, facts))
    need = estimate(facts.model, recipe.adaptation, setup).total
    if need <= 0.9 * _limit(recipe, facts.machine):
        return False, "the memory is enough without it, and it costs about 25 % time"
    return True, "without it the memory would not be enough"


def make_setup(recipe: Recipe, facts: Facts, settings: Settings) -> Setup:
    """The step that a run with these settings takes on its longest rows."""
    return step_setup(
        recipe,
        device=settings.device,
        bf16=settings.bf16,
        checkpointing=settings.checkpointing,
    ).model_copy(update=_rows(recipe, facts))


def step_setup(recipe: Recipe, *, device: str, bf16: bool, checkpointing: bool) -> Setup:
    """A step of our engine on full rows."""
    return Setup(
        objective=recipe.objective.kind,
        cuda=device == "cuda",
        dtype="bf16" if bf16 else "fp32",
        rows=recipe.training.micro_batch,
        length=recipe.training.max_length,
        accumulation=recipe.training.accumulation,
        checkpointing=checkpointing,
    )


def _rows(recipe: Recipe, facts: Facts) -> dict[str, object]:
    """The longest batch: rows that differ in length need a mask, as pairs and packed rows do.

    TRL joins a batch of packed rows to one row (padding_free of its SFTTrainer).
    """
    training = recipe.training
    if recipe.objective.packs:
        return {"rows": 1, "length": training.micro_batch * training.max_length, "padded": True}
    longest = max(1, tokens(recipe, facts).longest)
    ragged = training.micro_batch > 1 or recipe.objective.kind == "dpo"
    return {"length": min(training.max_length, longest), "padded": ragged}


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
    counted = tokens(recipe, facts)
    seen = counted.mean * settings.steps * settings.micro_batch * settings.accumulation
    passes = 6 if recipe.adaptation.kind == "full" else 4
    passes += 2 if recipe.objective.kind == "dpo" else 0  # the reference reads every row too
    return seen * passes * facts.model.parameters / (FLOPS_PER_CORE * max(1, facts.machine.cores))
