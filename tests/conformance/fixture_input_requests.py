"""Fixtures that ask for input first (SEP-2322): a result that is a question, and a second call with the answer.

The product asks nothing. These test that its registry, its router and its rendering pass such results on and change
nothing else in them.
"""

import hashlib
import hmac
import secrets
from collections.abc import Awaitable, Callable, Mapping

import attrs

from runflow_mcp.json_types import JSON, JSONObject
from runflow_mcp.methods.context import RequestContext
from runflow_mcp.protocol.jsonrpc import ErrorCode, ProtocolError, Result

#: The capability that a client must have declared for this method.
_NEEDS = {"elicitation/create": "elicitation", "sampling/createMessage": "sampling", "roots/list": "roots"}
_SEAL = secrets.token_bytes(32)

Answers = Mapping[str, JSONObject]
Round = Mapping[str, JSONObject]


def elicit(message: str, field: str, kind: str = "string") -> JSONObject:
    """A question to the person."""
    schema = {"type": "object", "properties": {field: {"type": kind}}, "required": [field]}
    return {"method": "elicitation/create", "params": {"message": message, "requestedSchema": schema}}


def sample(text: str) -> JSONObject:
    """A question to the client's model."""
    messages = [{"role": "user", "content": {"type": "text", "text": text}}]
    return {"method": "sampling/createMessage", "params": {"messages": messages, "maxTokens": 100}}


ROOTS: JSONObject = {"method": "roots/list", "params": {}}


@attrs.frozen
class Interview:
    """Rounds of questions, and the final result. ``sealed``: a signed state travels with them."""

    name: str
    rounds: tuple[Round, ...]
    finish: Callable[[Answers, RequestContext], Awaitable[Result]]
    sealed: bool = False

    async def hold(self, params: JSONObject, call: RequestContext) -> Result:
        """The next question, or the result. Raises ``ProtocolError`` for malformed answers or an invalid state."""
        number = self._round(params.get("requestState"))
        answers = params.get("inputResponses", {})
        if not isinstance(answers, dict) or not all(isinstance(answer, dict) for answer in answers.values()):
            raise ProtocolError(ErrorCode.INVALID_PARAMS, "The param inputResponses must be an object of objects.")
        if all(key in answers for key in self._questions(number, call)):
            number += 1
            if number == len(self.rounds):
                return await self.finish(answers, call)
        result: dict[str, JSON] = {"resultType": "input_required", "inputRequests": self._questions(number, call)}
        return {**result, "requestState": self._state(number)} if self.sealed else result

    def _questions(self, number: int, call: RequestContext) -> Round:
        """The questions of a round that this client can answer."""
        questions = self.rounds[number]
        able = {
            key: question
            for key, question in questions.items()
            if _NEEDS[question["method"]] in call.protocol.capabilities
        }
        if not able:
            raise lacks(*(_NEEDS[question["method"]] for question in questions.values()))
        return able

    def _state(self, number: int) -> str:
        seal = hmac.new(_SEAL, f"{self.name} {number}".encode(), hashlib.sha256).hexdigest()
        return f"{number}.{seal}"

    def _round(self, state: JSON) -> int:
        if state is None:
            return 0
        for number in range(len(self.rounds)):
            if isinstance(state, str) and hmac.compare_digest(state.encode(), self._state(number).encode()):
                return number
        raise ProtocolError(ErrorCode.INVALID_PARAMS, "The param requestState was not issued by this server.")


def lacks(*capabilities: str) -> ProtocolError:
    """The error for a client that did not declare these capabilities."""
    return ProtocolError(
        ErrorCode.MISSING_REQUIRED_CLIENT_CAPABILITY,
        f"Declare {', '.join(capabilities)} in this request's client capabilities.",
        {"requiredCapabilities": {name: {} for name in capabilities}},
    )
