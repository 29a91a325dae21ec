"""`tunesmith models ...`: jobs on a folder with a model or an adapter."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from core.converting import convert
from core.numbers import show_bytes
from core.terminal import Terminal


def options(parser: ArgumentParser) -> None:
    """The jobs and their options."""
    jobs = parser.add_subparsers(dest="job", metavar="JOB", required=True)
    summary = "pickled weights written anew as safetensors, apart from everything else"
    one = jobs.add_parser("convert", help=summary, description=f"{summary.capitalize()}.")
    one.add_argument("folder", metavar="FOLDER", help="a model or adapter with .bin or .pt weights")
    one.add_argument("-o", "--output", metavar="DIR", required=True, help="a new folder")
    one.add_argument("--json", action="store_true", help="one JSON document on stdout")


def models(arguments: Namespace, terminal: Terminal) -> int:
    """Convert a folder, and tell what was written."""
    folder, out = (
        Path(path).expanduser().absolute() for path in (arguments.folder, arguments.output)
    )
    terminal.note("Reading the pickle in a process of its own, without network.")
    made = convert(folder, out)
    terminal.say(f"{made.folder}: {made.tensors:,} tensors, {show_bytes(made.bytes)}.")
    if not made.sealed:
        terminal.note("On this system only Python, not the kernel, kept that process in.")
    terminal.answer(made.model_dump(mode="json"))
    return 0
