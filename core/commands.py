"""What each subcommand does. Each returns its exit status and speaks through the terminal."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from core import catalog, durable, hub, launch, mixing, offline, places, recipe
from core.anchors import anchored
from core.describe import (
    data_lines,
    failure,
    problem_lines,
    result_document,
    tell_result,
)
from core.errors import CoreError, RecipeError, RunError
from core.hub_spec import read_spec
from core.launch import Engine
from core.machine import read_machine
from core.memory import correction
from core.plan import Facts, Plan, make_plan
from core.plan_text import plan_lines
from core.recipe import Recipe
from core.rundir import RunDir, list_runs, new_root
from core.terminal import Terminal, table
from core.watch import bring, watch, watch_engine, watch_fetch

BAD_INPUT, RUN_FAILED = 2, 1


def demo(arguments: Namespace, terminal: Terminal) -> int:
    """The main job on the starter model and sample data."""
    chosen = recipe.load(example("tickets"))
    terminal.say("Teaching the starter model to read customers' messages; this takes minutes.")
    return _start(chosen, arguments.out, terminal, fast=True)


def new(arguments: Namespace, terminal: Terminal) -> int:
    """A commented recipe, printed or written to a file that must not exist yet."""
    source = example(arguments.example) if arguments.example else None
    text = source.read_text(encoding="utf-8") if source else Recipe().to_yaml()
    if arguments.output:
        write_new(Path(arguments.output), text)
        terminal.say(f"Wrote {arguments.output}. Check it with `tunesmith check` before a run.")
    else:
        terminal.say(text.rstrip("\n"))
    terminal.answer({"recipe": arguments.output, "text": text})
    return 0


def example(name: str) -> Path:
    """A recipe that ships with the program. Raises CoreError with the names there are."""
    folder = places.resources() / "recipes"
    known = sorted(path.stem for path in folder.glob("*.yaml"))
    if name not in known:
        raise CoreError(f"There is no example {name!r}.", hint=f"There are: {', '.join(known)}.")
    return folder / f"{name}.yaml"


def write_new(path: Path, text: str) -> None:
    """Write a file that must not be there yet. Raises CoreError."""
    if path.exists():
        raise CoreError(f"{path} exists already.", hint="Choose another name with -o.")
    try:
        durable.write_atomically(path, text)
    except OSError as error:
        reason = error.strerror or str(error)
        raise CoreError(
            f"Cannot write {path}: {reason}.", hint="Choose a folder that exists and is yours."
        ) from error


def load(path: Path) -> Recipe:
    """A recipe file; relative paths in it start at its own folder. Raises RecipeError."""
    return anchored(recipe.load(path), path.absolute().parent)


def gather(chosen: Recipe, *, count: bool) -> Facts:
    """Look at machine, model and data; `count` also counts tokens. Raises CoreError.

    Datasets on the Hub are downloaded first.
    """
    for path in chosen.data.paths:
        if spec := read_spec(path):
            bring(spec)
    machine = read_machine(places.runs_home())
    facts = Facts(
        machine=machine,
        corrections=correction.recall(machine),
        model=catalog.look(chosen.model) if chosen.model else None,
        **dict(mixing.look(chosen.data)),
    )
    if not count or facts.model is None or facts.data is None or not make_plan(chosen, facts).ready:
        return facts
    return facts.model_copy(update={"tokens": launch.preview(chosen).tokens})


def check(arguments: Namespace, terminal: Terminal) -> int:
    """Validate a recipe, look at its data, list problems and fixes."""
    chosen = load(Path(arguments.recipe))
    facts = gather(chosen, count=not arguments.fast)
    found = make_plan(chosen, facts)
    for line in data_lines(facts.data) if facts.data else ():
        terminal.say(line)
    for line in problem_lines(found.problems):
        terminal.say(line)
    terminal.say("Ready to run." if found.ready else "Not ready.")
    terminal.answer(
        {
            "recipe": arguments.recipe,
            "ready": found.ready,
            "data": facts.data.model_dump(mode="json") if facts.data else None,
            "tokens": facts.tokens.model_dump(mode="json") if facts.tokens else None,
            "problems": [problem.model_dump(mode="json") for problem in found.problems],
        }
    )
    return 0 if found.ready else BAD_INPUT


def run(arguments: Namespace, terminal: Terminal) -> int:
    """Train a recipe, or go on with a run that was stopped or interrupted."""
    if bool(arguments.recipe) == bool(arguments.resume):
        raise CoreError(
            "Give either a recipe file or --resume RUN.", hint="`tunesmith runs` lists the runs."
        )
    if arguments.resume:
        opened = find_run(arguments.resume)
        return _finish(launch.resume(opened), terminal)
    chosen, fast = load(Path(arguments.recipe)), arguments.fast
    return _start(chosen, arguments.out, terminal, fast=fast, measure=arguments.measure)


def _start(
    chosen: Recipe, out: str | None, terminal: Terminal, *, fast: bool, measure: bool = False
) -> int:
    made = make_plan(chosen, gather(chosen, count=not fast))
    made = made.model_copy(update={"measure": measure or (made.measure and not fast)})
    tell_problems(made, terminal)
    for line in plan_lines(made):
        terminal.say(line)
    root = Path(out) if out else new_root(places.runs_home(), chosen.name)
    return _finish(launch.start(root, chosen, made), terminal)


def tell_problems(made: Plan, terminal: Terminal) -> None:
    """What is unwise about a plan. Raises RecipeError when something must be changed first."""
    for line in problem_lines(tuple(p for p in made.problems if p.level != "blocker")):
        terminal.say(line)
    if not made.ready:
        fixes = [p.fix.label for p in made.blockers if p.fix]
        raise RecipeError(
            made.blockers, hint="; ".join(fixes) or "Change these fields of the recipe."
        )


def plan_whole(chosen: Recipe) -> Plan:
    """The plan of a run that starts now, its tokens counted. Raises CoreError."""
    return make_plan(chosen, gather(chosen, count=True))


def _finish(engine: Engine, terminal: Terminal) -> int:
    terminal.say(f"Run: {engine.run.root}. Ctrl-C saves and stops.")
    story, outcome = watch_engine(engine, terminal)
    tell_result(engine.run, story, outcome, terminal)
    terminal.answer(result_document(engine.run, story, outcome))
    if error := failure(story, outcome):
        terminal.complain(error)
    return RUN_FAILED if outcome.state in ("failed", "interrupted") else 0


def runs(arguments: Namespace, terminal: Terminal) -> int:
    """Every run of a folder, newest first."""
    home = Path(arguments.folder) if arguments.folder else places.runs_home()
    if arguments.folder and not home.is_dir():
        raise RunError(f"{home} is not a folder.", hint="Give the folder that holds your runs.")
    found = list_runs(home)
    if found:
        terminal.say(table([(r.name, r.outcome, r.text, r.run) for r in found], indent=""))
    else:
        terminal.say(f"No runs in {home} yet. `tunesmith demo` makes one.")
    terminal.answer([r.model_dump(mode="json") for r in found])
    return 0


def find_run(name: str) -> RunDir:
    """A run by its folder, or by its name below the runs of this user. Raises RunError."""
    path, usual = Path(name), places.runs_home() / name
    return RunDir.open(usual if not path.exists() and usual.is_dir() else path)


def follow(arguments: Namespace, terminal: Terminal) -> int:
    """Watch a run until it ends; Ctrl-C leaves it running."""
    opened = find_run(arguments.run)
    try:
        story = watch(opened, opened.is_running, terminal)
    except KeyboardInterrupt:
        terminal.note("Left; the run goes on.")
        story = opened.history()
    outcome = story.outcome(alive=opened.is_running())
    tell_result(opened, story, outcome, terminal)
    terminal.answer(result_document(opened, story, outcome))
    return RUN_FAILED if outcome.state == "failed" else 0


def stop(arguments: Namespace, terminal: Terminal) -> int:
    """Ask a run to save and stop, and wait until it has."""
    opened = find_run(arguments.run)
    if not opened.is_running():
        raise RunError(f"{opened.root.name} is not running.", hint=str(opened.history().outcome()))
    opened.ask("stop")
    terminal.say("Stopping after this step and saving ...")
    for _ in launch.follow(opened, opened.is_running):
        continue
    story = opened.history()
    outcome = story.outcome()
    terminal.say(str(outcome))
    terminal.answer(result_document(opened, story, outcome))
    return 0


def fetch(arguments: Namespace, terminal: Terminal) -> int:
    """Download a model or dataset from the Hub; what was loaded is kept for the next attempt."""
    spec = read_spec(arguments.model)
    field = "data.path" if spec else "model"
    terminal.say(f"Downloading {arguments.model}.")
    with hub.fetch_data(spec) if spec else hub.fetch(arguments.model) as download:
        folder = watch_fetch(download)
    terminal.say(f"Stored in {folder}. Use it as `{field}: {arguments.model}` in a recipe.")
    terminal.answer({"dataset" if spec else "model": arguments.model, "folder": str(folder)})
    return 0


def stay_offline(arguments: Namespace, terminal: Terminal) -> int:
    """Set the switch that the window shows too, or tell how it stands."""
    if arguments.choice:
        offline.switch(arguments.choice == "on")
    why = offline.reason()
    terminal.say(f"Offline ({why}): nothing leaves this computer." if why else "Online.")
    if offline.forced():
        terminal.say(f"{offline.VARIABLE} decides; the switch itself does nothing meanwhile.")
    terminal.answer({"offline": bool(why), "because": why, "switch": offline.switched()})
    return 0
