"""What a worker and its parent tell each other arrives, in whatever pieces."""

import asyncio
import socket

import pytest

from runflow_mcp.workers.channel import Order, ParentGoneError, ParentLink, Report, Start, WorkerLink

START = b'{"environ":{"MCP_PORT":"1"},"metrics":7}\n'


async def obeyed(link: ParentLink) -> list[Order]:
    """The orders up to the end of the connection."""
    orders: list[Order] = []
    ended = asyncio.Event()

    def on_order(order: Order) -> None:
        orders.append(order)
        if len(orders) == 3:
            ended.set()

    link.obey(on_order)
    await ended.wait()
    return orders


@pytest.mark.parametrize("cut", [0, 10, len(START), len(START) + 3, len(START) + 8])
async def test_orders_arrive_also_when_they_come_with_the_first_message(cut: int) -> None:
    parent, worker = socket.socketpair()
    link = ParentLink(worker)
    sent = START + b'"drain"\n"stop"\n'
    if cut >= len(START):
        parent.sendall(sent[:cut])
        assert link.start() == Start({"MCP_PORT": "1"}, 7)
        parent.sendall(sent[cut:])
    else:
        parent.sendall(sent)
        assert link.start() == Start({"MCP_PORT": "1"}, 7)
    parent.close()
    # A parent that is gone is the order to drain.
    assert await obeyed(link) == ["drain", "stop", "drain"]
    worker.close()


def test_a_worker_whose_parent_ends_before_the_first_message_ends_too() -> None:
    parent, worker = socket.socketpair()
    parent.sendall(START[:20])
    parent.close()
    with pytest.raises(ParentGoneError):
        ParentLink(worker).start()
    worker.close()


async def test_reports_arrive_until_the_worker_ends() -> None:
    own, other = socket.socketpair()
    link = await WorkerLink.open(own, Start({}, None))
    worker = ParentLink(other)
    assert worker.start() == Start({}, None)
    worker.tell(Report(listening=True))
    worker.tell(Report(waits=3))
    other.close()
    assert [await link.report() for _ in range(3)] == [Report(listening=True), Report(waits=3), None]
    link.close()
    worker_of_nobody = socket.socketpair()
    worker_of_nobody[0].close()
    ParentLink(worker_of_nobody[1]).tell(Report(listening=True))  # not an error
    worker_of_nobody[1].close()
