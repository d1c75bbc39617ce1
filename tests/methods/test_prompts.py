"""Prompts: one for each Solution, by a name that people can type, with a message that stands alone."""

import json
import re
from typing import Any

import orjson
import pytest

from runflow_mcp.sandbox import catalog
from tests.methods.scripted_catalogs import entry, script
from tests.scripted_sandbox import Respond, Route, ScriptedSandbox
from tests.serving import Serve, Server

SOLUTIONS = [entry for entry in catalog.entries() if entry["provider_slug"] == "runflow"]
URL = "https://example.com/a.png"


async def names(server: Server) -> list[str]:
    return [prompt["name"] for prompt in (await server.rpc("prompts/list")).result["prompts"]]


async def message(server: Server, name: str, arguments: dict[str, str] | None = None) -> str:
    params: dict[str, Any] = {"name": name}
    answer = await server.rpc("prompts/get", params if arguments is None else {**params, "arguments": arguments})
    [only] = answer.result["messages"]
    assert only["role"] == "user"
    assert only["content"]["type"] == "text"
    text: str = only["content"]["text"]
    return text


def call_in(text: str) -> Any:
    """The ``generate`` call that a message shows."""
    [block] = re.findall(r"```json\n(.*?)\n```", text, re.DOTALL)
    return json.loads(block)


async def test_there_is_one_prompt_for_each_solution(server: Server) -> None:
    assert await names(server) == [entry["model_slug"].replace("/", "-") for entry in SOLUTIONS]
    assert "object-removal-prompt" in await names(server)


async def test_arguments_are_the_inputs_required_ones_first_and_all_are_optional(server: Server) -> None:
    prompts = {prompt["name"]: prompt for prompt in (await server.rpc("prompts/list")).result["prompts"]}
    for solution in SOLUTIONS:
        prompt = prompts[solution["model_slug"].replace("/", "-")]
        inputs = sorted(solution["inputs"], key=lambda model_input: not model_input["required"])
        assert [argument["name"] for argument in prompt["arguments"]] == [model_input["name"] for model_input in inputs]
        assert not any(argument["required"] for argument in prompt["arguments"])
        assert all(argument["description"] for argument in prompt["arguments"])
        assert prompt["title"] == solution["model_name"]
        assert prompt["description"]


async def test_the_list_is_the_same_bytes_each_time(server: Server) -> None:
    first, second = await server.rpc("prompts/list"), await server.rpc("prompts/list")
    assert first.content == second.content


async def test_the_message_shows_the_exact_call(server: Server) -> None:
    text = await message(server, "smart-resize", {"image_url": URL, "aspect_ratio": "16:9", "resolution": "2K"})
    assert "Smart Resize" in text
    assert "generate" in text
    assert call_in(text) == {
        "model": "runflow/smart-resize",
        "input": {"image_url": URL, "aspect_ratio": "16:9", "resolution": "2K"},
    }
    assert "<" not in text.replace("<image_url>", "")


@pytest.mark.parametrize("arguments", [None, {}, {"image_url": ""}, {"image_url": "  "}], ids=repr)
async def test_a_missing_required_argument_is_a_placeholder_in_the_message(
    server: Server, arguments: dict[str, str] | None
) -> None:
    text = await message(server, "logo-inpaint", arguments)
    assert call_in(text)["input"] == {"image_url": "<image_url>", "logo_url": "<logo_url>"}
    for required in ("image_url", "logo_url"):
        assert f"- {required}" in text


async def test_an_optional_argument_appears_when_it_is_given(server: Server) -> None:
    text = await message(server, "logo-inpaint", {"prompt": "on the sleeve, please"})
    assert call_in(text)["input"]["prompt"] == "on the sleeve, please"


async def test_an_argument_given_as_null_counts_as_absent(server: Server) -> None:
    absent = await message(server, "logo-inpaint", {"image_url": URL})
    given: dict[str, Any] = {"image_url": URL, "logo_url": None, "prompt": None, "unheard_of": None}
    assert await message(server, "logo-inpaint", given) == absent


@pytest.mark.parametrize(
    ("value", "shown"), [(12, 12), (12.0, 12), ("12", 12), (0, 0), (True, "true"), (0.5, "0.5"), (1e300, "1e+300")]
)
async def test_a_number_or_boolean_is_taken_as_its_text(server: Server, value: object, shown: object) -> None:
    given: dict[str, Any] = {"image_url": URL, "color_red": value}
    assert call_in(await message(server, "eye-color", given))["input"]["color_red"] == shown


@pytest.mark.parametrize("levels", [200, 252, 253, 254, 255, 1000])
@pytest.mark.parametrize("pair", ["[]", "{}"])
async def test_json_that_is_nested_too_deeply_is_shown_as_text(server: Server, levels: int, pair: str) -> None:
    nested = "[" * levels + "]" * levels if pair == "[]" else '{"a":' * (levels - 1) + "{}" + "}" * (levels - 1)
    shown = call_in(await message(server, "tag-removal", {"config": nested}))
    assert shown["input"]["config"] == nested


async def test_json_of_too_many_values_is_shown_as_text(server: Server) -> None:
    many = "[" + "{}," * 20_000 + "{}]"
    shown = call_in(await message(server, "tag-removal", {"config": many}))
    assert shown["input"]["config"] == many


async def test_many_unknown_arguments_are_named_in_part(server: Server) -> None:
    given = {f"{number}\n{'x' * 100}": "" for number in range(1000)}
    error = (await server.rpc("prompts/get", {"name": "headshots", "arguments": given})).error
    assert error["code"] == -32602
    assert "and 990 more" in error["message"]
    assert len(error["message"]) < 1500
    assert "\n" not in error["message"]


async def test_a_call_as_shown_is_accepted(server: Server) -> None:
    text = await message(server, "eye-color", {"image_url": URL, "eye_color": "green", "color_red": "12"})
    call = call_in(text)
    assert call["input"]["color_red"] == 12
    answer = await server.generate(call["model"], call["input"], wait=False)
    assert answer.structured["status"] == "queued"


@pytest.mark.parametrize(
    ("name", "argument", "text"),
    [
        ("eye-color", "color_red", "1" * 30),
        ("eye-color", "color_red", "9" * 5000),
        ("eye-color", "color_red", "red"),
        ("eye-color", "eye_color", '"}\n```\n<x> 𝄞 \\'),
        ("tag-removal", "config", "[" * 300 + "]" * 300),
        ("tag-removal", "config", "{not json"),
        ("tag-removal", "config", '{"keep": [1, 2]}'),
    ],
    ids=["30 digits", "5000 digits", "word", "escapes", "nested", "no json", "json"],
)
async def test_any_text_can_be_given(server: Server, name: str, argument: str, text: str) -> None:
    answer = await server.rpc("prompts/get", {"name": name, "arguments": {argument: text}})
    assert "error" not in answer.json
    assert argument in answer.result["messages"][0]["content"]["text"]


@pytest.mark.parametrize("levels", [199, 200, 240, 253, 254, 1000])
async def test_json_that_nests_too_deeply_for_generate_is_taken_as_text(server: Server, levels: int) -> None:
    nested = "[" * levels + "]" * levels
    given = call_in(await message(server, "tag-removal", {"config": nested}))["input"]["config"]
    assert given == (orjson.loads(nested) if levels < 200 else nested)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{\n  "keep": [' + ",".join(["1"] * 4000) + "]}", {"keep": [1] * 4000}),
        ('\ufeff{"keep": 1}', {"keep": 1}),
        ('{"keep": "a\\ud83d"}', {"keep": "a?"}),
    ],
    ids=["indented at its beginning alone", "byte order mark", "half a character"],
)
async def test_json_in_an_argument_is_read_as_in_a_body(server: Server, text: str, value: object) -> None:
    given = call_in(await message(server, "tag-removal", {"config": text}))["input"]["config"]
    assert given == value


@pytest.mark.parametrize("unit", ["[" * 190 + "]" * 190, '{"a":[1,{"b":[]}]}', '""', "1e15", "[]", '"\\""'])
async def test_json_of_the_caller_is_not_indented(server: Server, unit: str) -> None:
    """Indented, such an argument made an answer of 62 MB."""
    config = "[" + ",".join([unit] * (120_000 // (len(unit) + 1))) + "]"
    answer = await server.rpc("prompts/get", {"name": "tag-removal", "arguments": {"config": config}})
    assert len(answer.content) < 1_000_000
    if "error" not in answer.json:
        text = answer.result["messages"][0]["content"]["text"]
        # More values than a request may hold are taken for text.
        assert call_in(text)["input"]["config"] in (orjson.loads(config), config)


async def test_the_call_has_one_input_a_line(server: Server) -> None:
    text = await message(server, "tag-removal", {"config": '{"keep":\n [1,\n 2]}', "image_url": URL})
    assert f'    "image_url": "{URL}",\n    "config": {{"keep":[1,2]}}\n  }}\n}}' in text


@pytest.mark.parametrize("letter", ["x", "\u00fc", "\u2028", '"', "\\", "\n", "\0", "\U0001d11e", "a "], ids=ascii)
async def test_an_argument_of_any_length_is_answered_within_the_limit(serve: Serve, letter: str) -> None:
    server = await serve(MCP_MAX_BODY_BYTES="4000000")
    for length in (40_000, 150_000):
        answer = await server.rpc("prompts/get", {"name": "eye-color", "arguments": {"eye_color": letter * length}})
        assert len(answer.content) < 1_000_000
        assert answer.status == 200


@pytest.mark.parametrize(
    "arguments", [{f"{number}": "" for number in range(9000)}, {"n" * 200_000: ""}, {"\u2028" * 60_000: ""}]
)
async def test_the_error_about_unknown_arguments_is_short(server: Server, arguments: dict[str, str]) -> None:
    answer = await server.rpc("prompts/get", {"name": "headshots", "arguments": arguments})
    assert answer.error["code"] == -32602
    assert len(answer.content) < 4096


async def test_the_error_says_how_many_unknown_arguments_there_are(server: Server) -> None:
    arguments = {f"{number:02}": "" for number in range(13)}
    answer = await server.rpc("prompts/get", {"name": "headshots", "arguments": arguments})
    assert "no argument 00, 01, 02, 03, 04, 05, 06, 07, 08, 09 and 3 more; it takes" in answer.error["message"]


async def test_the_name_may_carry_the_servers_prefix(server: Server) -> None:
    plain = await message(server, "object-removal-prompt")
    assert await message(server, "runflow:object-removal-prompt") == plain
    assert call_in(plain)["model"] == "runflow/object-removal/prompt"


@pytest.mark.parametrize(
    "params",
    [
        {"name": "nothing-like-it"},
        {"name": "object-removal/prompt/more"},
        {"name": "runflow:runflow:headshots"},
        {"name": ""},
        {"name": 7},
        {},
        {"name": "headshots", "arguments": []},
        {"name": "headshots", "arguments": {"image_url": [URL]}},
        {"name": "headshots", "arguments": {"image_url": {"url": URL}}},
        {"name": "headshots", "arguments": {"unheard_of": 1}},
        {"name": "headshots", "arguments": {"unheard_of": "x"}},
    ],
    ids=str,
)
async def test_prompt_params_of_another_shape_are_invalid_params(server: Server, params: object) -> None:
    answer = await server.rpc("prompts/get", params)
    assert answer.status == 200
    assert answer.error["code"] == -32602


async def test_two_slugs_with_one_name_get_a_number_in_slug_order(
    serve: Serve, sandbox: ScriptedSandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    script(sandbox, entry("runflow/a/b", model_name="Second"), entry("runflow/a-b", model_name="First"))
    server = await serve()
    assert await names(server) == ["a-b-2", "a-b"]
    assert call_in(await message(server, "a-b"))["model"] == "runflow/a-b"
    assert call_in(await message(server, "a-b-2"))["model"] == "runflow/a/b"
    assert capsys.readouterr().out.count("prompt_name_taken") == 1


async def test_only_active_solutions_are_prompts(serve: Serve, sandbox: ScriptedSandbox) -> None:
    script(sandbox, entry("runflow/old", status="inactive"), entry("runflow/new"), entry("google/x"))
    assert await names(await serve()) == ["new"]


async def test_prompts_follow_the_catalog(serve: Serve, sandbox: ScriptedSandbox) -> None:
    server = await serve(MCP_CATALOG_TTL_MS="60000")
    assert len(await names(server)) == len(SOLUTIONS)
    script(sandbox, entry("runflow/new"))
    await server.services.clock.sleep(61)
    assert await names(server) == ["new"]


async def test_without_a_catalog_the_list_of_prompts_is_empty(serve: Serve, sandbox: ScriptedSandbox) -> None:
    sandbox.script.add(Route.CATALOG, Respond(500), times=None)
    assert await names(await serve()) == []


@pytest.mark.parametrize("method", ["prompts/list", "tools/list"])
@pytest.mark.parametrize(("cursor", "code"), [("abc", -32602), (1, -32602), ("", None), (None, None)])
async def test_only_an_empty_cursor_is_accepted(server: Server, method: str, cursor: object, code: int | None) -> None:
    answer = await server.rpc(method, {"cursor": cursor})
    assert answer.json.get("error", {}).get("code") == code
