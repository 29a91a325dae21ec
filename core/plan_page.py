"""A plan to hand on: a page that needs nothing else, and tables for a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from html import escape

from core import __version__
from core.memory.choice import Option
from core.numbers import percent, show_bytes, show_count, show_duration
from core.plan import Plan
from core.plan_text import MILLION, SPEED_BAND, called, doubt, priced, verdict_line
from core.recipe import Recipe
from core.redaction import redact

COLOURS = ("#2a78d6", "#d97706", "#0d9f6e", "#b3408f", "#6d5bd0", "#0e8a9c", "#8a6d1f", "#7a7f87")
_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 56rem; margin: 2rem auto;
  padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0; } h2 { font-size: 1.1rem; margin-top: 2rem; }
.bar { display: flex; height: 1.6rem; border: 1px solid #8888; border-radius: 4px;
  overflow: hidden; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .25rem .75rem .25rem 0; border-bottom: 1px solid #8884; }
.number { text-align: right; font-variant-numeric: tabular-nums; }
.swatch { display: inline-block; width: .8rem; height: .8rem; border-radius: 2px; }
.muted { opacity: .7; }
"""


_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def items_csv(plan: Plan) -> str:
    """The memory bill: item, bytes, note."""
    rows = [(item.name, item.bytes, item.note) for item in plan.items]
    return _csv(("item", "bytes", "note"), [*rows, ("Total", plan.needed, "")])


def gpus_csv(options: Sequence[Option], tokens: int | None) -> str:
    """GPUs with verdict, time and money."""
    heads = (
        "gpu", "count", "sharding", "verdict", "vram_bytes", "needed_bytes", "headroom_bytes",
        "hours", "usd_low", "usd_high", "tokens",
    )  # fmt: skip
    return _csv(heads, [(
        o.name, o.count, o.sharding, o.fits, o.vram_bytes, o.needed_bytes, o.headroom_bytes,
        *(f"{value:.4g}" for value in priced(o, tokens)), tokens or MILLION,
    ) for o in options])  # fmt: skip


def _csv(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(heads)
    writer.writerows([[_cell(cell) for cell in row] for row in rows])
    return redact(text.getvalue())


def _cell(cell: object) -> object:
    """A spreadsheet takes what begins like this for a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell


def page(recipe: Recipe, plan: Plan, options: Sequence[Option]) -> str:
    """The plan as one HTML file without scripts, pictures or anything from elsewhere."""
    title = f"{escape(recipe.model)}, {escape(recipe.adaptation.title)}"
    parts = (*_memory(plan), *_choices(plan), *_gpus(options, plan.tokens), *_recipe(recipe))
    return redact(
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style></head>\n<body>\n<h1>{title}</h1>\n" + "\n".join(parts) +
        f'\n<p class="muted">Made by Tunesmith {__version__}.</p>\n</body></html>\n'
    )  # fmt: skip


def _memory(plan: Plan) -> Iterator[str]:
    bill = plan.bill
    if bill is None:
        return
    yield (
        f"<p>{show_bytes(plan.needed)} of {show_bytes(plan.limit)}, {escape(plan.device)}; "
        f"{bill.method}, {escape(doubt(bill))}.<br><strong>{escape(verdict_line(plan))}"
        "</strong></p>"
    )
    whole = max(plan.needed, plan.limit)
    yield f'<div class="bar">{"".join(_segments(plan, whole))}</div>'
    yield "<h2>Memory of one training step</h2><table>"
    for number, item in enumerate(plan.items):
        yield _row(f"{_swatch(number)} {escape(item.name)}", escape(item.note),
                   number=show_bytes(item.bytes))  # fmt: skip
    yield "</table>"


def _segments(plan: Plan, whole: int) -> Iterator[str]:
    for number, item in enumerate(plan.items):
        colour = COLOURS[number % len(COLOURS)]
        words = escape(f"{item.name}: {show_bytes(item.bytes)}", quote=True)
        share = 100 * item.bytes / whole
        yield f'<div style="width:{share:.3f}%;background:{colour}" title="{words}"></div>'


def _swatch(number: int) -> str:
    return f'<span class="swatch" style="background:{COLOURS[number % len(COLOURS)]}"></span>'


def _choices(plan: Plan) -> Iterator[str]:
    if plan.decisions:
        yield "<h2>Chosen automatically</h2><table>"
        for made in plan.decisions:
            yield _row(escape(made.name), escape(f"{made.value}, because {made.because}"))
        yield "</table>"


def _gpus(options: Sequence[Option], tokens: int | None) -> Iterator[str]:
    if not options:
        return
    yield (
        f"<h2>GPUs</h2><p>Time and cost are for {show_count(tokens or MILLION)} tokens, computed, "
        f"and may be off by {percent(SPEED_BAND)}.</p><table>"
    )
    for option in options:
        hours, low, high = priced(option, tokens)
        words = f"{option.fits}, {show_duration(3600 * hours)}"
        yield _row(escape(called(option)), words, number=f"${low:.2f} to {high:.2f}")
    yield "</table>"


def _row(name: str, value: str, *, number: str = "") -> str:
    last = f'<td class="number">{number}</td>' if number else ""
    return f"<tr><td>{name}</td><td>{value}</td>{last}</tr>"


def _recipe(recipe: Recipe) -> Iterator[str]:
    yield f"<h2>Recipe</h2><pre>{escape(recipe.to_yaml())}</pre>"
