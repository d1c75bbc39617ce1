"""The slots of dispatches under way: in number and bytes, in all, per key and per address."""

import pytest

from runflow_mcp.runflow.dispatch.slots import IN_ALL, PER_ADDRESS, PER_KEY, DispatchSlots, NoSlot, Share


def reached_limit(slots: DispatchSlots, key: str, address: str, size: int) -> Share:
    with pytest.raises(NoSlot) as refused:
        slots.acquire(key, address, size)
    return refused.value.share


@pytest.mark.parametrize("size", [1, PER_KEY.size // 10])
def test_a_key_and_an_address_have_limits_in_number_and_in_bytes(size: int) -> None:
    most = min(PER_KEY.dispatches, PER_KEY.size // size)
    slots = DispatchSlots()
    for number in range(most):
        slots.acquire("key", f"address {number}", size)
    assert reached_limit(slots, "key", "another", size) is PER_KEY
    for number in range(most):
        slots.acquire(f"key {number}", "address", size)
    assert reached_limit(slots, "another", "address", size) is PER_ADDRESS
    slots.acquire("another", "another", size)


@pytest.mark.parametrize("size", [1, PER_KEY.size // 10])
def test_all_dispatches_together_have_a_limit(size: int) -> None:
    slots = DispatchSlots()
    most = min(IN_ALL.dispatches, IN_ALL.size // size)
    taken = [slots.acquire(f"key {number}", f"address {number}", size) for number in range(most)]
    assert len(slots) == most
    assert reached_limit(slots, "key", "address", size) is IN_ALL
    taken.pop().release()
    slots.acquire("key", "address", size)


def test_a_slot_is_free_once_its_last_user_has_released_it() -> None:
    slots = DispatchSlots()
    slot = slots.acquire("key", "address", PER_KEY.size)
    slot.retain()
    slot.release()
    assert reached_limit(slots, "key", "address", 1) is PER_KEY
    slot.release()
    assert len(slots) == 0
    slots.acquire("key", "address", PER_KEY.size)


def test_a_body_larger_than_a_share_gets_a_slot_when_nothing_else_has_one() -> None:
    slots = DispatchSlots()
    large = slots.acquire("key", "address", 10 * IN_ALL.size)
    assert reached_limit(slots, "key", "address", 1) is PER_KEY
    assert reached_limit(slots, "another", "another", 1) is IN_ALL
    large.release()
    slots.acquire("another", "another", 1)
