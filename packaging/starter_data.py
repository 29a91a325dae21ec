"""The sample files of the starter, as bytes; the same ones on every machine."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from starter_samples import preferences, prompts, stories
from starter_tickets import tickets

README = """\
# Sample data

Small sets to try Tunesmith with. A program put every row together from word lists; no customer,
order or message in them is real. Licence: CC0-1.0, public domain.

| File | Rows | What it holds |
|---|---|---|
| `tickets.jsonl` | {train} | Chat rows: a customer's message in, one line of JSON out with category, product, order number and status. |
| `tickets_heldout.jsonl` | {heldout} | The same task for measuring. No message, no order number and no eight words in a row (numbers aside) are also in `tickets.jsonl`. |
| `stories.alpaca.json` | {stories} | `instruction`, `input` and `output`: requests for very short stories. |
| `preferences.jsonl` | {preferences} | `prompt`, `chosen` and `rejected`: a right, friendly answer and a worse one. |
| `prompts.jsonl` | {prompts} | `prompt` and `answer`: questions whose answers can be compared word for word. |

The categories of the tickets are `billing`, `damage`, `delivery`, `refund` and `repair`.
`python packaging/build_starter.py data` writes all of these files anew, byte for byte.
"""


def sample_files() -> dict[str, bytes]:
    """Every sample file by its name."""
    train, heldout = ([ticket.row() for ticket in rows] for rows in tickets())
    tales, pairs, questions = stories(), preferences(), prompts()
    readme = README.format(
        train=len(train),
        heldout=len(heldout),
        stories=len(tales),
        preferences=len(pairs),
        prompts=len(questions),
    )
    return {
        "tickets.jsonl": _lines(train),
        "tickets_heldout.jsonl": _lines(heldout),
        "stories.alpaca.json": (json.dumps(tales, indent=1) + "\n").encode(),
        "preferences.jsonl": _lines(pairs),
        "prompts.jsonl": _lines(questions),
        "README.md": readme.encode(),
    }


def write_samples(folder: Path) -> None:
    """Write every sample file into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in sample_files().items():
        (folder / name).write_bytes(content)


def _lines(rows: Iterable[Mapping[str, object]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()
