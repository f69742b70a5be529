"""Where nothing is sent to."""

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from db.addresses import Rules

AZURE = "168.63.129.16"
EMBEDDINGS: dict[str, Callable[[int], int]] = {
    "compatible": lambda v4: v4,
    "mapped": lambda v4: 0xFFFF << 32 | v4,
    "translated": lambda v4: 0xFFFF << 48 | v4,
    "NAT64": lambda v4: 0x64_FF9B << 96 | v4,
    "6to4": lambda v4: 0x2002 << 112 | v4 << 80 | 1,
    "Teredo server": lambda v4: 0x2001 << 112 | v4 << 64 | 0x8000_F227_BEBE_BEBE,
    "Teredo client": lambda v4: 0x2001 << 112 | 0x4136_E378 << 64 | 0x8000_F227 << 32 | (v4 ^ 0xFFFF_FFFF),
    "ISATAP": lambda v4: 0x2001_0DB8 << 96 | 0x5EFE << 32 | v4,
    "ISATAP of a global address": lambda v4: 0x2001_0DB8 << 96 | 0x0200_5EFE << 32 | v4,
    "ISATAP in link-local": lambda v4: 0xFE80 << 112 | 0x5EFE << 32 | v4,
}
LOCAL = 0x64_FF9B_0001 << 80
LOCAL_NAT64: dict[str, Callable[[int], int]] = {
    "/48": lambda v4: LOCAL | (v4 >> 16) << 64 | (v4 & 0xFFFF) << 40,
    "/56": lambda v4: LOCAL | (v4 >> 24) << 64 | (v4 & 0xFF_FFFF) << 32,
    "/64": lambda v4: LOCAL | v4 << 24,
    "/96": lambda v4: LOCAL | v4,
    "/96 in a subnet": lambda v4: LOCAL | 0x0B0B << 64 | v4,
}
INTERESTING = st.sampled_from(["169.254.169.254", AZURE, "100.100.100.200", "10.1.2.3", "127.0.0.1", "8.8.8.8"])
IPV4 = st.one_of(st.ip_addresses(v=4), INTERESTING.map(IPv4Address)).filter(lambda each: int(each) >> 24 != 0)
RULES = st.builds(
    lambda allow, deny: Rules.from_environment({"DUETIME_HTTP_ALLOW": allow, "DUETIME_HTTP_DENY": deny}),
    st.sampled_from(["", "", "10.0.0.0/8", "8.8.8.8, 169.254.169.254", "0.0.0.0/0"]),
    st.sampled_from(["", "10.0.0.0/8, 127.0.0.0/8", "0.0.0.0/0"]),
)


@pytest.mark.parametrize(
    ("address", "allow", "deny", "passes"),
    [
        ("127.0.0.1", "", "", True),
        ("::1", "", "", True),
        ("10.0.0.1", "", "", True),
        ("2001:db8::1", "", "", True),
        ("64:ff9b::808:808", "", "", True),
        ("64:ff9b:1::808:808", "", "", True),
        ("169.254.169.254", "", "", False),
        ("::ffff:169.254.169.254", "", "", False),
        ("64:ff9b::a9fe:a9fe", "", "", False),
        ("2002:a9fe:a9fe::1", "", "", False),
        ("::169.254.169.254", "", "", False),
        ("fe80::1%eth0", "", "", False),
        ("fd00:ec2::254", "", "", False),
        ("fd00:ec2::23", "", "", False),
        ("fd20:ce::254", "", "", False),
        ("fd00:42::42", "", "", False),
        ("100.100.100.200", "", "", False),
        (AZURE, "", "", False),
        ("192.0.0.192", "", "", False),
        ("169.254.169.254", "169.254.169.254", "", True),
        ("64:ff9b::a9fe:a9fe", "169.254.169.254", "", True),
        ("64:ff9b::a9fe:a9fe", "::/0", "", False),
        ("10.0.0.1", "", "10.0.0.0/8", False),
        ("10.0.0.1", "", "::ffff:10.0.0.0/104", False),
        ("10.0.0.1", "10.0.0.1", "10.0.0.0/8", True),
        ("10.0.0.2", "10.0.0.1, 192.168.0.0/16", "", False),
        ("192.168.3.4", "10.0.0.1, 192.168.0.0/16", "", True),
        ("0.0.0.0", "", "127.0.0.0/8", False),  # noqa: S104
        ("::", "", "::1", False),
        ("2002:808:808::1", "", "2002::/16", False),
    ],
)
def test_an_address_passes_or_does_not(address: str, allow: str, deny: str, passes: bool) -> None:
    rules = Rules.from_environment({"DUETIME_HTTP_ALLOW": allow, "DUETIME_HTTP_DENY": deny})
    assert (rules.refusal(address) == "") == passes


@pytest.mark.parametrize("embedding", EMBEDDINGS)
@given(address=IPV4, rules=RULES)
def test_an_ipv4_address_in_ipv6_is_judged_as_that_one(embedding: str, address: IPv4Address, rules: Rules) -> None:
    carrying = IPv6Address(EMBEDDINGS[embedding](int(address)))
    refused = bool(rules.refusal(str(address)))
    if embedding.startswith("Teredo") and rules.allow:
        refused |= rules.allow[0].prefixlen > 0  # it carries another one, which is not allowed
    assert bool(rules.refusal(str(carrying))) == refused


@pytest.mark.parametrize("length", LOCAL_NAT64)
@given(address=IPV4, rules=RULES)
def test_where_an_address_can_be_read_in_several_ways_none_of_them_may_be_refused(
    length: str, address: IPv4Address, rules: Rules
) -> None:
    if rules.refusal(str(address)):
        assert rules.refusal(str(IPv6Address(LOCAL_NAT64[length](int(address)))))


@given(first=IPV4, second=IPV4)
def test_an_address_that_carries_two_is_judged_as_both(first: IPv4Address, second: IPv4Address) -> None:
    both = IPv6Address(0x2002 << 112 | int(first) << 80 | 0x5EFE << 32 | int(second))
    rules = Rules()
    assert bool(rules.refusal(str(both))) == any(rules.refusal(str(each)) for each in (first, second))


def test_a_refusal_says_which_address_is_meant() -> None:
    assert "64:ff9b::a9fe:a9fe, which means 169.254.169.254, is where" in Rules().refusal("64:ff9b::a9fe:a9fe")


def test_what_is_no_network_is_said() -> None:
    with pytest.raises(ValueError, match="DUETIME_HTTP_DENY"):
        Rules.from_environment({"DUETIME_HTTP_DENY": "example.org"})
