"""Rewards of answers, with every number checked before anything learns from it."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from core.engine.asked import Asked
from core.errors import CoreError, RunError
from core.places import expand
from core.rewards import Model, Pure, Python, Reward, names_of
from core.rewards.judged import fingerprint

Give = Callable[[Sequence[Asked], Sequence[str]], list[float]]
"""One number for each answer to its question."""


class Scorer:
    """The weighted sum of rewards, and each of them alone."""

    def __init__(self, rewards: Sequence[Reward]) -> None:
        self.weights = [reward.weight for reward in rewards]
        given = zip(names_of(rewards), rewards, strict=True)
        self.parts: dict[str, Give] = {name: _checked(name, reward) for name, reward in given}

    def __call__(self, asked: Sequence[Asked], answers: Sequence[str]) -> list[float]:
        """The whole reward of each answer. Raises CoreError that names row and reward."""
        return self.total(self.each(asked, answers))

    def each(self, asked: Sequence[Asked], answers: Sequence[str]) -> dict[str, list[float]]:
        """What every reward gives, before its weight. Raises CoreError as above."""
        return {name: give(asked, answers) for name, give in self.parts.items()}

    def total(self, each: dict[str, list[float]]) -> list[float]:
        """The weighted sums of what `each` gave."""
        columns = zip(*each.values(), strict=True)
        return [sum(map(operator.mul, self.weights, column)) for column in columns]


def scorer(rewards: Sequence[Reward]) -> Scorer:
    """Rewards made ready: models loaded, files read. Raises CoreError."""
    return Scorer(rewards)


def _checked(name: str, reward: Reward) -> Give:
    """A reward whose numbers are all finite, or which ends the run."""
    give = _giver(name, reward)

    def checked(asked: Sequence[Asked], answers: Sequence[str]) -> list[float]:
        found = give(asked, answers)
        for row, number in zip(asked, found, strict=True):
            if not math.isfinite(number):
                raise _fault(name, row, f"gave {number}, which is not a finite number")
        return found

    return checked


def _giver(name: str, reward: Reward) -> Give:
    match reward:
        case Model():
            return _judge(reward)
        case Python():
            return _each(name, _own(name, reward))
        case Pure():
            return _each(name, reward.score)
    raise TypeError(f"no way to give {reward!r}")


def _each(name: str, score: Callable[..., Any]) -> Give:
    """One answer after the other, with the row at hand when one of them fails."""

    def give(asked: Sequence[Asked], answers: Sequence[str]) -> list[float]:
        return [_one(name, score, row, said) for row, said in zip(asked, answers, strict=True)]

    return give


def _one(name: str, score: Callable[..., Any], row: Asked, answer: str) -> float:
    try:
        return float(score([dict(said) for said in row.messages], answer, row.expected))
    except TimeoutError as error:
        raise _fault(name, row, "took too long on one answer") from error
    except Exception as error:  # a file of the user's own may raise whatever it likes
        raise _fault(name, row, f"failed: {type(error).__name__}: {error}") from error


def _fault(name: str, row: Asked, what: str) -> RunError:
    return RunError(
        f"The reward {name!r} {what} (an answer to line {row.place}).",
        hint="Correct the reward in objective.rewards; nothing was learned from this answer.",
    )


def _judge(reward: Model) -> Give:
    from core.engine.judge import open_judge  # a model, and only for those who have one

    judge = open_judge(expand(reward.run))

    def give(asked: Sequence[Asked], answers: Sequence[str]) -> list[float]:
        pairs = zip(asked, answers, strict=True)
        talks = [[*row.messages, {"role": "assistant", "content": said}] for row, said in pairs]
        return [float(number) for number in judge(talks)]

    return give


def _own(name: str, reward: Python) -> Callable[..., Any]:
    """The function of a file that was consented to; what was hashed is what runs."""
    try:
        source = reward.source()
    except OSError as error:
        raise _unusable(reward, f"cannot be read: {error.strerror}") from error
    if fingerprint(source) != reward.consent:
        raise _unusable(reward, "is not the one that was consented to, and was not run")
    space: dict[str, Any] = {"__name__": f"reward_{name}", "__file__": str(Path(reward.path))}
    try:
        exec(compile(source, reward.path, "exec"), space)
    except Exception as error:
        raise _unusable(reward, f"fails: {type(error).__name__}: {error}") from error
    found: Callable[..., Any] | None = space.get("reward")
    if not callable(found):
        raise _unusable(reward, "has no function `reward(prompt, answer, expected)`")
    return found


def _unusable(reward: Python, why: str) -> CoreError:
    return RunError(
        f"The reward file {reward.path} {why}.",
        hint="Read the file, then consent to it again in objective.rewards.",
    )
