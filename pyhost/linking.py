"""Where a C or C++ program that is built against libpyhost finds it, for ``pyhost config``."""

import sysconfig
from dataclasses import dataclass
from pathlib import Path

from pyhost.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Places:
    """Folders, and the Python that a program links beside libpyhost."""

    package: Path
    """Has libpyhost.so."""
    python_folder: str
    """Has libpython; "" where the linker looks for it anyway."""
    python_version: str
    """As in the library's name, such as "3.14"."""

    @property
    def cflags(self) -> str:
        """What a compiler is given."""
        return f"-I{self.package / 'include'}"

    @property
    def libs(self) -> str:
        """What a linker is given: both libraries, and where the program finds them when it runs."""
        folders = [str(self.package), *([self.python_folder] if self.python_folder else [])]
        found = " ".join(f"-L{folder} -Wl,-rpath,{folder}" for folder in folders)
        return f"{found} -lpyhost -lpython{self.python_version}"

    @property
    def cmake(self) -> Path:
        """What CMAKE_PREFIX_PATH or pyhost_DIR is set to."""
        return self.package / "cmake"

    @property
    def pkgconfig(self) -> Path:
        """What PKG_CONFIG_PATH is set to."""
        return self.package / "pkgconfig"


def find_places(package: Path) -> Places:
    """Return the places of the pyhost whose ``_core`` is in ``package``.

    Raises ConfigurationError where that has no header files, as in an editable install.
    """
    if not (package / "include" / "pyhost.h").is_file():
        raise ConfigurationError(
            f"{package} has no header files: this is an editable install of pyhost; "
            "install it from a wheel to build programs against it"
        )
    return Places(
        package=package,
        python_folder=sysconfig.get_config_var("LIBDIR") or "",
        python_version=sysconfig.get_config_var("LDVERSION") or sysconfig.get_python_version(),
    )
