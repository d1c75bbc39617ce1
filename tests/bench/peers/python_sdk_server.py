"""A server made with the official Python SDK (``mcp``): stateless, by its low-level interface, its fastest."""

from typing import Any

import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server

from tests.bench.peers.python_content import CONTENT, JSON_ANSWERS, Runs, list_models, serve

TOOLS = types.ListToolsResult(tools=[types.Tool.model_validate(tool) for tool in CONTENT["tools"]])
PROMPTS = types.ListPromptsResult(prompts=[types.Prompt.model_validate(prompt) for prompt in CONTENT["prompts"]])
RUNS = Runs()


async def on_list_tools(_ctx: ServerRequestContext[Any, Any], _params: object) -> types.ListToolsResult:
    return TOOLS


async def on_list_prompts(_ctx: ServerRequestContext[Any, Any], _params: object) -> types.ListPromptsResult:
    return PROMPTS


async def on_call_tool(
    ctx: ServerRequestContext[Any, Any], params: types.CallToolRequestParams
) -> types.CallToolResult:
    arguments = params.arguments or {}
    if params.name == "list_models":
        structured, text = list_models(arguments)
    else:
        assert ctx.request is not None

        async def report(polls: int, message: str) -> None:
            await ctx.session.report_progress(polls, None, message)

        structured, text = await RUNS.generate(arguments, ctx.request.headers["authorization"], report)
    return types.CallToolResult(content=[types.TextContent(type="text", text=text)], structured_content=structured)


if __name__ == "__main__":
    server = Server(
        "Runflow",
        version="1",
        instructions=CONTENT["instructions"],
        on_list_tools=on_list_tools,
        on_list_prompts=on_list_prompts,
        on_call_tool=on_call_tool,
    )
    serve(server.streamable_http_app(json_response=JSON_ANSWERS, stateless_http=True))
