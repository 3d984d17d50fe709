"""Rules for events such as "login alice 3": change them, and reload the plugin."""

import pyhost


@pyhost.export
def judge(event: str) -> str:
    """Say what to do about an event."""
    kind, who, attempts = event.split()
    if kind == "login" and int(attempts) > 5:
        return f"lock {who}"
    return f"allow {who}"
