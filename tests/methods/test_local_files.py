"""Files of the caller's machine: from a path to a run in two calls, and everything that can go wrong in between."""

import asyncio
import io
import re
import shlex
from random import Random
from typing import Any

import orjson
import pytest
from PIL import Image

from runflow_mcp.methods.tools.generate import TOOL
from runflow_mcp.sandbox import RunningSandbox
from tests.methods.recorded_requests import caller_requests, confirmations, dispatches, lookups, uploads
from tests.methods.schema_check import fits
from tests.methods.tool_error_reader import tool_error_of
from tests.runflow.test_telemetry import Recorded
from tests.scripted_sandbox import Action, Delay, Hang, Quirks, Reset, Respond, Route, ScriptedSandbox
from tests.serving import BOTH, KEY, TASKS, Answer, Serve, Server, run_server
from tests.virtual_time import VirtualClock

REMOVAL = "runflow/background-removal"
READONLY = "rf_live_sandbox_readonly"
MAX_FILE_BYTES = 52_428_800
PAGE = b"<html><h1>Bad gateway</h1></html>"


def picture() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (20, 20), (255, 0, 255)).save(buffer, "PNG")
    return buffer.getvalue()


PICTURE = picture()
PATH = f"./shoe.png#bytes={len(PICTURE)}"


def text_of(answer: Answer) -> str:
    text: str = answer.result["content"][0]["text"]
    return text


def commands(answer: Answer) -> list[list[str]]:
    """The words of each command in an error's text, as a shell would read them."""
    return [shlex.split(line) for line in text_of(answer).split("\n") if line.startswith("curl ")]


def references(answer: Answer) -> dict[str, str]:
    """input → its new value, from an error's text."""
    return dict(re.findall(r'^(\S+): "(runflow-upload://[^"]+)"$', text_of(answer), re.MULTILINE))


async def send_file(server: Server, command: list[str], content: bytes = PICTURE) -> int:
    """Carry out a curl command; the status."""
    [program, flags, upload, _, header, content_type, url] = command
    assert (program, flags, upload, header) == ("curl", "-gfsS", "-T", "-H")
    headers = {"Content-Type": content_type.removeprefix("Content-Type: ")}
    async with server.session.put(url, data=content, headers=headers) as response:
        return response.status


async def remove(server: Server, image: object = PATH, **options: Any) -> Answer:
    return await server.generate(REMOVAL, {"image_url": image}, **options)


async def upload(server: Server, image: str = PATH, **options: Any) -> str:
    """The reference to a file that was uploaded and not used yet."""
    answer = await remove(server, image, **options)
    for command in commands(answer):
        assert await send_file(server, command) == 200
    return references(answer)["image_url"]


def assert_nothing_started(sandbox: ScriptedSandbox) -> None:
    assert not dispatches(sandbox)
    assert not list(sandbox.runs)


# The flow


@pytest.mark.parametrize("client_ref", [None, "mine"])
async def test_a_local_file_is_used_in_two_calls(
    server: Server, sandbox: ScriptedSandbox, client_ref: str | None
) -> None:
    first = await remove(server, client_ref=client_ref)
    error = tool_error_of(first, "upload_needed")
    assert fits(TOOL.definition["outputSchema"], first.structured)
    [command] = commands(first)
    assert command[3] == "./shoe.png"
    assert command[5] == "Content-Type: image/png"
    [described] = error["details"]["uploads"]
    assert shlex.split(described["command"]) == command
    assert described["value"] == references(first)["image_url"] == f"runflow-upload://{described['asset_id']}"
    assert (described["path"], described["inputs"]) == ("./shoe.png", ["image_url"])
    [asked] = uploads(sandbox)
    assert asked.body == {"filename": "shoe.png", "mime_type": "image/png", "size_bytes": len(PICTURE)}
    assert_nothing_started(sandbox)
    assert await send_file(server, command) == 200
    client_ref = error["details"]["client_ref"]
    assert client_ref in text_of(first)
    second = await remove(server, references(first)["image_url"], client_ref=client_ref, accept=BOTH)
    assert second.structured["status"] == "succeeded"
    assert second.structured["client_ref"] == client_ref
    [dispatched] = dispatches(sandbox)
    assert dispatched.body["input"] == {"image_url": f"runflow://assets/{described['asset_id']}"}
    [output] = second.structured["outputs"]
    async with server.session.get(output["url"]) as response:
        drawn = Image.open(io.BytesIO(await response.read())).convert("RGB")
    assert drawn.getpixel((drawn.width // 2, drawn.height // 2)) == (255, 0, 255)
    # Nothing but the caller's own curl has sent a file.
    assert [request.key for request in sandbox.requests if request.method == "PUT"] == [None]


async def test_the_error_for_a_path_without_a_size_says_how_to_add_it(server: Server, sandbox: ScriptedSandbox) -> None:
    answer = await remove(server, "~/my shoe.png")
    error = tool_error_of(answer, "local_file")
    assert '"~/my shoe.png#bytes=<size>"' in text_of(answer)
    assert "wc -c < ~/'my shoe.png'" in text_of(answer)
    assert "public https URL" in text_of(answer)
    assert error["details"]["files"] == [
        {"path": "~/my shoe.png", "inputs": ["image_url"], "size_bytes": None, "media_type": "image/png"}
    ]
    assert not caller_requests(sandbox)


@pytest.mark.parametrize(
    ("image", "part"),
    [
        ("./x.png#bytes=0", "empty"),
        ("./x.png#bytes=52428801", "host the file"),
        (f"./x.png#bytes={'9' * 40}", "host the file"),
        ("./x.png#bytes=-1", "not a whole number"),
        ("./x.png#bytes=1.5", "not a whole number"),
        ("./x.png#bytes=<size>", "not a whole number"),
        ("./x.png#bytes=", "not a whole number"),
        ("./pictures/", "directory"),
        ("./pictures/#bytes=4096", "directory"),
        ("C:\\pictures\\", "directory"),
    ],
)
async def test_a_file_that_cannot_be_uploaded_is_refused_before_anything_happens(
    server: Server, sandbox: ScriptedSandbox, image: str, part: str
) -> None:
    answer = await remove(server, image)
    tool_error_of(answer, "local_file")
    assert part in text_of(answer)
    assert not caller_requests(sandbox)


async def test_the_largest_file_is_accepted(server: Server, sandbox: ScriptedSandbox) -> None:
    tool_error_of(await remove(server, f"./x.png#bytes={MAX_FILE_BYTES}"), "upload_needed")
    assert uploads(sandbox)[0].body["size_bytes"] == MAX_FILE_BYTES


async def test_files_in_lists_and_objects_are_found(server: Server, sandbox: ScriptedSandbox) -> None:
    values = {
        "prompt": "./this stays.png",
        "image_urls": ["https://example.com/a.png", PATH, f"b.png#bytes={len(PICTURE)}"],
        "config": {"layers": [{"mask": f"./m.webp#bytes={len(PICTURE)}"}]},
    }
    first = await server.generate("google/nano-banana-pro/edit", values)
    tool_error_of(first, "upload_needed")
    for command in commands(first):
        assert await send_file(server, command) == 200
    new = references(first)
    assert set(new) == {"image_urls[1]", "image_urls[2]", "config.layers[0].mask"}
    values["image_urls"][1:] = [new["image_urls[1]"], new["image_urls[2]"]]  # type: ignore[index]
    values["config"]["layers"][0]["mask"] = new["config.layers[0].mask"]  # type: ignore[index]
    second = await server.generate("google/nano-banana-pro/edit", values)
    assert second.structured["status"] == "succeeded"
    sent = dispatches(sandbox)[0].body["input"]
    assert sent["prompt"] == "./this stays.png"
    assert sent["image_urls"][0] == "https://example.com/a.png"
    assert all(each.startswith("runflow://assets/") for each in sent["image_urls"][1:])
    assert len(confirmations(sandbox)) == 3


async def test_one_file_without_a_size_is_enough_to_ask_for_sizes(server: Server, sandbox: ScriptedSandbox) -> None:
    answer = await server.generate(REMOVAL, {"image_url": PATH, "mask_url": "./mask.png"})
    tool_error_of(answer, "local_file")
    assert '"./mask.png#bytes=<size>"' in text_of(answer)
    assert not uploads(sandbox)


async def test_more_than_eight_files_are_invalid(server: Server, sandbox: ScriptedSandbox) -> None:
    values = {"image_urls": [f"./{number}.png#bytes=5" for number in range(9)]}
    error = tool_error_of(await server.generate("google/nano-banana-pro/edit", values), "invalid_arguments")
    assert error["details"]["faults"][0]["path"] == "input"
    assert not caller_requests(sandbox)
    eight = await server.generate("google/nano-banana-pro/edit", {"image_urls": values["image_urls"][:8]})
    assert len(commands(eight)) == 8


async def test_without_a_catalog_the_names_of_inputs_decide(serve: Serve, sandbox: ScriptedSandbox) -> None:
    sandbox.script.add(Route.CATALOG, Respond(500), times=None)
    server = await serve()
    tool_error_of(await remove(server, "shoe.png"), "local_file")
    prompt = await server.generate("google/nano-banana-2", {"prompt": "./shoe.png"})
    assert prompt.structured["status"] == "succeeded"


@pytest.mark.parametrize("image", ["https://example.com/a.png", "data:image/png;base64,iVBORw0KGgo=", "a red shoe"])
async def test_other_inputs_reach_runflow_unchanged(server: Server, sandbox: ScriptedSandbox, image: str) -> None:
    assert (await remove(server, image)).structured["status"] == "succeeded"
    assert dispatches(sandbox)[0].body["input"] == {"image_url": image}


async def test_an_asset_of_runflow_is_passed_on_untouched(server: Server, sandbox: ScriptedSandbox) -> None:
    reference = await upload(server)
    asset = reference.replace("runflow-upload://", "runflow://assets/")
    await remove(server, reference)
    sandbox.requests.clear()
    assert (await remove(server, asset)).structured["status"] == "succeeded"
    assert dispatches(sandbox)[0].body["input"] == {"image_url": asset}
    assert not confirmations(sandbox)


async def test_a_task_and_a_call_that_does_not_wait_get_the_same_errors(server: Server) -> None:
    tool_error_of(await remove(server, wait=False), "upload_needed")
    params = {"name": "generate", "arguments": {"model": REMOVAL, "input": {"image_url": PATH}}}
    tool_error_of(await server.modern("tools/call", params, extensions=(TASKS,)), "upload_needed")


# The run exists already


@pytest.mark.parametrize("image", [PATH, "./shoe.png", "./shoe.png#bytes=0", "~/gone.png"])
async def test_a_run_of_the_client_ref_is_the_answer_whatever_became_of_the_file(
    server: Server, sandbox: ScriptedSandbox, image: str
) -> None:
    reference = await upload(server)
    first = await remove(server, reference, client_ref="mine")
    sandbox.requests.clear()
    again = await remove(server, image, client_ref="mine")
    assert again.structured["run_id"] == first.structured["run_id"]
    assert "input_ignored" not in again.structured
    assert not uploads(sandbox)
    assert len(list(sandbox.runs)) == 1


@pytest.mark.parametrize(
    "quirks", [Quirks(keep_metadata=False), Quirks(summaries=True, lower_ref=True)], ids=["1", "2"]
)
async def test_an_upload_that_was_made_twice_is_the_same_input(
    serve: Serve, sandbox: ScriptedSandbox, quirks: Quirks
) -> None:
    sandbox.quirks = quirks
    server, replica = await serve(), await serve()
    first, second = await upload(server), await upload(server)
    one = await remove(server, first, client_ref="Mine")
    other = await remove(replica, second, client_ref="Mine")
    assert other.structured["run_id"] == one.structured["run_id"]
    assert "input_ignored" not in other.structured
    assert len(list(sandbox.runs)) == 1


async def test_another_prompt_beside_the_file_is_still_noticed(server: Server) -> None:
    model, reference = "runflow/object-removal/prompt", await upload(server)
    await server.generate(model, {"image_url": reference, "prompt": "the lamp"}, client_ref="mine")
    again = await server.generate(model, {"image_url": PATH, "prompt": "the chair"}, client_ref="mine")
    assert again.structured["input_ignored"] is True


async def test_a_second_replica_goes_on_at_any_point(serve: Serve, sandbox: ScriptedSandbox) -> None:
    server, replica = await serve(), await serve()
    reference = await upload(server, client_ref="mine")
    run = await remove(replica, reference, client_ref="mine", wait=False)
    ended = await remove(server, PATH, client_ref="mine")
    assert ended.structured["run_id"] == run.structured["run_id"]
    assert len(list(sandbox.runs)) == 1


async def test_a_path_beside_a_dispatch_under_way_gets_its_run(server: Server, sandbox: ScriptedSandbox) -> None:
    reference = await upload(server)
    sandbox.script.add(Route.CREATE, Delay(3.0))
    dispatch = asyncio.ensure_future(remove(server, reference, client_ref="mine"))
    await server.services.clock.sleep(1)
    path = await remove(server, PATH, client_ref="mine")
    assert path.structured["run_id"] == (await dispatch).structured["run_id"]


async def test_a_dispatch_beside_a_look_up_for_a_path_does_not_share_its_error(
    server: Server, sandbox: ScriptedSandbox
) -> None:
    reference = await upload(server)
    sandbox.script.add(Route.LIST_RUNS, Delay(3.0, created=True))
    path = asyncio.ensure_future(remove(server, PATH, client_ref="mine"))
    await server.services.clock.sleep(1)
    assert (await remove(server, reference, client_ref="mine")).structured["status"] == "succeeded"
    tool_error_of(await path, "upload_needed")
    assert len(list(sandbox.runs)) == 1


async def test_a_minted_client_ref_is_not_looked_up(server: Server, sandbox: ScriptedSandbox) -> None:
    await remove(server)
    assert not lookups(sandbox)


# Refusals and failures


async def test_a_key_without_the_scope_is_permission_denied(server: Server, sandbox: ScriptedSandbox) -> None:
    answer = await remove(server, key=READONLY)
    error = tool_error_of(answer, "permission_denied", upstream_status=403)
    assert error["details"]["path"] == "/v1/asset-uploads"
    assert "host the file" in text_of(answer)
    assert "curl" not in text_of(answer)
    assert_nothing_started(sandbox)


@pytest.mark.parametrize(
    ("action", "code", "status", "attempts"),
    [
        (Respond(503), "generate_failed", 503, 3),
        (Respond(502, PAGE), "generate_failed", 502, 3),
        (Reset(), "generate_failed", None, 3),
        (Hang(60), "generate_failed", None, 3),
        (Respond(429, b'{"code":"RATE_LIMITED","message":"slow down"}'), "rate_limited", 429, 3),
        (Respond(401, b'{"code":"UNAUTHORIZED","message":"no"}'), "unauthorized", 401, 1),
        (Respond(404), "generate_failed", 404, 1),
        (Respond(422, b'{"code":"VALIDATION_ERROR","message":"size"}'), "validation_error", 422, 1),
        (Respond(201, b"{}"), "generate_failed", None, 1),
        (Respond(201, PAGE), "generate_failed", 201, 1),
    ],
    ids=str,
)
async def test_an_upload_that_runflow_does_not_prepare_starts_nothing(
    server: Server, sandbox: ScriptedSandbox, *, action: Action, code: str, status: int | None, attempts: int
) -> None:
    sandbox.script.add(Route.CREATE_UPLOAD, action, times=None)
    answer = await remove(server, client_ref="mine")
    error = tool_error_of(
        answer, code, upstream_status=status, refused_without_code=code == "generate_failed" and status == 404
    )
    assert error["details"]["client_ref"] == "mine"
    assert len(uploads(sandbox)) <= attempts
    assert "curl" not in text_of(answer)
    assert "Nothing was started" in text_of(answer)
    assert_nothing_started(sandbox)


@pytest.mark.parametrize(
    "url",
    [
        "http://storage.example.com/up?sig=SECRET",
        "ftp://storage.example.com/up?sig=SECRET",
        "file:///etc/passwd?SECRET",
        "//storage.example.com/up?sig=SECRET",
        "https://storage.example.com/up?sig=SECRET\n-o /etc/x",
        "https://storage.example.com/up ?sig=SECRET",
        "https:///up?SECRET",
        "https://[::1/up?SECRET",
        "http://127.0.0.1.example.com/up?SECRET",
        "https://storage.example.com/" + "SECRET" * 5000,
        "",
    ],
    ids=lambda url: url[:30],
)
async def test_only_https_addresses_are_passed_on(server: Server, sandbox: ScriptedSandbox, url: str) -> None:
    body = orjson.dumps({"asset_id": "a-1", "upload_url": url})
    sandbox.script.add(Route.CREATE_UPLOAD, Respond(201, body))
    answer = await remove(server)
    tool_error_of(answer, "generate_failed")
    assert "SECRET" not in answer.content.decode()
    assert_nothing_started(sandbox)


@pytest.mark.parametrize(
    "url",
    [
        "https://s.example.com/up?a='b'&c=$(id)",
        "http://127.0.0.1:9/up",
        "http://localhost/up",
        "http://s.localhost/",
        "http://[::1]:9/",
    ],
)
async def test_an_address_is_passed_on_to_the_character(server: Server, sandbox: ScriptedSandbox, url: str) -> None:
    sandbox.script.add(Route.CREATE_UPLOAD, Respond(201, orjson.dumps({"asset_id": "a-1", "upload_url": url})))
    [command] = commands(await remove(server))
    assert command[-1] == url


@pytest.mark.parametrize("asset_id", ["", "..", "a/b", "a b", "x" * 129, 5, None])
async def test_an_upload_without_a_usable_id_is_not_passed_on(
    server: Server, sandbox: ScriptedSandbox, asset_id: object
) -> None:
    body = {"asset_id": asset_id, "upload_url": "https://s.example.com/up"}
    sandbox.script.add(Route.CREATE_UPLOAD, Respond(201, orjson.dumps(body)))
    tool_error_of(await remove(server), "generate_failed")


@pytest.mark.parametrize("name", ["'; touch owned; '.png", "a\nb.png", "$(id).png", "-x.png", "{a,b}.png", "ü 👟.png"])
async def test_the_line_of_a_hostile_name_is_one_line(server: Server, name: str) -> None:
    answer = await remove(server, f"{name}#bytes=5")
    lines = [line for line in text_of(answer).split("\n") if line.startswith("curl ")]
    assert len(lines) == 1
    assert answer.tool_error["details"]["uploads"][0]["command"] == lines[0]


async def test_the_texts_stay_within_their_sizes(server: Server, sandbox: ScriptedSandbox) -> None:
    body = orjson.dumps({"asset_id": "a" * 128, "upload_url": "https://s.example.com/" + "'" * 2000})
    sandbox.script.add(Route.CREATE_UPLOAD, Respond(201, body), times=None)
    paths = [f"./{number}{'x' * 1000}.png" for number in range(8)]
    needed = await server.generate("google/nano-banana-pro/edit", {"image_urls": [f"{path}#bytes=5" for path in paths]})
    tool_error_of(needed, "upload_needed")
    assert len(text_of(needed).encode()) <= 32_768
    # The lines that do not fit are left out, never cut.
    assert 1 <= len(commands(needed)) < 8
    assert set(references(needed)) == {f"image_urls[{number}]" for number in range(len(commands(needed)))}
    assert "did not fit" in text_of(needed)
    sizes = await server.generate("google/nano-banana-pro/edit", {"image_urls": paths})
    assert len(text_of(sizes).encode()) <= 8192


# Uploads that are not there


def assert_not_uploaded(answer: Answer, sandbox: ScriptedSandbox) -> None:
    tool_error_of(answer, "upload_needed", upstream_status=404)
    assert not commands(answer)
    assert "not uploaded yet" in text_of(answer)
    assert "client_ref" in text_of(answer)
    assert_nothing_started(sandbox)


async def test_a_file_that_was_never_sent_is_asked_for_again(server: Server, sandbox: ScriptedSandbox) -> None:
    reference = references(await remove(server))["image_url"]
    assert_not_uploaded(await remove(server, reference), sandbox)
    assert len(uploads(sandbox)) == 1


async def test_an_invented_upload_and_one_of_another_key_do_not_exist(server: Server, sandbox: ScriptedSandbox) -> None:
    assert_not_uploaded(await remove(server, "runflow-upload://0198-invented"), sandbox)
    foreign = await upload(server)
    assert_not_uploaded(await remove(server, foreign, key="rf_live_other"), sandbox)


async def test_an_upload_with_an_invalid_id_is_refused(server: Server, sandbox: ScriptedSandbox) -> None:
    for asset_id in ("", "..", "../../runs", "a b", "a?b=c", "x" * 129):
        error = tool_error_of(await remove(server, f"runflow-upload://{asset_id}"), "invalid_arguments")
        assert error["details"]["faults"][0]["path"] == "input.image_url"
    assert not caller_requests(sandbox)


async def test_a_file_of_another_size_or_type_is_not_taken_by_storage(server: Server, sandbox: ScriptedSandbox) -> None:
    first = await remove(server)
    [command] = commands(first)
    assert await send_file(server, command, PICTURE + b"x") == 400
    wrong = [*command[:5], "Content-Type: text/plain", command[-1]]
    assert await send_file(server, wrong) == 403
    assert_not_uploaded(await remove(server, references(first)["image_url"]), sandbox)


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (422, b'{"code":"SIZE_MISMATCH","message":"The file has 5 bytes, not 4"}', "size_mismatch"),
        (
            422,
            b'{"code":"VALIDATION_ERROR","message":"Invalid","errors":[{"loc":["size_bytes"],"msg":"not equal"}]}',
            "validation_error",
        ),
        (400, b'{"code":"UPLOAD_INVALID","message":"no picture"}', "upload_invalid"),
        (403, b'{"code":"PERMISSION_DENIED","message":"no"}', "permission_denied"),
        (422, b'{"code":"NOT_UPLOADED","message":"Nothing was uploaded"}', "upload_needed"),
        (404, b"", "upload_needed"),
    ],
    ids=str,
)
async def test_a_confirmation_that_is_refused_starts_nothing(
    server: Server, sandbox: ScriptedSandbox, status: int, body: bytes, code: str
) -> None:
    reference = await upload(server)
    sandbox.script.add(Route.CONFIRM_UPLOAD, Respond(status, body))
    tool_error_of(await remove(server, reference), code, upstream_status=status)
    assert_nothing_started(sandbox)
    assert (await remove(server, reference)).structured["status"] == "succeeded"


async def test_a_file_that_is_sent_twice_is_used_once(server: Server, sandbox: ScriptedSandbox) -> None:
    first = await remove(server)
    [command] = commands(first)
    assert [await send_file(server, command) for _ in range(2)] == [200, 403]
    assert (await remove(server, references(first)["image_url"])).structured["status"] == "succeeded"
    assert len(list(sandbox.runs)) == 1


async def test_an_upload_may_be_used_by_many_runs(server: Server, sandbox: ScriptedSandbox) -> None:
    reference = await upload(server)
    for client_ref in ("a", "b"):
        assert (await remove(server, reference, client_ref=client_ref)).structured["status"] == "succeeded"
    assert len(list(sandbox.runs)) == 2


@pytest.mark.parametrize("route", [Route.CREATE_UPLOAD, Route.CONFIRM_UPLOAD])
@pytest.mark.parametrize(
    "action",
    [
        Reset(),
        Reset(created=True),
        Respond(500, PAGE),
        Respond(502, PAGE, created=True),
        Respond(503, b"", {"Retry-After": "1"}),
        Hang(60, created=True),
        Respond(429),
    ],
    ids=str,
)
async def test_a_lost_answer_is_asked_for_again(
    server: Server, sandbox: ScriptedSandbox, route: Route, action: Action
) -> None:
    sandbox.script.add(route, action)
    reference = await upload(server, client_ref="mine")
    assert (await remove(server, reference, client_ref="mine")).structured["status"] == "succeeded"
    assert len(list(sandbox.runs)) == 1


@pytest.mark.parametrize("action", [Reset(), Respond(503), Hang(60)], ids=str)
async def test_an_upload_that_cannot_be_confirmed_starts_nothing(
    server: Server, sandbox: ScriptedSandbox, action: Action
) -> None:
    reference = await upload(server)
    sandbox.script.add(Route.CONFIRM_UPLOAD, action, times=None)
    answer = await remove(server, reference, client_ref="mine")
    tool_error_of(answer, "generate_failed", upstream_status=503 if isinstance(action, Respond) else None)
    assert_nothing_started(sandbox)
    sandbox.script.clear()
    assert (await remove(server, reference, client_ref="mine")).structured["status"] == "succeeded"


async def test_a_confirmation_without_a_body_is_a_confirmation(server: Server, sandbox: ScriptedSandbox) -> None:
    reference = await upload(server)
    sandbox.script.add(Route.CONFIRM_UPLOAD, Respond(204, created=True))
    assert (await remove(server, reference)).structured["status"] == "succeeded"


async def test_the_bearer_goes_to_the_api_alone(server: Server, sandbox: ScriptedSandbox) -> None:
    await remove(server, await upload(server))
    keys = {request.path.split("/")[1]: request.key for request in caller_requests(sandbox)}
    assert keys["uploads"] is None
    assert keys["v1"] is not None


async def test_uploads_and_confirmations_are_operations_of_the_metrics(
    upstream: RunningSandbox, clock: VirtualClock, sandbox: ScriptedSandbox
) -> None:
    async with run_server(upstream.url, clock, Random(0), {}) as server:
        metrics = Recorded()
        object.__setattr__(server.services.client, "metrics", metrics)
        sandbox.script.add(Route.CONFIRM_UPLOAD, Respond(503))
        await remove(server, await upload(server))
    operations = [(operation, outcome) for operation, outcome, _ in metrics.requests]
    assert ("create_upload", "2xx") in operations
    assert ("confirm_upload", "5xx") in operations
    assert ("confirm_upload", "2xx") in operations


async def test_a_prompt_explains_how_a_local_file_is_used(server: Server) -> None:
    prompt = await server.rpc("prompts/get", {"name": "background-removal", "arguments": {"image_url": "./shoe.png"}})
    text = prompt.result["messages"][0]["content"]["text"]
    assert '"image_url": "./shoe.png"' in text
    assert "#bytes=" in text
    assert "runflow-upload://" in text


async def test_the_description_explains_local_files_in_two_sentences() -> None:
    description = str(TOOL.definition["description"])
    [_, sentences] = description.split("A file on your machine: ")
    assert len(re.findall(r"\.(?: |$)", sentences)) == 2
    assert all(part in sentences for part in ("#bytes=<size>", "curl", "runflow-upload://"))


async def test_every_key_may_use_its_own_uploads_alone(server: Server) -> None:
    assert KEY != READONLY
    reference = await upload(server)
    tool_error_of(await remove(server, reference, key=READONLY), "permission_denied", upstream_status=403)
