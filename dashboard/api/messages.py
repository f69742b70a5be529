"""Webhooks and channels over REST: which programs and which people are told of what happens."""

from datetime import datetime, time
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Response
from pydantic import AfterValidator, AnyHttpUrl, BeforeValidator, Field, TypeAdapter, ValidationError, WrapValidator
from pydantic_core import PydanticCustomError

from dashboard.api import answers, problems
from dashboard.api.access import Actor, takes
from dashboard.api.answers import Answer
from dashboard.api.bodies import JsonRoute, strictly
from dashboard.api.events import TYPE
from dashboard.api.inputs import NOTHING, EmptyBody, Limit
from dashboard.api.problems import Refusal
from dashboard.context import now
from db import channels, task_views, webhooks
from db.access import Role
from db.channels import About
from db.engine import Catalogue
from db.schedules import time_zones
from db.sealing import sealer
from db.specs import FieldError
from db.tables import Channel as ChannelRow
from db.tables import Webhook as WebhookRow
from db.values import Name, Strict, Tag, without_nul


def _event_type(value: str) -> str:
    if not TYPE.match(value):
        raise PydanticCustomError("event_type", "Write a type such as run.failed, or task.* for all of a kind.")
    return value


def _http_url(value: str) -> str:
    try:
        TypeAdapter(AnyHttpUrl).validate_python(value)
    except ValidationError:
        raise PydanticCustomError("url", "Must be a URL that starts with http:// or https://.") from None
    return value


def _zone(value: str) -> str:
    if value not in time_zones():
        raise PydanticCustomError("timezone", "Use a name such as Europe/Berlin or UTC.")
    return value


Url = Annotated[str, Field(min_length=1, max_length=2000), AfterValidator(without_nul), AfterValidator(_http_url)]
WallTime = Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]
"""As a clock on the wall shows it, such as `22:00`."""
ShownTime = Annotated[WallTime | None, BeforeValidator(lambda at: f"{at:%H:%M}" if isinstance(at, time) else at)]
Address = Annotated[str, Field(min_length=3, max_length=2000), AfterValidator(without_nul)]
EventType = Annotated[str, Field(max_length=50), AfterValidator(_event_type)]


class WebhookWish(Strict):
    """Where events are to be posted to."""

    name: Name
    url: Url
    types: Annotated[list[EventType], Field(max_length=50)] = []  # noqa: RUF012 - Pydantic copies it
    """Which events, such as `run.failed` or `task.*`; none for all."""
    task_id: UUID | None = None
    """Only what happens to this task."""
    enabled: bool = True


class Webhook(Answer):
    """Where events are posted to."""

    id: UUID
    name: str
    url: str
    types: list[str]
    task_id: UUID | None
    enabled: bool
    created_at: datetime
    failing_since: datetime | None
    """Since when it does not answer, or only by errors of its own."""
    probe_at: datetime | None
    """While it does not answer: when one delivery is tried again. The others wait."""
    error: str | None
    """What went wrong last; null while it answers."""


class MadeWebhook(Webhook):
    """The same with the key by which its posts are signed, which is shown this once."""

    signing_key: str


class Webhooks(Answer):
    """All of them."""

    items: list[Webhook]


class Delivery(Answer):
    """An event on its way to a webhook."""

    id: int
    event_id: str
    type: str
    body: str
    created_at: datetime
    attempts: int
    next_at: datetime | None
    """When it is tried next; null when it has arrived or was given up."""
    delivered_at: datetime | None
    status: int | None
    error: str | None


class Deliveries(Answer):
    """The newest, first."""

    items: list[Delivery]


class ChannelWish(Strict):
    """How people are to be told, and of what."""

    name: Name
    address: Annotated[Address | None, Field(repr=False)] = None
    """A URL of Apprise, such as `mailto://...` or `slack://...`; null keeps the one that it has."""
    about: Annotated[list[About], Field(min_length=1)] = [About.FAILED, About.RECOVERED, About.MISSED]  # noqa: RUF012
    after_failures: Annotated[int, Field(ge=1, le=1000)] = 1
    """Only when so many runs failed in a row."""
    late_seconds: Annotated[int, Field(ge=1, le=86_400)] = 60
    """A run that starts so much later than it was due is late."""
    tags: Annotated[list[Tag], Field(max_length=100)] | None = None
    """Only tasks with one of these; null for all."""
    quiet_from: WallTime | None = None
    quiet_to: WallTime | None = None
    """Hours in which nothing goes out; what happens in them goes out at their end."""
    timezone: Annotated[str, AfterValidator(_zone)] = "UTC"
    enabled: bool = True


class Channel(Answer):
    """How people are told, without its address."""

    id: UUID
    name: str
    about: Annotated[list[About], BeforeValidator(lambda held: [each for each in held if each in set(About)])]
    after_failures: int
    late_seconds: int
    tags: list[str] | None
    quiet_from: ShownTime
    quiet_to: ShownTime
    timezone: str
    enabled: bool
    created_at: datetime
    sent_at: datetime | None
    error: str | None
    """Why the last message did not go out."""


class Channels(Answer):
    """All of them."""

    items: list[Channel]


WebhookBody = Annotated[WebhookWish, WrapValidator(strictly(WebhookWish))]
ChannelBody = Annotated[ChannelWish, WrapValidator(strictly(ChannelWish))]
WebhookId = Annotated[UUID, Path(alias="id", description="The webhook's id.")]
ChannelId = Annotated[UUID, Path(alias="id", description="The channel's id.")]
DeliveryId = Annotated[int, Path(alias="delivery", ge=1, lt=2**63, description="The delivery's id.")]
ADMIN = takes(Role.ADMIN)


def message_routes(catalogue: Catalogue) -> APIRouter:
    """`/webhooks` and `/channels`."""
    router = APIRouter(tags=["messages"], route_class=JsonRoute, responses=problems.DESCRIBED)
    _add_webhooks(router, catalogue)
    _add_deliveries(router, catalogue)
    _add_channels(router, catalogue)
    return router


def _add_webhooks(router: APIRouter, catalogue: Catalogue) -> None:
    @router.get("/webhooks", openapi_extra=ADMIN, response_model=Webhooks, summary="List webhooks")
    def list_webhooks() -> Response:
        with catalogue.transaction() as session:
            return answers.send(Webhooks(items=list(map(_webhook, webhooks.list_webhooks(session)))))

    @router.post(
        "/webhooks", openapi_extra=ADMIN, status_code=201, response_model=MadeWebhook, summary="Post events somewhere"
    )
    def add(body: WebhookBody, actor: Actor) -> Response:
        with catalogue.transaction() as session:
            if body.task_id is not None:
                task_views.get_task(session, body.task_id, now=now())
            made, key = webhooks.add(session, _wish(body), sealer=sealer(), actor=actor, now=now())
            return answers.send(MadeWebhook(**_webhook(made).model_dump(), signing_key=key), 201)

    @router.put("/webhooks/{id}", openapi_extra=ADMIN, response_model=Webhook, summary="Replace a webhook")
    def change(webhook_id: WebhookId, body: WebhookBody, actor: Actor) -> Response:
        with catalogue.transaction() as session:
            if body.task_id is not None:
                task_views.get_task(session, body.task_id, now=now())
            changed = webhooks.change(session, webhook_id, _wish(body), actor=actor, now=now())
            return answers.send(_webhook(changed))

    @router.delete("/webhooks/{id}", openapi_extra=ADMIN, status_code=204, summary="Remove a webhook")
    def remove(webhook_id: WebhookId, actor: Actor) -> Response:
        with catalogue.transaction() as session:
            webhooks.remove(session, webhook_id, actor=actor, now=now())
        return Response(status_code=204)


def _add_deliveries(router: APIRouter, catalogue: Catalogue) -> None:
    @router.get(
        "/webhooks/{id}/deliveries",
        openapi_extra=ADMIN,
        response_model=Deliveries,
        summary="What was posted, newest first",
    )
    def list_deliveries(webhook_id: WebhookId, limit: Limit = 50) -> Response:
        with catalogue.transaction() as session:
            webhooks.get(session, webhook_id)
            found = webhooks.list_deliveries(session, webhook_id, limit=limit)
            return answers.send(Deliveries(items=[Delivery.model_validate(each) for each in found]))

    @router.post(
        "/webhooks/{id}/ping", openapi_extra=ADMIN, status_code=202, response_model=Delivery, summary="Try a webhook"
    )
    def ping(webhook_id: WebhookId, _body: EmptyBody = NOTHING) -> Response:
        with catalogue.transaction() as session:
            return answers.send(Delivery.model_validate(webhooks.ping(session, webhook_id, now=now())), 202)

    @router.post(
        "/webhooks/{id}/deliveries/{delivery}/again", openapi_extra=ADMIN, status_code=204, summary="Post it again"
    )
    def send_again(webhook_id: WebhookId, delivery_id: DeliveryId, _body: EmptyBody = NOTHING) -> Response:
        with catalogue.transaction() as session:
            webhooks.send_again(session, webhook_id, delivery_id, now=now())
        return Response(status_code=204)


def _add_channels(router: APIRouter, catalogue: Catalogue) -> None:
    @router.get("/channels", openapi_extra=ADMIN, response_model=Channels, summary="List channels")
    def list_channels() -> Response:
        with catalogue.transaction() as session:
            return answers.send(Channels(items=list(map(_channel, channels.list_channels(session)))))

    @router.post(
        "/channels",
        openapi_extra=ADMIN,
        status_code=201,
        response_model=Channel,
        summary="Tell people of what goes wrong",
    )
    def add(body: ChannelBody, actor: Actor) -> Response:
        if body.address is None:
            raise Refusal.invalid([FieldError(field="address", message="Write where messages are to go.")])
        with catalogue.transaction() as session:
            made = channels.add(session, _channel_wish(body), sealer=sealer(), actor=actor, now=now())
            return answers.send(_channel(made), 201)

    @router.put("/channels/{id}", openapi_extra=ADMIN, response_model=Channel, summary="Replace a channel")
    def change(channel_id: ChannelId, body: ChannelBody, actor: Actor) -> Response:
        wish = _channel_wish(body)
        with catalogue.transaction() as session:
            changed = channels.change(session, channel_id, wish, sealer=sealer(), actor=actor, now=now())
            return answers.send(_channel(changed))

    @router.delete("/channels/{id}", openapi_extra=ADMIN, status_code=204, summary="Remove a channel")
    def remove(channel_id: ChannelId, actor: Actor) -> Response:
        with catalogue.transaction() as session:
            channels.remove(session, channel_id, actor=actor, now=now())
        return Response(status_code=204)

    @router.post("/channels/{id}/test", openapi_extra=ADMIN, status_code=204, summary="Try a channel")
    def test(channel_id: ChannelId, _body: EmptyBody = NOTHING) -> Response:
        with catalogue.transaction() as session:
            channels.ask_for_test(session, channel_id, now=now())
        return Response(status_code=204)


def _wish(body: WebhookWish) -> webhooks.Wish:
    return webhooks.Wish(body.name, body.url, tuple(body.types), body.task_id, body.enabled)


def _channel_wish(body: ChannelWish) -> channels.Wish:
    """Raises:
    Refusal: 422, the quiet hours have one end only.
    """
    if (body.quiet_from is None) != (body.quiet_to is None):
        raise Refusal.invalid([FieldError(field="quiet_to", message="Give both ends of the quiet hours, or none.")])
    given: dict[str, Any] = {name: getattr(body, name) for name in ChannelWish.model_fields}
    quiet = {name: given[name] and time.fromisoformat(given[name]) for name in ("quiet_from", "quiet_to")}
    return channels.Wish(**(given | quiet))


def _webhook(row: WebhookRow) -> Webhook:
    return Webhook.model_validate(row)


def _channel(row: ChannelRow) -> Channel:
    return Channel.model_validate(row)
