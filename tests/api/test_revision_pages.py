"""The versions of a task over REST, page by page."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from tests.api.conftest import created

VERSIONS = 7


@pytest.fixture
def often_edited(api: TestClient) -> str:
    """The address of its versions."""
    task = created(api)
    url = f"/tasks/{task['id']}"
    for number in range(1, VERSIONS):
        body = {**task, "retries": number}
        assert api.put(url, json=body, headers={"If-Match": f'"{number}"'}).status_code == 200
    return f"{url}/revisions"


@pytest.mark.parametrize("limit", [1, 3, VERSIONS - 1, VERSIONS, 500])
def test_pages_of_any_size_hold_every_version_once_with_what_it_changed(
    api: TestClient, often_edited: str, limit: int
) -> None:
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    while cursor is not None or not found:
        page = api.get(often_edited, params={"limit": limit, **({"cursor": cursor} if cursor else {})}).json()
        assert 1 <= len(page["items"]) <= limit
        found, cursor = [*found, *page["items"]], page["next_cursor"]
    assert [one["version"] for one in found] == list(range(VERSIONS, 0, -1))
    assert [one["changed"] for one in found] == [["retries"]] * (VERSIONS - 1) + [[]]


@pytest.mark.parametrize("cursor", ["x", "WyJ4Il0", "WyIxIiwgIjIiXQ", "WyI5OTk5OTk5OTk5OTk5OSJd", "WyItMSJd"])
def test_a_cursor_that_is_not_one_of_ours_is_refused(api: TestClient, often_edited: str, cursor: str) -> None:
    refused = api.get(often_edited, params={"cursor": cursor})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "cursor"), refused.text
