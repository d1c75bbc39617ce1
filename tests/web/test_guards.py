"""The guards of a resource are an attribute of it, and the middlewares stand in the order that is promised."""

import ast
from pathlib import Path
from random import Random

import pytest
from aiohttp import web

import runflow_mcp.web
from runflow_mcp.sandbox import RunningSandbox
from runflow_mcp.settings.config import Config
from runflow_mcp.web.guards import GuardedResource, Guards
from runflow_mcp.web.middlewares import head_checks, stack
from runflow_mcp.web.routes import ENDPOINT
from tests.serving import KEY, ServedApp, upstream_settings
from tests.virtual_time import VirtualClock

BASE = sorted(Path(runflow_mcp.web.__file__).parent.glob("*.py"))


async def _upload(request: web.Request) -> web.Response:
    return web.Response(body=await request.read())


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "application/json"}, 401),
        ({"Authorization": f"Bearer {KEY}", "Host": "evil.example"}, 403),
        ({"Authorization": f"Bearer {KEY}", "Origin": "null"}, 403),
        ({"Authorization": f"Bearer {KEY}", "Content-Type": "text/plain"}, 415),
        ({"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}, 200),
    ],
)
async def test_a_new_resource_has_the_guards_that_it_is_given(
    upstream: RunningSandbox, clock: VirtualClock, headers: dict[str, str], status: int
) -> None:
    resource = GuardedResource("/upload", ENDPOINT)
    resource.add_route("POST", _upload)
    settings = upstream_settings(upstream.url)
    served = await ServedApp.start(
        settings, clock, Random(0), prepare=lambda app: app.router.register_resource(resource)
    )
    async with served.client() as server:
        assert (await server.request("POST", "/upload", headers=headers, data=b"{}")).status == status
    await served.runner.cleanup()


def test_a_resource_is_guarded_by_the_allowlists_unless_it_says_otherwise() -> None:
    assert Guards() == Guards(allowlists=True, json_body=False, bearer=False)


def test_the_stack_has_each_concern_once_in_the_promised_order() -> None:
    config = Config.from_mapping({})
    modules = [middleware.__module__.rpartition(".")[2] for middleware in stack(config)]
    assert modules == ["access_log", "rejections", "checks", "rate_limit"]
    assert [check.__module__.rpartition(".")[2] for check in head_checks(config)] == [
        "host",
        "origin",
        "cors",
        "body",
        "bearer",
    ]


@pytest.mark.parametrize("path", BASE, ids=lambda path: path.stem)
def test_no_module_beside_the_middlewares_imports_from_them(path: Path) -> None:
    imports = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
    assert not [node.module for node in imports if str(node.module).startswith("runflow_mcp.web.middlewares")]
