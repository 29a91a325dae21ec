"""The replayed allocator against cases worked by hand, and against what must always hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.memory.allocator import (
    EMPTY_CACHE,
    LARGE_SEGMENT,
    MIB,
    CachingAllocator,
    Event,
    OutOfMemory,
    replay,
    rounded,
    smallest_capacity,
    thinned,
)


def taken(*sizes: int) -> list[Event]:
    """Allocations that stay."""
    return [Event(number, size) for number, size in enumerate(sizes)]


@pytest.mark.parametrize(
    ("size", "block", "segment"),
    [
        (1, 512, 2 * MIB),
        (512, 512, 2 * MIB),
        (513, 1024, 2 * MIB),
        (MIB, MIB, 2 * MIB),
        (MIB + 512, MIB + 512, 20 * MIB),
        (10 * MIB - 512, 10 * MIB - 512, 20 * MIB),
        (10 * MIB, 10 * MIB, 10 * MIB),
        (11 * MIB, 11 * MIB, 12 * MIB),
        (27 * MIB + 1, 27 * MIB + 512, 28 * MIB),
    ],
)
def test_one_block_and_its_segment(size: int, block: int, segment: int) -> None:
    """The last but one keeps its whole segment: only 1 MiB would be left over, which stays."""
    found = replay(taken(size))
    assert rounded(size) == block
    assert found.peak_reserved == segment
    left_over = segment - block
    split = segment == 2 * MIB or left_over > MIB
    assert found.peak_allocated == (block if split else segment)


def test_small_blocks_share_a_segment_and_large_ones_another() -> None:
    assert replay(taken(512, 512 * 1024, MIB)).peak_reserved == 2 * MIB
    assert replay(taken(MIB, MIB, 512)).peak_reserved == 4 * MIB
    assert replay(taken(8 * MIB, 8 * MIB, 512)).peak_reserved == 22 * MIB
    assert replay(taken(8 * MIB, 8 * MIB, 8 * MIB)).peak_reserved == 40 * MIB


def test_the_smallest_block_that_fits_is_taken() -> None:
    """Freed 40 and 30 MiB, then 29: out of the 30, so that 40 still fit without a new segment."""
    events = [*taken(40 * MIB, 30 * MIB), Event(0), Event(1), Event(2, 29 * MIB + 512)]
    found = replay([*events, Event(3, 40 * MIB)])
    assert found.peak_reserved == 70 * MIB
    assert found.left == 70 * MIB, "less than 1 MiB left over is not split off"


def test_neighbours_are_joined_whichever_goes_first() -> None:
    for order in ((0, 1, 2), (2, 1, 0), (0, 2, 1), (1, 0, 2)):
        events = [Event(9, 60 * MIB), Event(9), *taken(20 * MIB, 20 * MIB, 20 * MIB)]
        events += [Event(number) for number in order] + [Event(8, 60 * MIB)]
        assert replay(events).peak_reserved == 60 * MIB, order


def test_a_hole_between_segments_is_not_joined() -> None:
    events = [*taken(20 * MIB, 20 * MIB), Event(0), Event(1), Event(2, 40 * MIB)]
    assert replay(events).peak_reserved == 80 * MIB
    assert replay(events, expandable=True).peak_reserved == 40 * MIB


def test_an_expandable_segment_grows_by_pages() -> None:
    assert replay(taken(27 * MIB), expandable=True).peak_reserved == 2 * LARGE_SEGMENT
    assert replay(taken(27 * MIB, 13 * MIB), expandable=True).peak_reserved == 2 * LARGE_SEGMENT
    assert replay(taken(3 * 512), expandable=True).peak_reserved == 2 * MIB


def test_unused_segments_are_given_back_before_memory_runs_out() -> None:
    events = [*taken(40 * MIB), Event(0), Event(1, 60 * MIB)]
    assert replay(events).peak_reserved == 100 * MIB
    limited = replay(events, capacity=64 * MIB)
    assert (limited.peak_reserved, limited.retries) == (60 * MIB, 1)
    with pytest.raises(OutOfMemory, match="62,914,560 bytes more than 0"):
        replay(events, capacity=59 * MIB)


def test_a_segment_in_use_cannot_be_given_back() -> None:
    events = [Event(9, 40 * MIB), Event(9), *taken(5 * MIB), Event(1, 60 * MIB)]
    with pytest.raises(OutOfMemory):
        replay(events, capacity=90 * MIB)
    assert replay(events, capacity=100 * MIB).retries == 0


def test_the_cache_is_emptied_when_asked() -> None:
    events = [*taken(40 * MIB), Event(0), Event(EMPTY_CACHE), Event(1, 60 * MIB)]
    assert replay(events).peak_reserved == 60 * MIB
    assert replay(events, expandable=True).peak_reserved == 60 * MIB


def test_the_moment_of_the_peak_and_who_lived_then() -> None:
    events = [*taken(2 * MIB, 4 * MIB), Event(0), Event(2, 8 * MIB), Event(1), Event(3, 512)]
    found = replay(events)
    assert found.moment == 3
    assert found.live == (1, 2)
    assert found.peak_allocated == 12 * MIB
    assert [size for _, size in found.timeline] == [
        2 * MIB, 6 * MIB, 4 * MIB, 12 * MIB, 8 * MIB, 8 * MIB + 512,
    ]  # fmt: skip


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=300), st.integers(1, 50))
def test_a_thinned_timeline_keeps_its_peak(levels: list[int], points: int) -> None:
    kept = list(thinned(levels, points))
    assert len(kept) <= points
    assert max(size for _, size in kept) == max(levels)
    assert all(levels[index] == size for index, size in kept)


SIZES = st.one_of(
    st.integers(1, 4096),
    st.integers(1, 3 * MIB),
    st.integers(MIB, 40 * MIB),
    st.sampled_from([512, MIB, MIB + 1, 10 * MIB - 1, 10 * MIB]),
)


@st.composite
def stories(draw: st.DrawFn) -> list[Event]:
    """Allocations and frees in any order."""
    events: list[Event] = []
    live: list[int] = []
    for number in range(draw(st.integers(1, 60))):
        if live and draw(st.booleans()):
            events.append(Event(live.pop(draw(st.integers(0, len(live) - 1)))))
        else:
            events.append(Event(number, draw(SIZES)))
            live.append(number)
    return events


def ended(events: list[Event]) -> list[Event]:
    """The same story with everything freed at the end."""
    live = [event.number for event in events if event.size]
    gone = {event.number for event in events if not event.size}
    return [*events, *(Event(number) for number in live if number not in gone)]


@given(stories(), st.booleans())
def test_what_is_allocated_is_reserved(events: list[Event], expandable: bool) -> None:
    found = replay(events, expandable=expandable)
    asked = {event.number: rounded(event.size) for event in events if event.size}
    assert found.peak_allocated <= found.peak_reserved
    assert sum(asked[number] for number in found.live) <= found.peak_allocated
    slack = 0 if expandable else MIB * len(found.live)
    assert found.peak_allocated <= sum(asked[number] for number in found.live) + slack


@given(stories(), st.booleans())
def test_freeing_everything_leaves_nothing(events: list[Event], expandable: bool) -> None:
    allocator = CachingAllocator(expandable=expandable)
    blocks = {}
    for event in ended(events):
        if event.size:
            blocks[event.number] = allocator.malloc(event.size)
        else:
            allocator.free(blocks.pop(event.number))
    assert allocator.allocated == 0
    allocator.empty_cache()
    assert allocator.reserved == 0, "blocks that were split have been joined again"


@given(st.lists(SIZES, min_size=1, max_size=30), st.randoms())
def test_what_only_grows_does_not_depend_on_order(sizes: list[int], random: object) -> None:
    """Exact in expandable segments, where nothing is left over between blocks."""
    shuffled = list(sizes)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    first = replay(taken(*sizes), expandable=True)
    second = replay(taken(*shuffled), expandable=True)
    assert first.peak_allocated == second.peak_allocated == sum(map(rounded, sizes))
    assert first.peak_reserved == second.peak_reserved


@given(stories())
def test_one_growing_segment_wastes_less_than_a_page(events: list[Event]) -> None:
    """While nothing is freed; afterwards holes may be anywhere."""
    grown = [event for event in events if event.size]
    found = replay(grown, expandable=True)
    assert found.peak_reserved < found.peak_allocated + LARGE_SEGMENT + 2 * MIB


@given(stories(), st.booleans())
def test_enough_capacity_changes_nothing(events: list[Event], expandable: bool) -> None:
    free = replay(events, expandable=expandable)
    limited = replay(events, expandable=expandable, capacity=free.peak_reserved)
    assert limited == free


@given(stories(), st.booleans())
def test_the_smallest_capacity_is_enough(events: list[Event], expandable: bool) -> None:
    free = replay(events, expandable=expandable)
    least = smallest_capacity(events, expandable=expandable)
    assert free.peak_allocated <= least <= free.peak_reserved
    assert replay(events, expandable=expandable, capacity=least).peak_reserved <= least
