"""What is asked before the window closes while something is going on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gui import messages

if TYPE_CHECKING:
    from gui.window import Window

_AGAIN = "It can go on without the window; the next start shows it again."
_QUEUE = "What waits in the queue begins once a window is open again, or by `tunesmith queue run`."


def needs_asking(window: Window) -> bool:
    """Whether a run, or a queue with a run in hand, would be left behind."""
    return window.runner.alive() or window.desk.standing.at_work


def ask(window: Window) -> None:
    """Training is never ended by accident."""
    answers = {"&Keep training": window.leave}
    if window.runner.alive():
        answers["&Stop and save"] = lambda: _stop_and_leave(window)
    hint = f"{_AGAIN} {_QUEUE}" if window.desk.queue.waiting else _AGAIN
    messages.ask(window, "A run is training.", hint, answers | {"&Cancel": _stay})


def _stay() -> None:
    """Nothing is to be done."""


def _stop_and_leave(window: Window) -> None:
    window.setEnabled(False)
    window.footer.say("The run saves its state and ends…")
    window.desk.leave()  # else the next one would begin
    window.runner.stop_and_wait()
    window.leave()
