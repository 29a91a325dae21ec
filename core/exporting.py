"""`tunesmith export`: the result of a run in a form that needs nothing else."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from core import launch
from core.commands import find_run
from core.errors import CoreError
from core.merging import mergeable
from core.numbers import show_bytes
from core.terminal import Terminal


def options(parser: ArgumentParser) -> None:
    """What `tunesmith export` takes."""
    parser.add_argument("run", metavar="RUN", help="its folder, or its name in the list of runs")
    parser.add_argument("--to", choices=("merged",), default="merged", help="in which form")
    parser.add_argument("-o", "--output", metavar="DIR", help="a new folder; else inside the run")


def export(arguments: Namespace, terminal: Terminal) -> int:
    """Merge a run's adapter into its model, and tell how the result compares with it."""
    request = mergeable(find_run(arguments.run))
    if arguments.output:
        out = Path(arguments.output).expanduser().absolute()
        if out.exists():
            raise CoreError(f"{out} exists already.", hint="Name a new folder with -o.")
        request = request.model_copy(update={"out": out})
    terminal.note("Merging; the whole model is read, written and read again.")
    made = launch.merge(request)
    terminal.say(f"{made.folder}: {show_bytes(made.bytes)}. {made.proof}")
    if not made.proof.close:
        terminal.note("The merged model answers otherwise than the trained one; keep the adapter.")
    terminal.answer(
        {
            "folder": str(made.folder),
            "files": [str(made.folder / name) for name in made.files],
            "bytes": made.bytes,
            "proof": made.proof.model_dump(mode="json") | {"close": made.proof.close},
        }
    )
    return 0
