"""Where nothing is sent to."""

import pytest

from db.addresses import Rules


@pytest.mark.parametrize(
    ("address", "allow", "deny", "passes"),
    [
        ("127.0.0.1", "", "", True),
        ("10.0.0.1", "", "", True),
        ("2001:db8::1", "", "", True),
        ("169.254.169.254", "", "", False),
        ("::ffff:169.254.169.254", "", "", False),
        ("fe80::1%eth0", "", "", False),
        ("fd00:ec2::254", "", "", False),
        ("100.100.100.200", "", "", False),
        ("169.254.169.254", "169.254.169.254", "", True),
        ("10.0.0.1", "", "10.0.0.0/8", False),
        ("10.0.0.1", "10.0.0.1", "10.0.0.0/8", True),
        ("10.0.0.2", "10.0.0.1, 192.168.0.0/16", "", False),
        ("192.168.3.4", "10.0.0.1, 192.168.0.0/16", "", True),
    ],
)
def test_an_address_passes_or_does_not(address: str, allow: str, deny: str, passes: bool) -> None:
    rules = Rules.from_environment({"DUETIME_HTTP_ALLOW": allow, "DUETIME_HTTP_DENY": deny})
    assert (rules.refusal(address) == "") == passes


def test_what_is_no_network_is_said() -> None:
    with pytest.raises(ValueError, match="DUETIME_HTTP_DENY"):
        Rules.from_environment({"DUETIME_HTTP_DENY": "example.org"})
