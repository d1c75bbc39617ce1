"""Tool arguments: what is valid, what is tolerated, and that every error is named by its path."""

import contextlib
import gc
import re
import weakref
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runflow_mcp.errors import ToolError
from runflow_mcp.json_types import deeper_than
from runflow_mcp.methods.tools.arguments import read_arguments
from runflow_mcp.methods.tools.generate import GenerateArguments
from runflow_mcp.methods.tools.list_models import ListModelsArguments
from runflow_mcp.runflow.catalog.entries import CATEGORIES
from runflow_mcp.runflow.dispatch.inputs import RunInput
from tests.protocol.property_settings import json_values, law

MODEL = "google/nano-banana-2"
GIVEN = {"model": MODEL, "input": {"prompt": "x"}}


def generate(**arguments: object) -> GenerateArguments:
    return read_arguments(GenerateArguments, {**GIVEN, **arguments})


def listing(**arguments: object) -> ListModelsArguments:
    return read_arguments(ListModelsArguments, arguments)


def problems_of(kind: Any, arguments: dict[str, Any]) -> dict[str, str]:
    """path → message of every error."""
    with pytest.raises(ToolError) as caught:
        read_arguments(kind, arguments)
    error = caught.value
    assert error.code == "invalid_arguments"
    named = {problem["path"]: problem["message"] for problem in error.details["faults"]}
    text = error.result("r")["content"][0]["text"]
    for path, message in named.items():
        assert path in error.message
        assert f"- {path}: {message}" in text
    return named


def nested(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels - 1):
        value = {"a": value}
    return value


# generate


def test_a_model_and_an_input_are_enough() -> None:
    assert generate() == GenerateArguments(model=MODEL, input=RunInput.of({"prompt": "x"}), wait=True, client_ref=None)  # type: ignore[arg-type]


def test_everything_can_be_given() -> None:
    read = generate(wait=False, client_ref="a:b/c@1+2=3-4_5.6")
    assert (read.wait, read.client_ref) == (False, "a:b/c@1+2=3-4_5.6")


@pytest.mark.parametrize(
    ("given_", "model"),
    [
        (f"/v1/models/{MODEL}/runs", MODEL),
        (f"  {MODEL}\n", MODEL),
        ("runflow/object-removal/prompt", "runflow/object-removal/prompt"),
        ("/v1/models/runflow/object-removal/prompt/runs", "runflow/object-removal/prompt"),
        (f"https://api.runflow.io/v1/models/{MODEL}/runs", MODEL),
        (f"v1/models/{MODEL}/runs/", MODEL),
        (f"/v1/models/{MODEL}", MODEL),
        (f"/{MODEL}", MODEL),
        (f"`{MODEL}`", MODEL),
        (f'"{MODEL}"', MODEL),
        (f" '{MODEL}' ", MODEL),
    ],
)
def test_a_model_may_be_a_runs_endpoint_or_be_quoted(given_: str, model: str) -> None:
    assert generate(model=given_).model == model


@pytest.mark.parametrize(
    "model",
    [
        "",
        "nano",
        "a/../b",
        "/v1/models/../runs",
        "/v1/models/a/../../keys/runs",
        "a/b?c",
        "a/b#c",
        "a b/c",
        "//a/b",
        "a/b/",
        "https://api.runflow.io/v1/models/a/../../keys/runs",
        "https://api.runflow.io/v2/models/a/b/runs",
        "https://api.runflow.io/v1/models/a/b/runs?x=1",
        "https://example.com/a/b",
        "a/" + "b" * 255,
        5,
        None,
        [],
        {},
        True,
    ],
)
def test_anything_else_is_not_a_model(model: object) -> None:
    assert set(problems_of(GenerateArguments, {**GIVEN, "model": model})) == {"model"}


@pytest.mark.parametrize("text", ['{"prompt":"x"}', ' {"prompt": "x"} ', '{"prompt":"\\u0078"}'])
def test_an_input_may_be_a_text_that_holds_an_object(text: str) -> None:
    assert orjson.loads(generate(input=text).input.json) == {"prompt": "x"}


@pytest.mark.parametrize("value", [None, [], [{}], 5, True, "", "x", "[]", "null", '"{}"', '{"a":', "{'a':1}"])
def test_anything_else_is_not_an_input(value: object) -> None:
    assert set(problems_of(GenerateArguments, {**GIVEN, "input": value})) == {"input"}


@law
@given(st.dictionaries(st.text(max_size=8), json_values, max_size=5))
def test_an_input_is_passed_on_unchanged(value: dict[str, Any]) -> None:
    assert orjson.loads(generate(input=value).input.json) == value
    assert orjson.loads(generate(input=orjson.dumps(value).decode()).input.json) == value


def test_an_input_nests_up_to_200_levels() -> None:
    assert orjson.loads(generate(input=nested(200)).input.json) == nested(200)
    for value in (nested(201), orjson.dumps(nested(201)).decode(), {"a": [[[nested(198)]]]}, "[" * 5000):
        assert set(problems_of(GenerateArguments, {**GIVEN, "input": value})) == {"input"}


@law
@given(json_values.filter(lambda value: isinstance(value, list | dict)), st.integers(1, 6))
def test_depth_is_counted_in_arrays_and_objects(value: Any, levels: int) -> None:
    def depth(value: Any) -> int:
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
        return 0 if inner is None else 1 + max(map(depth, inner), default=0)

    assert deeper_than(value, levels) == (depth(value) > levels)


def test_an_input_text_holds_a_bounded_number_of_values() -> None:
    for text in ('{"a":[' + "{}," * 25_000 + "{}]}", '{"a":[' + "1," * 25_000 + "1]}"):
        named = problems_of(GenerateArguments, {**GIVEN, "input": text})
        assert named == {"input": "must not hold more than 20,000 JSON values"}
    commas = orjson.dumps({"prompt": "," * 100_000}).decode()
    assert orjson.loads(generate(input=commas).input.json) == {"prompt": "," * 100_000}


@pytest.mark.parametrize(
    ("wait", "read"),
    [("true", True), ("false", False), ("False", False), ("TRUE", True), (" false ", False), ("", True), ("  ", True)],
)
def test_wait_may_be_a_boolean_in_words(wait: str, *, read: bool) -> None:
    assert generate(wait=wait).wait is read


@pytest.mark.parametrize("wait", ["yes", "0", "1", "null", "falsee", 0, 1, 1.0, [], {}])
def test_wait_is_a_boolean(wait: object) -> None:
    assert set(problems_of(GenerateArguments, {**GIVEN, "wait": wait})) == {"wait"}


@pytest.mark.parametrize("client_ref", ["x" * 256, "it's", "a b", "a\n", "é", "<client_ref>", True, False, [], {}])
def test_an_unsafe_client_ref_is_invalid(client_ref: object) -> None:
    assert set(problems_of(GenerateArguments, {**GIVEN, "client_ref": client_ref})) == {"client_ref"}


@pytest.mark.parametrize(
    ("number", "digits"),
    [(5, "5"), (0, "0"), (-7, "-7"), (5.0, "5"), (1.25, "1.25"), (20261127, "20261127"), (2**64 - 1, str(2**64 - 1))],
)
def test_a_number_as_client_ref_is_its_digits(number: float, digits: str) -> None:
    assert generate(client_ref=number).client_ref == digits


@pytest.mark.parametrize(
    "number", [1e22, 2.0**53, -1e300, 123456789012345678901234567890.0, float("inf"), float("nan")]
)
def test_a_number_that_lost_digits_is_not_a_client_ref(number: float) -> None:
    """Two different numbers would become one client_ref."""
    assert set(problems_of(GenerateArguments, {**GIVEN, "client_ref": number})) == {"client_ref"}


@pytest.mark.parametrize(
    "client_ref",
    [
        "null",
        "NULL",
        "Null",
        "none",
        "None",
        "undefined",
        "nil",
        "NaN",
        "nan",
        "N/A",
        "string",
        "client_ref",
        "-",
        "...",
    ],
)
def test_a_placeholder_as_client_ref_is_invalid_and_the_error_says_why(client_ref: str) -> None:
    named = problems_of(GenerateArguments, {**GIVEN, "client_ref": client_ref})
    assert set(named) == {"client_ref"}
    assert "placeholder" in named["client_ref"]
    assert "leave client_ref out" in named["client_ref"]


@pytest.mark.parametrize("client_ref", ["nullable", "none-1", "job-null", "string1", "0", "a", "_1"])
def test_a_client_ref_that_resembles_a_placeholder_is_valid(client_ref: str) -> None:
    assert generate(client_ref=client_ref).client_ref == client_ref


# list_models


def test_list_models_needs_nothing() -> None:
    assert listing() == ListModelsArguments()
    assert listing().limit == 50


@pytest.mark.parametrize("category", CATEGORIES)
def test_every_category_is_taken(category: str) -> None:
    assert listing(category=category).category == category


@pytest.mark.parametrize(
    ("category", "read"),
    [
        ("Text-To-Image", "text-to-image"),
        ("TEXT_TO_IMAGE", "text-to-image"),
        ("Text_To_Image", "text-to-image"),
        ("image to video", "image-to-video"),
        (" Solution ", "solution"),
        ("", None),
        (" ", None),
    ],
)
def test_a_category_is_taken_in_any_case_and_with_any_separator(category: str, read: str | None) -> None:
    assert listing(category=category).category == read


@pytest.mark.parametrize("category", ["image", "texttoimage", "text-to-imag", "null", 5, True, []])
def test_anything_else_is_not_a_category(category: object) -> None:
    named = problems_of(ListModelsArguments, {"category": category})
    assert set(named) == {"category"}
    if isinstance(category, str):
        assert all(category in named["category"] for category in CATEGORIES)


@pytest.mark.parametrize(
    ("limit", "read"),
    [
        (1, 1),
        (200, 200),
        (5.0, 5),
        (None, 50),
        ("5", 5),
        (" 5 ", 5),
        ("5.0", 5),
        ("+5", 5),
        ("005", 5),
        ("", 50),
        (" ", 50),
    ],
)
def test_a_limit_is_a_whole_number(limit: object, read: int) -> None:
    found = listing(limit=limit).limit
    assert (found, type(found)) == (read, int)


@pytest.mark.parametrize(
    "limit",
    [
        0,
        201,
        -1,
        5.5,
        0.0,
        1e300,
        float("inf"),
        float("nan"),
        "0",
        "201",
        "5.5",
        "five",
        "٥",
        "1" * 5000,
        True,
        False,
        [],
        {},
    ],
)
def test_anything_else_is_not_a_limit(limit: object) -> None:
    named = problems_of(ListModelsArguments, {"limit": limit})
    assert named == {"limit": "must be a whole number from 1 to 200"}


@pytest.mark.parametrize("name", ["provider", "query"])
def test_a_filter_is_any_text(name: str) -> None:
    for text in ("x", "é" * 1000, "null"):
        assert getattr(listing(**{name: text}), name) == text
    for absent in ("", "  "):
        assert getattr(listing(**{name: absent}), name) is None
    assert getattr(listing(**{name: 5}), name) == "5"
    wrong_values: tuple[object, ...] = (True, [], {})
    for value in wrong_values:
        assert problems_of(ListModelsArguments, {name: value}) == {name: "must be a string"}


# Both


def test_an_optional_argument_given_as_null_counts_as_absent() -> None:
    assert generate(wait=None, client_ref=None) == generate()
    assert listing(category=None, provider=None, query=None, limit=None) == listing()


def test_an_optional_argument_given_as_blank_text_counts_as_absent() -> None:
    for blank in ("", " ", "\t\n"):
        assert generate(wait=blank, client_ref=blank) == generate()
        assert listing(category=blank, provider=blank, query=blank, limit=blank) == listing()


@pytest.mark.parametrize("name", ["toolCallId", "sessionId", "action", "chatInput", "security_risk", "random_string"])
@pytest.mark.parametrize("value", ["x", None, {}, 1])
def test_names_that_hosts_add_are_ignored(name: str, value: object) -> None:
    assert generate(**{name: value}) == generate()
    assert listing(**{name: value}) == listing()


@pytest.mark.parametrize("name", ["toolcallid", "tool_call_id", "SessionId", "actions", "input_", "securityRisk"])
def test_names_that_only_look_like_those_of_hosts_are_invalid(name: str) -> None:
    assert set(problems_of(GenerateArguments, {**GIVEN, name: "x"})) == {name}


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("client_reference", "client_ref"),
        ("clientRef", "client_ref"),
        ("Client_Ref", "client_ref"),
        ("client-ref", "client_ref"),
        ("CLIENT_REF", "client_ref"),
        ("clientref", "client_ref"),
        ("cleint_ref", "client_ref"),
        ("ref", "client_ref"),
        ("run_ref", "client_ref"),
        ("reference", "client_ref"),
        ("client_id", "client_ref"),
        ("idempotency_key", "client_ref"),
        ("Model", "model"),
        ("model_name", "model"),
        ("modelId", "model"),
        ("inputs", "input"),
        ("parameters", "input"),
        ("Wait", "wait"),
        ("waits", "wait"),
    ],
)
def test_an_unknown_name_is_invalid_with_the_nearest_one_as_suggestion(name: str, meant: str) -> None:
    named = problems_of(GenerateArguments, {**GIVEN, name: "x"})
    assert set(named) == {name}
    assert f"did you mean {meant}?" in named[name]


def test_an_unknown_argument_unlike_any_other_gets_no_suggestion() -> None:
    named = problems_of(GenerateArguments, {**GIVEN, "zzz": 1, "prompt": "x"})
    assert "did you mean" not in named["zzz"]
    assert "inputs go inside input" in named["prompt"]


def test_of_many_unknown_names_a_few_are_named_and_the_rest_counted() -> None:
    many: dict[str, Any] = {f"{number}\n" + "x" * 1000: number for number in range(29_000)}
    with pytest.raises(ToolError) as caught:
        read_arguments(GenerateArguments, {"input": 5, **many})
    error = caught.value
    assert [problem["path"] for problem in error.details["faults"]][:2] == ["model", "input"]
    assert len(error.details["faults"]) == 10
    assert error.details["faults_omitted"] == 28_992
    assert "29,002 arguments are invalid: model, input, 0?x" in error.message
    assert error.message.endswith("and 28,992 more.")
    assert len(orjson.dumps(error.result("r"))) < 8192


class _Arguments(dict[str, Any]):
    """Arguments that a weak reference can observe."""


def test_an_invalid_arguments_error_keeps_nothing_of_them_alive() -> None:
    """Reference cycles would keep requests until the next full collection, and memory might run out before."""
    gc.disable()
    try:
        arguments = _Arguments({"model": 1, "input": {"a": [1]}, "wait": "x", "zzz": 1})
        seen = weakref.ref(arguments)
        with contextlib.suppress(ToolError):
            read_arguments(GenerateArguments, arguments)
        del arguments
        assert seen() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("name", ["model", "input"])
def test_a_required_argument_is_required(name: str) -> None:
    arguments = {key: value for key, value in GIVEN.items() if key != name}
    assert problems_of(GenerateArguments, arguments) == {name: "is required"}


def test_every_problem_is_named_at_once() -> None:
    named = problems_of(GenerateArguments, {"input": 5, "wait": "x", "client_ref": "a b", "models": "y", "seed": 1})
    assert set(named) == {"model", "input", "wait", "client_ref", "models", "seed"}
    assert "model, input, wait, client_ref" in named["seed"]


@pytest.mark.parametrize("value", [1, None])
def test_an_unknown_argument_is_invalid(value: object) -> None:
    assert set(problems_of(ListModelsArguments, {"limits": value})) == {"limits"}


def test_an_invalid_argument_is_named_in_plain_words() -> None:
    with pytest.raises(ToolError) as caught:
        listing(limit=0)
    assert caught.value.message == "1 argument is invalid: limit."
    with pytest.raises(ToolError) as caught:
        listing(limit=0, category="x")
    assert re.match(r"2 arguments are invalid: \w+, \w+\.", caught.value.message)
    assert caught.value.upstream_status is None


@law
@given(
    st.dictionaries(
        st.sampled_from(["model", "input", "wait", "client_ref", "category", "provider", "query", "limit"])
        | st.text(max_size=80),
        json_values,
        max_size=6,
    ),
    st.sampled_from([GenerateArguments, ListModelsArguments]),
)
def test_any_arguments_fit_or_are_named(arguments: dict[str, Any], kind: Any) -> None:
    try:
        read_arguments(kind, arguments)
    except ToolError as error:
        refused = error
    else:
        return
    assert refused.code == "invalid_arguments"
    assert refused.details["faults"]
    orjson.dumps(refused.result("r"))
