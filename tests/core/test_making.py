"""`tunesmith data make`: rows kept and rejected, limits, resuming, and a key that nobody sees."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core import cli
from core.checkup import examine
from core.dataset import inspect_data
from core.errors import CoreError
from core.jsonl import write_rows
from core.making import endpoint
from core.making.endpoint import address
from core.making.job import Job, Making
from core.making.keys import KEYS, find_key, host_of
from core.making.ledger import part_of, state_of
from core.making.order import Order
from core.making.prompts import PASSAGE, SHORTEST, passages
from core.making.source import Source
from core.vault import SERVICE
from tests.core.planted import clean
from tests.core.writer_server import KEY, Answer, Said, Server, rows, serve

PRICES = ("--usd-per-million-input", 1000, "--usd-per-million-output", 2000)
"""With 100 tokens read and 50 written, a request costs 0.2 USD."""
ONE_REQUEST = 0.2


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "PAUSES", (0.0, 0.0, 0.0))
    for name in KEYS:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def seeds(tmp_path: Path) -> Path:
    return write(tmp_path, "seeds.jsonl", clean(20))


def write(folder: Path, name: str, data: list[dict[str, Any]]) -> Path:
    write_rows(folder / name, data)
    return folder / name


def new_rows(number: int, count: int = 2) -> Answer:
    """Rows that no other request gets."""
    made = clean(count, seed=1000 + number)
    return rows(*((row["prompt"], row["answer"]) for row in made))


def always(number: int, _: Said) -> Answer:
    return new_rows(number)


def call(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    status = cli.main(["data", "make", *map(str, words)])
    out, err = capsys.readouterr()
    return status, out, err


def make(
    capsys: pytest.CaptureFixture[str], seeds: Path, server: Server, *words: object
) -> tuple[int, Any, str]:
    where = ("--endpoint", server.url, "--remote-model", "big", "--per-request", 2)
    output = seeds.with_name("out.jsonl")
    status, out, err = call(capsys, seeds, "-o", output, *where, *words, "--json")
    return status, json.loads(out), err


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_rows_are_made_and_told_apart(seeds: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serve(always) as server:
        status, made, _ = make(capsys, seeds, server, "--rows", 5, *PRICES)
    output = seeds.with_name("out.jsonl")
    assert status == 0
    assert (made["outcome"], made["rows"], made["requests"], made["asked"]) == ("finished", 5, 3, 6)
    assert made["rejected"] == {"not_needed": 1}
    assert made["usd"] == pytest.approx(3 * ONE_REQUEST)
    assert (made["input_tokens"], made["output_tokens"]) == (300, 150)
    assert [row["source"] for row in lines(output)] == ["synthetic"] * 5
    facts = inspect_data(output)
    assert (facts.format, facts.rows, facts.unusable) == ("chat", 5, 0)
    assert not part_of(output).exists()
    assert not state_of(output).exists()
    assert server.paths == ["/v1/chat/completions"] * 3
    assert server.keys == [""] * 3
    first = server.asked[0]
    assert (first["model"], first["temperature"], first["max_tokens"]) == ("big", 0.8, 1024)
    shown = first["messages"][-1]["content"]
    assert sum(row["prompt"] in shown for row in clean(20)) == 3
    assert server.asked[1]["messages"] != first["messages"], "always the same examples"


def test_the_provenance_says_how_rows_came_to_be(
    seeds: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serve(always) as server:
        _, made, _ = make(capsys, seeds, server, "--rows", 2, "--seed", 9)
    record = json.loads(Path(made["provenance"]).read_text(encoding="utf-8"))
    host = server.url.removeprefix("http://")
    assert (record["generator"], record["model"]) == ("endpoint", f"big at {host}")
    assert (record["settings"]["seed"], record["settings"]["temperature"]) == (9, 0.8)
    assert record["seeds_sha256"] == inspect_data(seeds).digest
    assert record["output_sha256"] == inspect_data(seeds.with_name("out.jsonl")).digest
    assert len(record["prompts_sha256"]) == 64
    assert record["made"] == made


def test_every_kind_of_bad_row_is_counted_by_its_reason(
    seeds: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = clean(20)[3], clean(2, seed=77)
    long = " ".join(f"word{n}" for n in range(60))
    with seeds.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"prompt": "Say many words!", "answer": long}) + "\n")
    answers = [
        rows((new[0]["prompt"], new[0]["answer"]), (new[1]["prompt"], "TODO")),
        rows((old["prompt"] + "!", "Another answer."), (new[0]["prompt"], "Once more.")),
        rows(("Who lives in the tall tower?", "I'm sorry, but I cannot help with that.")),
        Answer(text="I'm sorry, but I can't assist with that."),
        Answer(text="Here you are: question one ..."),
        Answer(body=b"<html>not JSON</html>"),
        Answer(text='[{"question": "Is it cut off in the', usage=None),
        rows(("What are the words?", long + " and more")),
        rows(("What is the sign?", "It is <|im_end|> of course.")),
        Answer(text='<think>{"question": 1}</think>```json\n{"question": "Why is the river wide?",'
                    ' "answer": "Rain fell."}\n```'),
        Answer(text="Example 1\nQuestion: Who sings at noon?\nAnswer: Ada.\n\nExample 2\n"
                    "Question: Who sings at night?\nAnswer: Bo\nand Cy."),
        Answer(text='[{"question": "Is there an answer?"}, {"question": 7, "answer": "x"}]'),
    ]  # fmt: skip
    with serve(lambda number, _: answers[number]) as server:
        status, made, _ = make(capsys, seeds, server, "--rows", 50, "--max-rows", 2 * len(answers))
    assert status == 0
    assert (made["outcome"], made["rows"], made["requests"]) == ("limit", 4, len(answers))
    assert made["rejected"] == {
        "hollow_answers": 1, "repeats_a_seed": 1, "repeats_a_new_row": 1, "refusals": 2,
        "unreadable": 5, "copied": 1, "control_tokens": 1,
    }  # fmt: skip
    made_of = [row["messages"][-1]["content"] for row in lines(Path(made["output"]))]
    assert made_of == [new[0]["answer"], "Rain fell.", "Ada.", "Bo\nand Cy."]
    assert (made["usd"], made["input_tokens"]) == (None, None), "one reply was not counted"


def test_answers_are_json_where_the_seeds_have_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = "Read the message. Answer in JSON."
    rows_of = [
        {"system": asked, "prompt": row["prompt"], "answer": json.dumps({"n": n})}
        for n, row in enumerate(clean(20))
    ]
    path = write(tmp_path, "seeds.jsonl", rows_of)
    text = (
        '[{"question": "Where is it?", "answer": {"n": "ü"}}, {"question": "Hm?", "answer": "1"}]'
    )
    with serve(lambda *_: Answer(text=text)) as server:
        _, made, _ = make(capsys, path, server, "--rows", 1)
    assert made["rejected"] == {"no_json": 1}
    [row] = lines(tmp_path / "out.jsonl")
    assert [m["content"] for m in row["messages"]] == [asked, "Where is it?", '{"n": "ü"}']


def test_a_busy_and_a_faulty_server_are_asked_again(
    seeds: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    monkeypatch.setattr(endpoint.time, "sleep", waited.append)
    monkeypatch.setattr(endpoint, "PAUSES", (1.0, 2.0, 4.0))
    bad = [Answer(status=429, headers={"Retry-After": "7"}), Answer(status=500)]
    with serve(lambda number, _: bad[number] if number < 2 else new_rows(number)) as server:
        status, made, _ = make(capsys, seeds, server, "--rows", 2)
    assert (status, made["rows"], made["requests"]) == (0, 2, 1)
    assert waited == [7.0, 2.0]


def test_a_server_that_stays_busy_ends_the_work_which_goes_on_later(
    seeds: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def first_only(number: int, _: Said) -> Answer:
        return new_rows(number) if number == 0 else Answer(status=503)

    with serve(first_only) as server:
        status, said, err = make(capsys, seeds, server, "--rows", 4)
        assert status == 2
        assert "answered with error 503" in said["error"]
        assert "the same command goes on" in err
        output = seeds.with_name("out.jsonl")
        assert not output.exists()
        assert len(lines(part_of(output))) == 2
        server.answer = always
        status, made, _ = make(capsys, seeds, server, "--rows", 4)
    assert (status, made["rows"], made["requests"]) == (0, 4, 2)
    assert len(lines(output)) == 4


def test_too_long_a_pause_is_not_waited_for(
    seeds: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    late = Answer(status=429, headers={"Retry-After": "86400"})
    with serve(lambda *_: late) as server:
        status, said, _ = make(capsys, seeds, server)
    assert (status, len(server.asked)) == (2, 1)
    assert "asks for fewer requests" in said["error"]


@pytest.mark.parametrize(
    ("answer", "says", "hint"),
    [
        (Answer(status=401), "refuses the key", "TUNESMITH_API_KEY"),
        (Answer(status=404), "has no model big", "--remote-model"),
        (Answer(status=307, headers={"Location": "http://127.0.0.1:9/v1"}), "points to", "final"),
        (Answer(status=400, body=json.dumps({"error": {"message": f"no {KEY}"}}).encode()),
         "no [key]", "--temperature"),
        (Answer(stall=True), "did not answer", "--timeout"),
    ],
    ids=["key", "model", "redirect", "echo", "slow"],
)  # fmt: skip
def test_refusals_are_told_without_the_key(
    answer: Answer, says: str, hint: str, seeds: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("TUNESMITH_API_KEY", KEY)
    with serve(lambda *_: answer) as server:
        status, said, err = make(capsys, seeds, server, "--timeout", 0.2)
    assert status == 2
    assert says in said["error"]
    assert hint in said["hint"]
    assert server.keys == [f"Bearer {KEY}"]
    assert KEY not in json.dumps(said) + err


def test_the_key_is_sent_and_written_nowhere(
    seeds: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # it would see the key in the clear
    monkeypatch.setenv("TUNESMITH_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_API_KEY", "another")
    with serve(always) as server:
        words = ("--endpoint", f"{server.url}/v1/", "--remote-model", "big", "--max-rows", 3)
        status, out, err = call(capsys, seeds, "-o", seeds.with_name("out.jsonl"), *words)
    assert status == 0
    assert set(server.keys) == {f"Bearer {KEY}"}
    assert "The key from TUNESMITH_API_KEY goes to 127.0.0.1" in out
    assert KEY not in out + err
    for path in seeds.parent.rglob("*"):
        assert path.is_dir() or KEY.encode() not in path.read_bytes()


def test_nobody_listening_is_told(seeds: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serve(always) as server:
        pass
    status, said, _ = make(capsys, seeds, server)
    assert status == 2
    assert "cannot be reached" in said["error"]


def test_no_more_is_spent_than_allowed_and_more_goes_on(
    seeds: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = seeds.with_name("out.jsonl")
    with serve(always) as server:
        limit = ("--rows", 10, *PRICES, "--max-usd")
        status, made, _ = make(capsys, seeds, server, *limit, 0.5)
        assert (status, made["outcome"], made["rows"]) == (0, "limit", 4)
        assert made["usd"] == pytest.approx(2 * ONE_REQUEST)
        assert len(lines(output)) == 4
        status, made, _ = make(capsys, seeds, server, *limit, 5)
    assert (status, made["outcome"], made["rows"], made["requests"]) == (0, "finished", 10, 5)
    assert made["usd"] == pytest.approx(5 * ONE_REQUEST)
    assert len(lines(output)) == 10


def test_a_limit_in_dollars_needs_counted_tokens(
    seeds: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    uncounted = new_rows(0)
    uncounted.usage = None
    with serve(lambda *_: uncounted) as server:
        status, said, _ = make(capsys, seeds, server, *PRICES, "--max-usd", 1)
    assert (status, len(server.asked)) == (2, 1)
    assert "does not tell how many tokens" in said["error"]


def press_ctrl_c(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130


@pytest.mark.parametrize(
    "end",
    [
        subprocess.Popen.kill,
        pytest.param(press_ctrl_c, marks=pytest.mark.skipif(os.name == "nt", reason="no SIGINT")),
    ],
)
def test_a_call_that_was_ended_is_gone_on_with(
    end: Callable[[subprocess.Popen[bytes]], None],
    seeds: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = seeds.with_name("out.jsonl")

    def stalls(number: int, _: Said) -> Answer:
        return new_rows(number) if number < 2 else Answer(stall=True)

    with serve(stalls) as server:
        words = ["-o", str(output), "--rows", "6", "--per-request", "2"]
        words += ["--endpoint", server.url, "--remote-model", "big"]
        command = [sys.executable, "-m", "core", "data", "make", str(seeds), *words]
        signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs ignore it
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, env=os.environ) as process:
            _until(lambda: len(server.asked) == 3)
            end(process)
        server.released.set()
        assert len(lines(part_of(output))) == 4
        with part_of(output).open("a") as part:
            part.write('{"messages": [{"ro')
        assert not output.exists()
        server.answer = always
        status, made, _ = make(capsys, seeds, server, "--rows", 6)
    assert (status, made["rows"], made["requests"]) == (0, 6, 3)
    assert len({json.dumps(row) for row in lines(output)}) == 6
    assert server.asked[2]["messages"] == server.asked[3]["messages"], "the lost one is asked again"


def _until(reached: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_window_lets_a_process_make_rows(seeds: Path) -> None:
    order = Order(seeds=seeds, output=seeds.with_name("out.jsonl"), rows=4, per_request=2)

    def slow(number: int, _: Said) -> Answer:
        return new_rows(number) if number == 0 else Answer(stall=True)

    with serve(slow) as server:
        job = Job(order=order, source=Source(endpoint=server.url, remote_model="big"))
        making = Making(job, KEY)
        kept = []
        for progress in making.progress():
            kept.append(progress.kept)
            if progress.kept:
                making.cancel()
        assert (kept, making.made) == ([0, 2], None)
        server.answer = always
        making = Making(job, KEY)
        kept = [progress.kept for progress in making.progress()]
        assert set(server.keys) == {f"Bearer {KEY}"}
        order = order.model_copy(update={"output": seeds})
        with pytest.raises(CoreError, match="exists already"):
            list(Making(job.model_copy(update={"order": order})).progress())
    assert kept == [2, 4]
    assert making.made is not None
    assert (making.made.outcome, making.made.rows) == ("finished", 4)


def test_other_settings_do_not_go_on(seeds: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with serve(always) as server:
        make(capsys, seeds, server, "--rows", 9, "--max-rows", 2)
        status, said, err = make(capsys, seeds, server, "--rows", 9, "--temperature", 0.1)
    assert status == 2
    assert "another temperature: 0.8, not 0.1" in said["error"]
    assert "goes on" not in err


def test_nothing_is_written_over(seeds: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = seeds.with_name("out.jsonl")
    with serve(always) as server:
        output.write_text("mine\n")
        status, said, _ = make(capsys, seeds, server)
        assert (status, said["error"]) == (2, f"{output} exists already.")
        output.unlink()
        part_of(output).write_text("mine\n")
        status, said, _ = make(capsys, seeds, server)
    assert (status, part_of(output).read_text()) == (2, "mine\n")
    assert "is in the way" in said["error"]
    assert server.asked == []


def test_a_model_that_cannot_do_it_comes_to_an_end(
    seeds: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with serve(lambda *_: Answer(text="Hello!")) as server:
        status, said, _ = make(capsys, seeds, server, "--rows", 3, *PRICES)
    assert (status, len(server.asked)) == (2, 10)
    assert "None of the 20 rows" in said["error"]
    assert "It cost 2.0000 USD. It said for instance: 'Hello!'" in said["error"]
    assert sorted(p.name for p in seeds.parent.glob("*.jsonl*")) == ["seeds.jsonl"]


def test_documents_are_asked_about_and_quotes_are_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "guide.md"
    path.write_text("# The lighthouse\n\n" + "It was built in 1890 by Ada. " * 12, encoding="utf-8")
    good = rows(("When was the lighthouse built?", "In 1890."), quote="built in 1890, by ADA")
    bad = rows(("Who keeps the lighthouse today?", "Bo does."), quote="Bo keeps it")
    with serve(lambda number, _: bad if number == 0 else good) as server:
        status, made, _ = make(capsys, path, server, "--rows", 1)
    assert (status, made["rejected"]) == (0, {"not_in_passage": 1})
    [row] = lines(tmp_path / "out.jsonl")
    assert row["quote"] == "built in 1890, by ADA"
    assert "It was built in 1890" in server.asked[0]["messages"][-1]["content"]


def test_seeds_that_a_model_wrote_are_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    marked = [row | {"source": "synthetic"} for row in clean(20)]
    with serve(always) as server:
        _, made, err = make(capsys, write(tmp_path, "s.jsonl", marked), server, "--rows", 1)
    assert "Shumailov et al. 2024, Nature 631" in made["warnings"][0]
    assert made["warnings"][0] in err


@pytest.mark.parametrize(("marked", "severity"), [(20, "note"), (30, "warning")])
def test_the_share_of_made_rows_decides_how_grave_it_is(
    marked: int, severity: str, tmp_path: Path
) -> None:
    data = [row | {"source": "synthetic" if n < marked else "me"} for n, row in
            enumerate(clean(60))]  # fmt: skip
    found = examine(write(tmp_path, "x.jsonl", data)).facts.problems
    [finding] = [problem for problem in found if problem.code == "synthetic"]
    assert (finding.severity, finding.count) == (severity, marked)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "Who writes"),
        (("--model", "starter", "--endpoint", "http://x"), "Who writes"),
        (("--endpoint", "http://x"), "--remote-model is missing"),
        (("--endpoint", "ftp://x", "--remote-model", "m"), "no address of the web"),
        (("--endpoint", "http://u:p@x", "--remote-model", "m"), "more than an address"),
        (("--endpoint", "http://x", "--remote-model", "m", "--rows", 0), "--rows"),
        (("--endpoint", "http://x", "--remote-model", "m", "--max-usd", 1), "needs both prices"),
        (("--endpoint", "http://x", "--remote-model", "m", "--usd-per-million-input", 1),
         "needs both prices"),
        (("--model", "nowhere"), "nowhere"),
    ],
)  # fmt: skip
def test_what_cannot_be_ordered_is_refused(
    words: tuple[object, ...], says: str, seeds: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = call(capsys, seeds, "-o", seeds.with_name("out.jsonl"), *words)
    assert (status, out) == (2, "")
    assert says in err


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://api.openai.com/v1", "OPENAI_API_KEY"),
        ("https://openai.com.evil.example/v1", ""),
        ("https://models.example/v1", ""),
        ("http://127.0.0.1:8000/v1", ""),
    ],
)
def test_a_key_of_one_maker_is_for_that_maker(
    url: str, origin: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert find_key(url).origin == origin


def test_a_key_does_not_cross_the_network_in_the_clear(
    seeds: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNESMITH_API_KEY", KEY)
    words = ("--endpoint", "http://models.example/v1", "--remote-model", "m")
    status, _, err = call(capsys, seeds, "-o", seeds.with_name("out.jsonl"), *words)
    assert status == 2
    assert "unencrypted" in err
    assert KEY not in err


def test_the_keyring_is_asked_where_no_variable_is_set(
    seeds: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in package, as the real one asks the system, which a test must not."""
    package = tmp_path / "packages" / "keyring"
    package.mkdir(parents=True)
    (package / "errors.py").write_text("class KeyringError(Exception): ...\n")
    (package / "__init__.py").write_text(
        "import os\ndef get_password(service, user):\n"
        f"    return {KEY!r} if f'{{service}} {{user}}' == os.environ['WANTED'] else None\n"
    )
    monkeypatch.syspath_prepend(package.parent)
    with serve(always) as server:
        monkeypatch.setenv("WANTED", f"{SERVICE} {host_of(server.url)}")
        make(capsys, seeds, server, "--rows", 1)
    for name in ("keyring", "keyring.errors"):
        del sys.modules[name]
    assert server.keys == [f"Bearer {KEY}"]


@pytest.mark.parametrize(
    ("url", "goes_to"),
    [
        ("http://localhost:8000", "http://localhost:8000/v1/chat/completions"),
        ("https://a.b/v1/", "https://a.b/v1/chat/completions"),
        ("https://a.b/api/v3/chat/completions", "https://a.b/api/v3/chat/completions"),
    ],
)
def test_addresses(url: str, goes_to: str) -> None:
    assert address(url) == goes_to


def test_passages_hold_every_word_of_long_texts() -> None:
    lot = random.Random(3)
    text = "\n\n".join(
        " ".join(f"w{lot.random()}" for _ in range(lot.randrange(1, 400))) for _ in range(30)
    )
    found = passages(text)
    assert all(SHORTEST <= len(passage) <= PASSAGE + 2 for passage in found[:-1])
    left = len(text.split()) - sum(len(passage.split()) for passage in found)
    assert left <= SHORTEST // 10


def test_a_newer_model_is_asked_in_its_own_words(
    seeds: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = {"error": {"message": "Unsupported: use 'max_completion_tokens' instead."}}
    refused = Answer(status=400, body=json.dumps(said).encode())
    with serve(lambda number, asked: refused if "max_tokens" in asked else new_rows(0)) as server:
        status, _, _ = make(capsys, seeds, server, "--rows", 1)
    assert status == 0
    assert server.asked[-1]["max_completion_tokens"] == 1024


def test_an_order_ends_by_itself() -> None:
    order = Order(seeds=Path("x"), output=Path("y.jsonl"), rows=100)
    assert order.most == 400
