"""The real server with the suite's fixtures: ``python -m tests.conformance.fixtures``, configured like ``serve``.

Only the method table is another one; the command, the guards, the dispatcher and the tools' registry are the
product's. Tests only, and never shipped.
"""

import sys
from functools import partial
from unittest.mock import patch

import attrs
from aiohttp import web
from aiohttp.typedefs import Handler as HTTPHandler

from runflow_mcp import app, serve
from runflow_mcp.cli import embedded_sandbox
from runflow_mcp.cli import main as cli
from runflow_mcp.methods.context import RequestContext
from runflow_mcp.methods.router import TOOLS, Handler, MethodTable, method_table
from runflow_mcp.observability.metrics import Metrics
from runflow_mcp.observability.sink import Sink
from runflow_mcp.protocol.jsonrpc import Request, Result
from runflow_mcp.settings.config import Config
from tests.conformance import fixture_asking_tools, fixture_task_tools, fixture_tools
from tests.conformance.fixture_documents import (
    completing,
    getting_prompts,
    listing_prompts,
    listing_resources,
    listing_templates,
    reading_resources,
)
from tests.scripted_sandbox import ScriptedSandbox

#: Runs take four to six seconds by themselves, and the suite gives up on a task after ten.
SPEED = 5.0


def with_fixtures() -> MethodTable:
    """The product's methods, with the suite's tools, prompts and resources beside its own."""
    table = method_table(*TOOLS, *fixture_tools.TOOLS, *fixture_asking_tools.TOOLS, *fixture_task_tools.TOOLS)
    for name, wrap in WRAPPERS.items():
        table[name] = attrs.evolve(table[name], handler=wrap(table[name].handler))
    return table


def _keeping_params(product: Handler) -> Handler:
    async def handler(request: Request, call: RequestContext) -> Result:
        fixture_asking_tools.PARAMS.set(request.params)
        return await product(request, call)

    return handler


#: What the fixtures put around the product's own handlers.
WRAPPERS = {
    "tools/call": _keeping_params,
    "prompts/list": listing_prompts,
    "prompts/get": getting_prompts,
    "completion/complete": completing,
    "resources/list": listing_resources,
    "resources/templates/list": listing_templates,
    "resources/read": reading_resources,
}


@web.middleware
async def _keep_headers(request: web.Request, handler: HTTPHandler) -> web.StreamResponse:
    fixture_tools.HEADERS.set(request.headers)
    return await handler(request)


def create_app(config: Config, *, sink: Sink | None = None, metrics: Metrics | None = None) -> web.Application:
    """The product's application with this table."""
    made = app.create_app(config, table=with_fixtures(), sink=sink, metrics=metrics)
    made.middlewares.append(_keep_headers)
    return made


def main() -> int:
    """``serve --sandbox``, but for the application and the speed of the runs."""
    with (
        patch.object(serve, "create_app", create_app),
        patch.object(embedded_sandbox, "Sandbox", partial(ScriptedSandbox, speed=SPEED)),
    ):
        return cli.main(["serve", "--sandbox"])


if __name__ == "__main__":
    sys.exit(main())
