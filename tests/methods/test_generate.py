from tests.serving import BOTH, Serve, Server


async def test_a_waiting_call_streams_progress_and_ends_with_the_picture(server: Server) -> None:
    answer = await server.generate(token=0, accept=BOTH)
    assert answer.is_stream
    assert answer.structured["status"] == "succeeded"
    assert answer.progress[-1]["progress"] == 3


async def test_the_ceiling(serve: Serve) -> None:
    server = await serve()
    answer = await server.generate(model="sandbox/slow", token="t", accept=BOTH)
    assert answer.tool_error["code"] == "polling_timeout"
    assert server.services.clock.monotonic() > 599
