"""A file as an HTTP response, whole or a part: players read videos in parts.

After RFC 9110 §14; of its range sets only a single range is served, which it allows.
"""

from aiohttp import web

from runflow_mcp.sandbox.problems import Problem


def respond(request: web.Request, content: bytes, content_type: str) -> web.Response:
    """200 with all of it, 206 with the part that ``Range`` asks for, or the ``Problem`` 416 beyond the end."""
    headers = {"Accept-Ranges": "bytes"}
    try:
        asked = request.http_range
    except ValueError:  # a malformed Range is ignored
        asked = slice(None)
    if asked.start is None:
        return web.Response(body=content, content_type=content_type, headers=headers)
    start, stop, _ = asked.indices(len(content))
    if start >= stop:
        unsatisfied = {"Content-Range": f"bytes */{len(content)}"}
        raise Problem(416, "RANGE_NOT_SATISFIABLE", "The file is shorter than that", headers=unsatisfied)
    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(content)}"
    return web.Response(status=206, body=content[start:stop], content_type=content_type, headers=headers)
