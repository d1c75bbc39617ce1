"""What a revision adds to the results of methods. Pure."""

from runflow_mcp.json_types import JSONObject
from runflow_mcp.protocol.jsonrpc import Result
from runflow_mcp.protocol.revisions import ProtocolContext


def finalize_result(result: Result, protocol: ProtocolContext, server_meta: JSONObject) -> Result:
    """A method's result with its type and the server's name, in the revisions that have them.

    ``server_meta``: the ``_meta`` of a result that has none of its own.
    """
    features = protocol.features
    if features.server_info:
        meta = result.get("_meta")
        result = {**result, "_meta": {**server_meta, **meta} if meta else server_meta}
    if features.result_type:
        result = {"resultType": "complete", **result}
    return result


def with_cache_hints(result: Result, protocol: ProtocolContext, ttl_ms: int, *, scope: str = "public") -> Result:
    """A result with how long and by whom it may be cached, in the revisions that have such hints.

    The lists of this server are the same for every key, hence ``public``.
    """
    if not protocol.features.cache_hints:
        return result
    return {**result, "ttlMs": ttl_ms, "cacheScope": scope}
