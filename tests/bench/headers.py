"""Headers of weights with random damage, by the million: each is read or refused by name.

    python tests/bench/headers.py [--count 1000000] [--seed 7]

The headers of real checkpoints and of invented ones are cut, flipped, spliced and given false
lengths. Anything but a ModelError ends the run with the bytes that did it. Writes headers.json
beside itself.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import struct
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1]))

from core.errors import ModelError  # noqa: E402 - a script finds its project first
from core.places import starter  # noqa: E402
from core.weights import read_header  # noqa: E402

TOKENS = (
    b'"', b"{", b"}", b"[", b"]", b",", b":", b"-1", b"1e400", b"18446744073709551616", b"null",
    b"NaN", b'"dtype"', b'"shape"', b'"data_offsets"', b'"__metadata__"', b'"F64"', b"\x00",
    b"\xff", b"\\u0000", b"[" * 200, b'{"a":' * 200,
)  # fmt: skip
"""What is put in: pieces that a reader of headers looks for, and numbers that fit nowhere."""


def sound() -> list[tuple[bytes, int]]:
    """Headers to begin with, and the bytes of the numbers behind them."""
    real = next(starter().glob("*.safetensors")).read_bytes()
    (length,) = struct.unpack("<Q", real[:8])
    one = {"a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}}
    none: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    return [
        (real[8 : 8 + length], len(real) - 8 - length),
        (json.dumps(one).encode(), 24),
        (json.dumps(none).encode(), 0),
    ]


def damaged(lot: random.Random, before: bytes) -> bytes:
    """One to four changes, anywhere, and mostly a length that fits again."""
    text = bytearray(before)
    for _ in range(lot.randint(1, 4)):
        at = lot.randrange(len(text) + 1)
        match lot.randrange(4):
            case 0:
                text[at:at] = lot.choice(TOKENS)
            case 1:
                del text[at : at + lot.randint(1, 30)]
            case 2:
                text[at : at + 1] = bytes([lot.randrange(256)])
            case 3:
                text[at:at] = text[: lot.randint(1, 200)]
    false = lot.choice((0, 7, 2**31, 2**63, 2**64 - 1, len(text) + 1, max(0, len(text) - 1)))
    length = false if lot.random() < 0.1 else len(text)
    return struct.pack("<Q", length) + bytes(text)


def tried(count: int, seed: int, file: Path) -> Iterator[tuple[bool, float]]:
    """Whether each was read, and in how many seconds."""
    lot, seeds = random.Random(seed), sound()
    for _ in range(count):
        header, size = lot.choice(seeds)
        raw = damaged(lot, header)
        file.write_bytes(raw)
        os.truncate(file, len(raw) + lot.choice((size, size, size, size + 1, 0)))
        begun = time.perf_counter()
        try:
            read_header(file)
            read = True
        except ModelError:
            read = False
        except Exception:
            print(f"this broke it: {raw!r}", file=sys.stderr)
            raise
        yield read, time.perf_counter() - begun


def main() -> None:
    """Try them and write down how it went."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()
    read, slowest, total = 0, 0.0, 0.0
    with tempfile.TemporaryDirectory() as folder:
        for was_read, seconds in tried(given.count, given.seed, Path(folder) / "x.safetensors"):
            read, slowest, total = read + was_read, max(slowest, seconds), total + seconds
    told = {
        "command": f"python tests/bench/headers.py --count {given.count} --seed {given.seed}",
        "headers": given.count, "read": read, "refused": given.count - read, "other_errors": 0,
        "slowest_ms": round(slowest * 1e3, 1), "mean_us": round(total / given.count * 1e6, 1),
    }  # fmt: skip
    (HERE / "headers.json").write_text(json.dumps(told, indent=1) + "\n")
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
