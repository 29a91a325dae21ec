"""Questions on their way through the library's data loader, and what their answers earn."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import Any

from core.engine.asked import Asked
from core.engine.encode import Row
from core.engine.rewarding import Scorer, scorer
from core.objectives.ppo import PPO


def columns_of(asked: Asked) -> dict[str, Any]:
    """A question as a row; messages as text, or each would get the keys of all others."""
    return {
        "input_ids": asked.ids,
        "line": asked.row.line,
        "source": asked.row.source,
        "messages": json.dumps(asked.messages),
        "expected": asked.expected,
    }


def asked_of(row: Mapping[str, Any]) -> Asked:
    """The question that `columns_of` made a row of."""
    ids = list(row["input_ids"])
    encoded = Row(row["line"], ids, [False] * len(ids), row["source"])
    return Asked(encoded, json.loads(row["messages"]), row["expected"])


def scorer_of(objective: PPO) -> Scorer:
    """One for lesson and trainer alike, so that a model that judges is loaded once."""
    return _scorer_of(objective.model_dump_json())


@functools.lru_cache(1)
def _scorer_of(objective: str) -> Scorer:
    return scorer(PPO.model_validate_json(objective).rewards)
