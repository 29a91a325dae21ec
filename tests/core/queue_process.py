"""Other processes that work on a queue: `claim` takes what it can, `keep` is a whole keeper."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from core import launch, places
from core.commands import gather
from core.errors import QueueError
from core.keeper import Keeper
from core.plan import Plan, make_plan
from core.queue import QueueFile
from core.recipe import Recipe

ENGINE = Path(__file__).with_name("queue_engine.py")


def plan_for(recipe: Recipe) -> Plan:
    """As for a run, without counting tokens."""
    return make_plan(recipe, gather(recipe, count=False))


def become() -> None:
    """Engines are the stand-in from here on."""
    launch.engine_command = lambda _run, root, *_: [sys.executable, str(ENGINE), root]  # type: ignore[assignment]


def claim() -> None:
    """Take every entry that nobody else has, and say which."""
    file = QueueFile()
    print("ready", flush=True)
    sys.stdin.readline()
    for entry in file.read().entries:
        try:
            file.change(lambda queue, n=entry.id: queue.claimed(n, Path("run")))  # type: ignore[misc]
        except QueueError:
            continue
        print(entry.id, flush=True)
        file.change(lambda queue, n=entry.id: queue.changed(n, state="finished"))  # type: ignore[misc]


def keep() -> None:
    """Work on the queue, and say what is begun."""
    become()
    keeper, told = Keeper(plan_for), ""
    while (found := keeper.turn()).kind != "done":
        name = found.entry.name if found.entry else ""
        if (line := f"{found.kind} {name}") != told:
            print(line, flush=True)
        told = line
        time.sleep(0.05)
    print("done", flush=True)
    keeper.leave()


if __name__ == "__main__":
    assert places.queue_file()
    {"claim": claim, "keep": keep}[sys.argv[1]]()
