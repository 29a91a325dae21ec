"""Several datasets as one: the rows to learn from, and the rows to measure on.

All rows of the first dataset are learned, less the held-out ones. Every further one gives its share
of the whole, drawn by lot, each row at most once. Plan, preview and training all ask here.
"""

from __future__ import annotations

import functools
import hashlib
import heapq
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from core.data_choices import Data, Source
from core.dataset import (
    DataFacts,
    DataFinding,
    Example,
    Heed,
    inspect_data,
    no_heed,
    overlap,
    read_examples,
    split,
    stream_examples,
)
from core.errors import DataError
from core.formats import Message
from core.recipe import Recipe
from core.sizing import heldout_for
from core.value import Value


class Drawn(Value):
    """One dataset of a plan: what was in it, and how much of it is learned."""

    where: str
    """Its place below `data` in the recipe: path, heldout, mix.0, ..., replay."""
    path: str
    format: str
    digest: str
    """SHA-256 of what was read."""
    rows: int
    """Rows that can be used."""
    drawn: int
    """Rows that are learned, or measured on."""
    because: str


class Looked(Value):
    """Facts of every dataset that a recipe names."""

    data: DataFacts | None = None
    heldout: DataFacts | None = None
    further: tuple[DataFacts, ...] = ()
    """In the order of `Data.further`."""


@dataclass(frozen=True)
class Mixture:
    """All rows of a recipe as conversations, and what was found wrong with them."""

    train: list[Example]
    heldout: list[Example]
    findings: list[DataFinding]
    drawn: dict[str, int]
    """Rows drawn of every further dataset, by its place below `data`."""


def look(data: Data, heed: Heed = no_heed) -> Looked:
    """Inspect every dataset that is named. Raises DataError that says which one is at fault."""
    if not data.path:
        return Looked()
    inspect = functools.partial(inspect_data, format=data.format, columns=data.columns, heed=heed)
    first = inspect(Path(data.path))
    kept = inspect(Path(data.heldout)) if data.heldout else None
    further = tuple(_inspect(where, source, heed) for where, source in data.further.items())
    return Looked(data=first, heldout=kept, further=further)


def _inspect(where: str, source: Source, heed: Heed) -> DataFacts:
    with _blamed(where):
        return inspect_data(
            Path(source.path), format=source.format, columns=source.columns, heed=heed
        )


@contextmanager
def _blamed(where: str) -> Iterator[None]:
    """Errors of a further dataset name its place in the recipe."""
    try:
        yield
    except DataError as error:
        problems = [p.model_copy(update={"where": f"data.{where}.path"}) for p in error.problems]
        raise DataError(f"data.{where}: {error}", hint=error.hint, problems=problems) from error


def heldout_rows(data: Data, rows: int) -> int:
    """Rows of the first dataset to set aside; a few less when many share a question."""
    if data.heldout:
        return 0
    if data.heldout_share is None:
        return heldout_for(rows)[0]
    return round(rows * data.heldout_share)


def wanted(data: Data, rows: int) -> dict[str, int]:
    """Rows asked of every further dataset when the first has so many usable rows.

    The shares are of the whole: with 900 rows of the first and a share of 0.1 the whole is 1,000.
    """
    fixed = sum(source.rows or 0 for source in data.further.values())
    shares = sum(source.share for source in data.further.values() if source.rows is None)
    whole = (rows - heldout_rows(data, rows) + fixed) / (1 - shares)
    return {
        where: round(whole * source.share) if source.rows is None else source.rows
        for where, source in data.further.items()
    }


def draws(data: Data, looked: Looked) -> dict[str, int]:
    """Rows that every further dataset really gives."""
    assert looked.data is not None
    asked = wanted(data, looked.data.rows)
    known = zip(asked.items(), looked.further, strict=False)
    return {where: min(count, facts.rows) for (where, count), facts in known}


def shortages(data: Data, looked: Looked) -> Iterator[tuple[str, DataFinding]]:
    """Datasets that are too small for their share, each with its place; no row is repeated."""
    assert looked.data is not None
    asked = wanted(data, looked.data.rows)
    for (where, source), facts in zip(data.further.items(), looked.further, strict=False):
        if finding := _shortage(where, source, asked[where], facts.rows):
            yield where, finding


def _shortage(where: str, source: Source, count: int, rows: int) -> DataFinding | None:
    if count <= rows:
        return None
    return DataFinding(
        code="too_few_rows",
        severity="warning",
        count=count - rows,
        text=f"data.{where} ({Path(source.path).name}) should give {count:,} rows and has "
        f"{rows:,}; each is used once.",
        fix="Lower its share, or add rows to it.",
    )


def read(recipe: Recipe) -> Mixture:
    """Rows to learn from and rows to measure on, the same for the same seed. Raises DataError."""
    data, seed = recipe.data, recipe.training.seed
    examples, found = read_examples(Path(data.path), format=data.format, columns=data.columns)
    findings, total = list(found), len(examples)
    if data.heldout:
        kept, more = read_examples(Path(data.heldout), format=data.format, columns=data.columns)
        findings += more
    else:
        examples, kept = split(examples, heldout_rows(data, total), seed)
    drawn: dict[str, int] = {}
    mixed = list(examples)
    for where, count in wanted(data, total).items():
        rows, notes = _draw(where, data.further[where], count, seed)
        findings += notes
        drawn[where] = len(rows)
        mixed += rows
    findings += overlap(mixed[len(examples) :], kept)
    return Mixture(mixed, kept, findings, drawn)


def _draw(
    where: str, source: Source, count: int, seed: int
) -> tuple[list[Example], list[DataFinding]]:
    """Some rows of a dataset in file order; no more of them are kept in memory than are drawn."""
    name = Path(source.path).name
    with _blamed(where):
        stream = stream_examples(Path(source.path), format=source.format, columns=source.columns)
        lots = ((_lot(seed, example.messages), example.line, example) for example in stream)
        chosen = heapq.nsmallest(count, lots, key=lambda entry: entry[:2])
        findings = list(stream.findings())
    short = _shortage(where, source, count, stream.rows)
    rows = sorted((example for _, _, example in chosen), key=lambda example: example.line)
    return [replace(row, source=name) for row in rows], findings + ([short] if short else [])


def _lot(seed: int, messages: list[Message]) -> bytes:
    """Chance that depends on nothing but the seed and what is said."""
    said = "\0".join(f"{message['role']}:{message['content']}" for message in messages)
    text = f"{seed}:{said}".encode(errors="surrogatepass")
    return hashlib.blake2b(text, digest_size=16).digest()


def table(data: Data, looked: Looked) -> Iterator[Drawn]:
    """Every dataset of a plan with its hash and the number of rows drawn."""
    assert looked.data is not None
    kept = heldout_rows(data, looked.data.rows)
    rest = "all rows" if data.heldout or not kept else "all rows but those held out"
    yield _drawn("path", looked.data, looked.data.rows - kept, rest)
    if looked.heldout is not None:
        yield _drawn("heldout", looked.heldout, looked.heldout.rows, "to measure on")
    asked, counts = wanted(data, looked.data.rows), draws(data, looked)
    for (where, source), facts in zip(data.further.items(), looked.further, strict=False):
        because = _reason(where, source, short=asked[where] > facts.rows)
        yield _drawn(where, facts, counts[where], because)


def _drawn(where: str, facts: DataFacts, count: int, because: str) -> Drawn:
    return Drawn(
        where=where,
        path=str(facts.path),
        format=facts.format,
        digest=facts.digest,
        rows=facts.rows,
        drawn=count,
        because=because,
    )


def _reason(where: str, source: Source, *, short: bool) -> str:
    much = f"{source.share * 100:g} % of the whole"
    if source.rows is not None:
        much = "a number of rows"
    if short:
        much = f"all it has; asked for: {source.rows or much}"
    return f"{much}, so that the model does not forget" if where == "replay" else much
