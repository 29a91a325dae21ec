"""Make rows: ask, judge, keep, until enough are there or a limit is reached."""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime
from math import ceil
from pathlib import Path
from typing import Any

from core import __version__
from core.checkup import examine
from core.doctor import Synthetic
from core.errors import CoreError, DataError, EndpointError
from core.jsonl import whole_text, write_record
from core.making.ledger import Ledger, opened, record_of
from core.making.order import Heed, Made, Order, Progress, Prompt, Reply, Writer
from core.making.prompts import Seeds, digest_of_prompts, open_seeds
from core.making.sieve import NOT_NEEDED, WHY, Sieve
from core.mending import clip
from core.places import expand
from core.value import Value


class _Enough(Exception):
    """The last reply was the last one that is wanted."""


class Provenance(Value):
    """How rows came to be, beside them."""

    generator: str
    model: str
    settings: dict[str, Any]
    prompts_sha256: str
    seeds: str
    seeds_sha256: str
    output_sha256: str
    began: str
    ended: str
    tunesmith: str
    made: Made


def make(order: Order, writer: Writer, heed: Heed = lambda _: None) -> Made:
    """Write the rows of an order and their provenance; go on where an earlier call ended.

    Whatever ends it before, what was made so far is kept. Raises CoreError.
    """
    order = order.model_copy(update={"output": order.output.expanduser().absolute()})
    _refuse_unusable(order)
    found = examine(
        order.seeds, format=order.format, columns=order.columns, checks=(Synthetic,)
    ).facts
    seeds = open_seeds(order, found)
    doubts = tuple(f"Seeds: {p.text}" for p in found.problems if p.code == Synthetic.code)
    settings = _settings(order, writer, found.digest)
    with opened(order.output, settings) as ledger:
        work = _Work(order, writer, seeds, ledger, heed)
        work.go_on()
        if not ledger.rows:
            ledger.forget()
            raise _nothing(order, ledger, writer, work.useless)
        return _finish(order, writer, ledger, (*seeds.warnings, *doubts))


def _refuse_unusable(order: Order) -> None:
    if order.output.suffix.lower() != ".jsonl":
        raise DataError(f"{order.output} does not end in .jsonl.", hint="Rows are written as that.")
    if not order.output.parent.is_dir():
        raise DataError(f"There is no folder {order.output.parent}.", hint="Make it first.")
    _refuse_unknown_cost(order)


def _refuse_unknown_cost(order: Order) -> None:
    prices = (order.usd_per_million_input, order.usd_per_million_output)
    if None in prices and (order.max_usd is not None or prices != (None, None)):
        raise CoreError(
            "The cost needs both prices, of tokens read and of tokens written.",
            hint="Give --usd-per-million-input and --usd-per-million-output.",
        )


def _settings(order: Order, writer: Writer, digest: str) -> dict[str, Any]:
    """What the rows depend on; a later call must have the same."""
    names = {"format", "columns", "examples", "per_request", "max_tokens", "temperature", "seed"}
    kept = order.model_dump(mode="json", include=names)
    return {"model": writer.name, "seeds": digest, **kept, "prompts": digest_of_prompts()}


class _Work:
    """Requests and their replies, one after the other."""

    def __init__(
        self, order: Order, writer: Writer, seeds: Seeds, ledger: Ledger, heed: Heed
    ) -> None:
        self._order, self._writer, self._seeds, self._ledger = order, writer, seeds, ledger
        self._heed = heed
        self._sieve = Sieve(seeds, order.seeds, ledger.rows)
        self._waiting: deque[Prompt] = deque()
        self.useless = ""
        """A reply of which no row was kept."""

    def go_on(self) -> None:
        """Ask until there is enough."""
        self._heed(progress_of(self._order, self._ledger))
        try:
            self._stop_at_limits()
            while True:
                prompts = self._next_prompts()
                self._waiting = deque(prompts)
                self._writer.write(prompts, self._take)
        except _Enough:
            return

    def _next_prompts(self) -> list[Prompt]:
        done = self._ledger.tally.requests
        left = ceil(self._order.most / self._order.per_request) - done
        numbers = range(done, done + min(self._writer.at_once, left))
        return [self._seeds.prompt(number) for number in numbers]

    def _take(self, reply: Reply) -> None:
        rows, rejected = self._sieve.judge(self._waiting.popleft(), reply.text)
        if not rows:
            self.useless = reply.text
        room = self._order.rows - len(self._ledger.rows)
        rejected[NOT_NEEDED] += len(rows[room:])
        self._ledger.add(rows[:room], self._ledger.tally.after(reply, +rejected))
        self._heed(progress_of(self._order, self._ledger))
        self._stop_at_limits()

    def _stop_at_limits(self) -> None:
        order, ledger = self._order, self._ledger
        if len(ledger.rows) >= order.rows or asked(order, ledger) >= order.most:
            raise _Enough
        if order.max_usd is None:
            return
        if ledger.tally.uncounted:
            raise EndpointError(
                f"{self._writer.name} does not tell how many tokens it used, so that no limit in "
                "US dollars can be kept.",
                hint="Go on without --max-usd; --max-rows limits the work too.",
            )
        tally, (asked_more, said_more) = ledger.tally, ledger.tally.largest
        cost = order.cost(tally.input_tokens + asked_more, tally.output_tokens + said_more)
        if cost is not None and cost > order.max_usd:
            raise _Enough  # one more like the largest so far could go beyond


def asked(order: Order, ledger: Ledger) -> int:
    """Rows asked for so far."""
    return ledger.tally.requests * order.per_request


def progress_of(order: Order, ledger: Ledger) -> Progress:
    """How far the work is."""
    return Progress(
        wanted=order.rows,
        kept=len(ledger.rows),
        asked=asked(order, ledger),
        rejected=sum(ledger.tally.rejected.values()),
        usd=_usd(order, ledger),
    )


def _usd(order: Order, ledger: Ledger) -> float | None:
    """What was spent; None where nobody knows."""
    tally = ledger.tally
    return None if tally.uncounted else order.cost(tally.input_tokens, tally.output_tokens)


def _finish(order: Order, writer: Writer, ledger: Ledger, warnings: tuple[str, ...]) -> Made:
    whole, tally = len(ledger.rows) >= order.rows, ledger.tally
    made = Made(
        output=str(order.output),
        provenance=str(record_of(order.output)),
        outcome="finished" if whole else "limit",
        rows=len(ledger.rows),
        asked=asked(order, ledger),
        requests=tally.requests,
        rejected=tally.rejected,
        input_tokens=None if tally.uncounted else tally.input_tokens,
        output_tokens=None if tally.uncounted else tally.output_tokens,
        usd=_usd(order, ledger),
        warnings=warnings,
    )
    _record(order, writer, ledger, made)
    ledger.publish(whole=whole)
    return made


def _record(order: Order, writer: Writer, ledger: Ledger, made: Made) -> None:
    settings = dict(ledger.tally.settings)
    record = Provenance(
        generator=writer.kind,
        model=settings.pop("model"),
        prompts_sha256=settings.pop("prompts"),
        seeds=str(expand(order.seeds).expanduser().absolute()),
        seeds_sha256=settings.pop("seeds"),
        settings=settings,
        output_sha256=ledger.seal(),
        began=ledger.tally.began,
        ended=datetime.now(UTC).isoformat(timespec="seconds"),
        tunesmith=__version__,
        made=made,
    )
    write_record(Path(made.provenance), record.model_dump_json(indent=1) + "\n")


def _nothing(order: Order, ledger: Ledger, writer: Writer, said: str) -> DataError:
    usd = _usd(order, ledger)
    cost = "" if usd is None else f" It cost {usd:,.4f} USD."
    reasons = "; ".join(
        f"{count:,} {WHY.get(code, code)}" for code, count in ledger.tally.rejected.items()
    )
    return DataError(
        f"None of the {asked(order, ledger):,} rows asked of {writer.name} can be used: "
        f"{reasons or 'it said nothing'}.{cost} It said for instance: {clip(whole_text(said))!r}",
        hint="Try a larger model that follows instructions, or better seeds.",
    )
