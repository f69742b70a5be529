"""Whether the process lives, and whether the system could run a task now."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from db.engine import Catalogue


def health_routes(_catalogue: Catalogue) -> list[Route]:
    """`/healthz` and `/readyz`."""

    def healthz(_request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    return [Route("/healthz", healthz)]
