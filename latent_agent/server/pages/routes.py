"""The pages' routes."""

from fastapi import APIRouter
from fastapi.responses import Response

from latent_agent.server.pages.changing import PageChanges
from latent_agent.server.pages.guard import Guard, PageError
from latent_agent.server.pages.login import Login
from latent_agent.server.pages.looking import Looks
from latent_agent.server.pages.rendering import BASE, PageRoute, go, stylesheet
from latent_agent.server.service import Service

# pyright: reportUnusedFunction=false


def router(service: Service) -> APIRouter:
    """Return the routes of the memory pages, under ``/memory``.

    Without keys whoever is on this machine may do everything. With keys a browser logs in with
    one: ``read`` to look, ``rate`` to rate, ``operate`` for priors and to forget.
    """
    made = APIRouter(prefix=BASE, include_in_schema=False, route_class=PageRoute)
    guard = Guard(service)

    @made.get("/style.css")
    def style() -> Response:
        return stylesheet()

    for pages in (Login(service, guard), Looks(guard), PageChanges(service, guard)):
        pages.add_to(made)

    @made.get("/")
    def without_slash() -> Response:
        return go("")

    @made.get("/{rest:path}")
    def nothing() -> Response:
        raise PageError(404, "No such page", "The way on is the overview, at /memory.")

    return made
