"""Copies and contradictions are those that a plain table of first questions finds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from core.findings import Survey
from core.repeats import DIGEST, Repeats

ROWS = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 2)), max_size=60)


def digest(number: int) -> bytes:
    """Those of 0 to 12 differ in the first half, in the second, or in both."""
    return bytes([number % 4, *[0] * 7, number // 4, *[0] * (DIGEST - 9)])


@given(ROWS)
def test_repeats_are_those_of_a_plain_table(rows: list[tuple[int, int]]) -> None:
    repeats, known, expected = Repeats(), {}, []
    for line, (question, answer) in enumerate(rows, start=7):
        repeats.add(line, digest(question), digest(answer))
        first, said = known.setdefault(question, (line, answer))
        if first != line:
            expected.append((line, first, said == answer))
    assert list(repeats.found()) == expected


def test_a_finding_names_the_earlier_line_of_each_and_no_other() -> None:
    survey = Survey(("question", "answer"), {})
    for line, answer in enumerate(("Paris.", "Paris.", "Rome.", "Paris."), start=1):
        asked = {"role": "user", "content": "The capital?"}
        told = {"role": "assistant", "content": answer, "weight": 1}
        survey.add(line, (asked, told), {})
    found = {finding.code: finding for finding in survey.findings()}
    assert (found["duplicates"].rows, found["duplicates"].partners) == ((2, 4), (1, 1))
    assert (found["contradictions"].rows, found["contradictions"].partners) == ((3,), (1,))
    assert (found["weights"].rows, found["weights"].partners) == ((1, 2, 3, 4), ())
