"""The switch that keeps everything on this computer: for the window, the terminal and what they
start. The engine is offline without it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.durable import write_atomically
from core.errors import CoreError, HubError
from core.places import data_home

VARIABLE, HUB_VARIABLE = "TUNESMITH_OFFLINE", "HF_HUB_OFFLINE"
"""The first closes everything, the second, which others know too, the Hub alone."""
SILENCE = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "WANDB_MODE": "disabled",
}
"""For the environment of every process: no library counts its users."""
_YES, _NO = {"1", "TRUE", "YES", "ON"}, {"0", "FALSE", "NO", "OFF"}
_SWITCH = "Go online with `tunesmith offline off`, or with File, Work offline in the window."


def silence() -> None:
    """No library that this process might load counts its users."""
    os.environ.update(SILENCE)


def reason() -> str:
    """Who wants to stay offline: the variable's name or `the switch`; empty when nobody does."""
    said = os.environ.get(VARIABLE, "").upper()
    if said in _YES:
        return VARIABLE
    return "the switch" if said not in _NO and switched() else ""


def wanted() -> bool:
    """Whether nothing may leave this computer."""
    return bool(reason())


def forced() -> bool:
    """Whether the environment decides, so that the switch changes nothing."""
    return os.environ.get(VARIABLE, "").upper() in _YES | _NO


def switched() -> bool:
    """What the switch was last set to; a setting that cannot be read closes rather than opens."""
    try:
        return bool(json.loads(_file().read_bytes())["offline"])
    except FileNotFoundError:
        return False
    except (OSError, ValueError, LookupError, TypeError):
        return True


def switch(offline: bool) -> None:
    """Set the switch, for all processes from now on and for the next start. Raises CoreError."""
    try:
        _file().parent.mkdir(parents=True, exist_ok=True)
        write_atomically(_file(), json.dumps({"offline": offline}))
    except OSError as error:
        raise CoreError(
            f"The switch cannot be written: {_file()}: {error.strerror or error}.",
            hint=f"Set {VARIABLE}=1 instead.",
        ) from error


@contextmanager
def held(offline: bool) -> Iterator[None]:
    """Offline for this process and those it starts, until the block ends; False changes nothing."""
    if not offline:
        yield
        return
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = "1"
    try:
        yield
    finally:
        os.environ.pop(VARIABLE)
        if before is not None:
            os.environ[VARIABLE] = before


def hub_reason() -> str:
    """Who closes the Hub: the switch does, and the variable that libraries know."""
    if os.environ.get(HUB_VARIABLE, "").upper() in _YES:
        return HUB_VARIABLE
    return reason()


def sentence(what: str, why: str) -> str:
    """Why something is not done."""
    return f"{what} is not possible: Tunesmith is offline ({why})."


def way_back(why: str) -> str:
    """How to go online again."""
    if why == VARIABLE:
        return f"Start without --offline, and without {VARIABLE} in the environment."
    if why == HUB_VARIABLE:
        return f"Remove {HUB_VARIABLE} from the environment."
    return _SWITCH


def refuse(what: str, kind: type[CoreError] = CoreError) -> None:
    """Raise `kind` when nothing may leave this computer."""
    if why := reason():
        raise kind(sentence(what, why), hint=way_back(why))


def refuse_hub(what: str) -> None:
    """Raise HubError when the Hub may not be asked."""
    if why := hub_reason():
        raise HubError(sentence(what, why), hint=way_back(why))


def _file() -> Path:
    return data_home() / "network.json"
