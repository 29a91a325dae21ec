"""`tunesmith data ...`: look at a dataset, mend it, part it, compare it."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from core import launch, models
from core.checkup import Checkup, examine
from core.dataset import inspect_data
from core.describe import data_lines
from core.doctor import Ask, Contamination, Leakage, verdict
from core.errors import CoreError, DataError, RecipeError
from core.hub_spec import as_spec, located, read_spec
from core.make_command import make_options, make_rows
from core.mending import Change, mend, record_of
from core.objectives import OBJECTIVES
from core.oddities import sentences
from core.parting import part
from core.recipe import Recipe, parse
from core.templates import SUFFIX
from core.terminal import Terminal, shorten, table
from core.tokens import Piece, Preview, PreviewRow, TokenFacts
from core.watch import bring

SHOWN = 3
"""Examples of each kind of change that are shown."""
_KINDS = {"trained": "trained", "context": "context", "cut": "cut off", "expected": "compared"}


def data(arguments: Namespace, terminal: Terminal) -> int:
    """One of the jobs on a dataset, which is downloaded first if it lies on the Hub."""
    _find(arguments)
    done: int = _TABLE[arguments.job][0](arguments, terminal)
    return done


def data_options(parser: ArgumentParser) -> None:
    """The jobs and their options."""
    jobs = parser.add_subparsers(dest="job", metavar="JOB", required=True)
    for name, (_, options, summary) in _TABLE.items():
        one = jobs.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        one.add_argument("file", metavar="FILE", help="a file or folder of rows, or hub:owner/name")
        one.add_argument("--format", default="auto", metavar="NAME", help="how rows are read")
        one.add_argument(
            "--column", action="append", default=[], type=_pair, metavar="PART=COLUMN",
            help="which column plays which part; may be given several times",
        )  # fmt: skip
        for name, what in (("split", "train"), ("config", "default"), ("revision", "main")):
            one.add_argument(f"--{name}", metavar="NAME", help=f"of a Hub dataset; usual: {what}")
        options(one)
        one.add_argument("--json", action="store_true", help="one JSON document on stdout")


def _find(arguments: Namespace) -> None:
    """Name a Hub dataset with the options beside it, and download it unless it is here."""
    spec = as_spec(arguments.file, Path())
    chosen = {name: getattr(arguments, name) for name in ("split", "config", "revision")}
    chosen = {name: text for name, text in chosen.items() if text}
    if spec is None and chosen:
        raise CoreError(
            f"--{next(iter(chosen))} is for datasets of the Hub.", hint="Write hub:owner/name."
        )
    if spec is None:
        return
    if "output" in arguments and not arguments.output:
        raise CoreError("Say where to write with -o.", hint="The Hub's own files stay untouched.")
    if spec.config or chosen.get("config"):
        chosen = {"split": spec.split or "train"} | chosen
    whole = read_spec(str(spec._replace(**chosen)))
    assert whole is not None
    bring(whole)
    arguments.file = str(whole)


def _pair(text: str) -> tuple[str, str]:
    part_name, sign, column = text.partition("=")
    if not sign or not part_name or not column:
        raise ArgumentTypeError("expected is PART=COLUMN")
    return part_name, column


def _inspect_options(parser: ArgumentParser) -> None:
    parser.add_argument("--model", metavar="M", help="count tokens with this model's tokenizer")
    _length(parser)
    parser.add_argument("--by", default="", metavar="COLUMN", help="category that should be even")
    parser.add_argument("--heldout", metavar="FILE", help="rows that will be measured on")
    parser.add_argument(
        "--against", action="append", default=[], metavar="FILE", help="a benchmark file"
    )


def _preview_options(parser: ArgumentParser) -> None:
    kinds = [kind.model_fields["kind"].default for kind in OBJECTIVES]
    parser.add_argument("--model", required=True, metavar="M", help="starter, a folder or a Hub id")
    parser.add_argument(
        "--template", default="", metavar="T", help="a template of the catalogue or a .jinja file"
    )
    parser.add_argument(
        "--objective", default="sft", choices=kinds, metavar="KIND",
        help="what the rows are for; under rewards only questions are read",
    )  # fmt: skip
    parser.add_argument("--rows", type=int, default=3, metavar="N", help="rows to show")
    _length(parser)


def _length(parser: ArgumentParser) -> None:
    parser.add_argument("--max-length", type=int, default=1024, metavar="N", help="tokens of a row")


def _fix_options(parser: ArgumentParser) -> None:
    parser.add_argument("-o", "--output", metavar="OUT", help="the copy, a new .jsonl file")
    parser.add_argument(
        "--only", default="", metavar="CODES", help="mend these findings only, with commas between"
    )


def _split_options(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--eval", dest="eval_share", type=float, default=0.1, metavar="SHARE", help="to measure on"
    )
    parser.add_argument(
        "--test", dest="test_share", type=float, default=0.0, metavar="SHARE", help="for the end"
    )
    parser.add_argument("-o", "--output", metavar="DIR", help="an existing folder")
    parser.add_argument("--by", default="", metavar="COLUMN", help="same share of each category")
    parser.add_argument("--seed", type=int, default=42, metavar="N", help="another draw")


def _overlap_options(parser: ArgumentParser) -> None:
    parser.add_argument("other", metavar="OTHER", help="rows that must not be learned")
    parser.add_argument("--ngram", type=int, default=13, metavar="N", help="words in a row")


def _inspect(arguments: Namespace, terminal: Terminal) -> int:
    model = models.look(models.resolve(arguments.model)) if arguments.model else None
    ask = Ask(
        category=arguments.by,
        heldout=Path(arguments.heldout) if arguments.heldout else None,
        benchmarks=tuple(map(Path, arguments.against)),
    )
    found = examine(Path(arguments.file), ask, **_reading(arguments))
    tokens = _tokens(arguments) if arguments.model else None
    for line in data_lines(found.facts):
        terminal.say(line)
    good_for = verdict(found.facts.rows, model.parameters if model else 0)
    terminal.say(good_for)
    if tokens:
        terminal.say(_token_line(tokens))
    terminal.answer(_document(found, good_for, tokens))
    return 0


def _reading(arguments: Namespace) -> dict[str, Any]:
    return {"format": arguments.format, "columns": dict(arguments.column)}


def _document(found: Checkup, good_for: str, tokens: TokenFacts | None) -> dict[str, Any]:
    facts = found.facts.model_dump(mode="json", exclude={"problems", "sample"})
    return facts | {
        "problems": [problem.model_dump(mode="json") for problem in found.facts.problems],
        "verdict": good_for,
        "tokens": tokens.model_dump(mode="json") if tokens else None,
    }


def _tokens(arguments: Namespace) -> TokenFacts:
    return launch.preview(_recipe(arguments), rows=0).tokens


def _recipe(arguments: Namespace) -> Recipe:
    """A recipe that says how these rows are read and cut, all of them to learn from."""
    raw = {
        "model": arguments.model,
        "data": {
            "path": str(located(arguments.file)),
            "format": arguments.format,
            "columns": dict(arguments.column),
            "heldout_share": 0,
            "template": _template(arguments),
        },
        "objective": {"kind": getattr(arguments, "objective", "sft")},
        "training": {"max_length": arguments.max_length},
    }
    try:
        return parse(raw)
    except RecipeError as error:
        raise RecipeError(error.problems, hint="`tunesmith data --help` helps.") from error


def _template(arguments: Namespace) -> str:
    """The chosen template; a file by its whole path."""
    choice = str(getattr(arguments, "template", ""))
    if not choice.endswith(SUFFIX):
        return choice
    return str(Path(choice).expanduser().absolute())


def _token_line(tokens: TokenFacts) -> str:
    if tokens.room:
        return (
            f"Tokens per question: median {tokens.median:,}, 95 % below {tokens.p95:,}, 99 % below "
            f"{tokens.p99:,}, longest {tokens.longest:,}. Within {tokens.max_length:,} tokens "
            f"{tokens.untrained:,} of {tokens.rows:,} leave no room for an answer of "
            f"{tokens.room:,}. Nothing of the rows is learned: the model learns from rewards of "
            "its own answers."
        )
    return (
        f"Tokens per row: median {tokens.median:,}, 95 % below {tokens.p95:,}, 99 % below "
        f"{tokens.p99:,}, longest {tokens.longest:,}. At {tokens.max_length:,} tokens "
        f"{tokens.cut:,} rows lose their end and {tokens.untrained:,} have nothing to learn; the "
        f"end of the answer is learned in {tokens.ended:,} of {tokens.rows:,}."
    )


def _preview(arguments: Namespace, terminal: Terminal) -> int:
    if arguments.rows < 1:
        raise CoreError("--rows must be at least 1.", hint="Three rows tell most.")
    models.look(models.resolve(arguments.model))
    shown: Preview = launch.preview(_recipe(arguments), rows=arguments.rows)
    for row in shown.rows:
        for line in _row_lines(row):
            terminal.say(line)
    terminal.say(_token_line(shown.tokens))
    for oddity in sentences(shown.tokens.oddities):
        terminal.say(f"warning: {oddity.text} {oddity.hint}")
    terminal.answer(shown.model_dump(mode="json"))
    return 0


def _row_lines(row: PreviewRow) -> Iterator[str]:
    """A row in stretches of one kind, each on lines that begin with the kind."""
    of = f" of {row.source}" if row.source else ""
    side = f", {row.answer} answer" if row.answer else ""
    yield f"Row of line {row.line:,}{of}{side}:"
    stretches = _stretches(row.pieces)
    width = max((len(_KINDS[kind]) for kind, _ in stretches), default=0)
    for kind, text in stretches:
        for line in text.split("\n"):
            yield f"  {_KINDS[kind]:{width}} | {line}"
    if row.beyond:
        yield f"  ... and {row.beyond:,} more tokens"


def _stretches(pieces: tuple[Piece, ...]) -> list[tuple[str, str]]:
    joined: list[tuple[str, str]] = []
    for piece in pieces:
        if joined and joined[-1][0] == piece.kind:
            joined[-1] = (piece.kind, joined[-1][1] + piece.text)
        else:
            joined.append((piece.kind, piece.text))
    return joined


def _fix(arguments: Namespace, terminal: Terminal) -> int:
    target = Path(arguments.output) if arguments.output else None
    codes = tuple(filter(None, arguments.only.split(",")))
    made = mend(Path(arguments.file), target, codes=codes, **_reading(arguments))
    terminal.say(f"{made.rows_before:,} rows read, {made.rows_after:,} written.")
    for change in made.changes:
        for line in _change_lines(change):
            terminal.say(line)
    terminal.say(f"Copy: {made.copy_path}")
    terminal.say(f"Record: {record_of(Path(made.copy_path))}")
    terminal.answer(made.model_dump(mode="json"))
    return 0


def _change_lines(change: Change) -> Iterator[str]:
    yield f"{change.code}: {change.count:,} {change.action}"
    for example in change.examples[:SHOWN]:
        yield f"  line {example.line:,}"
        yield f"    - {shorten(example.before)}"
        if example.after is not None:
            yield f"    + {shorten(example.after)}"


def _split(arguments: Namespace, terminal: Terminal) -> int:
    made = part(
        Path(arguments.file),
        Path(arguments.output) if arguments.output else None,
        shares=(arguments.eval_share, arguments.test_share),
        category=arguments.by,
        seed=arguments.seed,
        **_reading(arguments),
    )
    terminal.say(table([(p.name, f"{p.rows:,} rows", p.path) for p in made.parts]))
    terminal.say(f"{made.clusters:,} groups of questions; none stands on two sides.")
    if made.unusable:
        terminal.say(f"{made.unusable:,} rows cannot be used and are in none of the files.")
    terminal.answer(made.model_dump(mode="json"))
    return 0


def _overlap(arguments: Namespace, terminal: Terminal) -> int:
    if arguments.ngram < 2:
        raise CoreError("--ngram must be at least 2.", hint="13 is usual.")
    other = Path(arguments.other)
    ask = Ask(
        heldout=other if _has_questions(other) else None,
        benchmarks=(other,),
        ngram=arguments.ngram,
    )
    checks = (Leakage, Contamination)
    found = examine(Path(arguments.file), ask, **_reading(arguments), checks=checks)
    codes = [check.code for check in checks]
    problems = [problem for problem in found.facts.problems if problem.code in codes]
    for problem in problems:
        terminal.say(f"{problem.severity}: {problem.text} {problem.fix}".rstrip())
    if not problems:
        terminal.say(f"No overlap of {arguments.ngram} words among {found.facts.rows:,} rows.")
    listed = [problem.model_dump(mode="json") for problem in problems]
    terminal.answer({"rows": found.facts.rows, "ngram": arguments.ngram, "problems": listed})
    return 0


def _has_questions(path: Path) -> bool:
    """Whether a file's rows are of a known format; a benchmark may be built in any way."""
    try:
        inspect_data(path)
    except DataError:
        return False
    return True


_Options = Callable[[ArgumentParser], None]
_TABLE: dict[str, tuple[Callable[[Namespace, Terminal], int], _Options, str]] = {
    "inspect": (_inspect, _inspect_options, "what a dataset is, and what is wrong with it"),
    "preview": (_preview, _preview_options, "rows as a model learns them, token by token"),
    "fix": (_fix, _fix_options, "a mended copy, with a record of what was changed"),
    "split": (_split, _split_options, "rows to learn from and rows to measure on, without leaks"),
    "make": (make_rows, make_options, "new rows like these, or about documents, by a model"),
    "overlap": (_overlap, _overlap_options, "passages of another file that stand in this one"),
}
