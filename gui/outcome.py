"""What a run came to, in a sentence or two: both scores compared, nothing claimed beyond them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from core.events import Answer, Scored
from core.history import History
from core.metrics import KNOWN, show
from core.rundir import RunDir
from gui.widgets import Level

FEW_ROWS = 30
"""Fewer scored rows than this say little."""
FILTERS = ("All rows", "Changed answers", "Wrong now", "Right before, wrong now")


class Pair(NamedTuple):
    """One held-out question and its two answers."""

    before: Answer | None
    after: Answer

    def passes(self, wanted: str) -> bool:
        """Whether a filter keeps it."""
        was = self.before.correct if self.before else None
        match wanted:
            case "Changed answers":
                return self.before is not None and self.before.answer != self.after.answer
            case "Wrong now":
                return self.after.correct is False
            case "Right before, wrong now":
                return bool(was) and self.after.correct is False
        return True


def pairs(before: Scored | None, after: Scored) -> list[Pair]:
    """Answers to the same question with the same expectation belong together."""
    earlier = {(a.prompt, a.expected): a for a in before.answers} if before else {}
    return [Pair(earlier.get((a.prompt, a.expected)), a) for a in after.answers]


def verdict(run: RunDir | None, history: History) -> tuple[Level, str]:
    """One honest sentence or two about the outcome."""
    before, after = history.before, history.after
    if run is None:
        return "note", "No run yet. Start one on Review, or pick one from the list."
    if before is None or after is None:
        if history.state == "finished":
            return "note", "No rows were held out, so nothing can be said about new questions."
        return "note", "The scores after training come when the run has finished."
    return _judge(before, after)


def _judge(before: Scored, after: Scored) -> tuple[Level, str]:
    judged = [p for p in pairs(before, after) if p.after.correct is not None]
    gained = sum(not p.before.correct and bool(p.after.correct) for p in judged if p.before)
    lost = sum(bool(p.before.correct) and not p.after.correct for p in judged if p.before)
    better, told = _main_figure(before, after)
    measure = "reward" if after.loss is None else "loss"
    level, headline = _headline(
        measure, better=better, gained=gained, lost=lost, asked=bool(judged)
    )
    preferred, sentence = _preferred(before, after)
    if level == "ok" and not preferred:
        level, headline = "warn", "Not clearly improved."
    words = [headline, told, *([sentence] if sentence else [])]
    if judged:
        words.append(_moved(gained, lost, after.answers))
        if len(judged) < FEW_ROWS:
            few = "one row was" if len(judged) == 1 else f"{len(judged)} rows were"
            words.append(f"Only {few} asked; so few can mislead.")
    return level, " ".join(words)


def _main_figure(before: Scored, after: Scored) -> tuple[bool, str]:
    """Whether what is trained for became better: the reward where there is no loss."""
    if before.loss is not None and after.loss is not None:
        fell = after.loss < before.loss
        return fell, f"The loss on rows it never trained on {'fell' if fell else 'did not fall'}."
    metric = KNOWN["reward"]
    old, new = (scored.metrics.get(metric.name) for scored in (before, after))
    if old is None or new is None:
        return False, "Nothing was measured that could be compared."
    rose = new > old
    values = f"({show(metric, old)} before, {show(metric, new)} after)"
    moved = "rose" if rose else "did not rise"
    count = f"{after.rewarded:,} " if after.rewarded else ""
    return rose, f"The mean reward on {count}questions it never trained on {moved} {values}."


def _preferred(before: Scored, after: Scored) -> tuple[bool, str]:
    """Whether pairs are told apart no worse than before, where pairs were measured."""
    old, new = (
        scored.metrics.get("accuracy", scored.reward_accuracy) for scored in (before, after)
    )
    if old is None or new is None:
        return True, ""
    text = f"The better answer is preferred in {new:.0%} of held-out pairs, {old:.0%} before."
    return new >= old, text


def _headline(
    measure: str, *, better: bool, gained: int, lost: int, asked: bool
) -> tuple[Level, str]:
    """Both measures must agree before anything is called better."""
    if better and (gained > lost or not asked):
        return "ok", "Improved."
    if better and gained == lost:
        return "note", f"Improved by {measure} only."
    if better or gained > lost:
        return "warn", "Not clearly improved."
    return "warn", "Not improved."


def _moved(gained: int, lost: int, answers: Sequence[Answer]) -> str:
    """What became of the answers, in whole numbers."""
    if gained or lost:
        worse = f"{lost:,} became wrong" if lost else "none became wrong"
        return f"Of {len(answers):,} answers {gained:,} became right and {worse}."
    if not any(answer.correct for answer in answers):
        return "No answer is exactly as expected, before or after; usual where wording is free."
    return f"As many of {len(answers):,} answers are right as before."
