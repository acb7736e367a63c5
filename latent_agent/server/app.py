"""The application: its routes, and what stands around all of them."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from starlette.exceptions import HTTPException

from latent_agent.errors import LatentAgentError
from latent_agent.server import pages
from latent_agent.server.access import Access
from latent_agent.server.around import Around
from latent_agent.server.completions import completions
from latent_agent.server.embeddings import embeddings
from latent_agent.server.errors import ApiError, on_error
from latent_agent.server.feedback import feedback
from latent_agent.server.metrics import Metrics
from latent_agent.server.nights import NightsInside
from latent_agent.server.service import Service
from latent_agent.server.status import models, status
from latent_agent.server.turns import Turns
from latent_memory import LatentMemoryError

_OURS = (ApiError, RequestValidationError, HTTPException, LatentAgentError, LatentMemoryError)


def make_app(service: Service) -> FastAPI:
    """Return the application that serves a chat model.

    Raises:
        SettingError: If the schedule of its nights is none.
    """
    access, turns, metrics = Access(service), Turns(), Metrics(service)
    nights = None
    if service.nights is not None:
        nights = NightsInside(service, service.nights, service.if_new, metrics)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        if nights is not None:
            nights.start()
        yield
        if nights is not None:
            nights.stop()

    app = FastAPI(title="latent-agent", version="1", lifespan=lifespan, redoc_url=None)
    for router in (
        completions(service, access, turns, metrics),
        embeddings(service, access, turns),
        feedback(service, access, turns, metrics),
        models(service, access),
        status(service, access, metrics),
        pages.router(service),
    ):
        app.include_router(router)
    for kind in _OURS:
        app.add_exception_handler(kind, on_error)
    if service.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(service.origins),
            allow_methods=["GET", "POST"],
            allow_headers=["*"],
        )
    app.add_middleware(Around, metrics=metrics, body=service.bounds.body)
    return app
