"""The handler that takes a plugin's log records to the host; imported when the plugin has imported ``logging``."""

import logging

from pyhost import _core


class HostHandler(logging.Handler):
    """Gives the host each record: its level, its logger's name, and its text with the traceback if it has one."""

    def emit(self, record: logging.LogRecord) -> None:
        """Give the host the record; one that cannot be formatted is reported as ``logging`` does it."""
        try:
            _core.log_record(record.levelno, record.name, self.format(record))
        except Exception:
            self.handleError(record)


def install() -> None:
    """Make it the root logger's handler, with the level that the host wants."""
    level = _core.log_level()
    root = logging.getLogger()
    root.addHandler(HostHandler())
    root.setLevel(logging.INFO if level is None else level)
