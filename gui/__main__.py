"""`tunesmith`: the window, or with a subcommand the headless tool. Qt is imported last."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gui import guard

if TYPE_CHECKING:
    from gui.app import Options

BAD_INPUT = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Open the window, or hand over to the headless tool. Returns the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    words = [word for word in arguments if word != "--offline"]
    if words and _headless(words[0]):
        from core import cli

        return cli.main(arguments)
    wanted = _parser().parse_args(arguments)
    refusal = guard.refusal()
    if refusal is not None:
        print(f"error: {refusal.text}\nhint: {refusal.hint}", file=sys.stderr)
        return BAD_INPUT
    from core import offline
    from gui import app

    offline.silence()
    with offline.held(wanted.offline):
        return app.run(_options(wanted))


def _headless(word: str) -> bool:
    if word in ("-h", "--help", "--version"):
        return True
    if word.startswith("-"):
        return False
    from core import cli

    return word in cli.SUBCOMMANDS


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tunesmith", add_help=False)
    parser.add_argument("recipe", nargs="?", type=Path, help="a recipe to open")
    parser.add_argument("--run", type=Path, help="the folder of a run to open")
    parser.add_argument("--offline", action="store_true", help="nothing leaves this computer")
    parser.add_argument("--theme", choices=("system", "light", "dark"))
    return parser


def _options(wanted: argparse.Namespace) -> Options:
    from gui.app import Options

    return Options(run=wanted.run, recipe=wanted.recipe, theme=wanted.theme)


if __name__ == "__main__":
    sys.exit(main())
