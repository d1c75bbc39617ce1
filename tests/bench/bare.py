"""``python -m tests.bench.bare FOLDER``: aiohttp and uvloop with the least work, the limit of this stack.

Every file of FOLDER is the answer at the path of its name, after the request's body has been read.
"""

import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop
from aiohttp import web


def _constant(content: bytes) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handler(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(body=content, content_type="application/json")

    return handler


def make_app(folder: Path) -> web.Application:
    app = web.Application()
    for path in sorted(folder.iterdir()):
        app.router.add_post(f"/{path.name}", _constant(path.read_bytes()))
    return app


if __name__ == "__main__":
    web.run_app(
        make_app(Path(sys.argv[1])),
        host="127.0.0.1",
        port=int(os.environ["MCP_PORT"]),
        access_log=None,
        print=None,
        loop=uvloop.new_event_loop(),
    )
