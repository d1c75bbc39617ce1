"""Tool arguments: what fits, what is forgiven, and that every fault is named by its path."""

import re
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runflow_mcp.errors import ToolError
from runflow_mcp.jsontypes import deeper_than
from runflow_mcp.methods.arguments import GenerateArguments, ListModelsArguments, read_arguments
from runflow_mcp.runflow.models import CATEGORIES
from tests.protocol.laws import json_values, law

MODEL = "google/nano-banana-2"
GIVEN = {"model": MODEL, "input": {"prompt": "x"}}


def generate(**arguments: object) -> GenerateArguments:
    return read_arguments(GenerateArguments, {**GIVEN, **arguments})


def listing(**arguments: object) -> ListModelsArguments:
    return read_arguments(ListModelsArguments, arguments)


def faults(kind: Any, arguments: dict[str, Any]) -> dict[str, str]:
    """path → message of every fault."""
    with pytest.raises(ToolError) as caught:
        read_arguments(kind, arguments)
    error = caught.value
    assert error.code == "invalid_arguments"
    named = {fault["path"]: fault["message"] for fault in error.details["faults"]}
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
    assert generate() == GenerateArguments(model=MODEL, input={"prompt": "x"}, wait=True, client_ref=None)  # type: ignore[arg-type]


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
    ],
)
def test_a_model_may_be_a_runs_endpoint(given_: str, model: str) -> None:
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
        "a/" + "b" * 255,
        5,
        None,
        [],
        {},
        True,
    ],
)
def test_anything_else_is_no_model(model: object) -> None:
    assert set(faults(GenerateArguments, {**GIVEN, "model": model})) == {"model"}


@pytest.mark.parametrize("text", ['{"prompt":"x"}', ' {"prompt": "x"} ', '{"prompt":"\\u0078"}'])
def test_an_input_may_be_a_text_that_holds_an_object(text: str) -> None:
    assert generate(input=text).input == {"prompt": "x"}


@pytest.mark.parametrize("value", [None, [], [{}], 5, True, "", "x", "[]", "null", '"{}"', '{"a":', "{'a':1}"])
def test_anything_else_is_no_input(value: object) -> None:
    assert set(faults(GenerateArguments, {**GIVEN, "input": value})) == {"input"}


@law
@given(st.dictionaries(st.text(max_size=8), json_values, max_size=5))
def test_an_input_is_passed_on_unchanged(value: dict[str, Any]) -> None:
    assert generate(input=value).input == value
    assert generate(input=orjson.dumps(value).decode()).input == value


def test_an_input_nests_up_to_200_levels() -> None:
    assert generate(input=nested(200)).input == nested(200)
    for value in (nested(201), orjson.dumps(nested(201)).decode(), {"a": [[[nested(198)]]]}, "[" * 5000):
        assert set(faults(GenerateArguments, {**GIVEN, "input": value})) == {"input"}


@law
@given(json_values.filter(lambda value: isinstance(value, list | dict)), st.integers(1, 6))
def test_depth_is_counted_in_arrays_and_objects(value: Any, levels: int) -> None:
    def depth(one: Any) -> int:
        inner = one.values() if isinstance(one, dict) else one if isinstance(one, list) else None
        return 0 if inner is None else 1 + max(map(depth, inner), default=0)

    assert deeper_than(value, levels) == (depth(value) > levels)


@pytest.mark.parametrize("wait", ["true", "false", 0, 1, 1.0, [], {}])
def test_wait_is_a_boolean(wait: object) -> None:
    assert set(faults(GenerateArguments, {**GIVEN, "wait": wait})) == {"wait"}


@pytest.mark.parametrize("client_ref", ["", "x" * 256, "it's", "a b", "a\n", "é", 5, True, [], {}])
def test_a_client_ref_is_harmless(client_ref: object) -> None:
    assert set(faults(GenerateArguments, {**GIVEN, "client_ref": client_ref})) == {"client_ref"}


# list_models


def test_list_models_needs_nothing() -> None:
    assert listing() == ListModelsArguments()
    assert listing().limit == 50


@pytest.mark.parametrize("category", CATEGORIES)
def test_every_category_is_taken(category: str) -> None:
    assert listing(category=category).category == category


@pytest.mark.parametrize("category", ["", "image", "Text-To-Image", "text_to_image", 5, True, []])
def test_anything_else_is_no_category(category: object) -> None:
    named = faults(ListModelsArguments, {"category": category})
    assert set(named) == {"category"}
    if isinstance(category, str):
        assert all(one in named["category"] for one in CATEGORIES)


@pytest.mark.parametrize(("limit", "read"), [(1, 1), (200, 200), (5.0, 5), (None, 50)])
def test_a_limit_is_a_whole_number(limit: object, read: int) -> None:
    found = listing(limit=limit).limit
    assert (found, type(found)) == (read, int)


@pytest.mark.parametrize("limit", [0, 201, -1, 5.5, 0.0, 1e300, float("inf"), float("nan"), "5", True, False, [], {}])
def test_anything_else_is_no_limit(limit: object) -> None:
    named = faults(ListModelsArguments, {"limit": limit})
    assert named == {"limit": "must be a whole number from 1 to 200"}


@pytest.mark.parametrize("name", ["provider", "query"])
def test_a_filter_is_any_text(name: str) -> None:
    for text in ("", "x", "é" * 1000):
        assert getattr(listing(**{name: text}), name) == text
    others: tuple[object, ...] = (5, True, [], {})
    for other in others:
        assert faults(ListModelsArguments, {name: other}) == {name: "must be a string"}


# Both


def test_an_optional_argument_given_as_null_counts_as_absent() -> None:
    assert generate(wait=None, client_ref=None) == generate()
    assert listing(category=None, provider=None, query=None, limit=None) == listing()


@pytest.mark.parametrize("name", ["model", "input"])
def test_a_required_argument_is_required(name: str) -> None:
    arguments = {key: value for key, value in GIVEN.items() if key != name}
    assert faults(GenerateArguments, arguments) == {name: "is required"}


def test_every_fault_is_named_at_once() -> None:
    named = faults(GenerateArguments, {"input": 5, "wait": "x", "client_ref": "a b", "models": "y", "seed": 1})
    assert set(named) == {"model", "input", "wait", "client_ref", "models", "seed"}
    assert "model, input, wait, client_ref" in named["seed"]


@pytest.mark.parametrize("value", [1, None])
def test_an_argument_that_nobody_knows_is_a_fault(value: object) -> None:
    assert set(faults(ListModelsArguments, {"limits": value})) == {"limits"}


def test_a_fault_is_told_in_plain_words() -> None:
    with pytest.raises(ToolError) as caught:
        listing(limit=0)
    assert caught.value.message == "1 argument does not fit: limit."
    with pytest.raises(ToolError) as caught:
        listing(limit=0, category="x")
    assert re.match(r"2 arguments do not fit: \w+, \w+\.", caught.value.message)
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
