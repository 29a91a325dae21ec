"""Engines without the cost of their imports: a process loads the libraries once, and forks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.asking import engine_environment
from core.rundir import RunDir

ROOT = Path(__file__).resolve().parents[2]


class Forks:
    """The other end of `serve`: starts real engines on runs, and tells how they ended."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def start(self, run: RunDir) -> int:
        """An engine on this run, as `core.launch.Engine` starts one; returns its process id."""
        return self.work(run.log_file, "run", str(run.root), str(run.control().serial))

    def work(self, log: Path, *words: str) -> int:
        """An engine with any job; returns its process id."""
        return self._ask("work", str(log), *words)

    def wait(self, pid: int) -> int:
        """Its exit status; a negative signal number when one ended it."""
        return self._ask("wait", pid)

    def _ask(self, *words: object) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(words) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


@contextmanager
def forks() -> Iterator[Forks]:
    """A server that ends with the block."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.engine.forks"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env=engine_environment() | {"OMP_NUM_THREADS": "1"},
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield Forks(process)
        assert process.stdin is not None
        process.stdin.close()


def serve() -> None:
    """Obey one line of JSON after the other; each answer is a number on a line of its own."""
    import core.engine.merge
    import core.engine.run  # noqa: F401 - what every engine would load again

    print("ready", flush=True)
    for line in sys.stdin:
        match json.loads(line):
            case ["work", log, *words]:
                answer = os.fork() or _become_engine(Path(log), words)
            case ["wait", pid]:
                answer = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        print(answer, flush=True)


def _become_engine(log: Path, words: list[str]) -> int:
    """The child: its own session, its output in the run's log, as for a process of its own."""
    from core.engine.__main__ import main

    os.setsid()
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(output, stream)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os._exit(main(words))


if __name__ == "__main__":
    serve()
