"""Reads of runs begin in their order, a limited number in each turn of the event loop and at a time."""

import asyncio
import itertools

import pytest

from runflow_mcp.runflow.api.read_slots import MAX_PER_TURN, MAX_UNDER_WAY, ReadSlots
from tests.methods.recorded_requests import polls
from tests.scripted_sandbox import Delay, Route, ScriptedSandbox
from tests.serving import BOTH, Serve


class Reads:
    """Reads that end when they are told to."""

    def __init__(self, slots: ReadSlots) -> None:
        self.slots = slots
        self.begun: list[int] = []
        self.ends: dict[int, asyncio.Event] = {}
        self.tasks: dict[int, asyncio.Task[None]] = {}

    def start(self, count: int) -> None:
        for number in range(len(self.tasks), len(self.tasks) + count):
            self.ends[number] = asyncio.Event()
            self.tasks[number] = asyncio.create_task(self._read(number))

    async def _read(self, number: int) -> None:
        async with self.slots:
            self.begun.append(number)
            await self.ends[number].wait()

    async def end(self, *numbers: int) -> None:
        for number in numbers:
            self.ends[number].set()
        await asyncio.gather(*(self.tasks[number] for number in numbers))

    async def settle(self) -> None:
        """Let every read begin that may."""
        for _ in range(2 * len(self.tasks) + 5):
            await asyncio.sleep(0)


async def test_reads_begin_in_their_order_and_a_limited_number_in_each_turn() -> None:
    reads = Reads(ReadSlots(max_per_turn=3))
    reads.start(10)
    seen = [0]
    for _ in range(30):
        await asyncio.sleep(0)
        seen.append(len(reads.begun))
    assert reads.begun == list(range(10))
    assert max(later - earlier for earlier, later in itertools.pairwise(seen)) == 3
    await reads.end(*range(10))


async def test_only_so_many_reads_are_under_way() -> None:
    reads = Reads(ReadSlots(max_under_way=2))
    reads.start(5)
    await reads.settle()
    assert reads.begun == [0, 1]
    await reads.end(1)
    await reads.settle()
    assert reads.begun == [0, 1, 2], "the slot of one that ends goes to the next"
    await reads.end(0, 2, 3, 4)
    assert reads.begun == [0, 1, 2, 3, 4]


async def test_a_new_read_does_not_overtake_one_that_waits() -> None:
    reads = Reads(ReadSlots(max_under_way=1))
    reads.start(2)
    await reads.settle()
    reads.ends[0].set()
    reads.start(1)
    await reads.settle()
    assert reads.begun == [0, 1]
    await reads.end(1, 2)


@pytest.mark.parametrize("left", [(1,), (1, 2), (2,), (0,), (0, 1)])
async def test_a_call_that_leaves_takes_no_slot_and_keeps_none(left: tuple[int, ...]) -> None:
    reads = Reads(ReadSlots(max_under_way=1))
    reads.start(4)
    await reads.settle()
    for number in left:
        reads.tasks[number].cancel()
    for number in range(4):
        reads.ends[number].set()
    results = await asyncio.gather(*reads.tasks.values(), return_exceptions=True)
    assert [isinstance(result, asyncio.CancelledError) for result in results] == [n in left for n in range(4)]
    assert reads.slots == ReadSlots(max_under_way=1), "as at the start"


async def test_a_call_that_leaves_just_as_its_slot_comes_keeps_none() -> None:
    slots = ReadSlots(max_under_way=1)
    reads = Reads(slots)
    async with slots:
        reads.start(2)
        await reads.settle()
    reads.tasks[0].cancel()  # its slot was given, and it has not run since
    await reads.end(1)
    assert reads.begun == [1]
    await reads.settle()
    assert slots == ReadSlots(max_under_way=1), "as at the start"


async def test_waiting_calls_share_the_slots_of_reads(serve: Serve, sandbox: ScriptedSandbox) -> None:
    server = await serve(MCP_RATE_LIMIT_PER_IP="1000", MCP_RATE_LIMIT_PER_KEY="1000")
    slots = server.services.reads._slots  # noqa: SLF001
    assert slots == ReadSlots(MAX_UNDER_WAY, MAX_PER_TURN)
    slots.max_under_way = 5
    sandbox.script.add(Route.GET_RUN, Delay(10), times=5)
    calls = [asyncio.create_task(server.generate(accept=BOTH)) for _ in range(8)]
    await server.services.clock.sleep(8)
    assert len(polls(sandbox)) == 5
    answers = await asyncio.gather(*calls)
    assert {answer.structured["status"] for answer in answers} == {"succeeded"}
