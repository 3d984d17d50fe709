"""Snapshots of what runs: the numbers of the C half as the values of ``status.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyhost.latency import summarize
from pyhost.status import FunctionStatus, InterpreterStatus, MemoryAccount

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pyhost import _core
    from pyhost.status import FunctionDescription


def interpreter(item: _core.Interpreter) -> InterpreterStatus:
    """Return how an interpreter is now."""
    account = item.memory
    return InterpreterStatus(
        id=item.id,
        state=item.state,
        queued=item.queued,
        running=item.running,
        served=item.served,
        memory=MemoryAccount(*account) if account is not None else None,
        cpu=item.cpu,
    )


def functions(
    router: _core.Router, plugin: str, descriptions: Iterable[FunctionDescription]
) -> tuple[FunctionStatus, ...]:
    """Return those of a plugin's functions that can be called now, with their counters."""
    counted = {statistics[0]: statistics for statistics in router.statistics(plugin)}
    found = []
    for description in descriptions:
        if description.name not in counted:
            continue
        _, calls, errors, timeouts, rejected, total, maximum, cpu, buckets = counted[description.name]
        found.append(
            FunctionStatus(
                description=description,
                calls=calls,
                errors=errors,
                timeouts=timeouts,
                rejected=rejected,
                latency=summarize(buckets, total, maximum),
                cpu=cpu,
            )
        )
    return tuple(found)
