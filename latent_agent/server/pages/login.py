"""Logging in with a key, and out again."""

import re
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response

from latent_agent.server.keys import Right
from latent_agent.server.pages.guard import COOKIE, Form, Guard, PageError, sent_form
from latent_agent.server.pages.rendering import BASE, go, page
from latent_agent.server.pages.sessions import HOURS
from latent_agent.server.service import Service

_OURS = re.compile(rf"{BASE}((?:/[\w/]*)?(?:\?[\w=&%+.-]*)?)", re.ASCII)


class Login:
    """Logging in with a key, and out again."""

    def __init__(self, service: Service, guard: Guard) -> None:
        self._service = service
        self._guard = guard

    def add_to(self, router: APIRouter) -> None:
        """Add them."""
        for method, path, answer in (
            ("GET", "/login", self._form),
            ("POST", "/login", self._begin),
            ("POST", "/logout", self._end),
        ):
            router.add_api_route(path, answer, methods=[method])

    def _form(self, request: Request, next: str = "") -> Response:
        self._guard.check_host(request)
        return page("login.html.j2", None, next=next) if self._guard.logs_in else go("")

    def _begin(self, request: Request, form: Annotated[Form, Depends(sent_form)]) -> Response:
        self._guard.check_origin(request)
        if self._service.keys is None:
            return go("")
        address = request.client.host if request.client else ""
        if wait := self._guard.attempts.wait(address):
            raise PageError(
                429, "Too many tries", f"Too many logins failed. Try again in {wait} s.", wait
            )
        secret, wanted = form.get("key", "").strip(), form.get("next", "")
        key = self._service.keys.find(secret)
        if key is None:
            self._guard.attempts.failed(address)
            said = "This server does not know that key."
            return page("login.html.j2", None, 401, next=wanted, said=said)
        if not key.may(Right.READ):
            said = f"Key {key.name} lacks the right to read the memory. Use one that has it."
            return page("login.html.j2", None, 403, next=wanted, said=said)
        self._guard.sessions.end(request.cookies.get(COOKIE, ""))
        ours = _OURS.fullmatch(wanted)
        response = go(ours[1] if ours else "")
        response.set_cookie(
            COOKIE,
            self._guard.sessions.begin(secret),
            max_age=HOURS * 3600,
            path=BASE,
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="strict",
        )
        return response

    def _end(self, request: Request, form: Annotated[Form, Depends(sent_form)]) -> Response:
        visitor = self._guard.changes(request, form, Right.READ)
        if visitor.session is not None:
            self._guard.sessions.end(visitor.session)
        response = go("/login")
        response.delete_cookie(COOKIE, path=BASE)
        return response
