"""Hosts and origins: what a page of somebody else can have a browser send is refused, whatever it tries."""

from collections.abc import Iterator
from itertools import product
from typing import Any

import pytest

from db.hosts import Hosts, refusal


def words(text: str) -> list[str]:
    return text.split()


OURS = ("http://localhost:4200", "http://127.0.0.1:4200", "http://[::1]:4200", "https://jobs.example")
FOREIGN = (
    *words("https://evil.example http://evil.example:4200 http://jobs.example.evil.example https://jobs.example:8443"),
    *words("http://127.0.0.1:8000 http://localhost:8000 http://localhost http://127.0.0.2:4200 http://6.6.6.6:4200"),
    *words("http://[2001:db8::6]:4200 null file:// chrome-extension://abc http://ada@127.0.0.1:4200"),
    *words("http://127.0.0.1:4200@evil.example http://127.0.0.1:4200/ http://127.0.0.1:4200. ftp://127.0.0.1:4200"),
    *("http://127.0.0.1:4200 http://evil.example", "http://127.0.0.1:042000", ""),
)
REBOUND = (
    *words("evil.example:4200 localhost.evil.example:4200 127.0.0.1.evil.example:4200 evil.example localhost:8000"),
    *words("ada@127.0.0.1:4200 127.0.0.1:4200@evil.example 127.0.0.1:4200:80 127.0.0.1: 127.0.0.1:x localhost.:4200"),
    *words("[::1:4200 ::1 [::ffff:127.0.0.1]:4200 2130706433:4200 0x7f.1:4200 http://127.0.0.1:4200 127.0.0.1:4200/"),
    *("127.0.0.1:4200, evil.example", "127.0.0.1:\uff14\uff12\uff10\uff10", "", " ", "*"),
)
KINDS = ("navigate", "no-cors", "cors", "websocket")


def hosts(host: str = "127.0.0.1") -> Hosts:
    return Hosts.named(host, 4200, ["jobs.example", " "], variable="SOME_HOSTS")


def scope(host: str | None, method: str = "GET", **headers: str) -> dict[str, Any]:
    """A request, or a websocket where the method is none."""
    sent = [] if host is None else [(b"host", host.encode())]
    sent += [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    kind = {"type": "http", "method": method} if method else {"type": "websocket"}
    return {**kind, "path": "/", "headers": sent}


def sent_by_a_page(origin: str, site: str) -> Iterator[tuple[str, str, dict[str, str]]]:
    """All that a page can have a browser send: the mode, the method and the headers that no page has a say in."""
    for mode, method in product(KINDS, ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "")):
        if (mode == "websocket") != (method == "") or (mode == "navigate" and method not in ("GET", "POST")):
            continue
        headers = {"sec_fetch_site": site, "sec_fetch_mode": mode, "user_agent": "Mozilla/5.0"}
        # A browser says of which origin a page is, unless all that it sends is what a link could.
        is_like_a_link = mode in ("navigate", "no-cors") and method in ("GET", "HEAD")
        yield mode, method, headers if is_like_a_link else {**headers, "origin": origin}


@pytest.mark.parametrize("listening", ["127.0.0.1", "localhost", "0.0.0.0", "::", "10.0.0.7"])  # noqa: S104
def test_a_page_of_another_origin_can_link_here_and_nothing_else(listening: str) -> None:
    for origin, site in product(FOREIGN, ("cross-site", "same-site")):
        for mode, method, headers in sent_by_a_page(origin, site):
            refused = bool(refusal(scope("127.0.0.1:4200", method, **headers), hosts(listening)))
            assert refused == ((mode, method) != ("navigate", "GET")), (origin, mode, method)


@pytest.mark.parametrize("host", [*REBOUND, None])
def test_a_name_that_was_made_to_point_here_opens_nothing(host: str | None) -> None:
    for _, method, headers in sent_by_a_page(f"http://{host}", "same-origin"):
        assert refusal(scope(host, method, **headers), hosts())
    assert refusal(scope(host, "POST"), hosts())
    assert refusal(scope(host, "", origin="http://127.0.0.1:4200"), hosts())
    assert refusal(scope(host, "POST", x_forwarded_host="127.0.0.1:4200"), hosts())


@pytest.mark.parametrize("origin", OURS)
def test_our_own_pages_do_all_that_they_do(origin: str) -> None:
    for host, site in product(("127.0.0.1:4200", "LOCALHOST:4200", "jobs.example"), ("same-origin", "cross-site")):
        for _, method, headers in sent_by_a_page(origin, site):
            if "origin" in headers or site == "same-origin":
                assert not refusal(scope(host, method, **headers), hosts())


@pytest.mark.parametrize("host", ["127.0.0.1:4200", "localhost:4200", "[::1]:4200", "127.0.0.1", "jobs.example:443"])
def test_programs_say_nothing_of_pages_and_pass(host: str) -> None:
    for method in ("GET", "POST", "DELETE", ""):
        assert not refusal(
            scope(host, method, user_agent="python-httpx/0.28", x_forwarded_host="evil.example"), hosts()
        )


def test_a_request_has_one_host_and_one_origin() -> None:
    twice = scope("127.0.0.1:4200", "POST")
    twice["headers"] *= 2
    assert refusal(twice, hosts())
    pages = scope("127.0.0.1:4200", "POST", origin="http://127.0.0.1:4200")
    assert not refusal(pages, hosts())
    pages["headers"].append((b"Origin", b"https://evil.example"))
    assert refusal(pages, hosts())


def test_where_every_address_is_ours_a_page_has_the_one_by_which_it_was_loaded() -> None:
    here = {"origin": "http://192.168.1.5:4200", "sec_fetch_site": "same-origin"}
    assert not refusal(scope("192.168.1.5:4200", "POST", **here), hosts("0.0.0.0"))  # noqa: S104
    assert refusal(scope("192.168.1.6:4200", "POST", **here), hosts("0.0.0.0"))  # noqa: S104
    assert refusal(scope("192.168.1.5:4200", "POST", **here), hosts("127.0.0.1"))


def test_a_refusal_says_which_variable_lets_it_in() -> None:
    assert "SOME_HOSTS" in refusal(scope("evil.example"), hosts())
    assert "SOME_HOSTS" in refusal(scope("127.0.0.1:4200", "POST", origin="https://evil.example"), hosts())
