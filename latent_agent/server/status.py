"""``/healthz``, ``/readyz``, ``/metrics`` and ``/v1/models``."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi.responses import Response

from latent_agent.server.access import Access
from latent_agent.server.errors import ApiError
from latent_agent.server.keys import Key, Right
from latent_agent.server.metrics import Metrics
from latent_agent.server.service import Service

# pyright: reportUnusedFunction=false


def status(service: Service, access: Access, metrics: Metrics) -> APIRouter:
    """Return the routes that say how the server is."""
    router = APIRouter(tags=["status"])

    @router.get("/healthz")
    async def alive() -> dict[str, str]:
        """Say that the process is alive."""
        return {"status": "ok"}

    @router.get("/readyz")
    async def ready() -> dict[str, str]:
        """Say whether the model is loaded and the memory can be read."""
        _check_ready(service)
        return {"status": "ready"}

    operating = access.asker(Right.OPERATE)

    @router.get("/metrics")
    async def measured(key: Annotated[Key, Depends(operating)]) -> Response:
        """Return the metrics, in Prometheus's form; needs the right to operate everywhere."""
        if key.namespaces is not None:  # they name all keys
            raise ApiError(
                403,
                f"metrics are of all keys and namespaces, got key {key.name!r}, which reaches "
                f"{len(key.namespaces)} of them; use one made with --every-namespace",
                "missing_right",
            )
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    return router


def models(service: Service, access: Access) -> APIRouter:
    """Return the routes that name the one model of this process."""
    router = APIRouter(tags=["models"], dependencies=[Depends(access.asker(Right.ASK))])

    @router.get("/v1/models")
    async def listed() -> dict[str, Any]:
        """List the model that is served."""
        return {"object": "list", "data": [_described(service)]}

    @router.get("/v1/models/{name:path}")
    async def one(name: str) -> dict[str, Any]:
        """Describe the model."""
        access.check_model(name)
        return _described(service)

    return router


def _check_ready(service: Service) -> None:
    if not service.shared.loaded:
        raise ApiError(
            503,
            "the model's weights are being read; ask again in a moment",
            "loading",
            headers={"retry-after": "1"},
        )
    if service.memory is not None:
        service.memory.has_unread(service.chat.namespace)  # raises where it cannot be read


def _described(service: Service) -> dict[str, Any]:
    return {
        "id": service.model,
        "object": "model",
        "created": 0,
        "owned_by": "latent-agent",
        "context_window": service.shared.context_window,
    }
