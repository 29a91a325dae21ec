"""Make a recorded run small enough for the tests: `python tests/data/condense.py RUN NAME`.

Numbers are rounded, empty fields and most answers left out (the shares are counted anew); the
order of events is untouched.
"""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from core.events import Event, Scored
from core.rundir import RunDir

HERE = Path(__file__).parent / "runs"
ANSWERS = 8
DIGITS = 3


def condense(event: Event) -> bytes:
    """One short line that decodes to nearly the same event."""
    if isinstance(event, Scored):
        event = _shortened(event)
    plain = TypeAdapter(type(event)).dump_python(
        event, mode="json", exclude_none=True, exclude_defaults=True
    )
    plain = {"kind": event.kind, "t": event.t, **plain}
    return json.dumps(_rounded(plain), separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def _shortened(scored: Scored) -> Scored:
    kept = scored.answers[:ANSWERS]
    share = sum(bool(answer.correct) for answer in kept) / len(kept) if kept else None
    return replace(scored, answers=kept, rows=len(kept), exact_match=share)


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(child) for key, child in value.items()}
    if isinstance(value, list):
        return [_rounded(child) for child in value]
    if isinstance(value, float):
        return round(value, 1) if abs(value) > 1e6 else float(f"{value:.{DIGITS}g}")
    return value


def main(source: str, name: str) -> None:
    """Copy the recipe, condense the events."""
    run, folder = RunDir.open(Path(source)), HERE / name
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(run.recipe_file, folder / "recipe.yaml")
    with (folder / "events.jsonl").open("wb") as file:
        file.writelines(condense(event) for event in run.events())


if __name__ == "__main__":
    main(*sys.argv[1:])
