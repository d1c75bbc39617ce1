"""The smoke test of a running server (``runflow-mcp check``): a small MCP client that explains every failure.

Speaks HTTP and JSON-RPC from outside, as any client does; must not import the server. The key is sent in one header,
and is masked in every line that is printed.
"""

import ssl
from collections.abc import Awaitable, Callable
from functools import partial

import aiohttp
import attrs
import orjson
from yarl import URL

from runflow_mcp import __version__
from runflow_mcp.cli.check_errors import (
    CONNECT_TIMEOUT,
    SILENCE_TIMEOUT,
    as_sentence,
    error_details,
    explain_error,
    explain_status,
)
from runflow_mcp.json_types import JSON, JSONObject
from runflow_mcp.protocol.revisions import LATEST_LEGACY

#: aiohttp reads lines of up to twice this size: a result with its output is one line of an event stream.
READ_BUFFER = 8 * 1024 * 1024
MAX_LINE = 600
OK, INTERNAL_ERROR = 200, -32603

PrintLine = Callable[[str], None]

_NOT_MCP = "No MCP server answers here. Correct the URL."


class StepError(Exception):
    """A step failed. The text is the cause and its fix; ``details`` are further lines from the server."""

    def __init__(self, text: str, *details: str) -> None:
        super().__init__(text)
        self.details = details


async def check(
    url: str,
    key: str,
    generate: tuple[str, JSONObject] | None,
    print_line: PrintLine = print,
    *,
    ca_file: str | None = None,
) -> int:
    """Run the steps and print a line for each; 0 when all succeed, else 1.

    ``generate``: a model to run, and its input. ``ca_file``: certificate authorities to trust besides the system's.
    """

    def report(line: str) -> None:
        masked = line.replace(key, "[key]") if key else line
        text = "".join(char if char.isprintable() else " " for char in masked).rstrip()
        print_line(text if len(text) <= MAX_LINE else f"{text[:MAX_LINE]} …")

    name = "initialize"
    try:
        address = endpoint_url(url)
        if str(address) != url.strip():
            report(f"     using {address}")
        timeout = aiohttp.ClientTimeout(total=None, connect=CONNECT_TIMEOUT, sock_read=SILENCE_TIMEOUT)
        connector = aiohttp.TCPConnector(ssl=_tls_context(ca_file))
        async with aiohttp.ClientSession(connector=connector, timeout=timeout, read_bufsize=READ_BUFFER) as session:
            probe = Probe(session, address, key, report)
            steps: list[tuple[str, Callable[[], Awaitable[str]]]] = [
                ("initialize", probe.initialize),
                ("list_models", probe.list_models),
            ]
            if generate is not None:
                steps.append(("generate", partial(probe.generate, *generate)))
            for name, step in steps:
                report(f"ok   {name}: {await step()}")
    except StepError as error:
        report(f"FAIL {name}: {error}")
        for line in error.details:
            report(f"     {line}")
        return 1
    return 0


def _tls_context(ca_file: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca_file:
        try:
            context.load_verify_locations(ca_file)
        except (OSError, ssl.SSLError):
            raise StepError(f"SSL_CERT_FILE={ca_file} is not a readable file of certificates (PEM).") from None
    return context


@attrs.frozen
class Probe:
    """An MCP client. Each step returns what it found, or raises ``StepError``."""

    session: aiohttp.ClientSession
    url: URL
    key: str = attrs.field(repr=False)
    report: PrintLine

    async def initialize(self) -> str:
        if not self.key or not all("!" <= char <= "~" for char in self.key):
            raise StepError("The key is empty or contains characters that no key has. Give the whole key.")
        client = {"name": "runflow-mcp check", "version": __version__}
        result = await self._request(
            "initialize", {"protocolVersion": LATEST_LEGACY, "capabilities": {}, "clientInfo": client}
        )
        match result:
            case {"protocolVersion": str(revision), "serverInfo": {"name": str(name), "version": str(version)}}:
                return f"{name} {version}, protocol {revision}"
        raise StepError(_NOT_MCP)

    async def list_models(self) -> str:
        match await self._call_tool("list_models", {"limit": 1}):
            case {"total": int(total), "models": [{"model": str(first)}, *_]}:
                return f"{total} models and Solutions, the first is {first}"
        raise StepError("The catalog is empty. Check RUNFLOW_CATALOG_URL in the server's settings.")

    async def generate(self, model: str, run_input: JSONObject) -> str:
        match await self._call_tool("generate", {"model": model, "input": run_input}):
            case {"status": str(status), "run_id": str(run_id), "outputs": list(outputs)}:
                return " ".join((f"{status}, run {run_id}", *(str(output.get("url")) for output in outputs)))
        raise StepError(_NOT_MCP)

    async def _call_tool(self, tool: str, arguments: JSONObject) -> JSON:
        params = {"name": tool, "arguments": arguments, "_meta": {"progressToken": tool}}
        result = await self._request("tools/call", params)
        match result:
            case {
                "isError": True,
                "structuredContent": {"error": {"code": code, "message": str(text), "next_action": fix, **rest}},
            }:
                raise StepError(f"[{code}] {as_sentence(text)} {fix}", *error_details(result, rest.get("details")))
            case {"structuredContent": dict(structured)}:
                return structured
        raise StepError(_NOT_MCP)

    async def _request(self, method: str, params: JSONObject) -> JSON:
        """The result of one JSON-RPC request."""
        request = {"jsonrpc": "2.0", "id": method, "method": method, "params": params}
        headers = {
            "Authorization": f"Bearer {self.key}",
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
        }
        if method != "initialize":
            headers["MCP-Protocol-Version"] = LATEST_LEGACY
        try:
            # Redirects are not followed: the key would go wherever they point.
            async with self.session.post(
                self.url, data=orjson.dumps(request), headers=headers, allow_redirects=False
            ) as response:
                message = await self._read_message(response)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise StepError(explain_error(error)) from error
        match message:
            case {"result": result}:
                return result
            case {"error": {"code": int(code), "message": str(text)}}:
                fix = "" if code == INTERNAL_ERROR else " Check that this is the URL of a Runflow MCP server."
                raise StepError(f"Error {code}: {as_sentence(text)}{fix}")
        raise StepError(_NOT_MCP)

    async def _read_message(self, response: aiohttp.ClientResponse) -> JSON:
        """The JSON-RPC response; progress notifications before it are reported."""
        if response.status == OK and response.content_type == "text/event-stream":
            return await self._read_stream(response)
        body = await response.read()
        message = _parse_json(body)
        if response.status != OK:
            raise StepError(explain_status(response.status, response.headers, message))
        if message is None:
            page = "A web page" if body.lstrip().startswith(b"<") else "A response that is not JSON"
            raise StepError(f"{page} came back. Another server or a proxy answers at this URL; correct the URL.")
        return message

    async def _read_stream(self, response: aiohttp.ClientResponse) -> JSON:
        async for line in response.content:
            field, _, value = line.partition(b":")
            message = _parse_json(value) if field == b"data" else None
            match message:
                case {"method": "notifications/progress", "params": {"message": str(text)}}:
                    self.report(f"     {text}")
                case {"id": _}:
                    return message
        raise StepError("The stream ended without an answer. A proxy cuts long streams, or the server stopped.")


def endpoint_url(url: str) -> URL:
    """The URL to POST to: as given, but with the path /mcp when it has none. Raises ``StepError``."""
    try:
        address = URL(url.strip())
        if address.scheme not in ("http", "https") or not address.host or address.user is not None:
            raise ValueError("not an http:// or https:// URL, or one with a user name")
    except ValueError as error:
        raise StepError(explain_error(error)) from None
    return address if address.path not in ("", "/") else address.with_path("/mcp")


def _parse_json(body: bytes) -> JSON:
    """The JSON in a body; None when it is not JSON."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
