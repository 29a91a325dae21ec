"""What was made so far, on the disk after every reply, so that a later call goes on from there."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic import Field, ValidationError

from core.durable import digest, write_atomically
from core.errors import DataError
from core.jsonl import appearing, cannot_write, row_text
from core.making.order import Reply
from core.value import Value


class Tally(Value):
    """Counts of all calls so far, and the settings that may not change between them."""

    settings: dict[str, Any]
    began: str
    requests: int = 0
    rejected: dict[str, int] = Field({})
    input_tokens: int = 0
    output_tokens: int = 0
    largest: tuple[int, int] = (0, 0)
    """Most tokens that one request took, of input and of output."""
    uncounted: int = 0
    """Replies whose tokens nobody counted."""
    published: str = ""
    """Sum of the output file, once it may be there."""

    def after(self, reply: Reply, rejected: Counter[str]) -> Tally:
        """With one more reply."""
        counted = reply.input_tokens is not None and reply.output_tokens is not None
        asked, said = reply.input_tokens or 0, reply.output_tokens or 0
        return self.model_copy(
            update={
                "requests": self.requests + 1,
                "rejected": dict(Counter(self.rejected) + rejected),
                "input_tokens": self.input_tokens + asked,
                "output_tokens": self.output_tokens + said,
                "largest": (max(self.largest[0], asked), max(self.largest[1], said)),
                "uncounted": self.uncounted + (not counted),
            }
        )


class Ledger:
    """The rows in `OUT.part` and the tally beside it."""

    def __init__(self, output: Path, tally: Tally, rows: list[dict[str, Any]]) -> None:
        self.output, self.tally, self.rows = output, tally, rows

    def add(self, rows: Sequence[dict[str, Any]], tally: Tally) -> None:
        """Account for a reply: its cost first, so that a crash never forgets money."""
        try:
            self._save(tally)
            with part_of(self.output).open("a", encoding="utf-8", newline="\n") as file:
                file.writelines(f"{row_text(row)}\n" for row in rows)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise cannot_write(part_of(self.output), error) from error
        self.rows += rows

    def _save(self, tally: Tally) -> None:
        write_atomically(state_of(self.output), tally.model_dump_json())
        self.tally = tally

    def seal(self) -> str:
        """The sum that the output will have, remembered so that a later call knows it as ours."""
        made = digest(part_of(self.output))
        self._save(self.tally.model_copy(update={"published": made}))
        return made

    def publish(self, *, whole: bool) -> None:
        """Let the output appear; when all rows are there, forget the rest."""
        with appearing(self.output) as file, part_of(self.output).open(encoding="utf-8") as part:
            shutil.copyfileobj(part, file)
        if whole:
            self.forget()

    def forget(self) -> None:
        """Remove what is kept for a later call."""
        for path in (part_of(self.output), state_of(self.output)):
            path.unlink(missing_ok=True)


def record_of(output: Path) -> Path:
    """Where the record of made rows lies."""
    return output.with_suffix(".provenance.json")


def part_of(output: Path) -> Path:
    """Rows so far."""
    return output.with_name(f"{output.name}.part")


def state_of(output: Path) -> Path:
    """The tally so far."""
    return output.with_name(f"{output.name}.part.json")


@contextmanager
def opened(output: Path, settings: dict[str, Any]) -> Iterator[Ledger]:
    """The ledger of an output, begun or gone on with; nobody else has it meanwhile.

    Raises DataError when the output is there already or was begun with other settings.
    """
    lock = FileLock(output.with_name(f"{output.name}.part.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise DataError(f"Another program is making {output}.", hint="Wait for it.") from None
    except OSError as error:
        raise cannot_write(output, error) from error
    try:
        yield _open(output, settings)
    finally:
        lock.release()
        Path(lock.lock_file).unlink(missing_ok=True)


def _open(output: Path, settings: dict[str, Any]) -> Ledger:
    tally = _tally(output, settings)
    if output.exists() and tally.published != digest(output):
        raise _taken(output)
    if record_of(output).exists() and not tally.requests:
        raise _taken(record_of(output))
    part = part_of(output)
    try:
        part.touch()
        rows = _whole_rows(part)
    except OSError as error:
        raise cannot_write(part, error) from error
    except ValueError as error:
        raise _not_ours(part) from error
    return Ledger(output, tally, rows)


def _tally(output: Path, settings: dict[str, Any]) -> Tally:
    state = state_of(output)
    if not state.exists():
        if part_of(output).exists() and part_of(output).stat().st_size:
            raise _not_ours(part_of(output))
        return Tally(settings=settings, began=datetime.now(UTC).isoformat(timespec="seconds"))
    try:
        tally = Tally.model_validate_json(state.read_bytes())
    except (OSError, ValidationError) as error:
        raise _not_ours(state) from error
    _refuse_other_settings(output, tally.settings, settings)
    return tally


def _refuse_other_settings(output: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    wanted = json.loads(json.dumps(now))
    other = [name for name in wanted if before.get(name) != wanted[name]]
    if other:
        name = other[0]
        raise DataError(
            f"{part_of(output)} was begun with another {name}: {before.get(name)}, not "
            f"{wanted[name]}.",
            hint=f"Take that again to go on, choose another name with -o, or delete "
            f"{part_of(output).name} and {state_of(output).name}.",
        )


def _whole_rows(part: Path) -> list[dict[str, Any]]:
    """The rows of the part; a torn last line is cut off."""
    raw = part.read_bytes()
    whole = raw[: raw.rfind(b"\n") + 1]
    if len(whole) < len(raw):
        os.truncate(part, len(whole))
    rows = [json.loads(line) for line in whole.splitlines()]
    if not all(isinstance(row, dict) and "messages" in row for row in rows):
        raise ValueError("rows that we did not write")
    return rows


def _taken(path: Path) -> DataError:
    return DataError(f"{path} exists already.", hint="Choose another name with -o.")


def _not_ours(path: Path) -> DataError:
    return DataError(
        f"{path} is in the way: it cannot be gone on with.",
        hint="Move or delete it, or choose another name with -o.",
    )
