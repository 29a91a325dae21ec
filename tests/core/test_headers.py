"""Headers of weights that nobody wrote: each is read or refused by name, none crashes or hangs."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from core.errors import ModelError
from core.weights import BITS, LARGEST, MAX_HEADER, MOST_SIDES, read_header

ODD = st.sampled_from(
    (0, 1, 2, 8, -1, True, None, 2.0, "2", LARGEST, LARGEST + 1, 10**40, [], {}, float("nan"))
)
SIDES = st.one_of(st.lists(st.integers(0, 9), max_size=4), st.lists(ODD, max_size=20), ODD)
ENTRY = st.fixed_dictionaries(
    {},
    optional={
        "dtype": st.one_of(st.sampled_from(sorted(BITS)), st.sampled_from(("os", "F", "f32")), ODD),
        "shape": SIDES,
        "data_offsets": st.one_of(
            st.tuples(st.integers(0, 64), st.integers(0, 64)), st.lists(ODD, max_size=3), ODD
        ),
    },
)
NAMES = st.one_of(
    st.sampled_from(("a", "b", "__metadata__", "x\x1b", "\u202e", "n" * 2000)), st.text(max_size=4)
)
WHOLE = st.sampled_from([dtype for dtype, bits in BITS.items() if bits % 8 == 0])


@st.composite
def sound(draw: st.DrawFn) -> dict[str, Any]:
    """A header without a fault, before a byte of it is flipped."""
    made, end = {}, 0
    for number in range(draw(st.integers(1, 3))):
        dtype, sides = draw(WHOLE), draw(st.lists(st.integers(0, 3), max_size=2))
        size = math.prod(sides) * BITS[dtype] // 8
        made[f"t{number}"] = {"dtype": dtype, "shape": sides, "data_offsets": [end, end + size]}
        end += size
    return made


HEADERS = st.one_of(sound(), st.dictionaries(NAMES, st.one_of(ENTRY, ODD), max_size=4), ODD)
LENGTHS = st.sampled_from((None, 0, 7, MAX_HEADER, MAX_HEADER + 1, 2**63, 2**64 - 1))


Flip = tuple[int, int] | None
"""A place and what is written there."""


def written(header: Any, length: int | None, flipped: Flip, size: int | None) -> bytes:
    """The bytes of a file; its length and one of its bytes may be false."""
    if size is None:
        entries = header.values() if isinstance(header, dict) else ()
        ends = [entry.get("data_offsets") for entry in entries if isinstance(entry, dict)]
        size = max((end[1] for end in ends if isinstance(end, list) and _two(end)), default=0)
    text = bytearray(json.dumps(header).encode())
    if flipped and text:
        text[flipped[0] % len(text)] = flipped[1]
    return struct.pack("<Q", len(text) if length is None else length) + bytes(text) + bytes(size)


def _two(end: list[Any]) -> bool:
    return len(end) == 2 and type(end[1]) is int and 0 <= end[1] < 1_000


def check(file: Path, raw: bytes) -> None:
    """Read it; what was read is bounded, what was refused is named."""
    file.write_bytes(raw)
    try:
        found = read_header(file)
    except ModelError as error:
        assert str(file) in str(error)  # noqa: PT017 - reading it is as right as refusing it
        assert error.hint  # noqa: PT017
        return
    for name, tensor in found.items():
        assert name.isprintable()
        assert tensor.dtype in BITS
        assert len(tensor.shape) <= MOST_SIDES
    event("read")
    bits = sum(tensor.numbers * BITS[tensor.dtype] for tensor in found.values())
    assert bits <= len(raw) * 8


INVENTED = given(
    header=HEADERS,
    length=st.one_of(st.none(), st.none(), LENGTHS),
    flipped=st.one_of(st.none(), st.tuples(st.integers(0, 400), st.integers(0, 255))),
    size=st.one_of(st.none(), st.sampled_from((0, 4, 8, 64))),
)
FIXTURE = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@settings(max_examples=500, deadline=None, suppress_health_check=FIXTURE)
@INVENTED
def test_an_invented_header_is_read_or_refused(
    header: Any,
    length: int | None,
    flipped: tuple[int, int] | None,
    size: int | None,
    tmp_path: Path,
) -> None:
    check(tmp_path / "x.safetensors", written(header, length, flipped, size))


@pytest.mark.slow
@settings(max_examples=10_000, deadline=None, suppress_health_check=FIXTURE)
@INVENTED
def test_ten_thousand_invented_headers(
    header: Any,
    length: int | None,
    flipped: tuple[int, int] | None,
    size: int | None,
    tmp_path: Path,
) -> None:
    check(tmp_path / "x.safetensors", written(header, length, flipped, size))


def test_a_header_that_is_longer_than_any_real_one_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "x.safetensors"
    with file.open("wb") as opened:
        opened.write(struct.pack("<Q", MAX_HEADER + 1))
        opened.truncate(MAX_HEADER + 100)  # a file without content, however long
    with pytest.raises(ModelError, match="its header claims 100,000,001 bytes"):
        read_header(file)
