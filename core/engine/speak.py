"""Let models answer prompts, as they are or as runs have made them."""

from __future__ import annotations

import gc
import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from core import models
from core.answering import Answer, Answers, Prompt, Request, Sampling, Speaker
from core.engine import score
from core.engine.encode import question
from core.engine.load import load_tokenizer, open_weights
from core.engine.results import Opened, open_result, where_it_runs
from core.errors import DataError, ModelError, RunError
from core.rundir import RunDir

TRIES = 3
"""How often an answer is drawn at most until it differs from the others."""
_AGAIN = 7919
"""Added to the seed for each further try."""

Progress = Callable[[int, int], None]


class Said(NamedTuple):
    """An answer, and whether the model came to its end."""

    text: str
    ended: bool


def speak(request: Request, progress: Progress) -> Answers:
    """Ask every speaker every prompt. Raises CoreError."""
    table = _Table(len(request.prompts))
    total = len(request.prompts) * len(request.speakers)
    progress(0, total)
    alike = itertools.groupby(
        enumerate(request.speakers), key=lambda one: (one[1].model, one[1].run)
    )
    for _, group in alike:
        voice: Opened | None = None
        for place, speaker in group:
            voice = voice or open_voice(speaker)
            prompts = encode(voice, request.prompts, speaker.sampling.longest)
            tell = _counting(progress, place * len(prompts), total)
            _ask(table, place, voice, prompts, speaker.sampling, tell)
        voice = None
        _make_room()
    return table.answers()


def _counting(progress: Progress, before: int, total: int) -> Progress:
    """Progress of one speaker as progress of all."""
    return lambda done, _: progress(before + done, total)


class _Table:
    """Answers so far, by prompt; only those that differ are kept."""

    def __init__(self, prompts: int) -> None:
        self.kept: list[list[Answer]] = [[] for _ in range(prompts)]
        self.retried = self.same = self.empty = 0

    def take(self, prompt: int, speaker: int, said: Said) -> bool:
        """Keep an answer; False when it is empty or was given already."""
        fresh = bool(said.text.strip()) and not self._known(prompt, said)
        if fresh:
            answer = Answer(speaker=speaker, text=said.text, ended=said.ended)
            self.kept[prompt].append(answer)
        return fresh

    def leave_out(self, prompt: int, said: Said) -> None:
        """Count an answer that no further try has changed."""
        if self._known(prompt, said):
            self.same += 1
        else:
            self.empty += 1

    def _known(self, prompt: int, said: Said) -> bool:
        return any(said.text.strip() == other.text.strip() for other in self.kept[prompt])

    def answers(self) -> Answers:
        """All that was kept, with the counts."""
        return Answers(
            answers=tuple(map(tuple, self.kept)),
            retried=self.retried,
            same=self.same,
            empty=self.empty,
        )


def _ask(
    table: _Table,
    speaker: int,
    voice: Opened,
    prompts: Sequence[list[int]],
    sampling: Sampling,
    progress: Progress,
) -> None:
    """All prompts once, then those again whose answers are of no use."""
    waiting = list(range(len(prompts)))
    for attempt in range(TRIES if sampling.temperature else 1):
        table.retried += len(waiting) if attempt else 0
        seeded = sampling.model_copy(update={"seed": sampling.seed + attempt * _AGAIN})
        tell = progress if not attempt else _no_progress
        replies = dict(_replies(voice, prompts, waiting, seeded, tell))
        waiting = [p for p in waiting if not table.take(p, speaker, replies[p])]
        if not waiting:
            return
    for prompt in waiting:
        table.leave_out(prompt, replies[prompt])


def _no_progress(_done: int, _total: int) -> None:
    """Further tries are few."""


def _replies(
    voice: Opened,
    prompts: Sequence[list[int]],
    asked: Sequence[int],
    sampling: Sampling,
    progress: Progress,
) -> Iterator[tuple[int, Said]]:
    """Answers to the prompts at these places, those of like length in one batch."""
    order = sorted(asked, key=lambda place: len(prompts[place]))
    for start in range(0, len(order), score.ANSWER_BATCH):
        chosen = order[start : start + score.ANSWER_BATCH]
        said = _batch(voice, [prompts[place] for place in chosen], sampling, start)
        yield from zip(chosen, said, strict=True)
        progress(start + len(chosen), len(order))


def _batch(
    voice: Opened, prompts: Sequence[list[int]], sampling: Sampling, start: int
) -> list[Said]:
    how: dict[str, Any] = {"do_sample": False}
    if sampling.temperature:
        how = {
            "do_sample": True,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "top_k": 0,
        }
    made = score.extend(
        voice.model, voice.tokenizer, prompts, sampling.longest, seed=sampling.seed + start, **how
    )
    texts = voice.tokenizer.batch_decode(made, skip_special_tokens=True)
    stops = torch.tensor(score.ends(voice.model, voice.tokenizer), device=made.device)
    ended = torch.isin(made, stops).any(dim=1).tolist()
    return [Said(text, bool(end)) for text, end in zip(texts, ended, strict=True)]


def encode(voice: Opened, prompts: Sequence[Prompt], longest: int) -> list[list[int]]:
    """Prompts as tokens. Raises DataError when one leaves no room for an answer."""
    made = [question(voice.tokenizer, list(prompt)) for prompt in prompts]
    room = getattr(voice.model.config.get_text_config(), "max_position_embeddings", None)
    for number, ids in enumerate(made, 1):
        if room and len(ids) + longest > room:
            raise DataError(
                f"Prompt {number:,} has {len(ids):,} tokens; with an answer of {longest:,} it is "
                f"longer than the {room:,} that the model can read.",
                hint="Leave it out, or allow shorter answers.",
            )
    return made


def open_voice(speaker: Speaker) -> Opened:
    """Load a model, with what a run has made of it. Raises ModelError, RunError."""
    run = RunDir.open(Path(speaker.run)) if speaker.run else None
    voice = _trained(run) if run else _untrained(models.resolve(speaker.model))
    if not voice.tokenizer.chat_template:
        raise ModelError(
            f"{speaker.name} has no chat template, so it cannot be asked like a chat model.",
            hint="Choose the instruct or chat variant of the model.",
        )
    return voice


def _untrained(folder: Path) -> Opened:
    return Opened(open_weights(folder, *where_it_runs()), load_tokenizer(folder))


def _trained(run: RunDir) -> Opened:
    if not run.load_recipe().objective.speaks:
        raise RunError(
            f"{run.root.name} is a reward model: it judges answers and writes none.",
            hint="Choose a run that imitates or prefers answers.",
        )
    return open_result(run)


def _make_room() -> None:
    """One model at a time: the next may need all the memory there is."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
