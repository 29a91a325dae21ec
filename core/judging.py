"""`tunesmith rank`: answers made, compared blind in the terminal, and written as preferences."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from pathlib import Path

from core import models, places
from core.answering import (
    Request,
    Sampling,
    Speaker,
    as_it_is,
    drawn,
    draws,
    prompts_of,
    result_of,
)
from core.commands import find_run
from core.copies import stem_of
from core.errors import CoreError
from core.ranking import LIKELY, Ranking, Summary, Verdict
from core.terminal import Terminal, side_by_side, table
from core.watch import watch_answers

_KEYS: dict[str, Verdict] = {"1": "first", "2": "second", "t": "tie", "0": "tie", "s": "skip"}
_ASK = "1 or 2: the better one, t tie, s skip, u undo, q stop here: "
_STEM_END = ".ranking.jsonl"


def options(parser: ArgumentParser) -> None:
    """Prompts, models, and how answers are drawn."""
    usual = Sampling()
    parser.add_argument("prompts", metavar="PROMPTS", help="a dataset, or a .txt of one a line")
    parser.add_argument(
        "--model", action="append", default=[], metavar="M", help="starter, a folder or a Hub id"
    )
    parser.add_argument(
        "--run", action="append", default=[], metavar="RUN", help="the result of a finished run"
    )
    parser.add_argument("-o", "--output", metavar="FILE", help="the preferences, a .jsonl file")
    parser.add_argument("--rows", type=int, default=20, metavar="N", help="prompts asked at most")
    parser.add_argument(
        "--temperature", type=float, action="append", metavar="T",
        help="how freely words are drawn; given twice, each model answers at both",
    )  # fmt: skip
    parser.add_argument("--top-p", type=float, default=usual.top_p, metavar="P", help="0 to 1")
    parser.add_argument(
        "--longest", type=int, default=usual.longest, metavar="N", help="tokens of an answer"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="another draw")


def rank(arguments: Namespace, terminal: Terminal) -> int:
    """Make answers unless there are some, ask for judgements, write what was decided."""
    target = _target(arguments)
    session = target.with_name(target.name.removesuffix(".jsonl") + _STEM_END)
    ranking = _opened(arguments, session, target, terminal)
    show: Callable[[str], None] = terminal.note if terminal.json else terminal.say
    for line in _introduction(ranking):
        show(line)
    _ask_all(ranking, show)
    summary = ranking.summary()
    exported = ranking.export(target) if summary.decided else None
    for line in summary_lines(summary):
        terminal.say(line)
    if exported:
        terminal.say(f"{exported.text}\nPreferences: {target}")
    if summary.judged < summary.pairs:
        terminal.say("The same command goes on from here.")
    terminal.answer(
        summary.model_dump(mode="json")
        | {"session": str(session), "speakers": [s.name for s in ranking.head.speakers]}
        | {"preferences": exported.model_dump(mode="json") if exported else None}
    )
    return 0


def _target(arguments: Namespace) -> Path:
    if arguments.output:
        target = Path(arguments.output).expanduser()
        if target.suffix != ".jsonl":
            raise CoreError(f"{target} does not end in .jsonl.", hint="Name it like prefs.jsonl.")
        return target
    return places.datasets_home() / f"{stem_of(places.expand(arguments.prompts))}.preferences.jsonl"


def _opened(arguments: Namespace, session: Path, target: Path, terminal: Terminal) -> Ranking:
    """The session that is there, or a new one. Raises CoreError."""
    speakers = _speakers(arguments)
    if session.exists():
        ranking = Ranking.open(session)
        if ranking.head.speakers != speakers:
            raise CoreError(
                f"{session} compares other models, or the same drawn in another way.",
                hint="Ask for the same, or name another file with -o.",
            )
        return ranking
    if target.exists():
        raise CoreError(f"{target} exists already.", hint="Name another file with -o.")
    if arguments.rows < 1:
        raise CoreError("--rows must be at least 1.", hint="Twenty prompts are a beginning.")
    found = prompts_of(Path(arguments.prompts).expanduser())
    request = Request(speakers=speakers, prompts=drawn(found, arguments.rows, arguments.seed))
    terminal.note(f"Making answers to {len(request.prompts):,} prompts; this may take minutes.")
    return Ranking.create(session, request, watch_answers(request), arguments.seed)


def _speakers(arguments: Namespace) -> tuple[Speaker, ...]:
    """Each model and run, at each temperature. Raises CoreError."""
    for model in arguments.model:
        models.look(models.resolve(model))  # a wrong name is told before anything is loaded
    runs = [find_run(name) for name in arguments.run]
    if not runs and not arguments.model:
        raise CoreError("No model was given.", hint="Give --model M, --run RUN, or several.")
    kinds = [_sampling(arguments, heat) for heat in arguments.temperature or [None]]
    asked = [
        *(as_it_is(model, kind) for model in arguments.model for kind in kinds),
        *(result_of(run, kind) for run in runs for kind in kinds),
    ]
    if len(kinds) > 1:
        asked = [_with_heat(speaker) for speaker in asked]
    return draws(asked)


def _with_heat(speaker: Speaker) -> Speaker:
    name = f"{speaker.name}, temperature {speaker.sampling.temperature:g}"
    return speaker.model_copy(update={"name": name})


def _sampling(arguments: Namespace, heat: float | None) -> Sampling:
    raw = {"top_p": arguments.top_p, "longest": arguments.longest, "seed": arguments.seed}
    if heat is not None:
        raw["temperature"] = heat
    try:
        return Sampling.model_validate(raw)
    except ValueError as error:
        raise CoreError(
            "These answers cannot be drawn: a value is out of its range.",
            hint="Temperature 0 to 2, top-p above 0 to 1, longest 1 to 8192, seed 0 or more.",
        ) from error


def _introduction(ranking: Ranking) -> Iterator[str]:
    yield f"Pairs: {len(ranking.pairs):,}. Which model said what is told at the end."
    if ranking.head.note:
        yield ranking.head.note
    if ranking.judged:
        yield f"Judged before: {ranking.judged:,}."


def _ask_all(ranking: Ranking, show: Callable[[str], None]) -> None:
    """One pair after the other, until all are judged or nobody answers any more."""
    shown: int | None = None
    while (current := ranking.current) is not None:
        if current != shown:
            show(_pair_text(ranking, current))
            shown = current
        show(_ASK)
        line = sys.stdin.readline()
        key = line.strip().lower()
        if not line or key == "q":
            return
        if key == "u":
            if not ranking.undo():
                show("Nothing to take back.")
        elif key in _KEYS:
            ranking.judge(_KEYS[key])
        else:
            show(f"{key!r:.20} is none of the keys.")


def _pair_text(ranking: Ranking, place: int) -> str:
    pair = ranking.pairs[place]
    prompt = "\n".join(f"{said['role']}: {said['content']}" for said in pair.prompt)
    answers = side_by_side(pair.sides[0].text, pair.sides[1].text, ("1", "2"))
    return f"\n{place + 1:,} of {len(ranking.pairs):,}\n{prompt}\n\n{answers}"


def summary_lines(summary: Summary) -> Iterator[str]:
    """What the judgements come to."""
    yield f"Judged {summary.judged:,} of {summary.pairs:,}; {summary.ties:,} ties."
    rows = [
        (each.name, f"{each.wins:,} won", f"{each.losses:,} lost", f"{each.ties:,} ties",
         "clear" if each.chance < LIKELY else "may be chance")
        for each in summary.standings
    ]  # fmt: skip
    yield table(rows)
    yield summary.bias
