"""The result view as a resource: its URI, its document, and what a host must know to show it. Pure.

The document is ``result.html``; it is the same for every caller, and holds no data.
"""

from functools import cache
from importlib.resources import files
from urllib.parse import urlsplit

from runflow_mcp.addresses import is_loopback_host
from runflow_mcp.json_types import JSONObject
from runflow_mcp.settings.config import Config

URI = "ui://runflow/result.html"
MIME_TYPE = "text/html;profile=mcp-app"
NAME = "result"
TITLE = "Runflow result"
DESCRIPTION = "Shows the outputs of a run: pictures, video and audio, each with a download link."

#: ``_meta`` of a tool whose result the view shows. The flat key is what hosts of 2025 look for.
TOOL_META: JSONObject = {"ui": {"resourceUri": URI}, "ui/resourceUri": URI}


@cache
def document() -> str:
    """The HTML document."""
    return files("runflow_mcp.view").joinpath("result.html").read_text(encoding="utf-8")


def media_origins(config: Config) -> tuple[str, ...]:
    """The origins from which the view may load media: those of the settings, and a sandbox's own."""
    api = urlsplit(config.api_url)
    sandbox = (f"{api.scheme}://{api.netloc}",) if is_loopback_host(api.hostname or "") else ()
    return tuple(dict.fromkeys((*config.view_origins, *sandbox)))


def resource_meta(origins: tuple[str, ...]) -> JSONObject:
    """``_meta`` of the resource and of its content: the host builds the frame's Content-Security-Policy from it."""
    csp: JSONObject = {"resourceDomains": list(origins), "connectDomains": []}
    return {"ui": {"csp": csp, "prefersBorder": True}}
