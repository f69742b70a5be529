"""Accounts and API keys over REST: who may come in, and what they may do."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Response
from pydantic import AfterValidator, Field, WrapValidator

from dashboard.api import answers, problems
from dashboard.api.access import Actor, Caller, takes
from dashboard.api.answers import Answer
from dashboard.api.bodies import JsonRoute, strictly
from dashboard.api.problems import Refusal
from dashboard.attempts import OWN_PASSWORDS
from dashboard.context import now
from dashboard.doorman import MAX_NAME
from db import accounts, keys
from db.access import Role
from db.engine import Catalogue
from db.passwords import MAX_PASSWORD
from db.specs import FieldError
from db.tables import ApiKey
from db.values import Instant, Name, Strict, Tag, without_nul

AccountName = Annotated[Name, Field(max_length=MAX_NAME)]
Password = Annotated[str, Field(max_length=MAX_PASSWORD, repr=False), AfterValidator(without_nul)]
Tags = Annotated[list[Tag], Field(max_length=100)] | None


class NewAccount(Strict):
    """Somebody who is let in with a password."""

    name: AccountName
    role: Role
    tags: Tags = None
    """Only tasks with one of these may be run or changed; null for all."""
    password: Password


class Rights(Strict):
    """What somebody may do."""

    role: Role
    tags: Tags = None
    disabled: bool = False


class NewPassword(Strict):
    """The password from now on."""

    password: Password


class OwnPassword(Strict):
    """The password from now on, and the one before."""

    current: Password
    password: Password


class NewKey(Strict):
    """What a program is to come in with."""

    name: AccountName
    role: Role
    tags: Tags = None
    expires_at: Instant | None = None


class Account(Answer):
    """Somebody who may come in."""

    id: UUID
    name: str
    role: Role
    tags: list[str] | None
    disabled: bool
    has_password: bool
    """Whether they sign in here; otherwise at the identity provider."""
    created_at: datetime
    signed_in_at: datetime | None


class Accounts(Answer):
    """All of them."""

    items: list[Account]


class Key(Answer):
    """What a program comes in with, without its secret."""

    id: UUID
    name: str
    owner: str | None
    role: Role
    tags: list[str] | None
    hint: str
    """How the key begins."""
    created_at: datetime
    expires_at: datetime | None
    used_at: datetime | None


class MadeKey(Key):
    """The same with the key itself, which is shown this once."""

    key: str


class Keys(Answer):
    """All that the caller may see."""

    items: list[Key]


class Me(Answer):
    """Who asks."""

    name: str
    """Empty where nobody has to say who they are."""
    role: Role
    tags: list[str] | None


AccountBody = Annotated[NewAccount, WrapValidator(strictly(NewAccount))]
RightsBody = Annotated[Rights, WrapValidator(strictly(Rights))]
PasswordBody = Annotated[NewPassword, WrapValidator(strictly(NewPassword))]
OwnPasswordBody = Annotated[OwnPassword, WrapValidator(strictly(OwnPassword))]
KeyBody = Annotated[NewKey, WrapValidator(strictly(NewKey))]
AccountId = Annotated[UUID, Path(alias="id", description="The account's id.")]
KeyId = Annotated[UUID, Path(alias="id", description="The key's id.")]


def account_routes(catalogue: Catalogue) -> APIRouter:
    """`/accounts`, `/keys` and `/me`."""
    router = APIRouter(tags=["accounts"], route_class=JsonRoute, responses=problems.DESCRIBED)
    _add_accounts(router, catalogue)
    _add_me(router, catalogue)
    _add_keys(router, catalogue)
    return router


def _add_accounts(router: APIRouter, catalogue: Catalogue) -> None:
    @router.get("/accounts", openapi_extra=takes(Role.ADMIN), response_model=Accounts, summary="List all accounts")
    def list_accounts() -> Response:
        with catalogue.transaction() as session:
            return answers.send(Accounts(items=[_account(each) for each in accounts.list_accounts(session)]))

    @router.post(
        "/accounts", openapi_extra=takes(Role.ADMIN), status_code=201, response_model=Account, summary="Let somebody in"
    )
    def add(body: AccountBody, actor: Actor) -> Response:
        with catalogue.transaction() as session:
            given: dict[str, Any] = {"role": body.role, "tags": body.tags, "password": body.password}
            return answers.send(_account(accounts.add(session, body.name, **given, actor=actor, now=now())), 201)

    @router.put(
        "/accounts/{id}", openapi_extra=takes(Role.ADMIN), response_model=Account, summary="Say what somebody may do"
    )
    def change(account_id: AccountId, body: RightsBody, actor: Actor) -> Response:
        with catalogue.transaction() as session:
            given: dict[str, Any] = {"role": body.role, "tags": body.tags, "disabled": body.disabled}
            return answers.send(_account(accounts.change(session, account_id, **given, actor=actor, now=now())))

    @router.put(
        "/accounts/{id}/password",
        openapi_extra=takes(Role.ADMIN),
        status_code=204,
        summary="Give somebody another password",
    )
    def set_password(account_id: AccountId, body: PasswordBody, actor: Actor) -> Response:
        with catalogue.transaction() as session:
            accounts.set_password(session, account_id, body.password, actor=actor, now=now())
        return Response(status_code=204)

    @router.delete("/accounts/{id}", openapi_extra=takes(Role.ADMIN), status_code=204, summary="Remove an account")
    def remove(account_id: AccountId, actor: Actor) -> Response:
        with catalogue.transaction() as session:
            accounts.remove(session, account_id, actor=actor, now=now())
        return Response(status_code=204)


def _add_me(router: APIRouter, catalogue: Catalogue) -> None:
    @router.get("/me", openapi_extra=takes(Role.VIEWER), response_model=Me, summary="Who asks, and what they may do")
    def me(by: Caller) -> Response:
        return answers.send(Me(name=by.name, role=by.role, tags=None if by.tags is None else sorted(by.tags)))

    @router.put("/me/password", openapi_extra=takes(Role.VIEWER), status_code=204, summary="Change one's own password")
    def change_password(body: OwnPasswordBody, by: Caller, actor: Actor) -> Response:
        with OWN_PASSWORDS.of(by.name), catalogue.transaction() as session:
            accounts.change_own_password(session, by, body.current, body.password, actor=actor, now=now())
        return Response(status_code=204)


def _add_keys(router: APIRouter, catalogue: Catalogue) -> None:
    @router.get(
        "/keys", openapi_extra=takes(Role.VIEWER), response_model=Keys, summary="List one's own keys; all to an admin"
    )
    def list_keys(by: Caller) -> Response:
        with catalogue.transaction() as session:
            found = keys.list_keys(session, by=by)
            return answers.send(Keys(items=[Key.model_validate(_key(key, owner)) for key, owner in found]))

    @router.post(
        "/keys",
        openapi_extra=takes(Role.VIEWER),
        status_code=201,
        response_model=MadeKey,
        summary="Make a key, with no more rights than one's own",
    )
    def make(body: KeyBody, by: Caller, actor: Actor) -> Response:
        at = now()
        if body.expires_at is not None and body.expires_at <= at:
            message = "This moment has passed. Choose a later one, or null."
            raise Refusal.invalid([FieldError(field="expires_at", message=message)])
        given: dict[str, Any] = {"role": body.role, "tags": body.tags, "expires_at": body.expires_at}
        with catalogue.transaction() as session:
            key, secret = keys.make(session, body.name, **given, maker=by, actor=actor, now=at)
            owner = by.name if by.account_id else None
            return answers.send(MadeKey.model_validate({**_key(key, owner), "key": secret}), 201)

    @router.delete("/keys/{id}", openapi_extra=takes(Role.VIEWER), status_code=204, summary="Revoke a key")
    def revoke(key_id: KeyId, by: Caller, actor: Actor) -> Response:
        with catalogue.transaction() as session:
            keys.revoke(session, key_id, by=by, actor=actor, now=now())
        return Response(status_code=204)


def _account(account: Any) -> Account:
    found = {name: getattr(account, name) for name in Account.model_fields if name != "has_password"}
    return Account.model_validate({**found, "has_password": account.password_hash is not None})


def _key(key: ApiKey, owner: str | None) -> dict[str, Any]:
    return {**{name: getattr(key, name) for name in Key.model_fields if name != "owner"}, "owner": owner}
