"""PyTorch's caching allocator, replayed on a list of what was allocated and freed. No torch.

Source of every rule and constant: c10/cuda/CUDACachingAllocator.cpp and CUDAAllocatorConfig.h of
PyTorch 2.13 (native backend, one stream, default settings). Sizes are bytes.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

MIB = 1 << 20
MIN_BLOCK = 512
"""kMinBlockSize: every request is rounded up to a multiple of it."""
SMALL_SIZE = MIB
"""kSmallSize: requests up to this come from the pool of small blocks."""
SMALL_SEGMENT = 2 * MIB
"""kSmallBuffer: small blocks are cut from segments of this size."""
LARGE_SEGMENT = 20 * MIB
"""kLargeBuffer: requests below MIN_LARGE are cut from segments of this size."""
MIN_LARGE = 10 * MIB
"""kMinLargeAlloc: from here a request gets a segment of its own, rounded to ROUND_LARGE."""
ROUND_LARGE = 2 * MIB
TIMELINE_POINTS = 400
EMPTY_CACHE = -1
"""As the number of an event: torch.cuda.empty_cache()."""


class OutOfMemory(Exception):
    """The capacity is not enough, even after unused segments were given back."""


@dataclass(frozen=True, slots=True)
class Event:
    """Tensor memory number `number` is allocated, or freed when `size` is 0."""

    number: int
    size: int = 0


def round_up(size: int, step: int) -> int:
    """The next multiple of `step`."""
    return -(-size // step) * step


def rounded(size: int) -> int:
    """What a request really takes: at least one smallest block."""
    return max(MIN_BLOCK, round_up(size, MIN_BLOCK))


def _segment_for(size: int) -> int:
    if size <= SMALL_SIZE:
        return SMALL_SEGMENT
    return LARGE_SEGMENT if size < MIN_LARGE else round_up(size, ROUND_LARGE)


@dataclass(slots=True, eq=False)
class Block:
    """A stretch of a segment, linked to its neighbours in the same segment."""

    address: int
    size: int
    pool: Pool
    free: bool = False
    before: Block | None = None
    after: Block | None = None


@dataclass(slots=True, eq=False)
class Pool:
    """The free blocks of one kind, smallest first and lowest address first among equals."""

    small: bool
    free: list[tuple[int, int, Block]] = field(default_factory=list)
    last: Block | None = None
    """Expandable segments: the block that can grow, at the end of the only segment."""

    def put(self, block: Block) -> None:
        """Offer a block."""
        block.free = True
        bisect.insort(self.free, (block.size, block.address, block), key=lambda entry: entry[:2])

    def take(self, block: Block) -> Block:
        """Withdraw a block that was offered."""
        del self.free[self._position(block.size, block.address)]
        block.free = False
        return block

    def best_fit(self, size: int) -> Block | None:
        """The smallest free block that is large enough; one that can grow only as the last."""
        place = self._position(size, 0)
        found = [block for _, _, block in self.free[place : place + 2]]
        if len(found) == 2 and found[0] is self.last and found[0].before is not None:
            return found[1]
        return found[0] if found else None

    def _position(self, size: int, address: int) -> int:
        return bisect.bisect_left(self.free, (size, address), key=lambda entry: entry[:2])


class CachingAllocator:
    """Hands out blocks as the CUDA allocator of PyTorch would."""

    def __init__(self, *, expandable: bool = False, capacity: int | None = None) -> None:
        self.expandable = expandable
        self.capacity = capacity
        self.allocated = self.reserved = 0
        self.peak_allocated = self.peak_reserved = 0
        self.retries = 0
        """How often unused segments were given back because the capacity was reached."""
        self._pools = Pool(small=False), Pool(small=True)
        self._next_address = 0

    def malloc(self, size: int) -> Block:
        """A block for `size` bytes. Raises OutOfMemory."""
        size = rounded(size)
        pool = self._pools[size <= SMALL_SIZE]
        found = pool.best_fit(size)
        block = pool.take(found) if found else self._grow(pool, size)
        self._split(block, size)
        self.allocated += block.size
        self.peak_allocated = max(self.peak_allocated, self.allocated)
        return block

    def free(self, block: Block) -> None:
        """Take a block back and join it with free neighbours."""
        self.allocated -= block.size
        if block.before is not None and block.before.free:
            block = self._join(block.pool.take(block.before), block)
        if block.after is not None and block.after.free:
            block = self._join(block, block.pool.take(block.after))
        block.pool.put(block)

    def empty_cache(self) -> None:
        """Give whole free segments back to the driver.

        Of an expandable segment only free pages at its end are given back here; the real one also
        unmaps pages in the middle.
        """
        for pool in self._pools:
            for _, _, block in list(pool.free):
                if self.expandable:
                    self._unmap(block)
                elif block.before is None and block.after is None:
                    pool.take(block)
                    self.reserved -= block.size

    def _unmap(self, block: Block) -> None:
        pool = block.pool
        if pool.last is not block:
            return
        page = SMALL_SEGMENT if pool.small else LARGE_SEGMENT
        begin = round_up(block.address, page)
        gone = block.address + block.size - begin
        if gone <= 0:
            return
        pool.take(block)
        self.reserved -= gone
        block.size -= gone
        if block.size:
            pool.put(block)
            return
        pool.last = block.before
        if block.before is not None:
            block.before.after = None

    def _split(self, block: Block, size: int) -> None:
        """Offer what is left over; of a large block only when more than kSmallSize is left."""
        rest = block.size - size
        fine = block.pool.small or self.expandable
        if rest < MIN_BLOCK or (not fine and rest <= SMALL_SIZE):
            return
        tail = Block(block.address + size, rest, block.pool, before=block, after=block.after)
        if block.after is not None:
            block.after.before = tail
        block.after, block.size = tail, size
        if block.pool.last is block:
            block.pool.last = tail
        block.pool.put(tail)

    def _join(self, first: Block, second: Block) -> Block:
        first.size += second.size
        first.after = second.after
        if second.after is not None:
            second.after.before = first
        if first.pool.last is second:
            first.pool.last = first
        return first

    def _grow(self, pool: Pool, size: int) -> Block:
        if self.expandable:
            return self._expand(pool, size)
        wanted = _segment_for(size)
        self._reserve(lambda: wanted)
        block = Block(self._next_address, wanted, pool)
        self._next_address += wanted + ROUND_LARGE  # segments never touch, so they never join
        return block

    def _expand(self, pool: Pool, size: int) -> Block:
        """Map more pages behind the only segment of a pool, using a free end first."""
        page = SMALL_SEGMENT if pool.small else LARGE_SEGMENT

        def missing() -> int:
            return round_up(size - (pool.last.size if pool.last and pool.last.free else 0), page)

        added = self._reserve(missing)
        last = pool.last
        if last is not None and last.free:
            pool.take(last).size += added
            return last
        address = last.address + last.size if last else 0
        pool.last = Block(address, added, pool, before=last)
        if last is not None:
            last.after = pool.last
        return pool.last

    def _reserve(self, wanted: Callable[[], int]) -> int:
        """Account for new memory from the driver; on failure give back what is unused, once."""
        if self.capacity is not None and self.reserved + wanted() > self.capacity:
            self.retries += 1
            self.empty_cache()
            if self.reserved + wanted() > self.capacity:
                raise OutOfMemory(f"{wanted():,} bytes more than {self.reserved:,} were needed")
        size = wanted()
        self.reserved += size
        self.peak_reserved = max(self.peak_reserved, self.reserved)
        return size


@dataclass(frozen=True)
class Replay:
    """What the allocator would have reported."""

    peak_allocated: int
    peak_reserved: int
    left: int
    """Bytes still allocated at the end."""
    moment: int
    """Index of the event at which most was allocated, the first one of equals."""
    live: tuple[int, ...]
    """Numbers of what was allocated at that moment, in order of allocation."""
    timeline: tuple[tuple[int, int], ...]
    """Event index and allocated bytes; the highest of every stretch of events."""
    retries: int = 0


def replay(
    events: Sequence[Event], *, expandable: bool = False, capacity: int | None = None
) -> Replay:
    """Run events through a fresh allocator. Raises OutOfMemory when `capacity` is not enough."""
    allocator = CachingAllocator(expandable=expandable, capacity=capacity)
    levels = list(_levels(events, allocator))
    moment = max(range(len(levels)), key=levels.__getitem__, default=0)
    return Replay(
        peak_allocated=allocator.peak_allocated,
        peak_reserved=allocator.peak_reserved,
        left=allocator.allocated,
        moment=moment,
        live=_live(events[: moment + 1]),
        timeline=tuple(thinned(levels, TIMELINE_POINTS)),
        retries=allocator.retries,
    )


def _levels(events: Iterable[Event], allocator: CachingAllocator) -> Iterator[int]:
    """Allocated bytes after each event."""
    blocks: dict[int, Block] = {}
    for event in events:
        if event.number == EMPTY_CACHE:
            allocator.empty_cache()
        elif event.size:
            blocks[event.number] = allocator.malloc(event.size)
        else:
            allocator.free(blocks.pop(event.number))
        yield allocator.allocated


def _live(events: Iterable[Event]) -> tuple[int, ...]:
    live: dict[int, None] = {}
    for event in events:
        if event.size:
            live[event.number] = None
        else:
            live.pop(event.number, None)
    return tuple(live)


def thinned(levels: Sequence[int], points: int) -> Iterator[tuple[int, int]]:
    """At most `points` of them: the highest of every stretch, so that no peak is lost."""
    stride = max(1, -(-len(levels) // points))
    for begin in range(0, len(levels), stride):
        stretch = range(begin, min(begin + stride, len(levels)))
        index = max(stretch, key=levels.__getitem__)
        yield index, levels[index]


def smallest_capacity(
    events: Sequence[Event], *, expandable: bool = False, step: int = 32 * MIB
) -> int:
    """Least bytes of a card, within `step`, on which the events run through, by bisection."""
    free = replay(events, expandable=expandable)
    low, high = free.peak_allocated, free.peak_reserved
    while high - low > step:
        middle = (low + high) // 2
        try:
            replay(events, expandable=expandable, capacity=middle)
            high = middle
        except OutOfMemory:
            low = middle
    return high
