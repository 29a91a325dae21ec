"""`tunesmith data make`: new rows for a dataset, written by a model here or behind an address."""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace
from pathlib import Path

from pydantic import ValidationError

from core.errors import CoreError
from core.making.endpoint import Endpoint
from core.making.keys import host_of
from core.making.ledger import part_of
from core.making.make import make
from core.making.order import Made, Order, Progress
from core.making.sieve import WHY
from core.making.source import Source, open_writer
from core.places import expand
from core.terminal import Terminal, table

EVERY = 1.0
"""Seconds between two lines about the progress."""
_ORDER = (
    "rows", "examples", "per_request", "max_tokens", "temperature", "seed",
    "usd_per_million_input", "usd_per_million_output", "max_usd", "max_rows",
)  # fmt: skip
_SOURCE = ("model", "endpoint", "remote_model", "timeout")


def make_options(parser: ArgumentParser) -> None:
    """What is wanted, who writes it, and where it ends, in the words of the order itself."""
    parser.add_argument(
        "-o", "--output", required=True, metavar="OUT", help="the new rows, a new .jsonl file"
    )
    for value, names in ((Source, _SOURCE), (Order, _ORDER)):
        for name in names:
            field = value.model_fields[name]
            about = f"{field.title}. {field.description}".replace("%", "%%")
            parser.add_argument(f"--{name.replace('_', '-')}", help=about)


def make_rows(arguments: Namespace, terminal: Terminal) -> int:
    """Make rows; Ctrl-C keeps what is there."""
    order, source = _asked(arguments)
    writer, teller = open_writer(source, order), _Teller(terminal)
    if isinstance(writer, Endpoint) and writer.key.secret:
        terminal.say(f"The key from {writer.key.origin} goes to {host_of(source.endpoint)}.")
    try:
        made = make(order, writer, teller)
    except (CoreError, KeyboardInterrupt):
        if teller.began:
            _tell_kept(order, terminal)
        raise
    for line in _lines(made, order):
        terminal.say(line)
    for warning in made.warnings:
        terminal.note(f"warning: {warning}")
    terminal.answer(made.model_dump(mode="json"))
    return 0


def _asked(arguments: Namespace) -> tuple[Order, Source]:
    """What is ordered, and of whom."""
    given = {name: held for name, held in vars(arguments).items() if held is not None}
    files = {
        "seeds": expand(arguments.file),
        "output": Path(arguments.output),
        "format": arguments.format,
        "columns": dict(arguments.column),
    }
    try:
        order = Order(**files, **{name: given[name] for name in _ORDER if name in given})
        return order, Source(**{name: given[name] for name in _SOURCE if name in given})
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][-1]).replace("_", "-")
        raise CoreError(
            f"--{name}: {first['msg']}.", hint="`tunesmith data make --help` helps."
        ) from error


class _Teller:
    """Says how far the work is, not more often than people read."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal, self._last = terminal, 0.0
        self.began = False

    def __call__(self, progress: Progress) -> None:
        self.began = True
        now = time.monotonic()
        if now - self._last >= EVERY:
            self._last = now
            self._terminal.say(f"{progress}.")


def _tell_kept(order: Order, terminal: Terminal) -> None:
    part = part_of(order.output)
    if part.is_file() and part.stat().st_size:
        terminal.note(f"What was made so far is in {part}; the same command goes on.")


def _lines(made: Made, order: Order) -> list[str]:
    cost = "" if made.usd is None else f" It cost {made.usd:,.4f} USD."
    lines = [f"{made.rows:,} of {order.rows:,} rows kept, {made.asked:,} asked for.{cost}"]
    if made.outcome == "limit":
        lines.append("A limit ended the work; the same command with a higher one goes on.")
    if made.rejected:
        lines.append("Rejected:")
        counts = sorted(made.rejected.items(), key=lambda entry: -entry[1])
        lines.append(table([(f"{count:,}", WHY[code]) for code, count in counts]))
    return [*lines, f"Rows: {made.output}", f"Provenance: {made.provenance}"]
