"""``runflow-run://{run_id}``: the current state of a run, with freshly signed outputs, read with the caller's key."""

from runflow_mcp.errors import NEXT_ACTION, ToolErrorCode
from runflow_mcp.identifiers import run_id_problem
from runflow_mcp.methods.context import RequestContext
from runflow_mcp.methods.resource_errors import not_found, unavailable
from runflow_mcp.methods.resource_templates import Reading, Template
from runflow_mcp.methods.run_errors import poll_error
from runflow_mcp.methods.run_results import run_json
from runflow_mcp.protocol.jsonrpc import ProtocolError
from runflow_mcp.runflow.api.errors import Outcome, UpstreamError
from runflow_mcp.runflow.dispatch.order import RunRef

_NOT_FOUND = "There is no such run for this API key. Read it with the key that started it."
#: Statuses of Runflow that mean that the run does not exist: only the id can be wrong in this request.
_NO_RUN = frozenset({400, 404, 410, 422})


async def _read(uri: str, run_id: str, ctx: RequestContext) -> Reading:
    if run_id_problem(run_id):
        raise not_found(_NOT_FOUND, uri, ctx.protocol)
    ctx.record.run_id = run_id
    try:
        run = await ctx.services.client.get_run(ctx.bearer, run_id, ctx.trace)
    except UpstreamError as error:
        ctx.services.client.failures.given_up("get_run", error, 1)
        raise _read_error(error, uri, ctx) from error
    # Not cacheable: the links expire and belong to the caller.
    return Reading(run_json(run, RunRef.of_run(run)))


def _read_error(error: UpstreamError, uri: str, ctx: RequestContext) -> ProtocolError:
    if error.outcome is Outcome.REFUSED and error.status in _NO_RUN:
        return not_found(_NOT_FOUND, uri, ctx.protocol)
    failed = poll_error(error, None, RunRef(None, None))
    if failed.code == ToolErrorCode.UNAUTHORIZED:
        advice = NEXT_ACTION[failed.code]
    else:
        advice = "" if error.outcome is Outcome.REFUSED else "Read the resource again shortly."
    failed.message = f"The run could not be read: {failed.message} {advice}".rstrip()
    return unavailable(failed, uri, ctx.request_id)


TEMPLATE = Template(
    uri_template="runflow-run://{run_id}",
    kind="run",
    name="run",
    title="Run",
    description="The state of a run, and its outputs as freshly signed links.",
    read=_read,
    variables={"run_id": None},
)
