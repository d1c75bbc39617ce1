"""The balance of the account, added to the error ``insufficient_credits``."""

import re
from collections.abc import Iterator

from runflow_mcp.errors import ToolError, ToolErrorCode
from runflow_mcp.json_types import JSON
from runflow_mcp.methods.context import RequestContext
from runflow_mcp.runflow.api.errors import UpstreamError

#: Seconds; the error must not be delayed for long.
TIMEOUT = 3.0
#: Members that hold a balance, or an object with one. Others, such as cents or credits, would need a conversion.
_AMOUNTS = ("balance", "available_balance", "credit_balance", "available", "amount", "data")
_AMOUNT = re.compile(r"\s*\$?(-?[0-9]{1,12}(?:\.[0-9]{1,12})?)\s*")
_CURRENCY = re.compile(r"[A-Za-z]{3}")
_LEVELS = 3


async def with_balance(ctx: RequestContext, error: ToolError) -> ToolError:
    """The error; ``insufficient_credits`` with the balance, where the key may read it and it can be read."""
    if error.code != ToolErrorCode.INSUFFICIENT_CREDITS:
        return error
    try:
        answer = await ctx.services.client.get_balance(ctx.bearer, ctx.trace, timeout=TIMEOUT)
    except UpstreamError as failure:
        ctx.services.client.failures.given_up("get_balance", failure, 1)
        return error
    if balance := parse_balance(answer):
        error.details["balance"] = balance
        error.hints += (f"balance: {balance}",)
    return error


def parse_balance(answer: JSON) -> str | None:
    """The balance as Runflow writes it, with its currency if that is named; None for an answer of unknown shape."""
    for holder in _holders(answer):
        for name in _AMOUNTS:
            value = holder.get(name)
            text = repr(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
            if isinstance(text, str) and (match := _AMOUNT.fullmatch(text)):
                currency = holder.get("currency")
                if isinstance(currency, str) and _CURRENCY.fullmatch(currency):
                    return f"{match[1]} {currency.upper()}"
                return match[1]
    return None


def _holders(answer: JSON) -> Iterator[dict[str, JSON]]:
    """The object, and the objects in its members that may hold a balance."""
    for _ in range(_LEVELS):
        if not isinstance(answer, dict):
            return
        yield answer
        answer = next((answer[name] for name in _AMOUNTS if isinstance(answer.get(name), dict)), None)
