"""What is wrong or unwise about a recipe, each with a fix where there is one."""

from __future__ import annotations

from collections.abc import Iterator

from core.dataset import DataFacts, DataFinding
from core.draft import Draft, Facts, Settings
from core.errors import Edit, Problem
from core.joining import automatic_packing
from core.misfits import misfits
from core.misfits.base import blocker, tip, warning
from core.mixing import shortages
from core.numbers import show_bytes, show_number
from core.objectives import OBJECTIVES
from core.oddities import sentences
from core.portions import seen_share
from core.rates import automatic_rate, usual_range
from core.recipe import Recipe
from core.settle import has_bitsandbytes
from core.tokens import TokenFacts
from core.whatif import gentlest

RATE_FACTOR = 10
"""A rate so far outside of the usual range is a warning, a nearer one a tip."""
CUT_SHARE = 0.05
MACHINE = "machine"
"""Where a problem is that lies in no field of the recipe, but in what it is planned for."""


def find_problems(recipe: Recipe, facts: Facts, plan: Draft) -> Iterator[Problem]:
    """Everything Review lists, blockers first in spirit: missing, impossible, unwise."""
    if facts.corrections.problem:
        yield facts.corrections.problem
    yield from _missing(recipe, facts)
    yield from _device(recipe, facts)
    yield from misfits(recipe, facts, plan)
    if facts.data is not None:
        yield from _data(recipe, facts, plan)
    if facts.model is not None:
        yield from _weightless(facts)
        yield from _quantised(facts)
        yield from _memory(recipe, facts, plan)
    if plan.settings is not None:
        yield from _length(facts, plan.settings)
        yield from _rate(recipe, facts)
        yield from _duration(recipe, facts, plan.settings)
        yield from _packing(recipe, facts, plan.settings)
        yield from _disk(recipe, facts, plan)


def _missing(recipe: Recipe, facts: Facts) -> Iterator[Problem]:
    if not recipe.model:
        yield blocker("model", "No model is chosen.", Edit(path="model", value="starter",
                       label="Use the starter model"))  # fmt: skip
    if not recipe.data.path:
        yield blocker("data.path", "No dataset is chosen.")
    elif facts.data is None:
        yield blocker("data.path", "The dataset has not been read.")
    elif not facts.data.whole:
        yield blocker(
            "data.path", f"Only the first {facts.data.rows:,} rows of the dataset were read yet."
        )


def _device(recipe: Recipe, facts: Facts) -> Iterator[Problem]:
    if facts.machine.planned:
        yield blocker(
            MACHINE,
            f"This is a plan for {facts.machine.gpus[0].name}, which is not in this computer. To "
            "start here, choose this computer on the Memory page.",
        )
    if recipe.training.device == "cuda" and not facts.machine.gpus:
        yield blocker(
            "training.device",
            "The recipe asks for an NVIDIA GPU and none was found.",
            Edit(path="training.device", value="auto", label="Choose automatically"),
        )
    if recipe.adaptation.quantised and not has_bitsandbytes():
        yield blocker(
            "adaptation",
            "A base stored in 4 bits needs the package bitsandbytes, which is not installed.",
            Edit(path="adaptation", value={"kind": "lora"}, label="Use LoRA"),
        )


def _data(recipe: Recipe, facts: Facts, plan: Draft) -> Iterator[Problem]:
    data = facts.data
    assert data is not None
    yield from _formats(recipe, facts)
    for where, finding in _findings(recipe, facts):
        level = "tip" if finding.severity == "note" else "warning"
        yield Problem(level=level, where=where, text=finding.text)
    if plan.settings is not None and not plan.heldout:
        share = Edit(path="data.heldout_share", value=0.1, label="Hold out 10 %")
        yield warning(
            "data.heldout_share", "No rows are held out: nobody can tell learning from "
            "memorising.", None if recipe.data.heldout else share,
        )  # fmt: skip
    if 0 < data.rows < 50:
        yield tip(
            "data.path",
            text=f"{data.rows} rows teach a format at best; 100 to 1,000 are usual for that.",
        )


def _formats(recipe: Recipe, facts: Facts) -> Iterator[Problem]:
    """Rows of a format that the objective cannot learn from, or cannot be measured on."""
    title, known = recipe.objective.title, recipe.objective.formats
    for where, looked in _datasets(recipe, facts):
        if looked.format in known:
            continue
        use = "be measured on" if where == "heldout" else "learn from"
        place = {"path": "data.format", "heldout": "data.heldout"}.get(where)
        yield blocker(
            place or f"data.{where}.format",
            f"{title} cannot {use} rows of the format {looked.format!r}.",
            _other_objective(looked.format) if where == "path" else None,
        )


def _other_objective(name: str) -> Edit | None:
    """The first objective that learns from rows of this format."""
    kind = next((kind for kind in OBJECTIVES if name in kind.formats), None)
    if kind is None:
        return None
    value = {"kind": kind.model_fields["kind"].default}
    return Edit(path="objective", value=value, label=f"Use {kind.title}")


def _datasets(recipe: Recipe, facts: Facts) -> Iterator[tuple[str, DataFacts]]:
    """Every dataset that was looked at, with its place below `data`."""
    assert facts.data is not None
    yield "path", facts.data
    if facts.heldout is not None:
        yield "heldout", facts.heldout
    yield from zip(recipe.data.further, facts.further, strict=False)


def _findings(recipe: Recipe, facts: Facts) -> Iterator[tuple[str, DataFinding]]:
    for where, known in _datasets(recipe, facts):
        below = "" if where in ("path", "heldout") else ".path"
        yield from ((f"data.{where}{below}", finding) for finding in known.problems)
    for where, short in shortages(recipe.data, facts):
        yield f"data.{where}.share", short


def _weightless(facts: Facts) -> Iterator[Problem]:
    assert facts.model is not None
    if not facts.model.here:
        yield blocker(
            "model",
            f"{facts.model.name} is not on this computer. Its shape is known, which is enough to "
            "plan. To train, download it on the Model page or with `tunesmith fetch "
            f"{facts.model.name}`.",
        )
    elif not facts.model.bytes:
        yield blocker(
            "model",
            f"Of {facts.model.name} only the shape is known, which is enough to plan. To train, "
            "choose the folder that also holds its weights.",
        )


def _quantised(facts: Facts) -> Iterator[Problem]:
    assert facts.model is not None
    if facts.model.quantised:
        yield blocker(
            "model",
            f"{facts.model.name} is stored quantised ({facts.model.quantised}), and rounded "
            "weights cannot be trained further. Choose the original in 16 bits; QLoRA quantises "
            "it itself.",
        )


def _length(facts: Facts, settings: Settings) -> Iterator[Problem]:
    assert facts.model is not None
    context, length = facts.model.context, settings.max_length
    if context and length > context:
        yield blocker(
            "training.max_length",
            f"{facts.model.name} reads at most {context:,} tokens, the recipe asks for {length:,}.",
            Edit(path="training.max_length", value=context, label=f"Use {context:,}"),
        )
    counted = facts.tokens
    if counted is None or not counted.rows or counted.max_length != length:
        return  # counted at another length, these figures say nothing
    if not counted.asks_alike:
        yield warning(
            "model",
            "The model's chat template ends a question otherwise in use than in training, so "
            "answers may begin differently from how they were learned. Compare the texts around "
            "add_generation_prompt in its chat_template.jinja.",
        )
    for oddity in sentences(counted.oddities):
        yield warning(oddity.where, oddity.text, oddity.fix)
    if counted.untrained:
        yield from _untrained(counted)
    if not counted.room and counted.cut / counted.rows > CUT_SHARE:
        longer = min(context or counted.p99, counted.p99)
        fix = Edit(path="training.max_length", value=longer, label=f"Use {longer:,}")
        yield warning(
            "training.max_length",
            f"{counted.cut:,} of {counted.rows:,} rows are longer than {length:,} tokens and lose "
            "their end.",
            fix if longer > length else None,
        )


def _untrained(counted: TokenFacts) -> Iterator[Problem]:
    where = ", ".join(str(line) for line in counted.untrained_lines[:5])
    count, rows = counted.untrained, counted.rows
    what = (
        f"questions leave no room for an answer of {counted.room:,} tokens within "
        f"{counted.max_length:,}"
        if counted.room
        else "rows have nothing to learn at this length"
    )
    text = f"{count:,} of {rows:,} {what} (lines {where}{', ...' if count > 5 else ''})."
    if count >= rows:
        yield blocker("training.max_length", text)
    else:
        yield warning("training.max_length", f"{text} They are left out.")


def _rate(recipe: Recipe, facts: Facts) -> Iterator[Problem]:
    chosen = recipe.training.learning_rate
    if chosen is None:
        return
    assert facts.model is not None
    usual, (best, _) = usual_range(recipe, facts.model), automatic_rate(recipe, facts.model)
    if usual.low <= chosen <= usual.high:
        return
    high = chosen > usual.high
    far = chosen > RATE_FACTOR * usual.high or chosen < usual.low / RATE_FACTOR
    yield (warning if far else tip)(
        "training.learning_rate",
        f"{show_number(chosen)} is {'far ' * far}{'above' if high else 'below'} the usual {usual}: "
        f"{'the loss may explode' if high else 'little may be learned'}.",
        Edit(path="training.learning_rate", value=None, label=f"Use {show_number(best)}"),
    )


def _memory(recipe: Recipe, facts: Facts, plan: Draft) -> Iterator[Problem]:
    if plan.fit != "no":
        return
    way = gentlest(recipe, facts)
    yield warning(
        "training.micro_batch",
        f"About {show_bytes(plan.needed)} are needed, {plan.device} has {show_bytes(plan.limit)}.",
        way.edit if way else None,
    )


def _duration(recipe: Recipe, facts: Facts, settings: Settings) -> Iterator[Problem]:
    """No run sees less than one epoch without a word; preferences are best seen once."""
    if recipe.objective.once and settings.epochs > 1:
        yield tip(
            "training.epochs",
            text="Preferences are usually seen once: with every further round the loss still falls "
            "and answers may run empty.",
            fix=Edit(path="training.epochs", value=1, label="See each row once"),
        )
    seen, limit = seen_share(recipe, facts, settings), recipe.training.max_steps
    if seen >= 1:
        return
    cut = limit == settings.steps
    fix = Edit(path="training.max_steps", value=None, label="Remove the limit")
    yield warning(
        "training.max_steps" if cut else "training.epochs",
        f"{settings.steps:,} steps see only {seen:.0%} of the rows.",
        fix if cut else Edit(path="training.epochs", value=1, label="See every row once"),
    )


def _packing(recipe: Recipe, facts: Facts, settings: Settings) -> Iterator[Problem]:
    if facts.tokens is None or recipe.objective.joining != "off":
        return
    pays, _ = automatic_packing(recipe, facts, settings)
    if pays:
        share = facts.tokens.mean / settings.max_length
        yield tip(
            "objective.packing",
            text=f"Rows fill only {100 * share:.0f} % of {settings.max_length:,} tokens; joined "
            "to full sequences they take fewer steps.",
            fix=Edit(path="objective.packing", value="auto", label="Turn packing on"),
        )


def _disk(recipe: Recipe, facts: Facts, plan: Draft) -> Iterator[Problem]:
    """Blocked without room for what is kept at once, warned of when it is scarce."""
    need, free = plan.disk, facts.machine.disk_free
    if need is None or not free or need.comfortable <= free:
        return
    full = need.least > free
    fix = Edit(path="checks.keep", value=2, label="Keep two") if recipe.checks.keep > 2 else None
    yield (blocker if full else warning)(
        "checks.keep",
        f"{need.kept:,} checkpoints of {show_bytes(need.checkpoint)}, the best one, one being "
        f"written and the result need {show_bytes(need.least)}; the disk has {show_bytes(free)} "
        f"free{'' if full else ', which is scarce'}.",
        fix,
    )
