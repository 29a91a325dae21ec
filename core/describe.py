"""Plans, datasets and results as sentences for a terminal and as plain data for scripts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core.dataset import DataFacts
from core.errors import CoreError, Problem
from core.events import Scored
from core.history import History, Outcome
from core.memory import Bill
from core.mixing import Drawn
from core.numbers import show_bytes, show_count, show_duration, show_number
from core.plan import Plan
from core.rundir import RunDir
from core.terminal import Terminal, shorten, side_by_side, table

EXAMPLES_SHOWN = 3
_LEVELS = {"blocker": "must be fixed", "warning": "warning", "tip": "tip"}


def problem_lines(problems: tuple[Problem, ...]) -> Iterator[str]:
    """What is wrong or unwise, each with its fix."""
    for problem in problems:
        fix = f" Fix: {problem.fix.label}." if problem.fix else ""
        yield f"{_LEVELS[problem.level]}: {problem}{fix}"


def data_lines(facts: DataFacts) -> Iterator[str]:
    """What was recognised in a dataset, and what is wrong with it."""
    yield f"Data: {facts.rows:,} rows of the format {facts.format} ({facts.reason})."
    renamed = [
        (part, f"from column {name}") for part, name in facts.mapping.items() if part != name
    ]
    if renamed:
        yield table(renamed)
    for finding in facts.problems:
        advice = f"Fix: {finding.fix}" if finding.mendable else finding.fix
        yield f"{finding.severity}: {finding.text} {advice}".rstrip()


def plan_lines(plan: Plan) -> Iterator[str]:
    """The memory bill, the steps and every automatic choice with its reason."""
    if plan.settings is not None:
        yield (
            f"{plan.rows:,} rows to learn from, {plan.heldout:,} held out; "
            f"{plan.settings.steps:,} steps, {show_count(plan.trainable)} of "
            f"{show_count(plan.parameters)} numbers trained."
        )
    if len(plan.sources) > 1:
        yield "Datasets:"
        yield table(map(_source, plan.sources))
    yield from memory_lines(plan)
    if plan.seconds is not None:
        yield f"About {show_duration(plan.seconds)} on this computer."
    if plan.decisions:
        yield "Chosen automatically:"
        yield table([(d.name, d.value, f"because: {d.because}") for d in plan.decisions])


def _source(source: Drawn) -> tuple[str, ...]:
    drawn = f"{source.drawn:,} of {source.rows:,} rows"
    name, digest = Path(source.path).name, f"sha256 {source.digest[:12]}"
    return name, drawn, source.format, digest, source.because


def memory_lines(plan: Plan) -> Iterator[str]:
    """The memory bill item by item."""
    if plan.bill:
        bill, limit = show_bytes(plan.needed), show_bytes(plan.limit)
        band = f"give or take {plan.bill.band * 100:.0f} %"
        yield f"Memory: about {bill} of {limit} ({plan.device}), {band}."
        yield table([(i.name, show_bytes(i.bytes), i.note) for i in plan.items])


def plan_document(plan: Plan) -> dict[str, Any]:
    """The plan as plain data, with the keys that scripts rely on."""
    return plan.model_dump(mode="json", exclude={"bill"}) | {
        "memory": _memory(plan.bill) if plan.bill else None,
        "trainable_parameters": plan.trainable,
        "total_parameters": plan.parameters,
        "fits": plan.needed <= plan.limit if plan.bill and plan.limit else None,
        "ready": plan.ready,
        "steps": plan.settings.steps if plan.settings else None,
    }


def _memory(bill: Bill) -> dict[str, Any]:
    return {
        "allocated_bytes": bill.allocated,
        "reserved_bytes": bill.reserved,
        "total_bytes": bill.total,
        "items": [item.model_dump() for item in bill.items],
        "method": bill.method,
        "phase": bill.phase,
        "band": bill.band,
    }


def result_document(run: RunDir, story: History, outcome: Outcome) -> dict[str, Any]:
    """The keys that scripts rely on, and what else is useful."""
    state = "stopped" if outcome.state == "interrupted" else outcome.state
    return {
        "run": str(run.root),
        "outcome": state,
        "before": _score(story.before),
        "after": _score(story.after),
        "step": outcome.step,
        "total": outcome.total,
        "seconds": round(story.steps[-1].seconds, 1) if story.steps else 0.0,
        "artefact": str(run.root / story.artefact) if story.artefact else None,
        "text": str(outcome),
        "warnings": [warning.text for warning in story.warnings],
    }


def _score(scored: Scored | None) -> dict[str, Any] | None:
    if scored is None:
        return None
    return {"loss": scored.loss, "exact_match": scored.exact_match, "rows": scored.rows}


def tell_result(run: RunDir, story: History, outcome: Outcome, terminal: Terminal) -> None:
    """How a run ended, what it learned, and where the result lies."""
    terminal.say()
    terminal.say(str(outcome))
    if story.before and story.after:
        terminal.say(table(_scores(story.before, story.after)))
        for text in examples(story.before, story.after):
            terminal.say(text)
    if story.artefact:
        terminal.say(f"Result: {run.root / story.artefact}")
    terminal.say(f"Run: {run.root}")


def _scores(before: Scored, after: Scored) -> Iterator[tuple[str, str, str]]:
    yield "", "before", "after"
    yield "held-out loss", show_number(round(before.loss, 4)), show_number(round(after.loss, 4))
    if before.exact_match is not None and after.exact_match is not None:
        yield "exactly right", f"{before.exact_match:.0%}", f"{after.exact_match:.0%}"


def examples(before: Scored, after: Scored) -> Iterator[str]:
    """A few held-out questions with both answers side by side."""
    first = {answer.prompt: answer for answer in before.answers}
    shown = [(first[a.prompt], a) for a in after.answers if a.prompt in first][:EXAMPLES_SHOWN]
    for old, new in shown:
        yield f"\nQuestion: {shorten(old.prompt, 300)}"
        yield f"Expected: {shorten(old.expected, 300)}"
        yield side_by_side(old.answer, new.answer, ("before", "after"))


def failure(story: History, outcome: Outcome) -> CoreError | None:
    """What ended a run, as an error with its hint; None when it did not fail."""
    if outcome.state != "failed":
        return None
    hint = story.failure.hint if story.failure else ""
    return CoreError(str(outcome), hint=hint)
