"""IP addresses and networks: every notation of one address is the same value."""

import ipaddress
import itertools

import pytest

from runflow_mcp.addresses import is_in, is_loopback_host, parse_address, parse_network, rate_limit_key


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        (" 192.0.2.1:80 ", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("[::ffff:c000:201]:443", "192.0.2.1"),
        ("2001:DB8::1", "2001:db8::1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("localhost", "None"),
        ("192.0.2.256", "None"),
        ("", "None"),
    ],
)
def test_an_address_is_parsed_in_every_notation(text: str, address: str) -> None:
    assert str(parse_address(text)) == address


def test_an_ipv4_address_has_four_decimal_numbers_without_leading_zeros() -> None:
    numbers = ["0", "7", "255", "256", "1000", "00", "01", "0x1", "", "-1", "٣", "\ud83d", "1\0"]
    for parts in itertools.chain(itertools.product(numbers, repeat=4), itertools.product(numbers, repeat=2)):
        text = ".".join(parts)
        try:
            expected = str(ipaddress.IPv4Address(text))
        except ValueError:
            expected = "None"
        assert str(parse_address(text)) == expected


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("10.0.0.1/8", "10.0.0.0/8"),
        ("192.0.2.1", "192.0.2.1/32"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("::ffff:10.0.0.0/90", "::ffc0:0:0/90"),
        ("fd00::/8", "fd00::/8"),
    ],
)
def test_an_ipv4_network_inside_ipv6_is_an_ipv4_network(text: str, network: str) -> None:
    assert str(parse_network(text)) == network


def test_a_mapped_address_is_in_the_ipv4_network() -> None:
    address = parse_address("::ffff:10.1.2.3")
    assert address is not None
    assert is_in(address, [parse_network("10.0.0.0/8")])
    assert not is_in(address, [parse_network("::/8")])


@pytest.mark.parametrize(("text", "key"), [("192.0.2.1", "192.0.2.1"), ("2001:db8:1:2:3::4", "2001:db8:1:2::/64")])
def test_ipv6_addresses_are_limited_by_their_64_bit_prefix(text: str, key: str) -> None:
    address = parse_address(text)
    assert address is not None
    assert rate_limit_key(address) == key


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("sandbox.localhost", True),
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("::1", True),
        ("0.0.0.0", False),  # noqa: S104 - asked for, not bound
        ("::", False),
        ("10.0.0.1", False),
        ("localhost.example.com", False),
    ],
)
def test_loopback_is_what_no_other_machine_reaches(host: str, *, loopback: bool) -> None:
    assert is_loopback_host(host) == loopback
