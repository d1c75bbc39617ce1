"""A server made with fastmcp: stateless, its tools and prompts as components with the schemas of the content."""

from typing import Any

from fastmcp import FastMCP
from fastmcp.prompts import Prompt
from fastmcp.prompts.base import PromptArgument
from fastmcp.server.dependencies import get_context, get_http_request
from fastmcp.tools.base import Tool, ToolResult
from mcp_types import TextContent

from tests.bench.peers.python_content import CONTENT, JSON_ANSWERS, Runs, list_models, serve

RUNS = Runs()


class BenchTool(Tool):
    """A tool whose definition is given, and not made from a function's signature."""

    async def run(self, arguments: dict[str, Any]) -> ToolResult:
        if self.name == "list_models":
            structured, text = list_models(arguments)
        else:
            context = get_context()

            async def report(polls: int, message: str) -> None:
                await context.report_progress(polls, None, message)

            authorization = get_http_request().headers["authorization"]
            structured, text = await RUNS.generate(arguments, authorization, report)
        return ToolResult(content=[TextContent(type="text", text=text)], structured_content=structured)


if __name__ == "__main__":
    server = FastMCP("Runflow", version="1", instructions=CONTENT["instructions"])
    for tool in CONTENT["tools"]:
        server.add_tool(
            BenchTool(
                name=tool["name"],
                title=tool.get("title"),
                description=tool["description"],
                parameters=tool["inputSchema"],
                output_schema=tool["outputSchema"],
                annotations=tool.get("annotations"),
            )
        )
    for prompt in CONTENT["prompts"]:
        server.add_prompt(
            Prompt(
                name=prompt["name"],
                title=prompt.get("title"),
                description=prompt["description"],
                arguments=[PromptArgument(**argument) for argument in prompt["arguments"]],
            )
        )
    serve(server.http_app(path="/mcp", json_response=JSON_ANSWERS, stateless_http=True))
