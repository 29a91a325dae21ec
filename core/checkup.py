"""One pass of all checks over a dataset."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from core.dataset import EACH, DataFacts, Heed, facts_of, no_heed, usable
from core.doctor import CHECKS, Ask, Check, Seen
from core.errors import DataError
from core.findings import DataFinding, Survey, count_rows
from core.reading import BadLine
from core.recognise import Opened, open_rows

BROKEN = "broken_lines"
_ORDER = ("error", "warning", "note")


@dataclass(frozen=True)
class Checkup:
    """A dataset with everything that was found in it, and who found it."""

    facts: DataFacts
    """`problems` holds what the checks found, behind what every inspection finds."""
    checks: tuple[Check, ...]
    survey: Survey
    broken: tuple[BadLine, ...] = ()
    """Lines that are no rows, when they were to be passed over."""

    @property
    def findings(self) -> tuple[DataFinding, ...]:
        """Everything found, lines that are no rows included, the gravest first."""
        found = (*self._broken(), *self.facts.problems)
        return tuple(sorted(found, key=lambda finding: _ORDER.index(finding.severity)))

    def _broken(self) -> tuple[DataFinding, ...]:
        if not self.broken:
            return ()
        lines = [line.number for line in self.broken]
        text = f"{count_rows(lines).replace('row', 'line')} cannot be read"
        return (
            DataFinding.over(
                BROKEN, "error", lines, text, "Repair them, or leave them out.",
                f"For instance {self.broken[0]}.", title="Broken lines", mendable=True,
            ),
        )  # fmt: skip


def examine(
    path: Path,
    ask: Ask | None = None,
    *,
    format: str = "auto",
    columns: Mapping[str, str] | None = None,
    checks: Sequence[type[Check]] = CHECKS,
    pass_over: bool = False,
    heed: Heed = no_heed,
) -> Checkup:
    """Look at every row with every check. Raises DataError, also for broken lines unless passed."""
    broken: list[BadLine] = []
    opened = open_rows(path, format, columns, pass_over=broken.append if pass_over else None)
    chosen = _completed(opened, ask or Ask())
    survey = Survey(opened.columns, opened.match.mapping)
    made = tuple(check(chosen) for check in checks)
    for seen in _seen(opened, survey, heed):
        for check in made:
            check.look(seen)
    for check in made:
        check.conclude(survey)
    facts = facts_of(opened, survey)
    found = tuple(finding for check in made for finding in check.findings())
    whole = facts.model_copy(update={"problems": (*facts.problems, *found)})
    return Checkup(whole, made, survey, tuple(broken))


def _seen(opened: Opened, survey: Survey, heed: Heed) -> Iterator[Seen]:
    for example, row in usable(opened, survey):
        if survey.rows % EACH == 0:
            heed(survey.rows + survey.unusable)
        yield Seen(example.line, example.messages, row)


def _completed(opened: Opened, ask: Ask) -> Ask:
    if ask.category and ask.category not in opened.columns:
        raise DataError(
            f"{opened.path}: there is no column {ask.category!r}.",
            hint=f"There is: {', '.join(opened.columns[:12])}.",
        )
    return replace(ask, columns=opened.columns, mapping=opened.match.mapping)
