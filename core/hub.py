"""Search models, download models and datasets by a child process; this side has no network.

fetch = hub.fetch("owner/name")           # starts at once
for progress in fetch.progress():         # blocks between lines: run it in a worker thread
    show(progress.done, progress.total)   # raises HubError at the end when it failed
fetch.folder                              # the model's folder, None when it was cancelled
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any

from core.child import Child, decode, last_line
from core.errors import HubError
from core.hub_spec import HubSpec
from core.offline import SILENCE
from core.redaction import HUB_SECRETS, learn, without_secrets
from core.value import Value

SEARCH_SECONDS = 60.0


class Found(Value):
    """A model on the Hub."""

    model_id: str
    downloads: int = 0
    likes: int = 0
    gated: bool = False
    licence: str = ""
    parameters: int = 0
    """0 when the Hub does not say."""


class FetchProgress(Value):
    """How far a download is, in bytes over all files."""

    done: int
    total: int
    file: str


def fetch_command(*arguments: str) -> list[str]:
    """How the fetch process is started; isolated from folder and environment."""
    return [sys.executable, "-I", "-X", "utf8", "-m", "core.fetch", *arguments]


def search(text: str, limit: int = 20) -> list[Found]:
    """Text models that match, the most downloaded first. Raises HubError."""
    return [Found.model_validate(entry) for entry in _asked("found", "search", text, str(limit))]


def shape(model_id: str) -> None:
    """Ask for a model's configuration and sizes, without its weights. Raises HubError."""
    _asked("folder", "shape", model_id)


def _asked(wanted: str, *arguments: str) -> Any:
    """What a short job of the fetch process answers. Raises HubError."""
    try:
        done = subprocess.run(
            fetch_command(*arguments),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=SEARCH_SECONDS,
            env=_environment(""),
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise HubError("The Hub did not answer.", hint="Try again later.") from error
    for line in done.stdout.splitlines():
        answer = decode(line)
        _raise_error(answer)
        if wanted in answer:
            return answer[wanted]
    raise _unexpected(last_line(done.stderr))


def fetch(model_id: str, token: str = "") -> Fetch:
    """Start downloading a model into the store, or go on with it; see `Fetch`."""
    return Fetch("get", model_id, token)


def fetch_data(spec: HubSpec, token: str = "") -> Fetch:
    """Start downloading a dataset into the store, or go on with it; see `Fetch`."""
    return Fetch("data", str(spec), token)


class Fetch:
    """A running download. Cancelling or losing it keeps what is there for the next attempt."""

    def __init__(self, job: str, model_id: str, token: str = "") -> None:
        self.model_id = model_id
        """What is downloaded: a model, or a dataset by its whole name."""
        self.folder: Path | None = None
        """Where it lies, once it is complete."""
        self._child = Child(fetch_command(job, model_id), _environment(token))

    @property
    def cancelled(self) -> bool:
        """Whether it was called off."""
        return self._child.cancelled

    def progress(self) -> Iterator[FetchProgress]:
        """Progress until the end; ends quietly when cancelled. Raises HubError on failure."""
        with closing(self._child.said()) as said:
            for answer in said:
                _raise_error(answer)
                if "folder" in answer:
                    self.folder = Path(answer["folder"])
                elif "done" in answer:
                    yield FetchProgress.model_validate(answer)
        if self.folder is None and not self.cancelled:
            raise _unexpected(self._child.complaint)

    def cancel(self) -> None:
        """End the download; safe from any thread and at any time."""
        self._child.cancel()

    def __enter__(self) -> Fetch:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._child.cancel()
        self._child.close()


def _environment(token: str) -> dict[str, str]:
    """The user's own, for proxies and certificates; a token given here wins over a stored one."""
    extra = {"HF_TOKEN": learn(token)} if token else {}
    return without_secrets(dict(os.environ), *HUB_SECRETS) | SILENCE | extra


def _raise_error(answer: dict[str, Any]) -> None:
    if "error" in answer:
        raise HubError(str(answer["error"]), hint=str(answer.get("hint", "")))


def _unexpected(complaint: str) -> HubError:
    last = f" ({complaint})" if complaint else ""
    return HubError(
        f"The download process ended unexpectedly{last}.",
        hint="Try again; what was downloaded so far is kept.",
    )
