"""The application: its routes, and what stands around all of them."""

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from latent_agent.errors import LatentAgentError
from latent_agent.server.access import Access
from latent_agent.server.completions import completions
from latent_agent.server.errors import ApiError, on_error
from latent_agent.server.service import Service
from latent_memory import LatentMemoryError


def make_app(service: Service) -> FastAPI:
    """Return the application that serves a chat model."""
    app = FastAPI(title="latent-agent", version="1")
    access = Access(service)
    app.include_router(completions(service, access))
    # app.include_router(pages.router(service))
    for kind in (
        *(ApiError, RequestValidationError, HTTPException),
        *(LatentAgentError, LatentMemoryError),
    ):
        app.add_exception_handler(kind, on_error)
    return app
