"""The places of dispatches under way: in number and bytes, in all, per key and per address."""

import pytest

from runflow_mcp.runflow.dispatch.slots import IN_ALL, PER_ADDRESS, PER_KEY, DispatchPlaces, NoPlace, Share


def full(places: DispatchPlaces, key: str, address: str, size: int) -> Share:
    with pytest.raises(NoPlace) as refused:
        places.take(key, address, size)
    return refused.value.share


@pytest.mark.parametrize("size", [1, PER_KEY.size // 10])
def test_a_key_and_an_address_have_a_share_in_number_and_in_bytes(size: int) -> None:
    most = min(PER_KEY.dispatches, PER_KEY.size // size)
    places = DispatchPlaces()
    for number in range(most):
        places.take("key", f"address {number}", size)
    assert full(places, "key", "another", size) is PER_KEY
    for number in range(most):
        places.take(f"key {number}", "address", size)
    assert full(places, "another", "address", size) is PER_ADDRESS
    places.take("another", "another", size)


@pytest.mark.parametrize("size", [1, PER_KEY.size // 10])
def test_all_together_have_a_bound(size: int) -> None:
    places = DispatchPlaces()
    most = min(IN_ALL.dispatches, IN_ALL.size // size)
    taken = [places.take(f"key {number}", f"address {number}", size) for number in range(most)]
    assert len(places) == most
    assert full(places, "key", "address", size) is IN_ALL
    taken.pop().leave()
    places.take("key", "address", size)


def test_a_place_is_given_back_by_the_last_who_keeps_its_bytes() -> None:
    places = DispatchPlaces()
    place = places.take("key", "address", PER_KEY.size)
    place.join()
    place.leave()
    assert full(places, "key", "address", 1) is PER_KEY
    place.leave()
    assert len(places) == 0
    places.take("key", "address", PER_KEY.size)


def test_a_body_beyond_a_share_is_let_in_alone() -> None:
    places = DispatchPlaces()
    large = places.take("key", "address", 10 * IN_ALL.size)
    assert full(places, "key", "address", 1) is PER_KEY
    assert full(places, "another", "another", 1) is IN_ALL
    large.leave()
    places.take("another", "another", 1)
