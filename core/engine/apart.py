"""The process that renders a stranger's chat template: it has no network, little memory and little
time, and says nothing but texts. `python -I -m core.engine.apart`, so that it is there soon.

It reads JSON lines: templates, and conversations to be rendered with the last of them. Each
conversation is answered by one line with the text and where in it the answers stand, or with what
went wrong.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, BinaryIO

from core.engine.confine import Allowance, confine, give_up

PATIENCE = 2.0
"""Seconds of computing for one conversation; thousandths are usual."""
ALLOWED = Allowance(memory=512_000_000, seconds=36_000, file=0)
LEAST, MOST_TIMES = 200_000, 20
"""Characters that any conversation may become, and how many times longer than its texts."""
Render = Callable[..., tuple[list[str], list[list[tuple[int, int]]]]]


def serve(asked: BinaryIO, answers: BinaryIO) -> int:
    """Render until nothing more is asked."""
    confine()
    render, template = _library(), ""
    give_up(ALLOWED)
    for line in asked:
        told = json.loads(line)
        if "template" in told:
            template = told["template"]
            continue
        _limit_time(PATIENCE)
        said = _answer(render, template, told)
        _limit_time(0)
        answers.write(json.dumps(said).encode() + b"\n")
        answers.flush()
    return 0


def _library() -> Render:
    """The library's own renderer, which works in a sandbox; without torch, which takes seconds."""
    sys.modules["torch"] = None  # type: ignore[assignment]
    os.environ["TRANSFORMERS_NO_ADVISORY_WARNINGS"] = "1"
    os.environ["TRANSFORMERS_VERBOSITY"] = "critical"
    from transformers.utils.chat_template_utils import render_jinja_template

    found: Render = render_jinja_template
    found(conversations=[[]], chat_template="")  # what is imported late is imported now
    return found


def _limit_time(seconds: float) -> None:
    """The system ends the process when it computes for longer, whatever it is doing then."""
    if sys.platform != "win32":
        signal.setitimer(signal.ITIMER_PROF, seconds)


def _answer(render: Render, template: str, asked: dict[str, Any]) -> dict[str, Any]:
    from jinja2 import TemplateError, TemplateSyntaxError

    chat, options = asked["chat"], asked["options"]
    try:
        texts, spans = render(conversations=[chat], chat_template=template, **options)
    except TemplateSyntaxError as error:
        return {"fault": "syntax", "words": str(error.message), "line": error.lineno}
    except TemplateError as error:
        return {"fault": "refused", "words": str(error)[:2000]}
    except MemoryError:
        return {"fault": "memory"}
    except Exception as error:  # noqa: BLE001 - whatever a stranger's template does
        return {"fault": "refused", "words": f"{type(error).__name__}: {error}"[:2000]}
    most = LEAST + MOST_TIMES * letters(chat)
    if len(texts[0]) > most:
        return {"fault": "length", "characters": len(texts[0])}
    return {"text": texts[0], "spans": spans[0] if spans else []}


def letters(said: object) -> int:
    """Characters of all texts in a conversation."""
    if isinstance(said, str):
        return len(said)
    inner = said.values() if isinstance(said, dict) else said if isinstance(said, list) else ()
    return sum(letters(each) for each in inner)


if __name__ == "__main__":
    sys.exit(serve(sys.stdin.buffer, sys.stdout.buffer))
