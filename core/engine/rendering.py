"""Strangers' chat templates are rendered in a process apart, with limits of time and memory.

A template is a program. The libraries run it in a sandbox that keeps it from files and from the
network, but not from computing without end or asking for all memory. Those that ship with this
program, or with the library that trains, are rendered where they are.
"""

from __future__ import annotations

import atexit
import collections
import functools
import json
import queue
import signal
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import transformers.tokenization_utils_base as library
import trl
from jinja2 import TemplateError, TemplateSyntaxError
from transformers.utils.chat_template_utils import render_jinja_template

from core import asking, places, templates
from core.engine import apart
from core.engine.origin import text_sum
from core.engine.skeletons import Skeletons
from core.errors import ModelError

WAIT = 30.0
"""Seconds on the clock for one conversation, where the system may be busy with other things."""
WHOLE, EACH = 120.0, 0.05
"""Seconds of computing for all conversations, and what each adds to that."""
LARGEST = 1_000_000
"""Characters of a template; published ones have up to 30,000."""
_POLL = 0.25
_RESERVE = 300_000_000
"""Bytes that the process itself needs beside what it is allowed."""
MOST_KNOWN = 16
_MEMORY = f"needs more than {apart.ALLOWED.memory // 1_000_000} MB of memory"
_HINT = (
    "Do not use this template unless you know who made it. Choose one of the catalogue in "
    "data.template, or another model."
)
Rendered = tuple[str, list[tuple[int, int]]]


class TemplateFault(ModelError):
    """A template that does not end, grows without measure or takes its process down."""

    def __init__(self, name: str, fault: str, place: int) -> None:
        self.name, self.fault, self.place = name, fault, place
        super().__init__(f"The chat template {name} {fault}.", hint=_HINT)

    def at(self, line: int) -> TemplateFault:
        """The same, with the line of the row that it happened with."""
        return TemplateFault(self.name, f"{self.fault}, with the row of line {line:,}", self.place)


class _Ended(Exception):
    """Why there will be no answer."""


class _Process:
    """Where strangers' templates are rendered; it ends with the first that goes too far."""

    def __init__(self) -> None:
        self._child = subprocess.Popen(
            asking.engine_command(module="core.engine.apart"),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=asking.engine_environment(),
        )  # fmt: skip
        self._said: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    @property
    def ended(self) -> bool:
        """Whether another one is needed."""
        return self._child.poll() is not None

    def tell(self, asked: dict[str, Any]) -> None:
        """Give it a template or a conversation. Raises _Ended."""
        assert self._child.stdin is not None
        try:
            self._child.stdin.write(json.dumps(asked, default=str).encode() + b"\n")
            self._child.stdin.flush()
        except OSError:
            raise self._died() from None

    def hear(self) -> dict[str, Any]:
        """Its next answer. Raises _Ended when that takes too long or too much."""
        begun = time.monotonic()
        while True:
            try:
                line = self._said.get(timeout=_POLL)
                break
            except queue.Empty:
                self._refuse_excess(time.monotonic() - begun)
        if not line:
            raise self._died()
        found: dict[str, Any] = json.loads(line)
        return found

    def close(self) -> None:
        """End it; what it was doing is of no interest."""
        self._child.kill()
        self._child.wait()
        self._listener.join()
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                with suppress(OSError):  # what was not written will not be read
                    pipe.close()

    def _listen(self) -> None:
        assert self._child.stdout is not None
        for line in self._child.stdout:
            self._said.put(line)
        self._said.put(b"")

    def _refuse_excess(self, waited: float) -> None:
        """For systems that do not keep the limits themselves."""
        if waited > WAIT:
            self.close()
            raise _Ended(f"does not finish a conversation within {WAIT:.0f} seconds")
        with suppress(psutil.Error):  # it has just ended
            used = psutil.Process(self._child.pid).memory_info().rss
            if used > apart.ALLOWED.memory + _RESERVE:
                self.close()
                raise _Ended(_MEMORY)

    def _died(self) -> _Ended:
        status = self._child.wait()
        self.close()
        if status == -getattr(signal, "SIGPROF", 0):
            what = f"does not finish a conversation within {apart.PATIENCE:.0f} seconds"
            return _Ended(f"{what} of computing")
        return _Ended(f"ended the process that renders it (status {status})")


class Renderer:
    """One stranger's template, and what was seen of it."""

    def __init__(self, template: str, name: str) -> None:
        self.template, self.name = template, name
        self.odd: dict[int, str] = {}
        """Of the conversations rendered last: text that the template wrote for what they say."""
        self._skeletons = Skeletons(self._one)
        self._seconds, self._count = 0.0, 0

    def render(self, chats: list[Any], options: dict[str, Any]) -> list[Rendered]:
        """Every conversation. Raises TemplateFault, and what the template itself raises."""
        self.odd, made = {}, []
        for place, chat in enumerate(chats):
            try:
                made.append(self._one(chat, options))
                if added := self._skeletons.added(chat, options, made[-1][0]):
                    self.odd[place] = added
            except _Ended as end:
                raise TemplateFault(self.name, str(end), place) from end
        return made

    def _one(self, chat: Any, options: dict[str, Any]) -> Rendered:
        process = _ready(self)
        begun = time.monotonic()
        process.tell({"chat": chat, "options": options})
        said = process.hear()
        self._refuse_slow(time.monotonic() - begun)
        match said.get("fault"):
            case None:
                return said["text"], [(start, end) for start, end in said["spans"]]
            case "syntax":
                raise TemplateSyntaxError(said["words"], said["line"])
            case "refused":
                raise TemplateError(said["words"])
            case "length":
                raise _Ended(f"makes {said['characters']:,} characters of a conversation")
        raise _Ended(_MEMORY)

    def _refuse_slow(self, waited: float) -> None:
        self._seconds, self._count = self._seconds + waited, self._count + 1
        if self._seconds > WHOLE + EACH * self._count:
            raise _Ended(f"took {self._seconds:,.0f} seconds for {self._count:,} conversations")


_state: dict[str, Any] = {}
"""The process, and the template that it has been told last."""
_names: dict[str, str] = {}
_renderers: collections.OrderedDict[str, Renderer] = collections.OrderedDict()


def guard(template: object, name: str) -> None:
    """From now on tokenizers of this process render strangers' templates apart; this one has a
    name."""
    library.render_jinja_template = render
    if isinstance(template, str):
        _names[text_sum(template)] = name


def is_ours(template: str) -> bool:
    """Whether a template ships with this program or with the library that trains."""
    return text_sum(template) in _known()


def take_odd(template: object) -> dict[int, str]:
    """Text that a template wrote for what conversations say, by their place in the last batch."""
    found = _renderers.get(text_sum(str(template)))
    return found.odd if found else {}


def stop() -> None:
    """End the process that renders; the next conversation starts another one."""
    _state.pop("template", None)
    if process := _state.pop("process", None):
        process.close()


atexit.register(stop)


@functools.cache
def _known() -> frozenset[str]:
    shipped = [*(places.resources() / "templates").glob(f"*{templates.SUFFIX}")]
    shipped += places.starter().glob(f"*{templates.SUFFIX}")
    shipped += (Path(trl.__file__).parent / "chat_templates").glob(f"*{templates.SUFFIX}")
    return frozenset(text_sum(path.read_text(encoding="utf-8")) for path in shipped)


def render(
    conversations: list[Any], chat_template: str | None = None, **options: Any
) -> tuple[list[str], list[list[tuple[int, int]]]]:
    """In the place of the library's own function, which renders within this process."""
    template = chat_template or ""
    if is_ours(template):
        found: tuple[list[str], list[list[tuple[int, int]]]] = render_jinja_template(
            conversations=conversations, chat_template=template, **options
        )
        return found
    made = _renderer(template).render(list(conversations), options)
    spans = [spans for _, spans in made] if options.get("return_assistant_tokens_mask") else []
    return [text for text, _ in made], spans


def _renderer(template: str) -> Renderer:
    """What is known of a template; only of the last few."""
    key = text_sum(template)
    name = _names.get(key, "of the model")
    if len(template) > LARGEST:
        raise TemplateFault(name, f"has {len(template):,} characters", 0)
    found = _renderers.setdefault(key, Renderer(template, name))
    found.name = name
    _renderers.move_to_end(key)
    while len(_renderers) > MOST_KNOWN:
        _renderers.popitem(last=False)
    return found


def _ready(renderer: Renderer) -> _Process:
    """The process, knowing this template."""
    process: _Process | None = _state.get("process")
    if process is None or process.ended:
        stop()
        process = _state["process"] = _Process()
    if _state.get("template") is not renderer:
        process.tell({"template": renderer.template})
        _state["template"] = renderer
    return process
