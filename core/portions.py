"""What the rows say about a run: length, epochs, batch, steps, each with its reason."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from core import mixing
from core.draft import Decision, Facts, Settings
from core.mixing import Drawn
from core.recipe import Recipe
from core.sizing import batch_for, epochs_for, heldout_for, rounded_length, with_room
from core.tokens import TokenFacts, guess, token_guess

UNKNOWN_LENGTH = 1024
"""Tokens of a row as long as nothing is known of the rows."""


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


def sources(recipe: Recipe, facts: Facts) -> tuple[Drawn, ...]:
    """Every dataset; rows with one question stay together, so the first is known once counted."""
    first, *rest = mixing.table(recipe.data, facts)
    if facts.tokens is not None:
        others = sum(source.drawn for source in rest if source.where != "heldout")
        first = first.model_copy(update={"drawn": facts.tokens.rows - others})
    return (first, *rest)


def split_sizes(recipe: Recipe, facts: Facts) -> tuple[int, int]:
    """Rows to train on and rows held out, as counted, or else by their shares."""
    if facts.tokens is not None:
        return facts.tokens.rows, facts.tokens.heldout
    assert facts.data is not None
    mixed = sum(mixing.draws(recipe.data, facts).values())
    kept = mixing.heldout_rows(recipe.data, facts.data.rows)
    apart = facts.heldout.rows if facts.heldout else 0
    return facts.data.rows - kept + mixed, kept + apart


def settle_portions(recipe: Recipe, facts: Facts) -> tuple[dict[str, Any], list[Decision]]:
    """Length and epochs, by what the rows are like."""
    training = recipe.training
    rows = split_sizes(recipe, facts)[0] if facts.data else 0
    told: list[Decision] = list(_told_heldout(recipe, facts))
    length, epochs = training.max_length, training.epochs
    if length is None:
        length, because = automatic_length(facts, recipe.objective.room)
        told.append(Decision(name="Maximum length", value=f"{length:,} tokens", because=because))
    if epochs is None:
        epochs, because = epochs_for(rows)
        told.append(Decision(name="Epochs", value=f"{epochs:g}", because=because))
    return {
        "max_length": length,
        "epochs": epochs,
        "micro_batch": training.micro_batch,
        "accumulation": training.accumulation or 1,
    }, told


def settle_batch(
    recipe: Recipe, facts: Facts, settings: Settings
) -> tuple[Settings, list[Decision]]:
    """How many batches are gathered; a full sequence counts as the rows it holds."""
    if recipe.training.accumulation is not None:
        return settings, []
    rows = split_sizes(recipe, facts)[0] if facts.data else 0
    size, because = batch_for(rows * recipe.objective.answers)
    micro, share = settings.micro_batch, 1.0
    if settings.packing and facts.data:
        share = filled(recipe, facts, settings)
    accumulation = whole_groups(recipe, max(1, round(size * share / micro)))
    whole, unit = micro * accumulation, "sequences" if settings.packing else "rows"
    if recipe.objective.answers > 1:
        unit = "answers, in whole groups"
    text = f"{whole:,} {unit} ({micro:,} x {accumulation:,})"
    if settings.packing:
        text += f", about {whole / share:,.0f} rows"
    chosen = settings.model_copy(update={"accumulation": accumulation})
    return chosen, [Decision(name="Effective batch", value=text, because=because)]


def filled(recipe: Recipe, facts: Facts, settings: Settings) -> float:
    """How much of the maximum length a row fills on average."""
    return max(1, tokens(recipe, facts, settings.max_length).mean) / settings.max_length


def whole_groups(recipe: Recipe, accumulation: int) -> int:
    """So many batches or a few more, until all answers to a question are in one step."""
    answers = recipe.objective.answers
    times = answers // math.gcd(recipe.training.micro_batch, answers)
    return math.ceil(accumulation / times) * times


def _told_heldout(recipe: Recipe, facts: Facts) -> Iterator[Decision]:
    data = recipe.data
    if facts.data and data.heldout_share is None and not data.heldout:
        kept, because = heldout_for(facts.data.rows)
        yield Decision(name="Held-out rows", value=f"{kept:,}", because=because)
    most, why = recipe.objective.most_measured
    whole = split_sizes(recipe, facts)[1] if facts.data else 0
    if whole > most:
        because = f"the first of {whole:,}: {why}"
        yield Decision(name="Measured on", value=f"{most:,} held-out rows", because=because)


def automatic_length(facts: Facts, room: int) -> tuple[int, str]:
    """The shortest length that leaves nearly all rows whole, with room for an answer of so many
    tokens; guessed until they are counted."""
    assert facts.model is not None
    context = facts.model.context
    if facts.data is None:
        length = min(UNKNOWN_LENGTH, context or UNKNOWN_LENGTH)
        return with_room(length, room, context), "no rows are known yet"
    counted = facts.tokens
    if counted is None or not counted.rows:
        chars = max(each.long_chars or each.max_chars for each in (facts.data, *facts.further))
        length = with_room(rounded_length(token_guess(chars), context), room, context)
        return length, "guessed from characters; the run counts tokens and then decides"
    covers = f"covers {math.floor(100 * (1 - counted.cut / counted.rows))} % of "
    covers += f"questions with {room:,} tokens of answer" if room else "rows"
    limited = ", and the model reads no more" if counted.max_length == context else ""
    return counted.max_length, f"{covers}; the longest has {counted.longest:,} tokens{limited}"


def count_steps(recipe: Recipe, facts: Facts, settings: Settings) -> int:
    """Optimizer steps of the whole run, as far as rows and tokens are known."""
    return steps_for(recipe, settings, _sequences(recipe, facts, settings))


def _sequences(recipe: Recipe, facts: Facts, settings: Settings) -> int:
    rows, _ = split_sizes(recipe, facts)
    return packed(recipe, facts, settings) if settings.packing else rows


def packed(recipe: Recipe, facts: Facts, settings: Settings) -> int:
    """Full sequences that the rows would fill."""
    rows, _ = split_sizes(recipe, facts)
    counted = tokens(recipe, facts, settings.max_length)
    return math.ceil(rows * counted.mean / settings.max_length)


def epoch_steps(recipe: Recipe, settings: Settings, rows: int) -> int:
    """Optimizer steps that see so many rows (or packed sequences) once.

    Groups of answers are never split: questions that do not fill a step wait for the next round.
    """
    if recipe.objective.answers > 1:
        return max(1, rows // questions_at_once(recipe, settings)) * recipe.objective.passes
    batches = math.ceil(rows / settings.micro_batch)
    return max(1, math.ceil(batches / settings.accumulation)) * recipe.objective.passes


def questions_at_once(recipe: Recipe, settings: Settings) -> int:
    """Questions whose answers are generated together."""
    return max(1, settings.micro_batch * settings.accumulation // recipe.objective.answers)


def steps_for(recipe: Recipe, settings: Settings, rows: int) -> int:
    """Optimizer steps for so many rows (or packed sequences), counted as the trainer counts."""
    steps = max(1, math.ceil(epoch_steps(recipe, settings, rows) * settings.epochs))
    limit = recipe.training.max_steps
    return min(steps, limit) if limit else steps


def seen_share(recipe: Recipe, facts: Facts, settings: Settings) -> float:
    """Epochs that the steps of a run really make."""
    return settings.steps / epoch_steps(recipe, settings, _sequences(recipe, facts, settings))


def told_steps(recipe: Recipe, facts: Facts, settings: Settings) -> Iterator[Decision]:
    """Steps and evaluations, and what they follow from."""
    whole = settings.micro_batch * settings.accumulation
    unit = "sequences" if settings.packing else "rows"
    counted = _sequences(recipe, facts, settings)
    because = f"{counted:,} {unit} x {settings.epochs:g} epochs, {whole:,} at a time"
    if recipe.objective.answers > 1:
        because = _told_groups(recipe, settings, counted)
    if recipe.training.max_steps == settings.steps:
        because = "the recipe sets this limit"
    yield Decision(name="Steps", value=f"{settings.steps:,}", because=because)
    if recipe.checks.every is None:
        often = f"{settings.every} steps"
        yield Decision(name="Evaluate every", value=often, because="ten looks per run")


def _told_groups(recipe: Recipe, settings: Settings, rows: int) -> str:
    goal, whole = recipe.objective, questions_at_once(recipe, settings)
    text = f"{rows:,} questions x {settings.epochs:g} epochs, {whole:,} at a time with "
    text += f"{goal.answers:,} answers each"
    if goal.passes > 1:
        text += f", {goal.passes:,} steps on the same answers"
    left = rows % whole
    return f"{text}; {left:,} questions are left over in each round" if left else text


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
