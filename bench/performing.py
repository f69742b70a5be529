"""The work as peers in Python do it that leave the doing to their users' functions."""

import asyncio
import os
import subprocess
from functools import cache

import httpx

from bench.work import BEFORE_THE_DUE_TIME, Kind, Work, stamp

MOST_CONNECTIONS = httpx.Limits(max_connections=200, max_keepalive_connections=200)
TIMEOUT_SECONDS = 60


def environment(due: str) -> dict[str, str]:
    return {**os.environ, "DUE": due}


def headers(work: Work, due: str) -> dict[str, str]:
    return {BEFORE_THE_DUE_TIME: f"{work.task}/{due}"}


def perform(work: Work, due: str) -> None:
    """Blocks; for peers that give each run a process or a thread of its own."""
    match work.kind:
        case Kind.SHELL:
            subprocess.run(work.command(), shell=True, check=True, env=environment(due))  # noqa: S602 - the user's command
        case Kind.HTTP:
            client().get(work.address, headers=headers(work, due)).raise_for_status()
        case Kind.PYTHON:
            stamp(work.task, work.pipe, due)


async def perform_in_loop(work: Work, due: str) -> None:
    """For peers that are an asyncio loop."""
    match work.kind:
        case Kind.SHELL:
            process = await asyncio.create_subprocess_shell(work.command(), env=environment(due))
            await process.wait()
        case Kind.HTTP:
            answer = await async_client().get(work.address, headers=headers(work, due))
            answer.raise_for_status()
        case Kind.PYTHON:
            stamp(work.task, work.pipe, due)


@cache
def client() -> httpx.Client:
    """Shared by the runs of a process, so that connections stay open."""
    return httpx.Client(limits=MOST_CONNECTIONS, timeout=TIMEOUT_SECONDS, trust_env=False)


@cache
def async_client() -> httpx.AsyncClient:
    return httpx.AsyncClient(limits=MOST_CONNECTIONS, timeout=TIMEOUT_SECONDS, trust_env=False)
