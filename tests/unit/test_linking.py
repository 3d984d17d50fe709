"""What programs in C and C++ are told of where pyhost is."""

import sysconfig
from pathlib import Path

import pytest

from pyhost.errors import ConfigurationError
from pyhost.linking import Places, find_places

PLACES = Places(package=Path("/env/pyhost"), python_folder="/usr/lib", python_version="3.14")


def test_compilers_find_the_headers():
    assert PLACES.cflags == "-I/env/pyhost/include"


def test_programs_find_both_libraries_when_they_run():
    assert PLACES.libs == ("-L/env/pyhost -Wl,-rpath,/env/pyhost -L/usr/lib -Wl,-rpath,/usr/lib -lpyhost -lpython3.14")


def test_a_libpython_where_every_linker_looks_needs_no_folder():
    places = Places(package=Path("/env/pyhost"), python_folder="", python_version="3.14")
    assert places.libs == "-L/env/pyhost -Wl,-rpath,/env/pyhost -lpyhost -lpython3.14"


def test_build_tools_find_their_files():
    assert (PLACES.cmake, PLACES.pkgconfig) == (Path("/env/pyhost/cmake"), Path("/env/pyhost/pkgconfig"))


def test_an_installed_package_has_its_headers(tmp_path):
    (tmp_path / "include").mkdir()
    (tmp_path / "include" / "pyhost.h").touch()
    places = find_places(tmp_path)
    assert places.package == tmp_path
    assert places.python_version.startswith(sysconfig.get_python_version())


def test_an_editable_install_has_none(tmp_path):
    with pytest.raises(ConfigurationError, match="this is an editable install of pyhost; install it from a wheel"):
        find_places(tmp_path)
