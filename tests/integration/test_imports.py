"""What is in a plugin's interpreter before the plugin's own code: little, and nothing of the host's."""

from __future__ import annotations

import sys
import sysconfig

import pytest
from support.plugins import COMMON, touch_with

from pyhost.errors import PluginError

INSIDE = """
import sys
before = sorted(sys.modules)
import pyhost

@pyhost.export
def modules():
    return before

@pyhost.export
def modules_now():
    return sorted(sys.modules)

@pyhost.export
def path():
    return sys.path

@pyhost.export
def evaluate(expression):
    return eval(expression)

@pyhost.export
def load(name):
    module = __import__(name)
    return getattr(module, "__file__", None)
"""

# Each costs an interpreter memory and time; a plugin pays for those that it imports itself.
HEAVY = {
    "asyncio", "typing", "dataclasses", "inspect", "logging", "json", "os", "traceback", "re", "collections",
    "annotationlib", "contextlib", "enum", "functools", "importlib", "pathlib", "pickle", "site", "threading", "types",
    "weakref",
}  # fmt: skip


@pytest.fixture(scope="module")
def host(module_maker):
    module_maker.write("inside", INSIDE)
    touch_with(module_maker.folder / "single.py", INSIDE)
    return module_maker.start()


@pytest.mark.parametrize("plugin", ["inside", "single"])
def test_nothing_heavy_is_loaded(host, plugin):
    before = set(host.call(f"{plugin}.modules"))
    assert not before & HEAVY
    assert {name for name in before if name.startswith("pyhost")} <= {
        "pyhost",
        "pyhost._core",
        "pyhost.errors",
        "pyhost.guest",
        "pyhost.plugin",
    }
    assert "pyhost" in before
    assert len(before) < 45


def test_a_call_loads_nothing_more(host):
    before = host.call("inside.modules_now")
    host.call("inside.evaluate", "[1, {2: (3.0, None)}]")
    assert host.call("inside.modules_now") == before
    assert not set(before) & HEAVY


def test_the_path_is_the_plugins_folder_and_the_standard_library(host, module_maker):
    library = sysconfig.get_path("stdlib")
    standard = [library, f"{library}/lib-dynload"]
    assert host.call("inside.path") == [str(module_maker.folder / "inside"), *standard]
    assert host.call("single.path") == standard


@pytest.mark.parametrize("package", ["pytest", "msgspec", "starlette", "hypothesis"])
def test_the_hosts_packages_are_out_of_reach(host, package):
    assert package in sys.modules or __import__(package)
    with pytest.raises(PluginError, match=f"ModuleNotFoundError: No module named '{package}'"):
        host.call("inside.load", package)


def test_a_single_file_cannot_import_its_neighbours(host):
    with pytest.raises(PluginError, match="ModuleNotFoundError: No module named 'inside'"):
        host.call("single.load", "inside")


@pytest.mark.parametrize(
    "name", ["asyncio", "json", "sqlite3", "ssl", "ctypes", "decimal", "zoneinfo", "hashlib", "email"]
)
def test_the_standard_library_is_there(host, name):
    assert host.call("inside.load", name).startswith(sysconfig.get_path("stdlib"))


def test_what_site_gives_is_there(host):
    assert host.call("inside.evaluate", "callable(help)")
    for name in ("exit", "quit"):
        with pytest.raises(PluginError, match="SystemExit: 3"):
            host.call("inside.evaluate", f"{name}(3)")


def test_the_plugin_knows_its_own_name_and_file(host, module_maker):
    assert host.call("inside.evaluate", "__name__") == "inside"
    assert host.call("inside.evaluate", "__file__") == str(module_maker.folder / "inside" / "inside.py")
    assert host.call("single.evaluate", "__file__") == str(module_maker.folder / "single.py")
    for plugin in ("inside", "single"):
        assert host.call(f"{plugin}.evaluate", "sys.modules[__name__].__dict__ is globals()")


def test_each_plugin_has_its_own_of_one_module(maker):
    code = "import helper\nimport pyhost\n@pyhost.export\ndef which(): return helper.NAME, helper.__file__\n"
    for name in ("first", "second"):
        folder = maker.write(name, code)
        touch_with(folder / "helper.py", f"NAME = {name!r}\n")
    host = maker.start()
    for name in ("first", "second"):
        assert host.call(f"{name}.which") == (name, str(maker.folder / name / "helper.py"))


def test_a_package_as_a_plugin(maker):
    folder = maker.write("shop", "", module="market.stall")
    touch_with(folder / "market" / "__init__.py", "NAME = 'market'\n")
    touch_with(folder / "market" / "goods.py", "PRICE = 5\n")
    touch_with(
        folder / "market" / "stall.py",
        "import pyhost\nfrom . import NAME\nfrom .goods import PRICE\n@pyhost.export\ndef sell(): return NAME, PRICE, __name__\n",
    )
    assert maker.start().call("shop.sell") == ("market", 5, "market.stall")


def test_a_module_named_like_one_of_the_standard_library_is_refused(maker):
    maker.write("json", COMMON)
    maker.write("calendar", COMMON, module="calendar_plugin")
    (maker.folder / "calendar" / "calendar.py").rename(maker.folder / "calendar" / "calendar_plugin.py")
    host = maker.start()
    assert host.status("json").state == "fatal"
    assert "plugin.module is 'json', a name taken by the standard library's json; rename the module" in (
        host.status("json").reason
    )
    assert host.call("calendar.identity", 1) == 1


def test_pyhost_inside_is_pyhost_outside(host):
    import pyhost

    assert host.call("inside.evaluate", "pyhost.__version__") == pyhost.__version__
    assert host.call("inside.evaluate", "pyhost.__file__") == pyhost.__file__
    assert host.call("inside.evaluate", "sorted(pyhost.__all__)") == sorted(pyhost.__all__)
    assert host.call("inside.evaluate", "issubclass(pyhost.PluginError, pyhost.PyhostError)")
