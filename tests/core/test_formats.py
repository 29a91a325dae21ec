"""Every format: three good rows and a bad one, and the ways in which rows go wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.dataset import inspect_data, read_examples
from core.findings import Survey
from core.formats import FORMATS, Format, RowError

SAMPLES = Path(__file__).parents[1] / "data" / "formats"
FAULTS = {
    "chat": "did you mean 'assistant'?",
    "sharegpt": "starts with the assistant",
    "preference": "are the same",
    "gemini": "only text can be learned",
    "kto": "an answer is empty",
    "ranking": "two of the ranked answers are the same",
    "instruct": "an answer is empty",
    "completion": "is a number",
    "prompts": "a question is empty",
    "text": "the text is empty",
}
BY_NAME = {format.name: format for format in FORMATS}
USER = {"role": "user", "content": "Hi"}
REPLY = {"role": "assistant", "content": "Hello."}

formats = pytest.mark.parametrize("format", FORMATS, ids=lambda format: format.name)


@formats
def test_three_good_rows_and_a_bad_one(format: Format) -> None:
    path = SAMPLES / f"{format.name}.jsonl"
    facts = inspect_data(path)
    assert (facts.format, facts.rows, facts.unusable) == (format.name, 3, 1)
    fault = next(finding for finding in facts.problems if finding.severity == "error")
    assert (fault.count, fault.rows) == (1, (4,))
    assert "line 4" in fault.text
    assert FAULTS[format.name] in fault.text
    assert fault.fix
    examples, findings = read_examples(path)
    assert [example.line for example in examples] == [1, 2, 3]
    assert findings == facts.problems


@formats
def test_the_example_of_a_format_is_recognised_as_such(format: Format, tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps(format.example))
    facts = inspect_data(path)
    assert (facts.format, facts.confidence, facts.rows) == (format.name, 1.0, 1)
    assert facts.reason


@formats
def test_whatever_is_read_is_messages_of_text(format: Format) -> None:
    for example in read_examples(SAMPLES / f"{format.name}.jsonl")[0]:
        for message in example.messages:
            assert message["role"] in {"system", "user", "assistant", "tool"}
            assert isinstance(message["content"], str)
        assert example.messages[-1]["role"] == "assistant"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["role", "content", "from", "value", "type", "text"]), inner, max_size=3
    ),
    max_leaves=8,
)  # fmt: skip


@formats
@given(data=st.data())
def test_any_row_is_read_or_refused_with_a_known_reason(
    format: Format, data: st.DataObject
) -> None:
    parts = [part.name for part in format.parts]
    row = data.draw(st.dictionaries(st.sampled_from(parts), json_values))
    try:
        messages = format.read(row, {name: name for name in parts})
    except RowError as error:
        assert error.reason  # noqa: PT017 - reading it is as right as refusing it
        survey = Survey(parts, {})
        survey.leave_out(1, error)
        assert survey.findings()[0].fix
    else:
        assert all(isinstance(message["content"], str) for message in messages)


def _fault(name: str, row: dict[str, Any]) -> RowError:
    format = BY_NAME[name]
    mapping = {part.name: part.name for part in format.parts if part.name in row or part.required}
    with pytest.raises(RowError) as caught:
        format.read(row, mapping)
    return caught.value


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        ([], "empty_message"),
        ([USER], "no_answer"),
        ([USER, USER, REPLY], "role_order"),
        ([USER, REPLY, REPLY], "role_order"),
        ([REPLY, USER, REPLY], "role_order"),
        ([USER, {"role": "system", "content": "x"}, REPLY], "role_order"),
        ([{"role": "system", "content": "x"}], "system_only"),
        ([USER, {"role": "assistant", "content": " \n"}], "empty_answer"),
        ([{"role": "user", "content": ""}, REPLY], "empty_message"),
        ([USER, {"role": "Assistant", "content": "x"}], "bad_role"),
        ([USER, {"role": None, "content": "x"}], "bad_role"),
        ([USER, {"role": "assistant", "content": None}], "not_text"),
        ([USER, {"role": "assistant", "content": 4}], "not_text"),
        ([USER, {"role": "assistant", "content": [{"type": "image"}]}], "not_text"),
        ([USER, {"role": "assistant", "content": "half \ud800"}], "broken_text"),
        ([USER, {"role": "assistant"}], "wrong_shape"),
        ([USER, "Hello."], "wrong_shape"),
        ("Hello.", "wrong_shape"),
        ({"role": "user"}, "wrong_shape"),
        (None, "wrong_shape"),
    ],
)
def test_conversations_go_wrong_in_named_ways(messages: Any, code: str) -> None:
    assert _fault("chat", {"messages": messages}).code == code


def test_tools_are_passed_through() -> None:
    call = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f"}}]}
    result = {"role": "tool", "content": "42", "tool_call_id": "1"}
    read = BY_NAME["chat"].read(
        {"messages": [USER, call, result, result, REPLY]}, {"messages": "messages"}
    )
    assert read[1] == {**call, "content": ""}
    assert read[2] == result


def test_arguments_in_text_become_what_templates_expect() -> None:
    call = {"function": {"name": "add", "arguments": '{"a": 2}'}}
    row = {"messages": [USER, {"role": "assistant", "tool_calls": [call]}]}
    [read] = BY_NAME["chat"].read(row, {"messages": "messages"})[-1]["tool_calls"]
    assert read == {"function": {"name": "add", "arguments": {"a": 2}}}
    turns = [
        {"from": "human", "value": "2 + 2?"},
        {"from": "function_call", "value": '{"name": "add", "arguments": {"a": 2}}'},
        {"from": "observation", "value": "4"},
        {"from": "gpt", "value": "4"},
    ]
    spoken = BY_NAME["sharegpt"].read({"conversations": turns}, {"conversations": "conversations"})
    assert [message["role"] for message in spoken] == ["user", "assistant", "tool", "assistant"]
    assert spoken[1]["tool_calls"] == [{"type": "function", **read}]


@pytest.mark.parametrize(
    "calls",
    [
        "add(2)", {"name": "add"}, ["add"], [{"function": "add"}], [{"function": {}}],
        [{"function": {"name": "add", "arguments": "{"}}],
        [{"function": {"name": "add", "arguments": [2]}}],
    ],
)  # fmt: skip
def test_a_call_that_no_template_can_render_is_named(calls: Any) -> None:
    message = {"role": "assistant", "content": "x", "tool_calls": calls}
    assert _fault("chat", {"messages": [USER, message]}).code == "bad_tool_call"


def test_a_tool_does_not_answer_uncalled() -> None:
    fault = _fault("chat", {"messages": [USER, {"role": "tool", "content": "4"}, REPLY]})
    assert (fault.code, "no tool was called" in fault.reason) == ("role_order", True)


def test_preferences_of_openai_are_read() -> None:
    row = {"input": {"messages": [USER]}, "preferred_output": [REPLY],
           "non_preferred_output": [{"role": "assistant", "content": "No."}]}  # fmt: skip
    match = BY_NAME["preference"].match([row], row)
    assert match is not None
    assert BY_NAME["preference"].read(row, match.mapping) == [USER, REPLY]


def test_a_preference_has_two_sides_of_one_question() -> None:
    chosen, rejected = [USER, REPLY], [USER, {"role": "assistant", "content": "No."}]
    row: dict[str, Any] = {"chosen": chosen, "rejected": rejected}
    mapping = {name: name for name in row}
    assert BY_NAME["preference"].read(row, mapping) == chosen
    assert BY_NAME["preference"].rejected(row, mapping) == rejected
    other = [{"role": "user", "content": "Who?"}, *rejected[1:]]
    assert _fault("preference", row | {"rejected": other}).code == "two_questions"
    assert BY_NAME["chat"].rejected({"messages": chosen}, {"messages": "messages"}) is None


SAID = {"function": {"name": "task_response", "arguments": {"a": 1}}, "type": "function"}
EXPORTS = {
    "openai": {"messages": [USER, REPLY], "parallel_tool_calls": False, "tools": []},
    "kiln openai_chat_toolcall": {
        "messages": [USER, {"role": "assistant", "content": None, "tool_calls": [SAID]}]
    },
    "kiln huggingface_chat_template": {"conversations": [USER, REPLY]},
    "kiln huggingface_chat_template_toolcall": {
        "conversations": [USER, {"role": "assistant", "tool_calls": [SAID]}]
    },
}


@pytest.mark.parametrize("row", EXPORTS.values(), ids=EXPORTS)
def test_exports_of_other_programs_are_conversations(row: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps(row), encoding="utf-8")
    assert inspect_data(path).format == "chat"
    [example] = read_examples(path)[0]
    assert example.messages[0] == USER
    assert example.messages[-1].get("tool_calls", [SAID]) == [SAID]


def test_a_label_that_is_not_true_or_false_makes_no_kto_row(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("prompt,completion,label\na,b,TRUE\n", encoding="utf-8")
    assert inspect_data(path).format == "kto"
    path.write_text("prompt,completion,label\na,b,positive\n", encoding="utf-8")
    assert inspect_data(path).format == "completion"


def test_content_in_parts_is_joined_when_it_is_text() -> None:
    parts = [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo."}]
    row = {"messages": [USER, {"role": "assistant", "content": parts}]}
    assert BY_NAME["chat"].read(row, {"messages": "messages"})[-1] == REPLY


def test_a_newer_name_of_system_is_understood() -> None:
    row = {"messages": [{"role": "developer", "content": "x"}, USER, REPLY]}
    assert BY_NAME["chat"].read(row, {"messages": "messages"})[0]["role"] == "system"


def test_instruction_and_input_are_one_question() -> None:
    row = {"instruction": "Translate.", "input": "cat", "output": "Katze", "system": "Be brief."}
    mapping = {name: name for name in row}
    assert BY_NAME["instruct"].read(row, mapping) == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Translate.\n\ncat"},
        {"role": "assistant", "content": "Katze"},
    ]


def test_names_and_titles_are_unique() -> None:
    assert (
        len({format.name for format in FORMATS}) == len({f.title for f in FORMATS}) == len(FORMATS)
    )
