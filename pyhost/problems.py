"""The problem documents of the HTTP interface (RFC 9457): which error becomes which status, type and title.

``PROBLEM_TYPES`` is the only table of them; the gateway raises ``Problem``, and ``docs/http.md`` explains each type.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyhost import errors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MEDIA_TYPE = "application/problem+json"
_URI_PREFIX = "urn:pyhost:problem:"
_RETRY_SECONDS = "1"


@dataclass(frozen=True, slots=True)
class ProblemType:
    """One kind of problem: what stays the same in each document of it."""

    name: str
    """The last part of its URI."""
    status: int
    """HTTP status code."""
    title: str

    @property
    def uri(self) -> str:
        """The stable ``type`` of its documents."""
        return _URI_PREFIX + self.name


UNAUTHORIZED = ProblemType("unauthorized", 401, "A token is needed")
FORBIDDEN = ProblemType("forbidden", 403, "Not allowed")
NOT_FOUND = ProblemType("not-found", 404, "No such path")
PLUGIN_NOT_FOUND = ProblemType("plugin-not-found", 404, "No such plugin")
FUNCTION_NOT_FOUND = ProblemType("function-not-found", 404, "No such function")
METHOD_NOT_ALLOWED = ProblemType("method-not-allowed", 405, "Method not allowed")
LOAD_FAILED = ProblemType("load-failed", 409, "The plugin does not load")
NOT_ACCEPTABLE = ProblemType("not-acceptable", 406, "The result has no such form")
BODY_TOO_LARGE = ProblemType("body-too-large", 413, "The body is too large")
UNSUPPORTED_MEDIA_TYPE = ProblemType("unsupported-media-type", 415, "The body's media type is not supported")
WRONG_HOST = ProblemType("wrong-host", 421, "The request was meant for another server")
UNREADABLE_BODY = ProblemType("unreadable-body", 422, "The body cannot be read")
INVALID_QUERY = ProblemType("invalid-query", 422, "A query parameter is wrong")
INVALID_ARGUMENTS = ProblemType("invalid-arguments", 422, "The arguments do not fit the function")
PLUGIN_ERROR = ProblemType("plugin-error", 500, "The plugin's function raised")
MEMORY_LIMIT = ProblemType("memory-limit", 500, "The plugin is over its memory limit")
RESULT_ENCODING = ProblemType("result-encoding", 500, "The result cannot leave its interpreter")
CONFIGURATION_ERROR = ProblemType("configuration-error", 500, "The server's configuration is wrong")
INTERNAL_ERROR = ProblemType("internal-error", 500, "The server itself failed")
INBOX_FULL = ProblemType("inbox-full", 503, "The plugin has too many calls waiting")
PLUGIN_UNAVAILABLE = ProblemType("plugin-unavailable", 503, "The plugin is not running")
CALL_CANCELLED = ProblemType("call-cancelled", 503, "The call was given up")
NOT_READY = ProblemType("not-ready", 503, "Not ready")
DEADLINE_EXCEEDED = ProblemType("deadline-exceeded", 504, "No answer in time")
REENTRANT_CALL = ProblemType("reentrant-call", 508, "The call would wait for itself")

PROBLEM_TYPES = (
    UNAUTHORIZED,
    FORBIDDEN,
    NOT_FOUND,
    PLUGIN_NOT_FOUND,
    FUNCTION_NOT_FOUND,
    METHOD_NOT_ALLOWED,
    NOT_ACCEPTABLE,
    LOAD_FAILED,
    BODY_TOO_LARGE,
    UNSUPPORTED_MEDIA_TYPE,
    WRONG_HOST,
    UNREADABLE_BODY,
    INVALID_QUERY,
    INVALID_ARGUMENTS,
    PLUGIN_ERROR,
    MEMORY_LIMIT,
    RESULT_ENCODING,
    CONFIGURATION_ERROR,
    INTERNAL_ERROR,
    INBOX_FULL,
    PLUGIN_UNAVAILABLE,
    CALL_CANCELLED,
    NOT_READY,
    DEADLINE_EXCEEDED,
    REENTRANT_CALL,
)

_TYPE_OF_ERROR: dict[type[errors.PyhostError], ProblemType] = {
    errors.PluginNotFoundError: PLUGIN_NOT_FOUND,
    errors.FunctionNotFoundError: FUNCTION_NOT_FOUND,
    errors.PluginUnavailableError: PLUGIN_UNAVAILABLE,
    errors.InboxFullError: INBOX_FULL,
    errors.DeadlineExceededError: DEADLINE_EXCEEDED,
    errors.CallCancelledError: CALL_CANCELLED,
    errors.ReentrantCallError: REENTRANT_CALL,
    errors.ArgumentsError: INVALID_ARGUMENTS,
    errors.ArgumentEncodingError: INVALID_ARGUMENTS,
    errors.ResultEncodingError: RESULT_ENCODING,
    errors.PluginError: PLUGIN_ERROR,
    errors.ManifestError: LOAD_FAILED,
    errors.PluginLoadError: LOAD_FAILED,
    errors.MemoryLimitError: MEMORY_LIMIT,
    errors.ConfigurationError: CONFIGURATION_ERROR,
}
_WORTH_A_RETRY = {INBOX_FULL, PLUGIN_UNAVAILABLE, CALL_CANCELLED, NOT_READY}


class Problem(Exception):
    """A request that has no better answer than a problem document.

    ``detail`` is a sentence about this request, ``members`` are the document's further members and ``headers`` the
    response's further headers.
    """

    def __init__(
        self,
        problem_type: ProblemType,
        detail: str,
        *,
        members: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.type = problem_type
        self.detail = detail
        self.members = dict(members or {})
        self.headers = dict(headers or {})
        if problem_type in _WORTH_A_RETRY:
            self.headers["Retry-After"] = _RETRY_SECONDS

    def document(self, instance: str) -> dict[str, Any]:
        """The document; ``instance`` is the path of the request that had the problem."""
        return {
            "type": self.type.uri,
            "title": self.type.title,
            "status": self.type.status,
            "detail": self.detail,
            "instance": instance,
            **self.members,
        }


def from_error(error: errors.PyhostError) -> Problem:
    """Return the problem that an error of pyhost is to an HTTP client."""
    problem_type = next(
        (_TYPE_OF_ERROR[kind] for kind in type(error).__mro__ if kind in _TYPE_OF_ERROR), INTERNAL_ERROR
    )
    members: dict[str, Any] = {}
    if isinstance(error, errors.CallError):
        members = {"plugin": error.plugin, "function": error.function.partition(".")[2]}
    if isinstance(error, errors.PluginError):
        members |= {
            "exception": error.type_name,
            "message": error.message,
            "notes": list(error.notes),
            "traceback": error.traceback_text,
        }
    if isinstance(error, errors.PluginLoadError):
        members = {"plugin": error.plugin, "traceback": error.traceback_text}
    if isinstance(error, errors.MemoryLimitError):
        members |= {"limit": error.limit, "peak": error.peak, "traceback": error.traceback_text}
    return Problem(problem_type, str(error), members=members)


def not_found(error: errors.CallError, wanted: str, known: Sequence[str]) -> Problem:
    """Return the problem of a name that is not there, with the ones that may have been meant."""
    problem = from_error(error)
    close = difflib.get_close_matches(wanted, known)
    hint = f"did you mean {' or '.join(close)}?" if close else f"there are: {', '.join(known) or 'none'}"
    return Problem(problem.type, f"{error}; {hint}", members={**problem.members, "known": list(known)})
