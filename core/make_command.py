"""`tunesmith data make`: new rows for a dataset, written by a model here or behind an address."""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace
from pathlib import Path

from pydantic import ValidationError

from core.errors import CoreError
from core.making.endpoint import Endpoint, host_of
from core.making.ledger import part_of
from core.making.make import make
from core.making.order import Made, Order, Prices, Progress
from core.making.sieve import WHY
from core.making.source import Source, open_writer
from core.places import expand
from core.terminal import Terminal, table

EVERY = 1.0
"""Seconds between two lines about the progress."""
_OPTIONS = {
    "rows": "--rows", "shown": "--examples", "per_request": "--per-request",
    "longest": "--max-tokens", "temperature": "--temperature", "max_usd": "--max-usd",
    "max_rows": "--max-rows", "input": "--usd-per-million-input",
    "output": "--usd-per-million-output", "timeout": "--timeout",
}  # fmt: skip
"""What an order calls its parts, and what the terminal calls them."""


def make_options(parser: ArgumentParser) -> None:
    """What is wanted, who writes it, and where it ends."""
    add = parser.add_argument
    add("-o", "--output", required=True, metavar="OUT", help="the new rows, a new .jsonl file")
    add("--rows", type=int, default=100, metavar="N", help="rows that are wanted")
    add("--model", metavar="M", help="a model on this computer: starter, a folder or a Hub id")
    add("--endpoint", metavar="URL", help="a server that speaks like OpenAI's, such as .../v1")
    add("--remote-model", metavar="NAME", help="what the server calls the model")
    add("--examples", type=int, default=3, metavar="N", help="seeds that a request shows")
    add("--per-request", type=int, default=3, metavar="N", help="rows that a request asks for")
    add("--max-tokens", type=int, default=1024, metavar="N", help="tokens of a reply at most")
    add("--temperature", type=float, default=0.8, metavar="T", help="0 is the likeliest text")
    add("--seed", type=int, default=42, metavar="N", help="another draw")
    add("--timeout", type=float, default=120, metavar="S", help="seconds to wait for a server")
    add("--usd-per-million-input", type=float, metavar="USD", help="price of tokens read")
    add("--usd-per-million-output", type=float, metavar="USD", help="price of tokens written")
    add("--max-usd", type=float, metavar="USD", help="spend no more than this")
    add("--max-rows", type=int, metavar="N", help="ask for no more rows, rejected ones included")


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
    try:
        return _order(arguments), Source(
            model=arguments.model or "",
            endpoint=arguments.endpoint or "",
            remote_model=arguments.remote_model or "",
            timeout=arguments.timeout,
        )
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][-1])
        raise CoreError(
            f"{_OPTIONS.get(name, name)}: {first['msg']}.", hint="`tunesmith data make --help`."
        ) from error


def _order(arguments: Namespace) -> Order:
    return Order(
        seeds=expand(arguments.file),
        output=Path(arguments.output),
        rows=arguments.rows,
        format=arguments.format,
        columns=dict(arguments.column),
        shown=arguments.examples,
        per_request=arguments.per_request,
        longest=arguments.max_tokens,
        temperature=arguments.temperature,
        seed=arguments.seed,
        prices=_prices(arguments),
        max_usd=arguments.max_usd,
        max_rows=arguments.max_rows,
    )


def _prices(arguments: Namespace) -> Prices | None:
    asked, said = arguments.usd_per_million_input, arguments.usd_per_million_output
    if asked is None and said is None:
        return None
    if asked is None or said is None:
        raise CoreError(
            "One price is missing.",
            hint="Give both --usd-per-million-input and --usd-per-million-output.",
        )
    return Prices(input=asked, output=said)


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
