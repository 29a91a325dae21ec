"""The terminal's door: arguments in, exit status out, never a traceback.

0: done. 1: a run failed. 2: the input was not usable; `error:` and `hint:` say why on stderr.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import NoReturn

from core import (
    __version__,
    commands,
    data_commands,
    exporting,
    judging,
    model_commands,
    offline,
    planning,
    queue_commands,
    reach,
)
from core.errors import CoreError
from core.terminal import Terminal

Command = Callable[[argparse.Namespace, Terminal], int]
_OFFLINE = "--offline"
INTERRUPTED = 130
"""What shells expect of a program that was ended by Ctrl-C."""


class _Parser(argparse.ArgumentParser):
    """Complains like everything else here."""

    def error(self, message: str) -> NoReturn:
        raise CoreError(message, hint=f"`{self.prog} --help` shows how it is used.")


def _demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", metavar="DIR", help="folder of the run; it must be new or empty")


def _new(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--example", metavar="NAME", help="a recipe that ships, such as tickets")
    parser.add_argument("-o", "--output", metavar="FILE", help="write it there, never over a file")


def _check(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe")
    _fast(parser)


def _run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", nargs="?")
    parser.add_argument("--out", metavar="DIR", help="folder of the run; it must be new or empty")
    parser.add_argument("--resume", metavar="RUN", help="go on with a stopped or interrupted run")
    parser.add_argument(
        "--measure", action="store_true", help="take trial steps first, as on a GPU always"
    )
    parser.add_argument("--fast", action="store_true", help="neither count tokens nor measure")


def _runs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", nargs="?", metavar="DIR", help="where to look")


def _one_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="its folder, or its name in the list of runs")


def _fetch(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model", metavar="ID", help="Qwen/Qwen3-0.6B, or hub:owner/name#split for a dataset"
    )


def _offline(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("choice", nargs="?", choices=("on", "off"), help="without: tell which")


def _fast(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--fast", action="store_true", help="do not count tokens first")


TABLE: dict[str, tuple[Command, Callable[[argparse.ArgumentParser], None], str]] = {
    "demo": (commands.demo, _demo, "the main job on the starter model, before and after shown"),
    "new": (commands.new, _new, "a commented recipe"),
    "check": (commands.check, _check, "validate a recipe and its data; problems and fixes"),
    "data": (data_commands.data, data_commands.data_options, "look at a dataset, mend it, part it"),
    "plan": (planning.plan, planning.options, "memory, steps and automatic choices"),
    "run": (commands.run, _run, "train"),
    "runs": (commands.runs, _runs, "list runs"),
    "follow": (commands.follow, _one_run, "watch a run"),
    "stop": (commands.stop, _one_run, "save and stop a run"),
    "queue": (queue_commands.queue, queue_commands.options, "recipes that train one after another"),
    "rank": (judging.rank, judging.options, "compare answers blind, for preferences to learn from"),
    "export": (exporting.export, exporting.options, "the result of a run as a whole model"),
    "models": (model_commands.models, model_commands.options, "pickled weights made safetensors"),
    "fetch": (commands.fetch, _fetch, "download a model or dataset from the Hub"),
    "offline": (commands.stay_offline, _offline, "nothing leaves this computer: on, off, or which"),
}
"""Each subcommand: what it does, its options, and its line in the help."""
SUBCOMMANDS: tuple[str, ...] = tuple(TABLE)


def make_parser() -> argparse.ArgumentParser:
    """Every subcommand with its options."""
    parser = _Parser(
        prog="tunesmith",
        description="Fine-tune language models. Without a subcommand the window opens.",
    )
    parser.add_argument(
        _OFFLINE, action="store_true", help="nothing leaves this computer; anywhere in the line"
    )
    parser.add_argument("--version", action="version", version=f"tunesmith {__version__}")
    every = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, (_, arguments, summary) in TABLE.items():
        one = every.add_parser(
            name, help=summary, description=f"{summary[0].upper()}{summary[1:]}."
        )
        arguments(one)
        one.add_argument("--json", action="store_true", help="one JSON document on stdout")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run one subcommand; returns the exit status."""
    given = sys.argv[1:] if argv is None else argv
    words = [word for word in given if word != _OFFLINE]
    terminal = Terminal(json="--json" in words)
    reach.guard(offline.wanted)
    offline.silence()
    try:
        arguments = make_parser().parse_args(words)
        with offline.held(_OFFLINE in given):
            return TABLE[arguments.command][0](arguments, terminal)
    except SystemExit as done:  # argparse printed help or the version
        return int(done.code or 0)
    except CoreError as error:
        terminal.refuse(error)
        return commands.BAD_INPUT
    except KeyboardInterrupt:
        terminal.note("Interrupted.")
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the last boundary: no traceback reaches a user
        terminal.refuse(_unexpected(error))
        return commands.BAD_INPUT


def _unexpected(error: Exception) -> CoreError:
    """A fault of ours, in one line that names the place for a report."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f"{trace.tb_frame.f_globals.get('__name__')}:{trace.tb_lineno}" if trace else "?"
    return CoreError(
        f"Something unexpected happened in {place}: {type(error).__name__}: {error}",
        hint="This is a fault of Tunesmith. Please report it with this line.",
    )
