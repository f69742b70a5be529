"""Secrets over REST: set and removed, listed by name, and never read."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path, Response
from pydantic import Field, WrapValidator

from dashboard.api import answers, problems
from dashboard.api.access import Actor, takes
from dashboard.api.answers import Answer
from dashboard.api.bodies import JsonRoute, strictly
from dashboard.context import now
from db import secrets
from db.access import Role
from db.engine import Catalogue
from db.sealing import sealer
from db.values import Strict


class Value(Strict):
    """What is to be kept."""

    value: Annotated[str, Field(repr=False)]


class Secret(Answer):
    """A secret without its value."""

    name: str
    updated_at: datetime
    updated_by: str
    used_by: int
    """How many tasks name it that are not in the trash."""


class Secrets(Answer):
    """All of them."""

    items: list[Secret]


ValueBody = Annotated[Value, WrapValidator(strictly(Value))]
SecretName = Annotated[str, Path(alias="name", description="As `${secret:NAME}` in a task names it.")]


def secret_routes(catalogue: Catalogue) -> APIRouter:
    """`/secrets`."""
    router = APIRouter(prefix="/secrets", tags=["secrets"], route_class=JsonRoute, responses=problems.DESCRIBED)

    @router.get("", openapi_extra=takes(Role.VIEWER), response_model=Secrets, summary="List secrets, by name alone")
    def list_secrets() -> Response:
        with catalogue.transaction() as session:
            found = secrets.list_secrets(session)
        return answers.send(Secrets(items=[Secret.model_validate(each) for each in found]))

    @router.put("/{name}", openapi_extra=takes(Role.ADMIN), status_code=204, summary="Set a secret")
    def put(name: SecretName, body: ValueBody, actor: Actor) -> Response:
        with catalogue.transaction() as session:
            secrets.put(session, name, body.value, sealer=sealer(), actor=actor, now=now())
        return Response(status_code=204)

    @router.delete("/{name}", openapi_extra=takes(Role.ADMIN), status_code=204, summary="Remove a secret")
    def remove(name: SecretName, actor: Actor) -> Response:
        with catalogue.transaction() as session:
            secrets.remove(session, name, actor=actor, now=now())
        return Response(status_code=204)

    return router
