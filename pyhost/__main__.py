"""``python -m pyhost`` is the ``pyhost`` command."""

from pyhost.cli import main

if __name__ == "__main__":
    main()
