"""Who answers which prompts, and how freely; an engine process makes the answers."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from pydantic import Field

from core.anchors import anchored_model
from core.data_choices import Data
from core.dataset import Example, question_side, read_examples, split
from core.errors import CoreError, DataError, RunError
from core.formats import Message
from core.jsonl import whole_text
from core.mixing import heldout_rows
from core.places import expand
from core.reading import Line, read_rows
from core.rundir import RunDir
from core.value import Value

Prompt: TypeAlias = tuple[Message, ...]
"""A conversation that waits for an answer."""
LARGEST_SEED = 2**31 - 1
_PLAIN = ".txt"
_ASKS_NOTHING = "Give a file of prompts: one a line in a .txt file, or rows with a question."


class Sampling(Value):
    """How an answer is drawn from what the model finds likely."""

    temperature: float = Field(
        0.8,
        ge=0,
        le=2,
        title="Temperature",
        description="How freely words are drawn. 0 takes the likeliest one. Usual: 0.7 to 1.",
    )
    top_p: float = Field(
        0.95,
        gt=0,
        le=1,
        title="Top-p",
        description="Only the likeliest words that together reach this share may be drawn. "
        "Usual: 0.9 to 1.",
    )
    longest: int = Field(
        128,
        ge=1,
        le=8192,
        title="Longest answer",
        description="Tokens an answer may have. An answer that is cut off here teaches to stop "
        "too early.",
    )
    seed: int = Field(
        0, ge=0, le=LARGEST_SEED, title="Seed", description="Another seed draws other answers."
    )


class Speaker(Value):
    """A model that answers: as it is, or as a run has made it."""

    name: str
    model: str = ""
    """As in a recipe; empty for the result of a run."""
    run: str = ""
    """Folder of a finished run."""
    sampling: Sampling = Sampling()


class Answer(Value):
    """What a speaker said to one prompt."""

    speaker: int
    """Its place among the speakers that were asked."""
    text: str
    ended: bool = True
    """False when it was cut off at the longest answer."""


class Request(Value):
    """Everything an engine needs to answer."""

    speakers: tuple[Speaker, ...]
    prompts: tuple[Prompt, ...]


class Answers(Value):
    """Answers to each prompt that differ from each other; what was left out is counted."""

    answers: tuple[tuple[Answer, ...], ...]
    retried: int = 0
    """Answers drawn again because another speaker had said the same, or nothing was said."""
    same: int = 0
    """Answers left out because another speaker had said the same, after all tries."""
    empty: int = 0
    """Answers left out because nothing was said."""


def as_it_is(model: str, sampling: Sampling) -> Speaker:
    """A model before any training."""
    whole = anchored_model(model, Path.cwd())
    return Speaker(name=f"{model}, as it is", model=whole, sampling=sampling)


def result_of(run: RunDir, sampling: Sampling) -> Speaker:
    """What a run has made. Raises RunError while there is nothing."""
    if not _has_result(run):
        raise RunError(
            f"{run.root.name} has no result yet.", hint="Choose a finished run, or wait for it."
        )
    return Speaker(name=run.root.name, run=str(run.root), sampling=sampling)


def _has_result(run: RunDir) -> bool:
    return run.adapter.is_dir() or run.model.is_dir()


def results(home: Path) -> list[RunDir]:
    """Runs below `home` that have made something, newest first."""
    roots = sorted(home.iterdir(), reverse=True) if home.is_dir() else []
    runs = (RunDir(root) for root in roots if (root / "events.jsonl").is_file())
    return [run for run in runs if _has_result(run)]


def draws(speakers: Sequence[Speaker]) -> tuple[Speaker, ...]:
    """Speakers whose answers can differ: a single one is asked twice. Raises CoreError."""
    if len(speakers) > 1:
        return tuple(speakers)
    (only,) = speakers
    if not only.sampling.temperature:
        raise CoreError(
            "At temperature 0 a model gives the same answer each time.",
            hint="Raise the temperature, or compare two models.",
        )
    seed = only.sampling.seed
    seeds = {"first": seed, "second": (seed + 1) % LARGEST_SEED}
    return tuple(
        only.model_copy(
            update={
                "name": f"{only.name}, {name} draw",
                "sampling": only.sampling.model_copy(update={"seed": seed}),
            }
        )
        for name, seed in seeds.items()
    )


def typed(text: str) -> tuple[Prompt, ...]:
    """A prompt a line; empty lines are none."""
    lines = (line.strip() for line in whole_text(text).splitlines())
    return tuple(({"role": "user", "content": line},) for line in dict.fromkeys(lines) if line)


def questions(examples: Iterable[Example]) -> tuple[Prompt, ...]:
    """What each example asks, once."""
    asked = {question_side(e.messages): tuple(e.messages[:-1]) for e in examples}
    return tuple(prompt for prompt in asked.values() if any(m["role"] == "user" for m in prompt))


def prompts_of(
    path: Path, *, format: str = "auto", columns: Mapping[str, str] | None = None
) -> tuple[Prompt, ...]:
    """The prompts of a text file, a dataset or rows with nothing but a prompt. Raises DataError."""
    if path.suffix.lower() == _PLAIN:
        return _some(typed(_text(path)), path)
    try:
        examples, _ = read_examples(path, format=format, columns=columns)
    except DataError:
        if bare := _bare(path):
            return bare
        raise
    return _some(questions(examples), path)


def prompts_in(data: Data, seed: int, *, heldout: bool) -> tuple[Prompt, ...]:
    """The questions of a recipe's dataset, or of the rows it keeps out. Raises DataError."""
    if not data.path:
        raise DataError("No dataset is chosen.", hint="Choose one on Data, or type prompts.")
    how: dict[str, Any] = {"format": data.format, "columns": data.columns}
    if not heldout or data.heldout:
        return prompts_of(Path(data.heldout if heldout else data.path), **how)
    examples, _ = read_examples(Path(data.path), **how)
    kept = questions(split(examples, heldout_rows(data, len(examples)), seed)[1])
    if not kept:
        raise DataError("No rows are held out.", hint="Hold some out on Data, or take all rows.")
    return kept


def drawn(prompts: Sequence[Prompt], count: int, seed: int) -> tuple[Prompt, ...]:
    """At most `count` of the prompts in their order, chosen by lot."""
    if count >= len(prompts):
        return tuple(prompts)
    places = random.Random(seed).sample(range(len(prompts)), count)
    return tuple(prompts[place] for place in sorted(places))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataError(f"{path}: {reason}.", hint=_ASKS_NOTHING) from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text.", hint="Save it as UTF-8.") from error


def _some(prompts: tuple[Prompt, ...], path: Path) -> tuple[Prompt, ...]:
    if not prompts:
        raise DataError(f"{path} asks nothing.", hint=_ASKS_NOTHING)
    return prompts


def _bare(path: Path) -> tuple[Prompt, ...]:
    """Rows that hold a prompt and no answer; none when a row is built otherwise."""
    found: list[Any] = []
    for line in read_rows(expand(path).expanduser()):
        said = line.row.get("prompt") if isinstance(line, Line) else None
        if not isinstance(said, str) or not said.strip():
            return ()
        found.append(said)
    return tuple(({"role": "user", "content": text},) for text in dict.fromkeys(found))
