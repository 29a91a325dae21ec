"""`tunesmith queue ...`: recipes that train one after another, whenever the machine is free."""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

from core import power
from core.commands import RUN_FAILED, gather, load, plan_whole, tell_problems
from core.describe import tell_result
from core.errors import CoreError, QueueError
from core.events import Event, Paused
from core.keeper import Keeper, Standing, digests, look
from core.plan import make_plan
from core.queue import AT_END, IN_HAND, AtEnd, Entry, Move, Queue, QueueFile
from core.rundir import RunDir
from core.terminal import Terminal, shorten, table
from core.watch import watch

POLL = 2.0
"""Seconds between two looks whether the machine is free."""
_TOLD_EVERY = 10
"""Seconds of the countdown between two lines."""


def queue(arguments: Namespace, terminal: Terminal) -> int:
    """One of the jobs on the queue."""
    done: int = _TABLE[arguments.job][0](arguments, terminal)
    return done


def options(parser: ArgumentParser) -> None:
    """The jobs and their options."""
    jobs = parser.add_subparsers(dest="job", metavar="JOB", required=True)
    for name, (_, wanted, summary) in _TABLE.items():
        one = jobs.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        wanted(one)
        one.add_argument("--json", action="store_true", help="one JSON document on stdout")


def _nothing(parser: ArgumentParser) -> None:
    """No options."""


def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument("recipe", nargs="+", metavar="RECIPE", help="a recipe file")


def _number(parser: ArgumentParser) -> None:
    parser.add_argument("number", type=int, metavar="NUMBER", help="as `queue list` shows it")


def _move_options(parser: ArgumentParser) -> None:
    _number(parser)
    parser.add_argument("where", choices=get_args(Move), help="among those that wait")


def _remove_options(parser: ArgumentParser) -> None:
    parser.add_argument("number", type=int, nargs="*", metavar="NUMBER", help="which entries")
    parser.add_argument("--ended", action="store_true", help="all that are over")


def _end_options(parser: ArgumentParser) -> None:
    told = "; ".join(f"{name}: {words}" for name, words in AT_END.items())
    parser.add_argument("action", choices=get_args(AtEnd), help=told)


def _add(arguments: Namespace, terminal: Terminal) -> int:
    """All recipes or, if one of them cannot run, none."""
    found = []
    for path in map(Path, arguments.recipe):
        recipe = load(path)
        plan = make_plan(recipe, gather(recipe, count=False))
        tell_problems(plan, terminal)
        found.append((recipe, digests(plan)))

    def appended(before: Queue) -> Queue:
        for recipe, sums in found:
            before = before.added(recipe, sums)
        return before

    changed = QueueFile().change(appended)
    for entry in changed.entries[-len(found) :]:
        terminal.say(f"Added as {entry.id}: {entry.name}.")
    terminal.say("`tunesmith queue run` trains what waits; so does an open window.")
    return _answer(changed, terminal)


def _list(_: Namespace, terminal: Terminal) -> int:
    found = QueueFile().read()
    rows = [_row(entry) for entry in found.entries]
    if rows:
        terminal.say(table(rows, indent=""))
    else:
        terminal.say("Nothing waits. `tunesmith queue add RECIPE` changes that.")
    if found.paused:
        terminal.say("The queue is paused; `tunesmith queue resume` lets it go on.")
    terminal.say(f"At the end of a run: {AT_END[found.at_end]}.")
    return _answer(found, terminal)


def _row(entry: Entry) -> tuple[str, ...]:
    told = _told(entry)
    place = Path(entry.run).name if entry.run else ""
    return str(entry.id), entry.name, told["state"], shorten(told["text"], 80), place


def _told(entry: Entry) -> dict[str, Any]:
    """An entry for people and scripts: with how its run stands."""
    state, text = str(entry.state), entry.told
    if entry.state in IN_HAND:
        outcome = look(entry)
        state = "starting" if outcome.state == "waiting" else outcome.state
        text = f"{'' if state == 'starting' else outcome} {text}".strip()
    kept = {name: getattr(entry, name) for name in ("id", "name", "added")}
    return kept | {"state": state, "run": entry.run or None, "text": text}


def _answer(found: Queue, terminal: Terminal, **more: Any) -> int:
    entries = [_told(entry) for entry in found.entries]
    terminal.answer({"paused": found.paused, "at_end": found.at_end, "entries": entries} | more)
    return 0


def _move(arguments: Namespace, terminal: Terminal) -> int:
    changed = QueueFile().change(lambda q: q.moved(arguments.number, arguments.where))
    names = ", ".join(f"{entry.id} {entry.name}" for entry in changed.waiting)
    terminal.say(f"In this order: {names}.")
    return _answer(changed, terminal)


def _remove(arguments: Namespace, terminal: Terminal) -> int:
    if bool(arguments.number) == arguments.ended:
        raise CoreError("Give either numbers or --ended.", hint="`tunesmith queue list` has them.")

    def without(found: Queue) -> Queue:
        for number in arguments.number:
            found = found.removed(number)
        return found.cleared() if arguments.ended else found

    before = len(QueueFile().read().entries)
    changed = QueueFile().change(without)
    terminal.say(f"{before - len(changed.entries)} taken out; runs stay where they are.")
    return _answer(changed, terminal)


def _pause(_: Namespace, terminal: Terminal) -> int:
    changed = QueueFile().change(lambda q: q.with_pause(True))
    terminal.say("The queue is paused: nothing is begun. What is training goes on.")
    return _answer(changed, terminal)


def _resume(_: Namespace, terminal: Terminal) -> int:
    changed = QueueFile().change(lambda q: q.with_pause(False))
    terminal.say("The queue goes on, once `tunesmith queue run` or a window works on it.")
    return _answer(changed, terminal)


def _at_end(arguments: Namespace, terminal: Terminal) -> int:
    changed = QueueFile().change(lambda q: q.ending(arguments.action))
    terminal.say(f"At the end of a run: {AT_END[changed.at_end]}.")
    return _answer(changed, terminal)


def _run(_: Namespace, terminal: Terminal) -> int:
    """Work on the queue until nothing waits or it is paused; Ctrl-C leaves the run going on."""
    keeper, ended = Keeper(plan_whole), list[Entry]()
    try:
        _work(keeper, ended, terminal)
    except KeyboardInterrupt:
        terminal.note("Left the queue. A run in hand goes on; `tunesmith queue run` takes it over.")
    finally:
        keeper.leave()
    _answer(keeper.file.read(), terminal, ended=[entry.id for entry in ended])
    return RUN_FAILED if any(one.state in ("failed", "refused") for one in ended) else 0


def _work(keeper: Keeper, ended: list[Entry], terminal: Terminal) -> None:
    told = ""
    while True:
        found = keeper.turn()
        if found.kind == "elsewhere":
            raise QueueError(found.text, hint="Only one at a time can; `tunesmith queue list`.")
        if found.kind in ("done", "held"):
            terminal.say(found.text)
            return
        if found.kind in ("occupied", "resting") and found.text != told:
            terminal.say(f"Waiting: {found.text}" if found.kind == "occupied" else found.text)
        told = found.text
        if found.kind == "ended":
            _tell_end(found, ended, terminal)
        elif found.kind == "farewell":
            _part(keeper, found, terminal)
        elif found.run and found.kind in ("training", "help"):
            _watch(keeper, found.run, terminal)
        else:
            time.sleep(POLL)


def _watch(keeper: Keeper, run: RunDir, terminal: Terminal) -> None:
    """Show the run in hand until its engine is gone."""

    def heard(event: Event) -> None:
        if isinstance(event, Paused) and event.paused and not event.passing:
            terminal.note(
                "The queue waits until this run goes on, which the window can ask for, or ends: "
                f"`tunesmith stop {run.root.name}`."
            )

    terminal.say(f"Run: {run.root}. Ctrl-C leaves it going on.")
    watch(run, lambda: keeper.alive(run), terminal, cause=lambda: keeper.cause(run), heard=heard)


def _tell_end(found: Standing, ended: list[Entry], terminal: Terminal) -> None:
    entry, run = found.entry, found.run
    assert entry is not None
    ended.append(entry)
    if run and run.events_file.is_file():
        story = run.history()
        tell_result(run, story, story.outcome(), terminal)
    if entry.state in ("failed", "refused"):
        terminal.note(f"{entry.name} was {_WORDS[entry.state]}: {found.text}")
    waiting = len(found.queue.waiting)
    if waiting and not found.queue.paused:
        terminal.say(f"The queue goes on; {waiting} wait{'s' if waiting == 1 else ''}.")


_WORDS = {"failed": "given up", "refused": "refused"}


def _part(keeper: Keeper, found: Standing, terminal: Terminal) -> None:
    """Count down to sleep or shutdown. Ctrl-C keeps the computer on."""
    action = found.queue.at_end
    assert action in ("sleep", "shutdown")
    try:
        for left in range(power.COUNTDOWN, 0, -1):
            if left % _TOLD_EVERY == 0 or left == power.COUNTDOWN:
                terminal.note(f"{found.text} in {left} seconds. Ctrl-C keeps it on.")
            time.sleep(1)
    except KeyboardInterrupt:
        keeper.stay()
        terminal.note("The computer stays on.")
        return
    try:
        keeper.farewell(action)
    except CoreError as error:
        terminal.complain(error)


_Job = Callable[[Namespace, Terminal], int]
_TABLE: dict[str, tuple[_Job, Callable[[ArgumentParser], None], str]] = {
    "add": (_add, _add_options, "recipes as they are now, checked, at the end of the queue"),
    "list": (_list, _nothing, "what waits, what is training, what became of the others"),
    "move": (_move, _move_options, "change the order of what waits"),
    "remove": (_remove, _remove_options, "take entries out; their runs stay"),
    "pause": (_pause, _nothing, "begin nothing; what is training goes on"),
    "resume": (_resume, _nothing, "begin again"),
    "at-end": (_at_end, _end_options, "what to do at the end of a run"),
    "run": (_run, _nothing, "train what waits, one after another, when the machine is free"),
}
"""Each job: what it does, its options, and its line in the help."""
