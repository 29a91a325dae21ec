"""Datasets, problems and results as sentences for a terminal and as plain data for scripts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from core.dataset import DataFacts
from core.errors import CoreError, Problem
from core.events import Answer, Scored
from core.history import History, Outcome
from core.metrics import show, told
from core.numbers import show_number
from core.objectives import OBJECTIVES
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
    goals = [kind.title for kind in OBJECTIVES if facts.format in kind.formats]
    yield f"Learned by: {', '.join(goals) or 'no goal of this version'}."
    renamed = [
        (part, f"from column {name}") for part, name in facts.mapping.items() if part != name
    ]
    if renamed:
        yield table(renamed)
    for finding in facts.problems:
        advice = f"Fix: {finding.fix}" if finding.mendable else finding.fix
        yield f"{finding.severity}: {finding.text} {advice}".rstrip()


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
        "warnings": story.notes,
    }


def _score(scored: Scored | None) -> dict[str, Any] | None:
    if scored is None:
        return None
    return {
        "loss": scored.loss,
        "metrics": scored.metrics,
        "exact_match": scored.exact_match,
        "reward_accuracy": scored.reward_accuracy,
        "rows": scored.rows,
    }


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
    if before.loss is not None and after.loss is not None:
        yield "held-out loss", show_number(round(before.loss, 4)), show_number(round(after.loss, 4))
    if before.exact_match is not None and after.exact_match is not None:
        yield "exactly right", f"{before.exact_match:.0%}", f"{after.exact_match:.0%}"
    if before.reward_accuracy is not None and after.reward_accuracy is not None:
        yield (
            "better answer preferred",
            f"{before.reward_accuracy:.0%}",
            f"{after.reward_accuracy:.0%}",
        )
    for metric, text in told(before.metrics):
        if metric.name in after.metrics:
            yield metric.title.lower(), text, show(metric, after.metrics[metric.name])


def examples(before: Scored, after: Scored) -> Iterator[str]:
    """A few held-out questions with both answers side by side."""
    first = {answer.prompt: answer for answer in before.answers}
    shown = [(first[a.prompt], a) for a in after.answers if a.prompt in first][:EXAMPLES_SHOWN]
    for old, new in shown:
        yield f"\nQuestion: {shorten(old.prompt, 300)}"
        yield f"{_wanted(old)}: {shorten(old.expected, 300)}"
        yield side_by_side(old.answer, new.answer, ("before", "after"))


def _wanted(answer: Answer) -> str:
    """An answer that is not judged has a better one beside it, not the one right one."""
    return "Expected" if answer.correct is not None else "Better answer"


def failure(story: History, outcome: Outcome) -> CoreError | None:
    """What ended a run, as an error with its hint; None when it did not fail."""
    if outcome.state != "failed":
        return None
    hint = story.failure.hint if story.failure else ""
    return CoreError(str(outcome), hint=hint)
