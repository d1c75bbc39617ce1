"""The smoke test of a running server (``runflow-mcp check``): its steps, and what each one must find.

``check_client`` makes the requests, ``check_errors`` explains failures, ``check_report`` has what is shown. The key is
sent in one header, and is masked in every text.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from functools import partial

import attrs
from yarl import URL

from runflow_mcp.cli.check_client import CLIENT_INFO, Client, connect, open_session, tls_context
from runflow_mcp.cli.check_errors import BUFFERED, NOT_MCP, StepError, as_sentence, error_details, explain_error
from runflow_mcp.cli.check_report import Report, RunProgress, Step, safe_text
from runflow_mcp.cli.server_url import endpoint_url
from runflow_mcp.errors import NEXT_ACTION, ToolErrorCode
from runflow_mcp.json_types import JSON, JSONObject
from runflow_mcp.protocol.jsonrpc import ErrorCode
from runflow_mcp.protocol.progress import METHOD as PROGRESS
from runflow_mcp.protocol.revisions import LATEST_LEGACY, Era
from runflow_mcp.runflow.api.connection_errors import ProxyFailed
from runflow_mcp.runflow.api.transport import DIRECT
from runflow_mcp.settings.egress import Egress, Proxy

#: Seconds. The first event of a stream is written at once; one that takes longer was kept by something on the way.
LATE = 5.0
#: Seconds between two polls, and so between two progress notifications, at the least; less means that they were kept.
MIN_POLL_GAP = 1.0
#: A run that does not exist. To read it costs nothing, and shows whether Runflow accepts the key.
NO_RUN = "runflow-run://00000000-0000-7000-8000-000000000000"
TOOLS = ("generate", "list_models")
RATE_LIMITED = "rate_limited"
_NOT_FOUND = f"jsonrpc_{ErrorCode.RESOURCE_NOT_FOUND}"


async def check(
    url: str,
    key: str,
    generate: tuple[str, JSONObject] | None,
    report: Report,
    egress: Egress = DIRECT,
) -> bool:
    """Carry out the steps until one fails, and report each; whether all succeeded.

    ``generate``: a model to run, and its input. ``egress``: the proxy on the way, and the authorities to trust.
    """
    shown = _Shown(report, key)
    name, began = "connect", _now()
    try:
        address = _address(url)
        tls = tls_context(egress.ca_file)
        if str(address) != url.strip():
            shown.note(f"using {address}")
        async with open_session(tls, egress) as session:
            proxy = egress.proxy_for(address.scheme, address.host or "", address.port)
            probe = Probe(Client(session, address, key), address, tls, proxy, shown)
            for name, step in probe.steps(generate):
                shown.begin(name)
                began = _now()
                found = await step()
                shown.end(Step(name, ok=True, ms=_ms_since(began), detail=found))
    except StepError as error:
        shown.end(Step(name, ok=False, ms=_ms_since(began), detail=error.cause, fix=error.fix, more=error.details))
        return False
    return True


def _address(url: str) -> URL:
    try:
        return endpoint_url(url)
    except ValueError as error:
        raise StepError(explain_error(error)) from None


def _now() -> float:
    return asyncio.get_running_loop().time()


def _ms_since(began: float) -> int:
    return round((_now() - began) * 1000)


@attrs.frozen
class _Shown:
    """A report that gets printable texts, without the key."""

    report: Report
    key: str = attrs.field(repr=False)

    def begin(self, step: str) -> None:
        self.report.begin(step)

    def progress(self, now: RunProgress) -> None:
        self.report.progress(attrs.evolve(now, message=self._safe(now.message)))

    def note(self, text: str) -> None:
        self.report.note(self._safe(text))

    def end(self, step: Step) -> None:
        fix = None if step.fix is None else self._safe(step.fix)
        more = tuple(map(self._safe, step.more))
        self.report.end(attrs.evolve(step, detail=self._safe(step.detail), fix=fix, more=more))

    def _safe(self, text: str) -> str:
        return safe_text(text, self.key)


@attrs.frozen
class Probe:
    """The steps. Each returns what it found, or raises ``StepError``."""

    client: Client
    url: URL
    tls: ssl.SSLContext
    proxy: Proxy | None
    report: Report

    def steps(self, generate: tuple[str, JSONObject] | None) -> list[tuple[str, Callable[[], Awaitable[str]]]]:
        steps: list[tuple[str, Callable[[], Awaitable[str]]]] = [
            ("connect", self.connect),
            ("initialize", self.initialize),
            ("server/discover", self.discover),
            ("tools/list", self.list_tools),
            ("prompts/list", self.list_prompts),
            ("list_models", self.list_models),
            ("stream", self.stream),
            ("runflow", self.runflow),
        ]
        return [*steps, ("generate", partial(self.generate, *generate))] if generate else steps

    async def connect(self) -> str:
        if not self.client.key or not all("!" <= char <= "~" for char in self.client.key):
            raise StepError("The key is empty or contains characters that no key has. Give the whole key.")
        if self.proxy is not None:
            try:
                found = await connect(URL(self.proxy.url), self.tls)
            except StepError:
                raise StepError(explain_error(ProxyFailed())) from None
            return f"{found.address} port {found.port}, the proxy {self.proxy}"
        found = await connect(self.url, self.tls)
        return f"{found.address} port {found.port}, {found.tls or 'without TLS'}"

    async def initialize(self) -> str:
        params: JSONObject = {"protocolVersion": LATEST_LEGACY, "capabilities": {}, "clientInfo": CLIENT_INFO}
        match await self.client.request("initialize", params):
            case {"protocolVersion": str(revision), "serverInfo": {"name": str(name), "version": str(version)}}:
                await self.client.notify("notifications/initialized")
                return f"{name} {version}, protocol {revision}"
        raise StepError(NOT_MCP)

    async def discover(self) -> str:
        match await self.client.request("server/discover", era=Era.MODERN):
            case {"supportedVersions": list(versions)}:
                return f"protocols {', '.join(map(str, versions))}"
        raise StepError(NOT_MCP)

    async def list_tools(self) -> str:
        names = _names(await self.client.request("tools/list"), "tools")
        if not set(TOOLS) <= set(names):
            tools = ", ".join(names) or "none"
            raise StepError(f"This MCP server has other tools than Runflow's ({tools}). Correct the URL.")
        return ", ".join(names)

    async def list_prompts(self) -> str:
        names = _names(await self.client.request("prompts/list"), "prompts")
        return f"{len(names)} prompts, the first is {names[0]}" if names else "no prompts: the catalog has no Solutions"

    async def list_models(self) -> str:
        match await self._call_tool("list_models", {"limit": 1}):
            case {"total": int(total), "models": [{"model": str(first)}, *_]}:
                return f"{total} models and Solutions, the first is {first}"
        raise StepError("The catalog is empty. Check RUNFLOW_CATALOG_URL in the server's settings.")

    async def stream(self) -> str:
        """Whether events arrive as they are written: a subscription is acknowledged at once, and costs nothing."""
        params: JSONObject = {"notifications": {"promptsListChanged": True}}
        try:
            async with asyncio.timeout(LATE):
                await self.client.request(
                    "subscriptions/listen", params, era=Era.MODERN, on_notification=lambda _message: False
                )
        except TimeoutError:
            raise StepError(BUFFERED) from None
        except StepError as error:
            if error.code != RATE_LIMITED:
                raise
            return "not tested, since the limit of open subscriptions is reached"
        return "events arrive at once"

    async def runflow(self) -> str:
        """Whether the server reaches Runflow, and Runflow accepts the key."""
        try:
            await self.client.request("resources/read", {"uri": NO_RUN})
        except StepError as error:
            if error.code != _NOT_FOUND:
                fix = _RUNFLOW_FIXES.get(error.code, error.fix)
                cause, _, _ = error.cause.partition(f" {fix}")  # some messages end with their advice
                raise StepError(as_sentence(cause), fix=fix) from error
        return "Runflow accepts the key"

    async def generate(self, model: str, run_input: JSONObject) -> str:
        arrivals: list[float] = []

        def on_notification(message: JSONObject) -> bool:
            match message:
                case {"method": method, "params": {"progress": float(now) | int(now), "message": str(text), **more}}:
                    if method == PROGRESS:
                        arrivals.append(_now())
                        total = more.get("total")
                        of = float(total) if isinstance(total, int | float) else None
                        self.report.progress(RunProgress(float(now), of, text))
            return True

        result = await self._call_tool("generate", {"model": model, "input": run_input}, on_notification)
        match result:
            case {"status": str(status), "run_id": str(run_id), "outputs": list(outputs)}:
                found = " ".join((f"{status}, run {run_id}", *(str(output.get("url")) for output in outputs)))
            case _:
                raise StepError(NOT_MCP)
        if len(arrivals) > 1 and arrivals[-1] - arrivals[0] < MIN_POLL_GAP:
            raise StepError(BUFFERED, f"The run itself {found}")
        return found

    async def _call_tool(
        self,
        tool: str,
        arguments: JSONObject,
        on_notification: Callable[[JSONObject], bool] = lambda _message: True,
    ) -> JSON:
        params: JSONObject = {"name": tool, "arguments": arguments, "_meta": {"progressToken": tool}}
        result = await self.client.request("tools/call", params, on_notification=on_notification)
        match result:
            case {
                "isError": True,
                "structuredContent": {"error": {"code": code, "message": str(text), "next_action": str(fix), **rest}},
            }:
                raise StepError(
                    f"[{code}] {as_sentence(text)}",
                    *error_details(result, rest.get("details")),
                    fix=fix,
                    code=str(code),
                )
            case {"structuredContent": dict(structured)}:
                return structured
        raise StepError(NOT_MCP)


#: The code of an error of Runflow's → what to do.
_RUNFLOW_FIXES = {
    **NEXT_ACTION,
    ToolErrorCode.GENERATE_FAILED.value: "Look into the server's log; check DNS, HTTPS_PROXY and SSL_CERT_FILE between "
    "the server and RUNFLOW_API_URL.",
    RATE_LIMITED: "Try again in a minute.",
}


def _names(result: JSON, member: str) -> list[str]:
    """The names in the list of a result. Raises ``StepError`` when there is none."""
    entries = result.get(member) if isinstance(result, dict) else None
    if not isinstance(entries, list):
        raise StepError(NOT_MCP)
    return [str(entry.get("name")) for entry in entries if isinstance(entry, dict)]
