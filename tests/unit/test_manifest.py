import dataclasses
import json
import math
import os
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pyhost import manifest
from pyhost.errors import ConfigurationError, ManifestError
from pyhost.manifest import Limits, Manifest, Restart

DURATION = 'a duration of more than 0 and at most 8760h, such as "250ms", "2s", "1m" or a number of seconds'
MEMORY = 'a size from 1MiB to 1048576GiB, such as "64MiB" or a number of bytes'
NAME = "up to 100 letters, digits, _ and -, starting with a letter or _"
PLUGIN_KEYS = "plugin.name, plugin.version, plugin.module, plugin.interpreters, plugin.dependencies, plugin.inherit"
REQUIREMENTS = 'a list of requirements, such as ["packaging==24.1", "lib @ ../lib", "-e ../lib"]'


@pytest.fixture
def plugins(tmp_path, monkeypatch):
    """An empty plugins/ folder, below the current one, so that messages name short paths."""
    monkeypatch.chdir(tmp_path)
    folder = Path("plugins")
    folder.mkdir()
    return folder


def write_plugin(plugins, name, text=None):
    """Write a folder plugin; ``text`` is its plugin.toml, by default the shortest one."""
    folder = plugins / name
    folder.mkdir()
    module = name.replace("-", "_")
    (folder / f"{module}.py").write_text("import pyhost\n")
    path = folder / "plugin.toml"
    path.write_text(f'[plugin]\nname = "{name}"\n' if text is None else text)
    return path


def load_error(path):
    with pytest.raises(ManifestError) as caught:
        manifest.load(path)
    return str(caught.value)


def test_a_full_manifest(plugins):
    path = write_plugin(
        plugins,
        "wordcount",
        """
        [plugin]
        name = "wordcount"
        version = "1.2.0"
        module = "words.count"
        interpreters = 4
        dependencies = ["packaging==24.1", "-e ../lib"]
        inherit = true
        [limits]
        deadline = "250ms"
        inbox = 16
        start = 2
        memory = "512MiB"
        [restart]
        policy = "always"
        intensity = 3
        period = "10s"
        max_calls = 1000
        max_memory_growth = "8MiB"
        """,
    )
    assert manifest.load(path) == Manifest(
        name="wordcount",
        version="1.2.0",
        module="words.count",
        interpreters=4,
        folder=Path.cwd() / "plugins/wordcount",
        file=None,
        source=Path.cwd() / "plugins/wordcount/plugin.toml",
        limits=Limits(deadline=0.25, inbox=16, start=2.0, memory=512 << 20),
        restart=Restart("always", intensity=3, period=10.0, max_calls=1000, max_memory_growth=8 << 20),
        dependencies=("packaging==24.1", "-e ../lib"),
        inherit=True,
    )


def test_the_defaults(plugins):
    loaded = manifest.load(write_plugin(plugins, "word-count"))
    assert (loaded.version, loaded.module, loaded.interpreters) == ("0", "word_count", 1)
    assert loaded.limits == Limits(deadline=30.0, inbox=1024, start=30.0, memory=None)
    assert loaded.restart == Restart("on-failure", intensity=5, period=60.0, max_calls=None, max_memory_growth=None)
    assert (loaded.dependencies, loaded.inherit) == ((), False)


def test_the_example_in_the_reference(plugins):
    reference = Path(__file__).parents[2] / "docs" / "manifest.md"
    example = reference.read_text().split("```toml\n")[1].split("```")[0]
    loaded = manifest.load(write_plugin(plugins, "wordcount", example))
    assert (loaded.name, loaded.version, loaded.module, loaded.interpreters) == ("wordcount", "1.2.0", "wordcount", 2)
    assert loaded.limits == Limits(deadline=2.0, inbox=256, start=10.0, memory=64 << 20)
    assert loaded.restart == Restart(
        "on-failure", intensity=5, period=60.0, max_calls=100_000, max_memory_growth=32 << 20
    )


def test_the_folder_names_its_plugin_toml(plugins):
    path = write_plugin(plugins, "a")
    assert manifest.load(path.parent) == manifest.load(path)


def test_a_package_is_a_default_module(plugins):
    path = write_plugin(plugins, "a")
    (path.parent / "a.py").unlink()
    (path.parent / "a").mkdir()
    assert manifest.load(path).module == "a"


def test_a_single_file_plugin(plugins):
    path = plugins / "word-count.py"
    path.touch()
    source = Path.cwd() / path
    assert manifest.load(path) == Manifest("word-count", "0", "word_count", 1, None, source, source, Limits())


def test_manifests_do_not_change(plugins):
    loaded = manifest.load(write_plugin(plugins, "a"))
    with pytest.raises(dataclasses.FrozenInstanceError):
        loaded.name = "b"
    with pytest.raises(dataclasses.FrozenInstanceError):
        loaded.limits.inbox = 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "plugin is missing; give a table, [plugin]"),
        ("plugin = 1", "plugin is 1; allowed: a table, [plugin]"),
        ("[plugin]", f"plugin.name is missing; give {NAME}"),
        ('[plugin]\nname = "a.b"', f"plugin.name is 'a.b'; allowed: {NAME}"),
        ('[plugin]\nname = "1a"', f"plugin.name is '1a'; allowed: {NAME}"),
        ('[plugin]\nname = ""', f"plugin.name is ''; allowed: {NAME}"),
        ('[plugin]\nname = "a\\n"', f"plugin.name is 'a\\n'; allowed: {NAME}"),
        ("[plugin]\nname = 1", f"plugin.name is 1; allowed: {NAME}"),
        (
            '[plugin]\nname = "x"\nversion = 1.0',
            'plugin.version is 1.0; allowed: up to 100 letters, digits and signs, such as "1.0.0"',
        ),
        (
            '[plugin]\nname = "x"\nversion = "1 0"',
            "plugin.version is '1 0'; allowed: up to 100 letters, digits and signs, such as \"1.0.0\"",
        ),
        (
            '[plugin]\nname = "x"\nmodule = "x.py/y"',
            'plugin.module is \'x.py/y\'; allowed: a module to import, such as "wordcount" or "package.module"',
        ),
        (
            '[plugin]\nname = "x"\nmodule = ".x"',
            'plugin.module is \'.x\'; allowed: a module to import, such as "wordcount" or "package.module"',
        ),
        (
            f'[plugin]\nname = "x"\nmodule = "{"y" * 253}"',  # with ".py" more than a file's name may have
            f'plugin.module is \'{"y" * 27}...{"y" * 28}\'; allowed: a module to import, such as "wordcount" or "package.module"',
        ),
        (
            '[plugin]\nname = "x"\nmodule = 1',
            'plugin.module is 1; allowed: a module to import, such as "wordcount" or "package.module"',
        ),
        (
            '[plugin]\nname = "x"\nmodule = "queue.worker"',
            "plugin.module is 'queue.worker', a name taken by the standard library's queue; rename the module",
        ),
        (
            '[plugin]\nname = "pyhost"',
            "plugin.module is missing, and plugins/x holds neither pyhost.py nor pyhost/; name the module to import",
        ),
        (
            '[plugin]\nname = "x"\nmodule = "pyhost"',
            "plugin.module is 'pyhost', a name taken by pyhost itself; rename the module",
        ),
        (
            '[plugin]\nname = "x"\nmodule = "x.import"',
            "plugin.module is 'x.import', a name taken by Python's keyword import; rename the module",
        ),
        (
            '[plugin]\nname = "y-z"',
            "plugin.module is missing, and plugins/x holds neither y_z.py nor y_z/; name the module to import",
        ),
        ('[plugin]\nname = "x"\ninterpreters = 0', "plugin.interpreters is 0; allowed: a whole number from 1 to 256"),
        (
            '[plugin]\nname = "x"\ninterpreters = 257',
            "plugin.interpreters is 257; allowed: a whole number from 1 to 256",
        ),
        (
            '[plugin]\nname = "x"\ninterpreters = true',
            "plugin.interpreters is True; allowed: a whole number from 1 to 256",
        ),
        (
            '[plugin]\nname = "x"\ndependencies = "six"',
            f"plugin.dependencies is 'six'; allowed: {REQUIREMENTS}",
        ),
        (
            '[plugin]\nname = "x"\ndependencies = ["six", "packaging=24.1"]',
            f"plugin.dependencies has 'packaging=24.1'; allowed: {REQUIREMENTS}",
        ),
        ('[plugin]\nname = "x"\ndependencies = [1]', f"plugin.dependencies has 1; allowed: {REQUIREMENTS}"),
        ('[plugin]\nname = "x"\ninherit = 1', "plugin.inherit is 1; allowed: true or false"),
        (
            '[plugin]\nname = "x"\ninterpreter = 1',
            f"plugin.interpreter is not known; did you mean plugin.interpreters? allowed: {PLUGIN_KEYS}",
        ),
        (
            '[plugin]\nname = "x"\ndeadline = 1',
            f"plugin.deadline is not known; did you mean limits.deadline? allowed: {PLUGIN_KEYS}",
        ),
        (
            '[plugin]\nname = "x"\n[limit]\ninbox = 1',
            "limit is not known; did you mean limits? allowed: plugin, limits, restart",
        ),
        ('[plugin]\nname = "x"\n[limits]\ndeadline = 0', f"limits.deadline is 0; allowed: {DURATION}"),
        ('[plugin]\nname = "x"\n[limits]\ndeadline = "0s"', f"limits.deadline is '0s'; allowed: {DURATION}"),
        ('[plugin]\nname = "x"\n[limits]\ndeadline = -1.5', f"limits.deadline is -1.5; allowed: {DURATION}"),
        ('[plugin]\nname = "x"\n[limits]\ndeadline = nan', f"limits.deadline is nan; allowed: {DURATION}"),
        ('[plugin]\nname = "x"\n[limits]\ndeadline = "2 days"', f"limits.deadline is '2 days'; allowed: {DURATION}"),
        ('[plugin]\nname = "x"\n[limits]\ndeadline = "8761h"', f"limits.deadline is '8761h'; allowed: {DURATION}"),
        ('[plugin]\nname = "x"\n[limits]\nstart = inf', f"limits.start is inf; allowed: {DURATION}"),
        ('[plugin]\nname = "x"\n[limits]\nstart = [1]', f"limits.start is [1]; allowed: {DURATION}"),
        ('[plugin]\nname = "x"\n[limits]\nmemory = "1023KiB"', f"limits.memory is '1023KiB'; allowed: {MEMORY}"),
        ('[plugin]\nname = "x"\n[limits]\nmemory = 1000', f"limits.memory is 1000; allowed: {MEMORY}"),
        ('[plugin]\nname = "x"\n[limits]\nmemory = "64MB"', f"limits.memory is '64MB'; allowed: {MEMORY}"),
        ('[plugin]\nname = "x"\n[limits]\nmemory = 1.5', f"limits.memory is 1.5; allowed: {MEMORY}"),
        ('[plugin]\nname = "x"\n[limits]\ninbox = 0', "limits.inbox is 0; allowed: a whole number from 1 to 1000000"),
        (
            '[plugin]\nname = "x"\n[limits]\ninbox = 1000001',
            "limits.inbox is 1000001; allowed: a whole number from 1 to 1000000",
        ),
        (
            '[plugin]\nname = "x"\n[limits]\ninbox = "many"',
            "limits.inbox is 'many'; allowed: a whole number from 1 to 1000000",
        ),
        (
            '[plugin]\nname = "x"\n[restart]\npolicy = "sometimes"',
            'restart.policy is \'sometimes\'; allowed: "always", "on-failure" or "never"',
        ),
        (
            '[plugin]\nname = "x"\n[restart]\nintensity = -1',
            "restart.intensity is -1; allowed: a whole number from 0 to 1000",
        ),
        ('[plugin]\nname = "x"\n[restart]\nperiod = 0', f"restart.period is 0; allowed: {DURATION}"),
        (
            '[plugin]\nname = "x"\n[restart]\nmax_calls = 0',
            "restart.max_calls is 0; allowed: a whole number from 1 to 9007199254740992",
        ),
        (
            '[plugin]\nname = "x"\n[restart]\nmax_calls = "many"',
            "restart.max_calls is 'many'; allowed: a whole number from 1 to 9007199254740992",
        ),
        (
            '[plugin]\nname = "x"\n[restart]\nmax_memory_growth = "1KiB"',
            f"restart.max_memory_growth is '1KiB'; allowed: {MEMORY}",
        ),
    ],
)
def test_what_is_wrong_is_said(plugins, text, message):
    assert load_error(write_plugin(plugins, "x", text)) == f"plugins/x/plugin.toml: {message}"


def test_a_module_that_would_hide_the_standard_librarys(plugins):
    assert load_error(write_plugin(plugins, "calendar")) == (
        "plugins/calendar/plugin.toml: plugin.module is 'calendar', a name taken by the standard library's calendar; "
        "rename the module"
    )


def test_not_toml(plugins):
    assert load_error(write_plugin(plugins, "x", '[plugin]\nname = "x\n')) == (
        "plugins/x/plugin.toml is not TOML: line 2, column 10: Illegal character '\\n'"
    )


def test_not_utf8(plugins):
    path = write_plugin(plugins, "x")
    path.write_bytes(b'[plugin]\nname = "\xe4"\n')
    assert load_error(path) == "plugins/x/plugin.toml is not UTF-8: byte 0xe4 in line 2; save the file as UTF-8"


def test_a_folder_without_a_plugin_toml(plugins):
    assert load_error(plugins) == (
        "plugins/plugin.toml cannot be read (No such file or directory); it must be a file that this user can read"
    )


def test_a_folder_named_plugin_toml(plugins):
    (plugins / "x" / "plugin.toml").mkdir(parents=True)
    assert load_error(plugins / "x" / "plugin.toml") == "plugins/x/plugin.toml is a folder; allowed: a file"


def test_a_single_file_that_is_not_there(plugins):
    assert load_error(plugins / "x.py") == (
        "plugins/x.py cannot be read (No such file or directory); it must be a file that this user can read"
    )


def test_a_single_file_whose_name_is_no_plugins_name(plugins):
    (plugins / "word count.py").touch()
    assert load_error(plugins / "word count.py") == (
        f"plugins/word count.py: the file's name makes 'word count' the plugin's name; allowed: {NAME}"
    )


@pytest.mark.parametrize("name", ["queue", "class", "pyhost"])
def test_a_single_file_that_would_hide_a_module(plugins, name):
    taken = {"queue": "the standard library's queue", "class": "Python's keyword class", "pyhost": "pyhost itself"}
    path = plugins / f"{name}.py"
    path.touch()
    assert load_error(path) == (
        f"plugins/{name}.py: its module would be {name!r}, a name taken by {taken[name]}; rename the file"
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root can enter every folder")
def test_a_folder_that_cannot_be_entered(plugins):
    path = write_plugin(plugins, "x")
    path.parent.chmod(0)
    manifests, [(name, failed, error)] = manifest.load_all(plugins)
    path.parent.chmod(0o700)
    assert (manifests, name, failed) == ([], "x", path)
    assert str(error) == (
        "plugins/x/plugin.toml cannot be read (Permission denied); it must be a file that this user can read"
    )


def test_discovery(plugins):
    write_plugin(plugins, "b")
    write_plugin(plugins, "_kept")
    write_plugin(plugins, ".hidden")
    write_plugin(plugins, "__pycache__")
    (plugins / "empty").mkdir()
    (plugins / "folder.py").mkdir()
    (plugins / "broken").mkdir()
    (plugins / "broken" / "plugin.toml").symlink_to("nowhere")
    (plugins / "linked").symlink_to("b")
    for name in ("a.py", "c.py", "_helper.py", ".hidden.py", "notes.txt", "dangling"):
        (plugins / name).touch()
    (plugins / "gone.py").symlink_to("nowhere")
    assert manifest.discover(plugins) == [
        plugins / "_kept/plugin.toml",
        plugins / "a.py",
        plugins / "b/plugin.toml",
        plugins / "broken/plugin.toml",
        plugins / "c.py",
        plugins / "gone.py",
        plugins / "linked/plugin.toml",
    ]


def test_the_plugins_folder_has_to_be_one(plugins):
    (plugins / "a.py").touch()
    (plugins / "loop").symlink_to("loop")
    for path, message in [
        (Path("nowhere"), "the plugins folder nowhere does not exist; make it or name another one"),
        (plugins / "a.py", "the plugins folder plugins/a.py is a file; name the folder that holds it"),
        (
            plugins / "loop",
            "the plugins folder plugins/loop cannot be listed: Too many levels of symbolic links",
        ),
    ]:
        with pytest.raises(ConfigurationError) as caught:
            manifest.discover(path)
        assert str(caught.value) == message


def test_a_bad_plugin_does_not_stop_the_others(plugins):
    write_plugin(plugins, "a")
    bad = [
        write_plugin(plugins, "b", "[plugin"),
        write_plugin(plugins, "c", '[plugin]\nname = "sea"\ninterpreters = 0'),
        write_plugin(plugins, "d", "plugin = 1"),
        write_plugin(plugins, "e", "[plugin]\nname = 7"),
        plugins / "e.f.py",
    ]
    bad[-1].touch()
    (plugins / "g.py").touch()
    manifests, failures = manifest.load_all(plugins)
    assert [loaded.name for loaded in manifests] == ["a", "g"]
    assert [(name, path) for name, path, _ in failures] == list(zip(["b", "sea", "d", "e", "e.f"], bad, strict=True))
    assert all(str(error).startswith(str(path)) for _, path, error in failures)


def test_of_two_plugins_with_one_name_the_later_is_an_error(plugins):
    first = write_plugin(plugins, "one")
    second = write_plugin(plugins, "two", '[plugin]\nname = "one"\nmodule = "two"')
    single = plugins / "one.py"
    single.touch()
    manifests, failures = manifest.load_all(plugins)
    assert [loaded.source for loaded in manifests] == [first.absolute()]
    assert [(name, path, str(error)) for name, path, error in failures] == [
        (
            "one.py",
            single,
            "plugins/one.py: the name 'one' is taken by plugins/one/plugin.toml; give one of the two another name",
        ),
        (
            "two",
            second,
            (
                "plugins/two/plugin.toml: the name 'one' is taken by plugins/one/plugin.toml; "
                "give one of the two another name"
            ),
        ),
    ]


def test_no_failure_has_the_name_of_another_plugin(plugins):
    bad = '[plugin]\nname = "c"\ninterpreters = 0'
    for name in ("a", "b", "c"):
        write_plugin(plugins, name, bad if name != "b" else '[plugin]\nname = "a"\nmodule = "b"')
    write_plugin(plugins, "d", bad)
    (plugins / "d.py").touch()
    manifests, failures = manifest.load_all(plugins)
    assert [loaded.name for loaded in manifests] == ["a", "d"]
    assert [name for name, _, _ in failures] == ["c", "c/plugin.toml", "d/plugin.toml"]


def add(folder):
    (folder / "new.py").touch()


def remove(folder):
    (folder / "data.csv").unlink()


def rename(folder):
    (folder / "data.csv").rename(folder / "data2.csv")


def grow(folder):
    path = folder / "x.py"
    status = path.stat()
    path.write_text("import pyhost  \n")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def touch(folder):
    path = folder / "package" / "inner.py"
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))


def change_manifest(folder):
    with (folder / "plugin.toml").open("a") as file:
        file.write("interpreters = 2\n")


def add_code_with_a_log_like_name(folder):
    (folder / "x.log.py").touch()


@pytest.fixture
def tree(plugins):
    path = write_plugin(plugins, "x")
    (path.parent / "data.csv").write_text("1,2\n")
    (path.parent / "package").mkdir()
    (path.parent / "package" / "inner.py").touch()
    (path.parent / "dangling").symlink_to("nowhere")
    return manifest.load(path)


@pytest.mark.parametrize("change", [add, remove, rename, grow, touch, change_manifest, add_code_with_a_log_like_name])
def test_a_changed_plugin_has_another_fingerprint(tree, change):
    before = manifest.fingerprint(tree)
    assert manifest.fingerprint(tree) == before
    change(tree.folder)
    assert manifest.fingerprint(tree) != before


def test_what_a_plugin_writes_leaves_its_fingerprint(tree):
    before = manifest.fingerprint(tree)
    names = [
        "x.db", "x.db-wal", "x.sqlite", "x.sqlite3", "x.sqlite3-journal", "x.log", "x.log.1",
        "x.pid", "x.lock", "x.tmp", "x.py~", "x.pyc", ".x.py.swp", ".cache/x.py", "__pycache__/x.py",
        "package/__pycache__/inner.cpython-313.pyc",
    ]  # fmt: skip
    for name in names:
        path = tree.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")
    os.mkfifo(tree.folder / "pipe")
    assert manifest.fingerprint(tree) == before


def test_the_fingerprint_of_a_single_file_is_of_that_file(plugins):
    path = plugins / "a.py"
    path.touch()
    loaded = manifest.load(path)
    before = manifest.fingerprint(loaded)
    (plugins / "b.py").touch()
    assert manifest.fingerprint(loaded) == before
    path.write_text("import pyhost\n")
    assert manifest.fingerprint(loaded) != before
    path.unlink()
    assert manifest.fingerprint(loaded) != before


def test_another_lock_file_is_another_plugin(plugins, tree):
    path = plugins / "a.py"
    path.touch()
    for loaded, lock in ((tree, tree.folder / "pylock.toml"), (manifest.load(path), path.with_name("pylock.a.toml"))):
        assert manifest.lock_file(loaded) == Path.cwd() / lock
        before = manifest.fingerprint(loaded)
        manifest.new_lock_file(loaded).touch()  # one that is being made is none yet
        assert manifest.fingerprint(loaded) == before
        lock.touch()
        assert manifest.fingerprint(loaded) != before


def as_toml(value):
    """A value as inline TOML."""
    match value:
        case bool() | str():
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case float() if not math.isfinite(value):
            return repr(value)
        case list():
            return f"[{', '.join(map(as_toml, value))}]"
        case dict():
            return f"{{{', '.join(f'{as_toml(key)} = {as_toml(item)}' for key, item in value.items())}}}"
        case int() | float():
            return repr(value)
        case _:
            return value.isoformat()


texts = st.text(st.characters(exclude_categories=["Cs"]))
plugin_keys = ["name", "version", "module", "interpreters", "dependencies", "inherit"]
known_keys = st.sampled_from(["plugin", "limits", *plugin_keys, "deadline", "inbox", "start", "memory"])
good_values = st.sampled_from(["x", "1.0", "x.y", "queue", "class", "2s", "1h", 1, 2.5, 256])
scalars = texts | st.booleans() | st.integers() | st.floats() | st.datetimes() | st.dates() | st.times() | good_values
junk = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts | known_keys, inner, max_size=3)
)
tables = st.dictionaries(known_keys | texts, scalars | junk, max_size=5)
documents = st.fixed_dictionaries({}, optional={"plugin": tables | junk, "limits": tables | junk}) | tables
named_documents = st.builds(
    lambda plugin, limits: {"plugin": {"name": "x"} | plugin, "limits": limits},
    st.fixed_dictionaries(
        {},
        optional={
            "version": scalars,
            "module": scalars,
            "interpreters": scalars,
            "name": scalars,
            "dependencies": st.lists(scalars, max_size=3),
        },
    ),
    st.fixed_dictionaries({}, optional={"deadline": scalars, "inbox": scalars, "start": scalars, "memory": scalars}),
)


def check_load(path):
    """Any content is a manifest that keeps its promises, or one ManifestError of one line that names the file."""
    try:
        loaded = manifest.load(path)
    except ManifestError as error:
        message = str(error)
        assert message.startswith(str(path))
        assert "\n" not in message
        assert len(message) < len(str(path)) + 600
    else:
        assert manifest.is_name(loaded.name)
        assert 1 <= loaded.interpreters <= 256
        assert 0 < loaded.limits.deadline <= 8760 * 3600
        assert 0 < loaded.limits.start <= 8760 * 3600
        assert type(loaded.limits.deadline) is float
        assert 1 <= loaded.limits.inbox <= 1_000_000
        assert loaded.limits.memory is None or 1 << 20 <= loaded.limits.memory <= 1 << 50
        assert all(part.isidentifier() for part in loaded.module.split("."))


@pytest.fixture(scope="module")
def junk_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("junk")
    (folder / "x.py").touch()
    return folder


@settings(deadline=None)
@given(document=documents | named_documents)
@example(document={"plugin": {"name": "x", "interpreters": 1 << 200}})
@example(document={"plugin": {"name": "x"}, "limits": {"deadline": 1 << 2000}})
def test_any_document_is_a_manifest_or_a_manifest_error(junk_folder, document):
    path = junk_folder / "plugin.toml"
    path.write_text("".join(f"{as_toml(key)} = {as_toml(value)}\n" for key, value in document.items()), newline="")
    check_load(path)


@settings(deadline=None)
@given(content=st.binary() | texts.map(str.encode))
@example(content=b"[plugin]\nname = 0x" + b"f" * 5000)
@example(content=b"[" + b"a." * 2000 + b"a]\n")
@example(content=b"plugin = " + b"[" * 5000 + b"]" * 5000)
@example(content=b"plugin." + b"name." * 1000 + b"x = 1\n")
@example(content=b"plugin.name." * 2 + b"x = 1\n")
def test_any_bytes_are_a_manifest_or_a_manifest_error(junk_folder, content):
    path = junk_folder / "plugin.toml"
    path.write_bytes(content)
    check_load(path)


@pytest.mark.parametrize(
    ("path", "counts"),
    [
        ("shop/shop.py", True),
        ("shop/plugin.toml", True),
        ("shop/data.json", True),
        ("single.py", True),
        ("shop/data.db", False),
        ("shop/.shop.py.swp", False),
        (".git/index", False),
        ("shop/.venv/lib/x.py", False),
        ("shop/__pycache__/shop.py", False),
        ("shop/out.log", False),
        ("shop/log.py", True),
    ],
)
def test_which_files_are_code(path, counts):
    assert manifest.is_code(Path("/plugins", path), Path("/plugins")) is counts
