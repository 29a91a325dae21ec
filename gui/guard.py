"""Why the window cannot open, as a sentence, found out before Qt has a chance to abort.

Nothing here imports Qt at module level: the point is to be asked first.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import os
import re
import sys
from collections.abc import Mapping
from typing import NamedTuple

BROKEN_QT = "6.12.0"
"""On Pythons that count references to None, every void call of this version loses one; the
process is ended by the interpreter within minutes. Python 3.12 stopped counting them."""
_NEVER_COUNTS = (3, 12)
_PACKAGES = {
    "libEGL": "libegl1",
    "libGL": "libgl1",
    "libxkbcommon": "libxkbcommon0",
    "libfontconfig": "libfontconfig1",
    "libdbus": "libdbus-1-3",
    "libglib": "libglib2.0-0",
    "libxcb-cursor": "libxcb-cursor0",
}
_TERMINAL = "Everything also works without a window; try `tunesmith demo`."


class Refusal(NamedTuple):
    """Why there will be no window, and what to do."""

    text: str
    hint: str


def refusal() -> Refusal | None:
    """The first reason found on this computer, or None when the window can open."""
    try:
        version = importlib.metadata.version("PySide6_Essentials")
    except importlib.metadata.PackageNotFoundError:
        return Refusal(
            "The window needs PySide6, which is not installed.",
            f'Install it with `pip install "tunesmith[gui]"`. {_TERMINAL}',
        )
    return (
        broken_pair(version, sys.version_info[:2])
        or _import_fault()
        or no_display(os.environ, sys.platform)
        or _dead_display(os.environ, sys.platform)
    )


def broken_pair(qt: str, python: tuple[int, ...]) -> Refusal | None:
    """PySide6 6.12.0 must not run on Python 3.11 or older."""
    if qt != BROKEN_QT or python >= _NEVER_COUNTS:
        return None
    used = ".".join(str(part) for part in python[:2])
    return Refusal(
        f"PySide6 {qt} crashes on Python {used}: it loses count of Python's None.",
        'Use Python 3.12 or newer, or install an older one: `pip install "PySide6-Essentials<6.12"`'
        f". {_TERMINAL}",
    )


def _import_fault() -> Refusal | None:
    try:
        importlib.import_module("PySide6.QtWidgets")
        importlib.import_module("PySide6.QtSvg")
    except ImportError as error:
        return missing_library(str(error))
    return None


def missing_library(message: str) -> Refusal:
    """What a failed import of Qt means: nearly always one system library."""
    found = re.search(r"(lib[\w+-]+?)(?:-\d[\w.]*)?\.so[\w.]*", message)
    if not found:
        return Refusal(f"Qt cannot be loaded: {message}", f"Reinstall PySide6. {_TERMINAL}")
    name = found[1]
    package = next((pkg for lib, pkg in _PACKAGES.items() if name == lib), "")
    hint = f"Install it with `sudo apt install {package}`" if package else "Install it"
    return Refusal(
        f"Qt cannot be loaded: the system library {found[0]} is missing.",
        f"{hint} (other systems use similar names). {_TERMINAL}",
    )


def no_display(environment: Mapping[str, str], platform: str) -> Refusal | None:
    """On Linux a window needs X11 or Wayland; over plain ssh there is neither."""
    if platform != "linux" or environment.get("QT_QPA_PLATFORM"):
        return None
    if environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY"):
        return None
    return Refusal("There is no screen to open a window on.", _TERMINAL)


def _dead_display(environment: Mapping[str, str], platform: str) -> Refusal | None:
    """Qt aborts the process when the X server refuses or libxcb-cursor is absent, so ask before."""
    chosen = environment.get("QT_QPA_PLATFORM", "xcb").split(":")[0]
    if platform != "linux" or environment.get("WAYLAND_DISPLAY") or chosen != "xcb":
        return None
    try:
        ctypes.CDLL("libxcb-cursor.so.0")
        xcb = ctypes.CDLL("libxcb.so.1")
    except OSError as error:
        return missing_library(str(error))
    if _answers(xcb):
        return None
    shown = environment.get("DISPLAY", "")
    return Refusal(f"The screen {shown!r} cannot be reached.", _TERMINAL)


def _answers(xcb: ctypes.CDLL) -> bool:
    xcb.xcb_connect.restype = ctypes.c_void_p
    xcb.xcb_connection_has_error.argtypes = [ctypes.c_void_p]
    xcb.xcb_disconnect.argtypes = [ctypes.c_void_p]
    connection = xcb.xcb_connect(None, None)
    good = not xcb.xcb_connection_has_error(connection)
    xcb.xcb_disconnect(connection)
    return good
