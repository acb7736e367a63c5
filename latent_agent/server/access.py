"""Who asks, in which namespace, for how much: decided here and nowhere else."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import Request

from latent_agent.server.depth import MOST, too_deep
from latent_agent.server.errors import ApiError
from latent_agent.server.keys import Key, Right
from latent_agent.server.requests import ChatRequest
from latent_agent.server.service import Service
from latent_agent.settings import AUTO

LOCAL = Key(name="local", namespaces=None, rights=frozenset(Right))
"""Who asks where there are no keys: somebody on this machine."""
LOOPBACK = ("127.0.0.1", "::1", "localhost")


class Access:
    """Who may do what with a service.

    Args:
        service: What is asked for.
    """

    def __init__(self, service: Service) -> None:
        self._service = service

    def asker(self, right: Right) -> Callable[[Request], Awaitable[Key]]:
        """Return the dependency of a route that needs a right: it gives who asks."""

        async def demanded(request: Request) -> Key:
            return self.demand(request, right)

        return demanded

    def demand(self, request: Request, right: Right) -> Key:
        """Return who asks; ``request.state.key`` is their name from then on.

        Raises:
            ApiError: If nobody knows them, or they lack the right.
        """
        if self._service.keys is None:
            self._refuse_others(request)
            key = LOCAL
        else:
            key = self._known(request)
        request.state.key = key.name
        if not key.may(right):
            rights = ", ".join(sorted(key.rights))
            raise ApiError(
                403,
                f"this needs a key with the right {right.value!r}, got {key.name!r} with "
                f"{rights or 'none'}; ask the operator for it",
                "missing_right",
            )
        return key

    def _known(self, request: Request) -> Key:
        scheme, _, secret = request.headers.get("authorization", "").partition(" ")
        assert self._service.keys is not None
        key = self._service.keys.find(secret.strip()) if scheme.lower() == "bearer" else None
        if key is None:
            raise ApiError(
                401,
                "a request must carry a key that this server knows, got "
                f"{'none' if not secret else 'an unknown one'}; send the header Authorization: "
                "Bearer KEY (api_key=... in the openai package)",
                "invalid_api_key",
                headers={"www-authenticate": "Bearer"},
            )
        return key

    def _refuse_others(self, request: Request) -> None:
        """Refuse what a web page from elsewhere sends through the browser of who sits here.

        Such a page may have a name of its own for this machine; what a browser sends for it bears
        that name, or the page's.
        """
        origin, host = request.headers.get("origin"), request.headers.get("host", "")
        if _machine(host) not in LOOPBACK:
            raise ApiError(
                403,
                f"without keys only this machine is served, got a request for host {host!r}; ask "
                "http://127.0.0.1, or start the server with --keys FILE",
                "local_only",
            )
        own = origin is None or origin.partition("://")[2] == host
        if not own and origin not in self._service.origins:
            raise ApiError(
                403,
                f"web pages from elsewhere are not served, got one from {origin!r}; start the "
                "server with --allow-origin to let it ask",
                "origin_not_allowed",
            )

    def namespace(self, key: Key, wanted: str | None) -> str:
        """Return whose memory a request reaches: the one that it names, or the key's own.

        Raises:
            ApiError: If the key does not reach it, or reaches several and none is named.
        """
        if wanted is None and key.namespaces is not None:
            if len(key.namespaces) != 1:
                raise ApiError(
                    400,
                    f"key {key.name!r} reaches {len(key.namespaces)} namespaces, so a request must "
                    'name one, got none; send "latent_agent": {"namespace": ...}',
                    "missing_namespace",
                    param="latent_agent.namespace",
                )
            (wanted,) = key.namespaces
        namespace = self._service.chat.namespace if wanted is None else wanted
        if not key.sees(namespace):
            raise ApiError(
                403,
                f"key {key.name!r} does not reach namespace {namespace!r}; leave it out, or name "
                "one of your own",
                "namespace_not_allowed",
                param="latent_agent.namespace",
            )
        return namespace

    def check_model(self, name: str) -> None:
        """Hold a request to the model that is served.

        Raises:
            ApiError: If it names another.
        """
        if name != self._service.model:
            raise ApiError(
                404,
                f"model must be {self._service.model!r}, the one that this server serves, got "
                f"{name[:200]!r}; start another server for another model",
                "model_not_found",
                kind="invalid_request_error",
                param="model",
            )

    def allowed(self, sent: ChatRequest) -> dict[str, Any]:
        """Return the settings that a request asks for, within the operator's bounds.

        Raises:
            ApiError: If one is beyond its bound.
        """
        own, bounds = sent.latent_agent, self._service.bounds
        self._check_prompt(sent)
        if own.recipe not in (None, AUTO):
            raise ApiError(
                400,
                f"a recipe is the server's own, or {AUTO!r}, got {own.recipe!r}; leave it out, or "
                "start the server with --recipe",
                "unsupported_value",
                param="latent_agent.recipe",
            )
        tokens = sent.max_completion_tokens or sent.max_tokens
        for name, value, most, option in (
            ("max_tokens", tokens, bounds.tokens, "tokens"),
            ("n", sent.n, bounds.answers, "answers"),
            ("latent_agent.timeout", own.timeout, bounds.seconds, "seconds"),
            ("latent_agent.max_iterations", own.max_iterations, bounds.iterations, "iterations"),
            ("latent_agent.width", own.width, bounds.width, "width"),
            ("latent_agent.drafts", own.drafts, bounds.width, "width"),
        ):
            if value is not None and value > most:
                raise ApiError(
                    400,
                    f"{name} must be at most {most:g}, got {value}; ask for less, or start the "
                    f"server with --most-{option}",
                    "beyond_bounds",
                    param=name,
                )
        given = own.model_dump(exclude={"namespace", "progress"}, exclude_none=True)
        chat = self._service.chat
        if own.recipe == AUTO != chat.recipe:  # which the operator did not choose
            given["most"] = {"max_iterations": bounds.iterations, "drafts": bounds.width}
        return {
            **given,
            "timeout": own.timeout or min(chat.timeout or bounds.seconds, bounds.seconds),
            "max_tokens": tokens or min(chat.max_tokens or bounds.tokens, bounds.tokens),
        }

    def _check_prompt(self, sent: ChatRequest) -> None:
        """Hold a prompt to its length, and to text that a model can read."""
        parts, most = sent.prompt, self._service.bounds.characters
        problem = None
        if parts is None or too_deep(parts):
            problem = 400, f"have at most {MOST} levels of lists and objects, got more"
        elif (length := len(text := json.dumps(parts, ensure_ascii=False))) > most:
            problem = 413, f"have at most {most:,} characters with its tools, got {length:,}"
        elif text != text.encode(errors="ignore").decode():
            problem = 400, "be valid Unicode, got a lone surrogate"
        if problem is not None:
            status, rule = problem
            raise ApiError(
                status,
                f"a prompt must {rule}; send less, or see latent-agent serve --help",
                "invalid_prompt",
                param="messages",
            )


def _machine(host: str) -> str:
    """Return the name in a Host header, without port and brackets."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    return name.removeprefix("[").removesuffix("]").lower()
