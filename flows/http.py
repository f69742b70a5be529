"""HTTP tasks: one request, whose status decides."""

import asyncio
import socket
import ssl
import time
from collections.abc import Iterator

import httpx
from prefect import State, flow
from pydantic import JsonValue

from db import loops
from db.actions import HttpAction
from db.specs import task_key
from db.states import Backoff, RunState, Stream
from flows import clients
from flows.attempts import Attempt, Output, Result, until_over
from flows.flow_runs import Policy, attempt_in_flow
from flows.lines import Allowance, Lines

FULL_POLL_SECONDS = 0.1


async def perform(attempt: Attempt, output: Output, cancel: asyncio.Event) -> Result:
    """Sends the request and logs the body of the answer; headers are never logged, since they may hold secrets."""
    action = attempt.action
    assert isinstance(action, HttpAction)
    allowance = Allowance(output, mask=attempt.mask)
    exchange = loops.awaited("http", _exchange(attempt, action, allowance))
    try:
        stopped = await until_over(exchange, timeout_seconds=attempt.timeout_seconds, cancel=cancel)
        if stopped is None:
            return exchange.result()
        if stopped is RunState.CANCELLED:
            return Result(RunState.CANCELLED, error="Cancelled.")
        return Result(RunState.TIMED_OUT, error=f"Timed out after {attempt.timeout_seconds:g} s.")
    finally:
        exchange.cancel()
        await asyncio.gather(exchange, return_exceptions=True)
        allowance.close()


async def _exchange(attempt: Attempt, action: HttpAction, allowance: Allowance) -> Result:
    try:
        return await _send(attempt, action, allowance)
    except httpx.RequestError as error:
        return Result(RunState.FAILED, error=_why_not(error))
    except (httpx.InvalidURL, OSError) as error:
        return Result(RunState.FAILED, error=f"The request could not be made: {error}.")


async def _send(attempt: Attempt, action: HttpAction, allowance: Allowance) -> Result:
    # A name and a password in the URL become a header here, so that no message can show them.
    url = httpx.URL(action.url)
    auth = (url.username, url.password) if url.userinfo else None
    began = time.monotonic()
    allowance.write(f"{action.method} {_shown(url)}", stream=Stream.SYSTEM)
    async with clients.SHARED.get(verify_tls=action.verify_tls).stream(
        action.method,
        url.copy_with(userinfo=b""),
        headers=_headers(attempt, action),
        content=action.body,
        json=action.json_body,
        auth=auth,
        follow_redirects=action.follow_redirects,
    ) as response:
        status = f"{response.status_code} {response.reason_phrase}".strip()
        source = f" from {_shown(response.url)}" if response.history else ""
        took = f"{time.monotonic() - began:.3f} s"
        allowance.write(f"Answered {status}{source} after {took}", stream=Stream.SYSTEM)
        await _log_body(response, allowance)
    if is_expected(response.status_code, action.expect_status):
        return Result(RunState.COMPLETED)
    cure = "What it said is in the log. If this is right, add it to the task's expect_status."
    return Result(RunState.FAILED, error=f"Answered {status}, expected {action.expect_status}. {cure}")


def is_expected(status: int, expect_status: str) -> bool:
    """Whether a status is among codes and classes such as `2xx,404`. Pure."""
    return any(expected in (str(status), f"{status // 100}xx") for expected in expect_status.split(","))


def _headers(attempt: Attempt, action: HttpAction) -> httpx.Headers:
    headers = httpx.Headers(
        {
            "User-Agent": "duetime",
            # What is compressed can become a thousand times as large in memory.
            "Accept-Encoding": "identity",
            "Idempotency-Key": task_key(attempt.task_id, attempt.due_at),
        }
    )
    headers.update(action.headers)
    return headers


async def _log_body(response: httpx.Response, allowance: Allowance) -> None:
    """Reads no more than can be kept."""
    lines = Lines(allowance, Stream.STDOUT, encoding=_encoding(response))
    try:
        async for data in response.aiter_bytes():
            lines.feed(data)
            if allowance.exhausted:
                return
            while allowance.is_full:
                await asyncio.sleep(FULL_POLL_SECONDS)
    finally:
        lines.close()


def _encoding(response: httpx.Response) -> str:
    name = response.charset_encoding or "utf-8"
    try:
        # Python knows encodings that are none of text, and some that cannot replace what they don't know.
        bytes(range(256)).decode(name, "replace")
    except (LookupError, UnicodeError):
        return "utf-8"
    return name


def _shown(url: httpx.URL) -> str:
    return str(url.copy_with(userinfo=b""))


def _why_not(error: httpx.RequestError) -> str:
    """What went wrong and what to do about it, by the first cause that is known."""
    where = error.request.url.netloc.decode()
    known = (_known(cause, where) for cause in _causes(error))
    said = f"The request to {where} failed: {str(error) or type(error).__name__}."
    return next((why for why in known if why), said)


def _known(cause: BaseException, where: str) -> str | None:
    match cause:
        case clients.NotAllowed():
            return f"Nothing was sent to {where}: {cause}"
        case socket.gaierror():
            return f"No address is known for {where}: {cause.strerror}. Check the URL and this worker's DNS."
        case ConnectionRefusedError():
            return f"{where} refused the connection. Check the port, and that the service runs there."
        case ssl.SSLCertVerificationError():
            cure = "Correct it there, or set verify_tls to false to accept any certificate."
            return f"The certificate of {where} is not accepted: {cause.verify_message}. {cure}"
        case ssl.SSLError():
            return f"TLS with {where} failed: {cause.reason or cause}. Check that this port speaks https."
        case httpx.TooManyRedirects():
            return "Too many redirects. Check the URL, or set follow_redirects to false."
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        if isinstance(error, BaseExceptionGroup):
            for one in error.exceptions:
                yield from _causes(one)
        error = error.__cause__ or error.__context__


# The action checks its parameters; Prefect's own check would warn of the name `json`.
@flow(name="http", validate_parameters=False)
def http(
    url: str,
    method: str = "POST",
    headers: dict[str, str] | None = None,
    body: str | None = None,
    json: JsonValue = None,
    expect_status: str = "2xx",
    follow_redirects: bool = True,
    verify_tls: bool = True,
    timeout_seconds: int | None = 3600,
    retries: int = 0,
    retry_delay_seconds: int = 10,
    retry_backoff: Backoff = Backoff.CONSTANT,
) -> State | None:
    """Sends a request, until an attempt succeeds or none is left."""
    action = HttpAction.model_validate(
        {
            "url": url,
            "method": method,
            "headers": headers or {},
            "body": body,
            "json": json,
            "expect_status": expect_status,
            "follow_redirects": follow_redirects,
            "verify_tls": verify_tls,
        }
    )
    policy = Policy(
        timeout_seconds=timeout_seconds,
        retries=retries,
        retry_delay_seconds=retry_delay_seconds,
        retry_backoff=retry_backoff,
    )
    return attempt_in_flow(perform, action, policy)
