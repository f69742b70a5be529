"""The API's description of itself, for programs and for people."""

import base64
import hashlib
import re
from typing import Any

import pytest
from fastapi.openapi.models import OpenAPI
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from dashboard.api.app import create_api
from dashboard.api.docs import entrance_route
from dashboard.live import Hub
from db.engine import Catalogue

CONTRACT = {
    "/tasks": {"get", "post"},
    "/tasks/{id}": {"get", "put", "delete"},
    "/tasks/{id}/restore": {"post"},
    "/tasks/{id}/pause": {"post"},
    "/tasks/{id}/resume": {"post"},
    "/tasks/{id}/rollback": {"post"},
    "/tasks/{id}/run": {"post"},
    "/tasks/{id}/due-times": {"get"},
    "/tasks/{id}/revisions": {"get"},
    "/runs": {"get"},
    "/runs/{id}": {"get"},
    "/runs/{id}/cancel": {"post"},
    "/runs/{id}/logs": {"get"},
    "/events": {"get"},
    "/schedules/preview": {"post"},
    "/healthz": {"get"},
    "/readyz": {"get"},
    "/metrics": {"get"},
}


@pytest.fixture(scope="module")
def described(shared_api: TestClient) -> dict[str, Any]:
    return shared_api.get("/openapi.json").json()  # type: ignore[no-any-return]


def test_every_route_of_the_contract_is_described(described: dict[str, Any]) -> None:
    found = {path: set(operations) for path, operations in described["paths"].items()}
    assert {path: found.get(path) for path in CONTRACT} == CONTRACT


def test_the_document_is_valid(described: dict[str, Any]) -> None:
    OpenAPI.model_validate(described)
    for schema in described["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    names = set(re.findall(r"'#/components/schemas/(\w+)'", str(described)))
    assert names <= set(described["components"]["schemas"])
    assert "Problem" in names
    assert "Event" in described["components"]["schemas"]


def test_programs_find_the_api_where_it_is_mounted(catalogue: Catalogue) -> None:
    with TestClient(Starlette(routes=[Mount("/api", create_api(catalogue, Hub(catalogue.url)))])) as client:
        assert client.get("/api/openapi.json").json()["servers"] == [{"url": "/api"}]


def test_the_page_for_people_runs_nothing_and_loads_nothing(shared_api: TestClient) -> None:
    page = shared_api.get("/docs")
    policy = page.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ")
    style = re.search(r"<style>(.*?)</style>", page.text, re.DOTALL)
    assert style is not None
    assert base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode() in policy
    assert not re.search(r"<script|<link|<img|src=|@import|url\(", page.text)
    assert all(f"/api{path}" in page.text for path in CONTRACT)


def test_the_address_that_the_start_prints_leads_to_the_page(catalogue: Catalogue) -> None:
    routes = [entrance_route(), Mount("/api", create_api(catalogue, Hub(catalogue.url)))]
    with TestClient(Starlette(routes=routes)) as client:
        answer = client.get("/api")
        assert (answer.status_code, answer.url.path) == (200, "/api/docs")


def test_answers_are_not_kept_and_allow_nothing(shared_api: TestClient) -> None:
    headers = shared_api.get("/tasks").headers
    assert headers["Cache-Control"] == "no-store"
    assert headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
