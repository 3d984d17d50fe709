"""What plugins print and log: a thread reads it, hands it to ``logging``, and keeps the last of it.

The C half gathers the records of all interpreters (``host/log.h``). Each goes to the logger ``pyhost.plugin.NAME``, as
``pyhost.plugin.NAME.LOGGER``, with the attributes plugin, version, interpreter and call; what is printed comes from the
loggers ``stdout``, at INFO, and ``stderr``, at WARNING.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pyhost import _core

KEPT_RECORDS = 1000
"""So many records are kept of each plugin, if they are not too long."""
KEPT_CHARACTERS = 1 << 20
"""So many characters are kept of each plugin; the newest record whatever it has."""
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
"""The levels that can be asked for."""

_BATCH = 64
"""Records that are taken at once: about a millisecond of the main interpreter's time."""
_LONGEST_PAUSE = 0.05
_STUCK_SECONDS = 5.0
"""When closing does not wait any longer for a reader that does not come on: it sits in somebody's logging handler."""
_STREAMS = {"stdout", "stderr"}

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One record of a plugin's log."""

    number: int
    """Its place in the plugin's log, from 1."""
    time: float
    """Seconds since 1970."""
    level: int
    """As ``logging`` has it."""
    logger: str
    """As the plugin names it; ``stdout`` and ``stderr`` for what it prints, ``pyhost`` for what the host says of it."""
    message: str
    """With the traceback, where the record has one."""
    plugin: str
    version: str
    interpreter: int
    """pyhost's own number of the interpreter."""
    call: int | None
    """pyhost's number of the call that it comes from; None: from none, such as the plugin's own threads."""


def view(record: Record) -> dict[str, Any]:
    """Return the record as plain data, as ``/plugins/NAME/logs`` has it."""
    return {
        "time": _iso_time(record.time),
        "level": logging.getLevelName(record.level),
        "logger": record.logger,
        "message": record.message,
        **_origin(record),
    }


def select(records: Iterable[Record], *, level: int = 0, lines: int | None = None) -> list[Record]:
    """Return the last ``lines`` of the records from a level on; None: all of them."""
    found = [record for record in records if record.level >= level]
    return found if lines is None else found[max(len(found) - lines, 0) :]


class JsonFormatter(logging.Formatter):
    """One JSON object a record, on one line: time, level, logger, message, and whose it is if it is a plugin's."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        message = record.getMessage()
        if record.exc_info:
            message += "\n" + self.formatException(record.exc_info)
        line = {
            "time": _iso_time(record.created),
            "level": record.levelname,
            "logger": record.name,
            "message": message,
            **(_origin(record) if hasattr(record, "plugin") else {}),
        }
        return json.dumps(line)


class Kept:
    """The last records of one plugin."""

    def __init__(self) -> None:
        self._records: deque[Record] = deque()
        self._characters = 0
        self._count = 0

    def add(self, **fields: Any) -> Record:
        """Keep a record with these fields, and drop the oldest ones beyond the limits; return it with its number."""
        self._count += 1
        record = Record(number=self._count, **fields)
        self._records.append(record)
        self._characters += len(record.message)
        while len(self._records) > KEPT_RECORDS or (self._characters > KEPT_CHARACTERS and len(self._records) > 1):
            self._characters -= len(self._records.popleft().message)
        return record

    def read(self, after: int) -> tuple[list[Record], int]:
        """Return those whose number is above ``after``, and how many of them were dropped."""
        dropped = self._count - len(self._records)
        return list(itertools.islice(self._records, max(after - dropped, 0), None)), max(dropped - after, 0)


class Logs:
    """The log of one host's plugins, which its reader's thread fills; any thread may ask."""

    def __init__(self, router: _core.Router) -> None:
        self.level = logging.INFO
        """The level that plugins' root loggers get when the log is started; one that a plugin sets itself wins."""
        self.echo = True
        """Whether what ``logging`` does not take is written to the program's own stdout and stderr: prints, and where
        there is no handler at all warnings and errors."""
        self._router = router
        self._lock = threading.Lock()
        self._kept: dict[str, Kept] = {}
        self._watchers: list[tuple[str, Callable[[], None]]] = []
        self._thread: threading.Thread | None = None
        self._closing = False
        self._taken = 0

    def start(self) -> None:
        """Begin to read, before the first interpreter is made; again changes nothing."""
        if self._thread is None:
            self._closing = False
            self._router.open_log(self.level)
            # A daemon: a host that its program forgets is closed when the interpreter exits, after threads are joined.
            self._thread = threading.Thread(target=self._run, name="pyhost-logs", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Read what there is, and end. What is kept stays. A handler of ``logging`` that hangs is left behind."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._closing = True
            self._router.close_log()
            taken = -1
            while thread.is_alive() and taken != self._taken:
                taken = self._taken
                thread.join(_STUCK_SECONDS)

    def read(self, plugin: str, after: int = 0) -> tuple[list[Record], int]:
        """Return what is kept of a plugin's log, oldest first: the records whose number is above ``after``, and how
        many of those are not kept any more.
        """
        with self._lock:
            kept = self._kept.get(plugin)
            return kept.read(after) if kept is not None else ([], 0)

    @contextlib.contextmanager
    def watch(self, plugin: str, tell: Callable[[], None]) -> Iterator[None]:
        """Have ``tell`` called, on the reader's thread, whenever the plugin's log has grown. It must not raise."""
        watcher = (plugin, tell)
        with self._lock:
            self._watchers.append(watcher)
        try:
            yield
        finally:
            with self._lock:
                self._watchers.remove(watcher)

    def _run(self) -> None:
        while (batch := self._router.take_log(None, _BATCH)) is not None:
            started = time.monotonic()
            for item in batch:
                self._take(*item)
                self._taken += 1
            if self.echo:
                _flush()
            self._tell({item[0] for item in batch})
            if len(batch) == _BATCH and not self._closing:
                # There is more. A plugin that floods the log gets half of the main interpreter's time at most.
                time.sleep(min(time.monotonic() - started, _LONGEST_PAUSE))

    def _take(
        self,
        plugin: str,
        version: str,
        interpreter: int,
        call: int | None,
        when: float,
        level: int,
        logger: str,
        message: str,
        left_out: int,
        lost: int,
    ) -> None:
        """Take one record as ``Router.take_log`` gives it."""
        origin = {"plugin": plugin, "version": version, "interpreter": interpreter, "time": when}
        if left_out:
            message += f"… ({left_out} bytes more were cut)"
        self._add(**origin, call=call, level=level, logger=logger, message=message)
        if lost:
            message = f"{lost} records of interpreter {interpreter} are lost: it writes faster than the host reads"
            self._add(**origin, call=None, level=logging.WARNING, logger="pyhost", message=message)

    def _add(self, **fields: Any) -> None:
        with self._lock:
            record = self._kept.setdefault(fields["plugin"], Kept()).add(**fields)
        try:
            self._deliver(record)
        except Exception:
            _logger.exception("a record of plugin %r could not be logged", record.plugin)

    def _deliver(self, record: Record) -> None:
        """Hand the record to ``logging``, or write it where ``logging`` does not take it."""
        is_print = record.logger in _STREAMS
        # A logger for each plugin and stream: one for each of a plugin's own would stay for ever.
        logger = logging.getLogger(_name(record) if is_print else f"pyhost.plugin.{record.plugin}")
        has_handlers = logger.hasHandlers()
        if has_handlers and logger.isEnabledFor(record.level):
            logger.handle(_log_record(logger, record))
        elif self.echo and (is_print or (not has_handlers and record.level >= logging.WARNING)):
            _echo(record)

    def _tell(self, plugins: set[str]) -> None:
        with self._lock:
            watchers = [tell for plugin, tell in self._watchers if plugin in plugins]
        for tell in watchers:
            tell()


def _name(record: Record) -> str:
    """The record's logger as the host's ``logging`` names it."""
    name = f"pyhost.plugin.{record.plugin}"
    return name if record.logger == "root" else f"{name}.{record.logger}"


def _log_record(logger: logging.Logger, record: Record) -> logging.LogRecord:
    made = logger.makeRecord(_name(record), record.level, "", 0, record.message, (), None, extra={**_origin(record)})
    made.created, made.msecs = record.time, record.time % 1 * 1000
    made.thread = made.threadName = None  # the reader's
    return made


def _origin(record: Any) -> dict[str, Any]:
    return {name: getattr(record, name) for name in ("plugin", "version", "interpreter", "call")}


def _iso_time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _echo(record: Record) -> None:
    file = sys.stdout if record.logger == "stdout" else sys.stderr
    what = "" if record.logger in _STREAMS else f"{logging.getLevelName(record.level)} {record.logger}: "
    # A program without them, or that has closed them, does not want it.
    with contextlib.suppress(OSError, ValueError, AttributeError):
        file.write(f"{record.plugin}: {what}{record.message}\n")


def _flush() -> None:
    for file in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            file.flush()
