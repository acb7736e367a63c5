"""Errors in OpenAI's shape: each says the rule, the value received and the remedy."""

import json
import traceback
from collections.abc import Mapping
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from latent_agent.errors import (
    BusyError,
    CallCancelled,
    EmbedderError,
    LatentAgentError,
    ModelError,
    PromptError,
    SettingError,
)
from latent_memory import FeedbackError, LatentMemoryError, TraceError

_AGAIN = {"retry-after": "1"}
_KINDS: tuple[tuple[type[Exception], int, str, str], ...] = (
    (BusyError, 429, "rate_limit_error", "server_busy"),
    (SettingError, 400, "invalid_request_error", "invalid_value"),
    (PromptError, 400, "invalid_request_error", "invalid_prompt"),
    (FeedbackError, 400, "invalid_request_error", "invalid_feedback"),
    (TraceError, 400, "invalid_request_error", "invalid_value"),
    (CallCancelled, 499, "invalid_request_error", "cancelled"),
    (ModelError, 503, "server_error", "model_error"),
    (EmbedderError, 503, "server_error", "embedder_error"),
    (LatentMemoryError, 503, "server_error", "memory_error"),
    (LatentAgentError, 500, "server_error", "internal_error"),
)
_STATUSES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error"}


class ApiError(Exception):
    """An answer that is an error.

    Args:
        status: HTTP's.
        message: The rule, the value received and the remedy.
        code: A word for programs.
        param: The parameter that is meant.
        headers: Of the answer.
    """

    def __init__(
        self,
        status: int,
        message: str,
        code: str,
        *,
        kind: str | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.headers = status, dict(headers or {})
        usual = "server_error" if status >= 500 else "invalid_request_error"
        self.body: dict[str, Any] = {
            "error": {
                "message": message,
                "type": kind or _STATUSES.get(status, usual),
                "param": param,
                "code": code,
            }
        }

    def response(self) -> Response:
        """Return it as it is sent: in ASCII, since it may quote what is no valid Unicode."""
        text = json.dumps(self.body)
        return Response(text, self.status, self.headers, media_type="application/json")


def api_error(error: Exception) -> ApiError:
    """Return what an error is told as; what nobody foresaw tells nothing of itself."""
    match error:
        case ApiError():
            return error
        case RequestValidationError():
            return _invalid(error)
        case HTTPException():
            return _of_http(error)
        case _:
            for kind, status, name, code in _KINDS:
                if isinstance(error, kind):
                    headers = _AGAIN if status in (429, 503) else None
                    return ApiError(status, str(error), code, kind=name, headers=headers)
    return ApiError(500, "the server failed; its log says where", "internal_error")


async def on_error(request: Request, error: Exception) -> Response:
    """Answer with an error."""
    given = request.headers.get("content-type", "none")
    if isinstance(error, RequestValidationError) and "json" not in given.lower():
        error = ApiError(
            415,
            f"a body must be JSON and say so, got content-type {given[:100]!r}; send the header "
            "Content-Type: application/json",
            "not_json",
        )
    return api_error(error).response()


def _invalid(error: RequestValidationError) -> ApiError:
    first: Any = error.errors()[0]
    if first["type"] == "json_invalid":
        reason = first.get("ctx", {}).get("error", "unreadable")
        return ApiError(
            400, f"a body must be JSON, got what is none ({reason}); send an object", "invalid_json"
        )
    place = ".".join(str(part) for part in first["loc"] if part != "body")
    message, given = str(first["msg"]), first.get("input")
    if first["type"] == "extra_forbidden":
        message = "there is no such parameter here; leave it out"
    shown = repr(given)
    shown = f"{shown[:100]}..." if len(shown) > 100 else shown
    return ApiError(
        400, f"{place or 'the body'}: {message}, got {shown}", "invalid_value", param=place or None
    )


def _of_http(error: HTTPException) -> ApiError:
    codes = {404: "not_found", 405: "method_not_allowed"}
    remedy = {
        404: "there is nothing under this path; /docs lists what there is",
        405: "this path takes another method; /docs lists which",
    }
    message = remedy.get(error.status_code, str(error.detail))
    code = codes.get(error.status_code, "http_error")
    return ApiError(error.status_code, message, code, headers=error.headers)


def without_text(error: Exception) -> str:
    """Return where an error was raised, and which; its own words may hold a question."""
    frames = traceback.extract_tb(error.__traceback__)
    places = [f"{frame.filename}:{frame.lineno} in {frame.name}" for frame in frames]
    return "\n  ".join([type(error).__name__, *places])
