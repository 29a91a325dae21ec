"""What a run says while it runs: one JSON object per line of events.jsonl.

Old runs must replay for ever: a new field needs a default, and readers skip kinds they do not
know (`decode` returns None) as well as fields they do not know.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Annotated, Literal, TypeVar, cast, dataclass_transform

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from core.errors import RunError
from core.redaction import redact

PhaseName = Literal[
    "measuring",
    "importing",
    "tokenising",
    "loading",
    "reference",
    "scoring",
    "beginning",
    "training",
    "saving",
]


Record = TypeVar("Record")
_CHECKED = ConfigDict(extra="ignore", allow_inf_nan=False)


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(Field,))
def _record(kind: type[Record]) -> type[Record]:
    """Frozen, checked when made or read, and of few bytes: a long run has a million of them."""
    made = dataclass(frozen=True, slots=True, kw_only=True, config=_CHECKED)(kind)
    return cast(type[Record], made)


@_record
class _Event:
    t: float = Field(default_factory=time.time)
    """Seconds since 1970, by a clock that people may set."""
    tick: float = 0.0
    """Seconds by a clock that nobody can set; comparable within one start of the computer."""
    seq: int = 0
    """Number of the event in its run: each is one more than the last. 0 in runs of old."""


@_record
class Memory:
    """Memory at one moment, in bytes; GPU figures are absent on a machine without one."""

    gpu_allocated: int | None = None
    gpu_reserved: int | None = None
    gpu_used: int | None = None
    gpu_total: int | None = None
    gpu_busy: int | None = None
    """Utilisation in per cent, as the driver reports it."""
    host_used: int = 0
    """Resident memory of the engine process."""
    host_total: int = 0


@_record
class Answer:
    """One held-out question: what was asked, expected and answered."""

    prompt: str
    expected: str
    answer: str
    correct: bool | None = None


@_record
class Started(_Event):
    """An engine took the run. `resumed` is the step it continues from, None for a fresh start."""

    kind: Literal["started"] = "started"
    pid: int
    device: str = ""
    resumed: int | None = None
    versions: dict[str, str] = Field(default_factory=dict)


@_record
class Phase(_Event):
    """What the engine is doing; slow phases repeat with `done` of `total`."""

    kind: Literal["phase"] = "phase"
    name: PhaseName
    done: int | None = None
    total: int | None = None


@_record
class Preflight(_Event):
    """Trial steps on the longest rows were taken before the run; memory in bytes."""

    kind: Literal["preflight"] = "preflight"
    fits: bool
    cuda: bool
    allocated: int
    reserved: int
    estimated: int = 0
    """What `allocated` was expected to be; 0 when nobody expected anything."""
    limit: int = 0
    step_seconds: float | None = None
    """A usual optimizer step."""
    seconds: float | None = None
    """All steps of the run."""
    reached: str = ""
    """What was being done when the memory ran out."""


@_record
class Step(_Event):
    """One optimizer step. `seconds` counts the time spent in steps since the start."""

    kind: Literal["step"] = "step"
    step: int
    total: int
    epoch: float = 0.0
    loss: float
    learning_rate: float = 0.0
    grad_norm: float | None = None
    tokens: int = 0
    tokens_per_second: float | None = None
    seconds: float = 0.0
    memory: Memory = Memory()
    metrics: dict[str, float] = Field(default_factory=dict)
    """What else the objective tells, by the names of core.metrics."""


@_record
class Evaluated(_Event):
    """The held-out rows at a step; `best` when they were never better.

    Better is a lower loss, or a higher reward where answers are rewarded and there is no loss.
    """

    kind: Literal["evaluated"] = "evaluated"
    step: int
    loss: float | None = None
    best: bool = False
    reward_accuracy: float | None = None
    """As in `Scored`."""
    metrics: dict[str, float] = Field(default_factory=dict)
    """As in `Step`."""
    rewarded: int = 0
    """As in `Scored`."""


@_record
class Sampled(_Event):
    """What the model answers to a fixed probe prompt at a step."""

    kind: Literal["sampled"] = "sampled"
    step: int
    answer: Answer


@_record
class Scored(_Event):
    """The held-out set, scored before or after training.

    Loss is per trained token; of preferences it is per pair; None where answers are rewarded.
    """

    kind: Literal["scored"] = "scored"
    when: Literal["before", "after"]
    loss: float | None = None
    exact_match: float | None = None
    reward_accuracy: float | None = None
    """Share of pairs whose better answer became likelier than the worse one, compared with the
    model before training; a tie counts half. None when no pairs are learned."""
    metrics: dict[str, float] = Field(default_factory=dict)
    """As in `Step`."""
    rewarded: int = 0
    """Held-out questions whose answers were rewarded; 0 where there are no rewards."""
    rows: int = 0
    answers: tuple[Answer, ...] = ()


@_record
class Saved(_Event):
    """A checkpoint is complete on disk; `path` is relative to the run."""

    kind: Literal["saved"] = "saved"
    step: int
    path: str
    bytes: int = 0
    best: bool = False
    doubt: str | None = None
    """Why a run that goes on from here may end otherwise than an uninterrupted one; empty where
    it ends with the same bits, None when nobody looked."""


@_record
class Skipped(_Event):
    """An optimizer step was left out: the weights stay, because a number was not finite."""

    kind: Literal["skipped"] = "skipped"
    step: int
    what: Literal["loss", "gradient"] = "loss"
    rows: tuple[int | str, ...] = ()
    """Where the rows stand that were learned from; empty when nobody can tell."""


@_record
class Reduced(_Event):
    """Memory ran out: from this step on each batch is computed in `parts`, with one result."""

    kind: Literal["reduced"] = "reduced"
    step: int
    parts: int
    rows: int
    """Rows computed at once from now on."""
    recomputed: bool = False
    """Whether gradient checkpointing was turned on as well."""


@_record
class Paused(_Event):
    """Training waits at a step, or goes on again."""

    kind: Literal["paused"] = "paused"
    step: int
    paused: bool = True
    reason: str = ""
    """Why, when nobody asked for it."""
    hint: str = ""
    passing: bool = False
    """Whether training goes on by itself when the reason has gone."""


@_record
class Silent(_Event):
    """Said by whoever follows a run, and never written down: nothing was heard for so long."""

    kind: Literal["silent"] = "silent"
    phase: PhaseName
    seconds: float


@_record
class Slept(_Event):
    """Said by whoever follows a run, and never written down: the computer slept for so long."""

    kind: Literal["slept"] = "slept"
    seconds: float


@_record
class Warned(_Event):
    """Something the user should know that does not end the run."""

    kind: Literal["warned"] = "warned"
    code: str
    text: str
    hint: str = ""


@_record
class Failed(_Event):
    """The run ended because of an error."""

    kind: Literal["failed"] = "failed"
    error: str
    hint: str = ""
    detail: str = ""
    code: str = ""
    """Of core.causes, for whoever decides what to do next."""


@_record
class Finished(_Event):
    """The run ended as asked: all steps done, or stopped (then it can be resumed)."""

    kind: Literal["finished"] = "finished"
    step: int = 0
    stopped: bool = False
    interrupted: bool = False
    """Whether the system asked, at log-off or shutdown, and not the user."""
    early: bool = False
    artefact: str = ""


Event = (
    Started | Phase | Preflight | Step | Evaluated | Sampled | Scored
    | Saved | Skipped | Reduced | Paused | Silent | Slept | Warned | Failed | Finished
)  # fmt: skip

_adapter: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="kind")])
_read: Callable[[bytes], Event] = _adapter.validator.validate_json
"""Without what the adapter asks before each line: there may be a million of them."""


def encode(event: Event) -> bytes:
    """One line for events.jsonl; logs are handed on, so no secret is in one."""
    return redact(_adapter.dump_json(event).decode()).encode() + b"\n"


class DamagedEvent(RunError, ValueError):
    """A line of a run's story that no engine has written."""


_DAMAGED = (
    "The file was changed, or its disk is failing. What the run has saved is not touched: its "
    "checkpoints and its result can still be used."
)


def decode(line: bytes) -> Event | None:
    """One line of events.jsonl; None for a kind this version does not know.

    None, too, for a line with bytes that a power cut kept from the disk, which are zero there.
    Raises DamagedEvent when the line is damaged.
    """
    if b"\0" in line:
        return None
    try:
        return _read(line)
    except ValidationError as error:
        if any(fault["type"] == "union_tag_invalid" for fault in error.errors()):
            return None
        where = json.dumps(line[:80].decode(errors="replace"))
        raise DamagedEvent(f"damaged event line {where}", hint=_DAMAGED) from error
