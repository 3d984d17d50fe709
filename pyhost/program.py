"""``pyhost.host`` in a plugin: the functions that the C or C++ program around it offers (``pyhost_host_register``)."""

from pyhost import _core

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Program:
    """The program's functions are its attributes.

    They take and give what crosses between interpreters. Calling one raises AttributeError when the program offers none
    of that name, RuntimeError with the program's message when it fails.
    """

    def __getattr__(self, name: str) -> "Callable[..., Any]":
        if name.startswith("__"):
            raise AttributeError(name)

        def function(*args: "Any", **kwargs: "Any") -> "Any":
            return _core.call_host(name, args, kwargs)

        function.__name__ = function.__qualname__ = name
        return function


host = Program()
