"""Events: written and read back, with newer kinds skipped and damage named."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import events
from core.events import Answer, Event, Failed, Memory, Sampled, Scored, Step, decode, encode

KINDS = get_args(Event)
texts = st.text(max_size=40)
numbers = st.floats(allow_nan=False, allow_infinity=False, width=64)
answers = st.builds(Answer, prompt=texts, expected=texts, answer=texts)
steps = st.builds(
    Step,
    step=st.integers(0, 10**9),
    total=st.integers(0, 10**9),
    loss=numbers,
    grad_norm=st.none() | numbers,
    memory=st.builds(Memory, gpu_used=st.none() | st.integers(0, 10**15)),
)
anything = st.one_of(
    steps,
    st.builds(Failed, error=texts, hint=texts, detail=texts),
    st.builds(Sampled, step=st.integers(0, 10**9), answer=answers),
    st.builds(
        Scored, when=st.sampled_from(["before", "after"]), loss=numbers, answers=st.tuples(answers)
    ),
)


@given(event=anything)
def test_an_event_is_one_line_and_comes_back_the_same(event: Event) -> None:
    line = encode(event)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert decode(line) == event


def test_every_kind_is_known_by_its_own_name() -> None:
    names = [one.default for kind in KINDS for one in fields(kind) if one.name == "kind"]
    assert len(set(names)) == len(names) == 16


def test_a_kind_from_a_newer_version_is_skipped() -> None:
    assert decode(b'{"kind": "hologram", "t": 1.0}') is None


def test_fields_from_a_newer_version_are_skipped() -> None:
    raw = json.loads(encode(Step(step=1, total=2, loss=0.5))) | {"mood": "good"}
    raw["memory"]["cold"] = 1
    assert decode(json.dumps(raw).encode()) == Step(step=1, total=2, loss=0.5, t=raw["t"])


@pytest.mark.parametrize("line", [b"", b"{", b"[]", b"null", b'{"kind": "step"}', b"\xff{}"])
def test_a_damaged_line_is_named(line: bytes) -> None:
    with pytest.raises(ValueError, match="damaged event line"):
        decode(line)


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_numbers_that_json_cannot_hold_never_enter(loss: float) -> None:
    with pytest.raises(ValueError):
        events.Step(step=1, total=2, loss=loss)
