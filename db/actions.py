"""What the kinds of tasks do: the command, the request, the function, the flow."""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    AnyHttpUrl,
    Field,
    JsonValue,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from db.values import MAX_JSON, JsonObject, Strict, Text, within_json_size, without_nul

MAX_COMMAND = 64 * 1024

_ENVIRONMENT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+\Z")
_CALLABLE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*\Z")
_EXPECT_STATUS = re.compile(r"([1-5]xx|[1-5]\d\d)(,([1-5]xx|[1-5]\d\d))*\Z")


def _named_like_variables(env: dict[str, str]) -> dict[str, str]:
    for name in env:
        if not _ENVIRONMENT_NAME.match(name):
            raise PydanticCustomError(
                "env_name", "{name} is not a variable name. Use letters, digits and _.", {"name": repr(name)}
            )
    return within_json_size(env)  # type: ignore[no-any-return]


class ShellAction(Strict):
    """A command for `/bin/sh -c`."""

    command: Annotated[str, Field(min_length=1, max_length=MAX_COMMAND), AfterValidator(without_nul)]
    env: Annotated[dict[Text, Text], AfterValidator(_named_like_variables)] = {}
    cwd: Annotated[str, Field(min_length=1, max_length=4096), AfterValidator(without_nul)] | None = None
    success_exit_codes: Annotated[list[Annotated[int, Field(ge=0, le=255)]], Field(min_length=1, max_length=256)] = [0]

    @field_validator("command")
    @classmethod
    def _not_blank(cls, value: str) -> str:
        if not value.strip():
            raise PydanticCustomError("blank", "Must not be blank.")
        return value


class HttpAction(Strict):
    """An HTTP request, sent with an `Idempotency-Key` of task and due time."""

    method: Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] = "POST"
    url: Annotated[str, Field(min_length=1, max_length=8192), AfterValidator(without_nul)]
    headers: Annotated[dict[Text, Text], AfterValidator(within_json_size)] = {}
    body: Annotated[str, Field(max_length=MAX_JSON), AfterValidator(without_nul)] | None = None
    json_body: Annotated[JsonValue, AfterValidator(within_json_size), Field(alias="json")] = None
    expect_status: Annotated[str, Field(max_length=200), AfterValidator(without_nul)] = "2xx"
    """Codes and classes of codes that count as success, such as `2xx` or `200,204`."""
    follow_redirects: bool = True
    verify_tls: bool = True

    @field_validator("method", mode="before")
    @classmethod
    def _upper(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value

    @field_validator("url")
    @classmethod
    def _http(cls, value: str) -> str:
        try:
            TypeAdapter(AnyHttpUrl).validate_python(value)
        except ValidationError:
            raise PydanticCustomError("url", "Must be a URL that starts with http:// or https://.") from None
        return value

    @field_validator("headers")
    @classmethod
    def _header_lines(cls, value: dict[str, str]) -> dict[str, str]:
        for name, text in value.items():
            if not _HEADER_NAME.match(name) or not text.isascii() or not (text + " ").isprintable():
                raise PydanticCustomError("header", "{name} is not a valid header.", {"name": repr(name)})
        return value

    @field_validator("expect_status")
    @classmethod
    def _codes(cls, value: str) -> str:
        folded = value.replace(" ", "").lower()
        if not _EXPECT_STATUS.match(folded):
            raise PydanticCustomError("expect_status", "Use codes or classes, such as 2xx or 200,204.")
        return folded

    @model_validator(mode="after")
    def _one_body(self) -> Self:
        if self.body is not None and self.json_body is not None:
            raise PydanticCustomError("two_bodies", "Give body or json, not both.")
        return self


def _importable_path(value: str) -> str:
    if not _CALLABLE.match(value):
        raise PydanticCustomError("callable", "Write it as package.module:name.")
    return value


ImportPath = Annotated[
    str, Field(min_length=3, max_length=500), AfterValidator(_importable_path), AfterValidator(without_nul)
]


class PythonAction(Strict):
    """A function that can be imported on the worker, called with keyword arguments."""

    callable: ImportPath
    kwargs: JsonObject = {}


class FlowAction(Strict):
    """A Prefect flow that can be imported on the worker."""

    entrypoint: Annotated[str, Field(min_length=3, max_length=500), AfterValidator(without_nul)]
    parameters: JsonObject = {}
