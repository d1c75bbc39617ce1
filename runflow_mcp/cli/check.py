"""The smoke test of a running server (``runflow-mcp check``): a client that says what is wrong and what to do.

Speaks HTTP and JSON-RPC from outside, as any client does; must not import what serves. The key goes into one
header, and every line that is said has it masked.
"""

import ssl
from collections.abc import Awaitable, Callable
from functools import partial

import aiohttp
import attrs
import orjson
from yarl import URL

from runflow_mcp import __version__
from runflow_mcp.cli.check_errors import CONNECT_TIMEOUT, SILENCE_TIMEOUT, explain, refusal, sentence
from runflow_mcp.json_types import JSON, JSONObject
from runflow_mcp.protocol.revisions import LATEST_LEGACY

#: Half of the longest line read: a result with its output stands on one line of a stream.
READ_BUFFER = 8 * 1024 * 1024
MAX_LINE = 600
#: Most lines shown of one refusal.
MAX_MORE = 20
OK, INTERNAL_ERROR = 200, -32603

Say = Callable[[str], None]

_NO_MCP = "No MCP server answers here. Correct the URL."


class Failed(Exception):
    """A step did not work; the text is what is wrong and its fix. ``more``: what else the server said of it."""

    def __init__(self, text: str, *more: str) -> None:
        super().__init__(text)
        self.more = more


async def check(
    url: str, key: str, order: tuple[str, JSONObject] | None, say: Say = print, *, ca_file: str | None = None
) -> int:
    """Run the steps and ``say`` a line for each; 0 when all work, else 1.

    ``order``: a model to run, its input. ``ca_file``: certificate authorities to trust besides the system's.
    """

    def tell(line: str) -> None:
        text = line.replace(key, "[key]") if key else line
        shown = "".join(one if one.isprintable() else " " for one in text).rstrip()
        say(shown if len(shown) <= MAX_LINE else f"{shown[:MAX_LINE]} …")

    name = "initialize"
    try:
        address = endpoint(url)
        if str(address) != url.strip():
            tell(f"     using {address}")
        timeout = aiohttp.ClientTimeout(total=None, connect=CONNECT_TIMEOUT, sock_read=SILENCE_TIMEOUT)
        connector = aiohttp.TCPConnector(ssl=_trusting(ca_file))
        async with aiohttp.ClientSession(connector=connector, timeout=timeout, read_bufsize=READ_BUFFER) as session:
            server = _Server(session, address, key, tell)
            steps: list[tuple[str, Callable[[], Awaitable[str]]]] = [
                ("initialize", server.initialize),
                ("list_models", server.list_models),
            ]
            if order is not None:
                steps.append(("generate", partial(server.generate, *order)))
            for name, step in steps:
                tell(f"ok   {name}: {await step()}")
    except Failed as failed:
        tell(f"FAIL {name}: {failed}")
        for line in failed.more:
            tell(f"     {line}")
        return 1
    return 0


def _trusting(ca_file: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca_file:
        try:
            context.load_verify_locations(ca_file)
        except (OSError, ssl.SSLError):
            raise Failed(f"SSL_CERT_FILE={ca_file} is not a readable file of certificates (PEM).") from None
    return context


@attrs.frozen
class _Server:
    """The server under test. Each step returns what it found, or raises ``Failed``."""

    session: aiohttp.ClientSession
    url: URL
    key: str = attrs.field(repr=False)
    tell: Say

    async def initialize(self) -> str:
        if not self.key or not all("!" <= one <= "~" for one in self.key):
            raise Failed("The key is empty or has characters that no key has. Give the whole key.")
        client = {"name": "runflow-mcp check", "version": __version__}
        result = await self._ask(
            "initialize", {"protocolVersion": LATEST_LEGACY, "capabilities": {}, "clientInfo": client}
        )
        match result:
            case {"protocolVersion": str(revision), "serverInfo": {"name": str(name), "version": str(version)}}:
                return f"{name} {version}, protocol {revision}"
        raise Failed(_NO_MCP)

    async def list_models(self) -> str:
        match await self._call("list_models", {"limit": 1}):
            case {"total": int(total), "models": [{"model": str(first)}, *_]}:
                return f"{total} models and Solutions, the first is {first}"
        raise Failed("The catalog is empty. Check RUNFLOW_CATALOG_URL in the settings of the server.")

    async def generate(self, model: str, run_input: JSONObject) -> str:
        match await self._call("generate", {"model": model, "input": run_input}):
            case {"status": str(status), "run_id": str(run_id), "outputs": list(outputs)}:
                return " ".join((f"{status}, run {run_id}", *(str(one.get("url")) for one in outputs)))
        raise Failed(_NO_MCP)

    async def _call(self, tool: str, arguments: JSONObject) -> JSON:
        params = {"name": tool, "arguments": arguments, "_meta": {"progressToken": tool}}
        result = await self._ask("tools/call", params)
        match result:
            case {
                "isError": True,
                "structuredContent": {"error": {"code": code, "message": str(said), "next_action": fix, **rest}},
            }:
                raise Failed(f"[{code}] {sentence(said)} {fix}", *what_else(result, rest.get("details")))
            case {"structuredContent": dict(structured)}:
                return structured
        raise Failed(_NO_MCP)

    async def _ask(self, method: str, params: JSONObject) -> JSON:
        """The result of one request."""
        request = {"jsonrpc": "2.0", "id": method, "method": method, "params": params}
        headers = {
            "Authorization": f"Bearer {self.key}",
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
        }
        if method != "initialize":
            headers["MCP-Protocol-Version"] = LATEST_LEGACY
        try:
            # A redirect would carry the key to wherever it points.
            async with self.session.post(
                self.url, data=orjson.dumps(request), headers=headers, allow_redirects=False
            ) as response:
                message = await self._message(response)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise Failed(explain(error)) from error
        match message:
            case {"result": result}:
                return result
            case {"error": {"code": int(code), "message": str(said)}}:
                fix = "" if code == INTERNAL_ERROR else " Check that this is the URL of a Runflow MCP server."
                raise Failed(f"Error {code}: {sentence(said)}{fix}")
        raise Failed(_NO_MCP)

    async def _message(self, response: aiohttp.ClientResponse) -> JSON:
        """The JSON-RPC response in an HTTP one; progress on the way to it is told."""
        if response.status == OK and response.content_type == "text/event-stream":
            return await self._last_event(response)
        body = await response.read()
        message = _json(body)
        if response.status != OK:
            raise Failed(refusal(response.status, response.headers, message))
        if message is None:
            page = "A web page" if body.lstrip().startswith(b"<") else "A response that is not JSON"
            raise Failed(f"{page} came back. Another server or a proxy answers at this URL; correct the URL.")
        return message

    async def _last_event(self, response: aiohttp.ClientResponse) -> JSON:
        async for line in response.content:
            field, _, value = line.partition(b":")
            message = _json(value) if field == b"data" else None
            match message:
                case {"method": "notifications/progress", "params": {"message": str(text)}}:
                    self.tell(f"     {text}")
                case {"id": _}:
                    return message
        raise Failed("The stream ended without an answer. A proxy in front cuts long streams, or the server stopped.")


def endpoint(url: str) -> URL:
    """Where to POST: the URL as it is; one without a path gets the path of the endpoint. Raises ``Failed``."""
    try:
        address = URL(url.strip())
        if address.scheme not in ("http", "https") or not address.host or address.user is not None:
            raise ValueError("no http:// or https:// URL, or one with a user name")
    except ValueError as error:
        raise Failed(explain(error)) from None
    return address if address.path not in ("", "/") else address.with_path("/mcp")


def what_else(result: JSON, details: JSON) -> list[str]:
    """What a refusal says beside its message and next action: faulty inputs, near names, the run."""
    details = details if isinstance(details, dict) else {}
    errors, near = details.get("errors"), details.get("suggestions")
    lines = [line for one in (errors if isinstance(errors, list) else []) if (line := _faulty_input(one))]
    match result:
        case {"content": [{"text": str(text)}, *_]}:
            # The server writes the errors there as JSON, for models.
            said = [line for line in text.splitlines()[2:] if not (lines and line.startswith("errors: "))]
        case _:
            said = []
    if isinstance(near, list) and near and not any(str(near[0]) in line for line in said):
        lines.append(f"Did you mean: {', '.join(map(str, near))}")
    return [*lines, *said][:MAX_MORE]


def _faulty_input(error: JSON) -> str | None:
    """One of Runflow's own errors: the input that it names, and what is wrong with it."""
    if not isinstance(error, dict):
        return error if isinstance(error, str) else None
    names = (error.get(name) for name in ("param", "field", "loc", "path", "pointer", "name"))
    name = next((one for one in names if one), None)
    said = next((one for one in map(error.get, ("message", "msg", "detail")) if isinstance(one, str)), None)
    if isinstance(name, list):
        name = ".".join(map(str, name[1:] if name[0] == "body" else name))
    return f"{name}: {said}" if name and said else said


def _json(body: bytes) -> JSON:
    """The JSON in a body; None where there is none."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
