"""What the tests share: plugins written on the spot, barriers that hold plugin code, programs of their own process."""

PATIENCE = 60.0
"""Seconds after which a wait is given up for lost. Nothing depends on how long anything takes."""
