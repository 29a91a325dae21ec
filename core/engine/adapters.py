"""Open an adapter over a base that was chosen, whatever base the adapter itself asks for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from peft import PeftConfig, PeftModel, get_peft_model_state_dict

from core.adapt.bottleneck import teach_peft
from core.engine.faults import first_line, out_of_memory
from core.errors import ModelError
from core.screening import screen
from core.screening.adapter import SETTINGS, TARGETS, WEIGHTS, base_of, is_pattern
from core.screening.patterns import matching
from core.weights import read_header


def open_adapter(base: Any, folder: Path, base_name: str) -> Any:
    """The base with the adapter of a folder, every weight of it in its place.

    Raises ModelError when the adapter asks for what may do harm, or belongs to another model: PEFT
    fills what is missing with an adapter that does nothing, and leaves out what has no place.
    """
    screen(folder)
    teach_peft()
    try:
        config = PeftConfig.from_pretrained(str(folder))
        _settle_patterns(config, base, folder)
        model = PeftModel.from_pretrained(base, str(folder), config=config)
    except Exception as error:
        if out_of_memory(error) or isinstance(error, ModelError):
            raise
        raise ModelError(
            f"The adapter in {folder} cannot be opened over {base_name}: {first_line(error)}",
            hint=_whose(folder, base_name),
        ) from error
    _refuse_misfits(model, folder, base_name)
    return model


def _settle_patterns(config: Any, base: Any, folder: Path) -> None:
    """PEFT matches with an engine that can hang; names found by one that gives up are the same."""
    names = [name for name, _ in base.named_modules()]
    for field in TARGETS:
        pattern = getattr(config, field, None)
        if not isinstance(pattern, str) or not is_pattern(pattern):
            continue
        try:
            setattr(config, field, matching(pattern, names))
        except ValueError as error:
            raise ModelError(
                f"{folder / SETTINGS}: the regular expression in {field} {error}.",
                hint="Write the names of the layers instead, such as q_proj and v_proj.",
            ) from error


def _refuse_misfits(model: Any, folder: Path, base_name: str) -> None:
    wanted = set(get_peft_model_state_dict(model, save_embedding_layers=False))
    stored = set(read_header(folder / WEIGHTS))
    for names, what in (
        (wanted - stored, "are missing"),
        (stored - wanted - set(model.state_dict()), "have no place in the model"),
    ):
        if names:
            told = ", ".join(sorted(names)[:3])
            raise ModelError(
                f"{len(names)} weights of the adapter in {folder} {what}: {told}.",
                hint=_whose(folder, base_name),
            )


def _whose(folder: Path, base_name: str) -> str:
    """Both names: the base that was chosen, and the one the adapter asks for."""
    made_for = base_of(folder) or "a model that it does not name"
    return f"The adapter says that it was made for {made_for}; it was opened over {base_name}."
