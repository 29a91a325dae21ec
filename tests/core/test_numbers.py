"""Numbers as people type and read them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.numbers import parse_number, show_bytes, show_count, show_duration, show_number

FINITE = st.floats(min_value=1e-30, max_value=1e30) | st.floats(min_value=-1e30, max_value=-1e-30)


@given(FINITE)
def test_what_is_shown_reads_back_as_the_same_number(value: float) -> None:
    assert math.isclose(parse_number(show_number(value)), value, rel_tol=1e-8)


@given(st.integers(1, 9999), st.integers(-12, 12))
def test_numbers_people_type_come_back_exactly(digits: int, exponent: int) -> None:
    value = float(f"{digits}e{exponent}")
    assert parse_number(show_number(value)) == value


@given(FINITE)
def test_a_decimal_comma_is_a_decimal_point(value: float) -> None:
    text = repr(value)
    assert parse_number(text.replace(".", ",")) == parse_number(text) == value


@given(st.text(max_size=12))
def test_any_text_is_a_number_or_refused_in_words(text: str) -> None:
    try:
        value = parse_number(text)
    except ValueError as error:
        assert "Write it like 2e-4" in str(error)  # noqa: PT017 - reading it is as right as refusing it
    else:
        assert isinstance(value, float)


@pytest.mark.parametrize(
    ("text", "value"),
    [("2e-4", 2e-4), ("0.0002", 2e-4), ("0,0002", 2e-4), (" 2E-4 ", 2e-4), (",5", 0.5), ("5.", 5),
     ("+1", 1), ("-3", -3), ("٠٫٠٠٠٢", 2e-4), ("−1", -1)],
)  # fmt: skip
def test_spellings(text: str, value: float) -> None:
    assert parse_number(text) == value


@pytest.mark.parametrize(
    "text", ["", "abc", "1.000,5", "1,000.5", "1 000", "nan", "inf", "0x1", "1e"]
)
def test_what_could_mean_two_things_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a number"):
        parse_number(text)


@pytest.mark.parametrize(
    ("value", "text"),
    [(2e-4, "2e-4"), (0.05, "0.05"), (1.0, "1"), (0.0, "0"), (1.5e-5, "1.5e-5"), (2e6, "2e6")],
)
def test_the_shortest_spelling_is_shown(value: float, text: str) -> None:
    assert show_number(value) == text


def test_sizes_durations_and_counts_read_like_speech() -> None:
    assert [show_bytes(n) for n in (0, 999, 1e3, 24e9, 2e12)] == [
        "0 bytes", "999 bytes", "1.0 kB", "24.0 GB", "2.0 TB",
    ]  # fmt: skip
    assert [show_duration(n) for n in (-1, 45, 720, 11_100)] == [
        "0 s",
        "45 s",
        "12 min",
        "3 h 05 min",
    ]
    assert [show_count(n) for n in (950, 812_000, 4.2e6, 7e9)] == [
        "950",
        "812.0 k",
        "4.2 M",
        "7.0 B",
    ]
