"""Plugins: entry points of installed distributions. Found late, loaded late, and none can break another."""

import importlib
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import fastconv
from fastconv import _config, conv2d
from fastconv import backends as list_backends
from fastconv.backends import _patience

IMAGE, KERNEL = np.arange(12.0).reshape(3, 4), np.ones((2, 2))
EXPECTED = conv2d(IMAGE, KERNEL)

PLUGIN = """
import fastconv
BACKEND = fastconv.BackendSpec({name!r}, {implementation!r}, api={api})
"""

MODULE = """
from fastconv.backends.reference import ReferenceBackend
class Backend(ReferenceBackend):
    pass
"""


def add_plugin(folder, name, light, distribution=None, value=None):
    """Write a distribution's metadata and its light module into a folder; return the module's name."""
    distribution = distribution or f"fastconv-{name}"
    module = f"light_{distribution}_{name}".replace("-", "_")
    (folder / f"{module}.py").write_text(light)
    metadata = folder / f"{distribution.replace('-', '_')}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[fastconv.backends]\n{name} = {value or module + ':BACKEND'}\n")
    return module


@pytest.fixture
def install(table, tmp_path, monkeypatch):
    """Install a plugin in a folder on sys.path."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield lambda name, light, distribution=None, value=None: add_plugin(tmp_path, name, light, distribution, value)
    for module in [m for m in set(sys.modules) - before if m.startswith(("light_", "heavy_"))]:
        del sys.modules[module]


def good(name, api=1):
    return PLUGIN.format(name=name, implementation=f"heavy_{name}:Backend", api=api)


def test_plugin_is_found_by_name_and_changes_nothing_until_then(install, tmp_path):
    (tmp_path / "heavy_alpha.py").write_text(MODULE)
    light = install("alpha", good("alpha"))
    np.testing.assert_array_equal(conv2d(IMAGE, KERNEL), EXPECTED)
    assert light not in sys.modules
    assert fastconv.explain(IMAGE, KERNEL).backend == "cpu"
    assert "heavy_alpha" not in sys.modules
    np.testing.assert_array_equal(conv2d(IMAGE, KERNEL, backend="alpha"), EXPECTED)
    assert "heavy_alpha" in sys.modules
    assert list_backends()["alpha"] == "usable"


# --- hostile plugins: what each does, and what is said of it ----------------------------------------------------------

LIGHT = {  # the light module's text
    "raises": ("raise RuntimeError('boom at import')", "RuntimeError: boom at import"),
    "exits": ("import sys; sys.exit(4)", "SystemExit: 4"),
    "syntax": ("def", "SyntaxError"),
    "wrongtype": ("BACKEND = 3", "is not a fastconv.BackendSpec named 'wrongtype'"),
    "noattribute": ("", "has no attribute 'BACKEND'"),
    "othername": (good("another"), "is not a fastconv.BackendSpec named 'othername'"),
    "version": (good("version", api=99), "speaks version 99 of the protocol, and this fastconv 1; upgrade fastconv"),
    "oldversion": (
        good("oldversion", api=0),
        "speaks version 0 of the protocol, and this fastconv 1; upgrade the plugin",
    ),
    "missing": (good("missing"), "No module named 'heavy_missing'"),
    "auto": (good("auto"), "the name 'auto' is reserved"),
    "BadName": (good("BadName"), "must be lower-case letters"),
    "takesnumpy": (
        "import fastconv\nBACKEND = fastconv.BackendSpec('takesnumpy', 'a:B', owns=('numpy:ndarray',))",
        "can't own 'numpy:ndarray'",
    ),
    "newer": (
        "import fastconv\nBACKEND = fastconv.BackendSpec('newer', 'a:B', unheard_of=1)",
        "unexpected keyword argument 'unheard_of'",
    ),
    "leavesgenerator": ("raise GeneratorExit", "GeneratorExit: "),
    "nowords": (
        "class Error(Exception):\n    def __str__(self): raise self\nraise Error",
        "Error: an object of type Error",
    ),
    "longwords": ("raise RuntimeError('boom' * 10**6)", "RuntimeError: boomboom"),
    "takesdask": (
        "import fastconv\nBACKEND = fastconv.BackendSpec('takesdask', 'a:B', owns=('dask.array.core:Array',))",
        "can't own 'dask.array.core:Array', which 'dask' does; list it in accepts",
    ),
    **{
        f"odd_{field}": (
            f"import fastconv\nBACKEND = fastconv.BackendSpec('odd_{field}', 'a:B')._replace({field}={value})",
            f"of backend 'odd_{field}' must be",
        )
        for field, value in {
            "implementation": "'heavy'", "api": "True", "hint": "3", "distribution": "None", "owns": "'a:B'",
            "accepts": "[]", "operators": "(3,)",
        }.items()
    },
}  # fmt: skip

HEAVY = {  # members of the implementation's class, which is found wanting when it is loaded
    "exitsearly": ("def __init__(self): raise SystemExit(5)", "SystemExit: 5"),
    "device": ("def probe(self): return 'there is no device'", "can't be used here: there is no device"),
    "falsy": ("def probe(self): return False", "probe returned False"),
    "gone": ("def probe(self): raise GeneratorExit", "GeneratorExit: "),
    "silent": ("def probe(self): return ''", "can't be used here: it does not say why"),
    "talks": ("def probe(self): return 'x' * 10**7", "can't be used here: xxx"),
    "noreject": ("reject = None", "it has no reject"),
}

RUNNING = {  # members of a class that loads, and what a call with it raises
    "shape": (
        "def plan(self, p): return lambda x, w, b, out, n: out[:1]",
        fastconv.BackendResultError,
        "returned ndarray",
    ),
    "nothing": ("def plan(self, p): return lambda x, w, b, out, n: None", fastconv.BackendResultError, "NoneType"),
    "mutates": ("def plan(self, p): return lambda x, w, b, out, n: x.fill(7)", ValueError, "read-only"),
    "mutatesweight": ("def plan(self, p): return lambda x, w, b, out, n: w.sort()", ValueError, "read-only"),
    "noalgorithms": ("algorithms = 'auto'", fastconv.BackendResultError, "algorithms of .* must be a tuple"),
    "noplan": ("def plan(self, p): return None", fastconv.BackendResultError, "plan of .* returned None"),
    "answers": ("def reject(self, p): return True", fastconv.BackendResultError, "reject of .* returned True"),
    "mumbles": ("def reject(self, p): return ' '", fastconv.BackendResultError, "reject of .* returned ' '"),
    "lectures": ("def reject(self, p): return 'no' * 10**7", fastconv.BackendUnsupportedError, "problem: nonono"),
    "quitsplan": ("def plan(self, p): exit()", fastconv.BackendResultError, "tried to end the process"),
    "closes": ("def reject(self, p): raise GeneratorExit", fastconv.BackendResultError, "tried .*: GeneratorExit"),
    "long": ("def plan(self, p): return lambda *a: type('Q' * 10**6, (), {})()", fastconv.BackendResultError, "QQ"),
    "input": ("def plan(self, p): return lambda x, *a: x", fastconv.BackendResultError, r"ndarray \(3, 4\) float64"),
    "quits": ("def reject(self, p): raise SystemExit", fastconv.BackendResultError, "tried to end the process"),
    "quitslate": (
        "def plan(self, p): return lambda *a: exit()",
        fastconv.BackendResultError,
        "tried to end the process",
    ),
    "closeslate": (
        "def plan(self, p): return lambda *a: (i for i in ()).throw(GeneratorExit)",
        fastconv.BackendResultError,
        "tried to end the process.*: GeneratorExit",
    ),
    "crashes": ("def plan(self, p): return lambda *a: 1 / 0", ZeroDivisionError, "division by zero"),
}


@pytest.fixture
def hostile(install, tmp_path):
    """Everything above, installed at once beside one good plugin."""
    for name, (text, _) in LIGHT.items():
        install(name, text)
    for name, (text, *_) in {**HEAVY, **RUNNING}.items():
        install(name, good(name))
        (tmp_path / f"heavy_{name}.py").write_text(MODULE.replace("pass", text))
    install("alpha", good("alpha"))
    (tmp_path / "heavy_alpha.py").write_text(MODULE)


def test_hostile_plugins_break_nothing_but_themselves(hostile):
    np.testing.assert_array_equal(conv2d(IMAGE, KERNEL), EXPECTED)
    verdicts = list_backends()
    assert all(verdicts[name] == "usable" for name in ("cpu", "reference", "alpha", *RUNNING))
    for name, (_, words) in {**LIGHT, **HEAVY}.items():
        assert words in verdicts[name]
        assert f"(from fastconv-{name})" in verdicts[name]
        with pytest.raises(fastconv.BackendError) as caught:
            conv2d(IMAGE, KERNEL, backend=name)
        assert words in str(caught.value)
        assert len(str(caught.value)) <= 500
        np.testing.assert_array_equal(conv2d(IMAGE, KERNEL, backend=(name, "cpu")), EXPECTED)
    report = fastconv.explain(IMAGE, KERNEL)
    assert report.backend == "cpu"
    assert set(LIGHT) | set(HEAVY) | set(RUNNING) <= set(report.candidates)
    np.testing.assert_array_equal(conv2d(IMAGE, KERNEL, backend="alpha"), EXPECTED)


@pytest.mark.parametrize("name", RUNNING)
def test_hostile_plugin_that_runs_raises_and_leaves_the_operands(hostile, name):
    _, error, words = RUNNING[name]
    x, weight = IMAGE.copy(), np.array([[4.0, 3.0], [2.0, 1.0]])
    plan = None
    with pytest.raises(error, match=words) as caught:
        conv2d(x, weight, backend=name)
    assert len(str(caught.value)) <= 500
    fastconv.explain(x, weight)  # asks those that are loaded
    with pytest.raises(error, match=words):
        plan = fastconv.plan_conv2d(weight, backend=name)
        plan(x)
    np.testing.assert_array_equal(x, IMAGE)
    np.testing.assert_array_equal(weight, [[4.0, 3.0], [2.0, 1.0]])
    np.testing.assert_array_equal(conv2d(IMAGE, KERNEL), EXPECTED)


SPOILING = {  # what a plan does to the array that it is given before it returns it
    "reshapes": "out.shape = (-1,)",
    "retypes": "out.dtype = 'i8'",
    "freezes": "out.flags.writeable = False",
    "turns": "return out.T.copy().T",
    "copies": "return out.copy()",
}


@pytest.mark.parametrize("name", SPOILING)
def test_what_a_plugin_does_to_its_out_stays_with_it(install, tmp_path, name):
    install(name, good(name))
    run = f"""def plan(self, p):
        right = super().plan(p)
        def run(x, w, b, out, n):
            right(x, w, b, out, n)
            {SPOILING[name]}
            return out
        return run"""
    (tmp_path / f"heavy_{name}.py").write_text(MODULE.replace("pass", run))
    out = np.full((2, 6), 7.0)[:, ::2]
    for y in (conv2d(IMAGE, KERNEL, backend=name), conv2d(IMAGE, KERNEL, backend=name, out=out)):
        assert y.dtype == np.float64
        assert y.flags.writeable
        np.testing.assert_array_equal(y, EXPECTED)
    assert y is out


def test_slow_probe_delays_nobody_else(install, tmp_path, monkeypatch):
    monkeypatch.setattr(_patience, "PATIENCE", 0.2)
    install("sleepy", good("sleepy"))
    (tmp_path / "heavy_sleepy.py").write_text(
        MODULE.replace("pass", "def probe(self):\n        import time; time.sleep(1.5)")
    )
    install("alpha", good("alpha"))
    (tmp_path / "heavy_alpha.py").write_text(MODULE)
    verdicts = list_backends()
    assert "'sleepy' did not answer within" in verdicts["sleepy"]
    assert "still loading" in verdicts["sleepy"]
    assert verdicts["alpha"] == "usable"
    for backend in (None, "cpu", "alpha"):
        np.testing.assert_array_equal(conv2d(IMAGE, KERNEL, backend=backend), EXPECTED)
    assert "not asked for" in fastconv.explain(IMAGE, KERNEL).candidates["sleepy"]
    np.testing.assert_array_equal(conv2d(IMAGE, KERNEL, backend="sleepy"), EXPECTED)  # who asks for it waits for it
    assert list_backends()["sleepy"] == "usable"


def test_reserved_and_built_in_names_cannot_be_taken(install, tmp_path):
    (tmp_path / "heavy_cpu.py").write_text("raise RuntimeError('loaded')")
    light = install("cpu", good("cpu"), "thief")
    np.testing.assert_array_equal(conv2d(IMAGE, KERNEL), EXPECTED)
    verdicts = list_backends()
    assert verdicts["cpu"] == "usable"
    assert "that name is fastconv's own" in verdicts["cpu@thief"]
    assert light not in sys.modules


def test_two_plugins_of_one_name_are_an_error_that_names_both(install, tmp_path):
    (tmp_path / "heavy_twin.py").write_text(MODULE)
    install("twin", good("twin"), "one-dist")
    install("twin", PLUGIN.format(name="twin", implementation="elsewhere:Backend", api=1), "other-dist")
    with pytest.raises(
        fastconv.BackendLoadError, match=r"(one-dist and other-dist|other-dist and one-dist) publish that name for"
    ):
        conv2d(IMAGE, KERNEL, backend="twin")
    np.testing.assert_array_equal(conv2d(IMAGE, KERNEL), EXPECTED)


def test_equal_plugins_are_one(install, tmp_path):
    (tmp_path / "heavy_same.py").write_text(MODULE)
    install("same", good("same"), "lib-dist")
    install("same", good("same"), "lib64-dist")
    np.testing.assert_array_equal(conv2d(IMAGE, KERNEL, backend="same"), EXPECTED)


def test_one_entry_point_published_twice_is_one_even_if_it_is_broken(install):
    light = install("raises", LIGHT["raises"][0], "lib-dist")
    install("raises", "", "lib64-dist", value=f"{light}:BACKEND")
    assert "boom at import" in list_backends()["raises"]


def test_malformed_distribution_hides_no_other(install, tmp_path):
    (tmp_path / "heavy_alpha.py").write_text(MODULE)
    install("alpha", good("alpha"))
    for name, text in {"torn": "[fastconv.backends]\n= = =\nx", "alien": "\xff\xfe fastconv.backends"}.items():
        folder = tmp_path / f"{name}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (folder / "entry_points.txt").write_bytes(text.encode("latin-1"))
    (tmp_path / "nameless-1.0.dist-info").mkdir()
    (tmp_path / "nameless-1.0.dist-info" / "entry_points.txt").write_text("[fastconv.backends]\nnameless = a:B\n")
    assert list_backends()["alpha"] == "usable"
    assert list_backends()["cpu"] == "usable"


def test_plugin_installed_while_the_process_runs_is_registered_by_hand(install, tmp_path):
    assert "late" not in fastconv.backends()
    (tmp_path / "heavy_late.py").write_text(MODULE)
    light = install("late", good("late"))
    assert "late" not in fastconv.backends(), "distributions are looked through once"
    importlib.invalidate_caches()
    fastconv.register_backend(importlib.import_module(light).BACKEND)
    assert fastconv.backends()["late"] == "usable"
    assert fastconv.conv2d(IMAGE, KERNEL, backend="late").tobytes() == fastconv.conv2d(IMAGE, KERNEL).tobytes()


HANGS = """
    import sys, types
    import numpy as np
    import fastconv
    x, w = np.ones((3, 3)), np.ones((2, 2))
    fastconv.conv2d(x, w, backend="alpha")
    fastconv.backend_spec("alpha")
    for name in ("alfa", "no_such"):
        try:
            fastconv.conv2d(x, w, backend=name)
        except fastconv.BackendNotFoundError as error:
            assert "hangs" in str(error) and "alpha" in str(error), error
    module = types.ModuleType("dask.array.core")
    class Array:
        shape, dtype = (3, 3), x.dtype
    module.Array = Array
    sys.modules["dask.array.core"] = module
    try:
        fastconv.conv2d(Array(), w)
    except Exception as error:
        print(type(error).__name__)
    print([name for name in sys.modules if name.startswith("light_")])
"""

LEFT = """
    import numpy as np
    import fastconv
    from fastconv.backends import _patience
    _patience.PATIENCE = 0.5
    x, w = np.ones((3, 3)), np.ones((2, 2))
    class Stranger:
        def __array__(self, dtype=None, copy=None):
            return x
    assert fastconv.conv2d(Stranger(), w).tolist() == [[4.0, 4.0], [4.0, 4.0]]
    _patience.PATIENCE = 1e6
    for _ in range(2):
        verdicts = fastconv.backends()
        assert verdicts["alpha"] == verdicts["cpu"] == "usable", verdicts
        assert "'hangs' did not answer within" in verdicts["hangs"], verdicts
        assert "KeyboardInterrupt" in verdicts["interrupts"], verdicts
    assert fastconv.explain(x, w).candidates["alpha"].startswith("not asked for; it could")
    assert fastconv.explain(x, w).candidates["hangs"] == "not asked for"
    assert "did not answer" in fastconv.show_config()["backends"]["hangs"]
    print("done")
"""


def test_a_plugin_whose_description_hangs_is_met_by_those_alone_who_ask_for_it(tmp_path):
    """Naming a backend, wrongly even, and arrays that a built-in one owns, import no other plugin."""
    (tmp_path / "heavy_alpha.py").write_text(MODULE)
    light = add_plugin(tmp_path, "alpha", good("alpha"))
    add_plugin(tmp_path, "hangs", "import threading; threading.Event().wait()")
    lines = run(HANGS, tmp_path, timeout=60).splitlines()
    assert lines[-1] == str([light])


def test_a_description_that_hangs_is_waited_for_once_and_left(tmp_path):
    """By those who ask for all of them; so is one that raises what the user alone should."""
    (tmp_path / "heavy_alpha.py").write_text(MODULE)
    add_plugin(tmp_path, "alpha", good("alpha"))
    add_plugin(tmp_path, "hangs", "import threading; threading.Event().wait()")
    add_plugin(tmp_path, "interrupts", "raise KeyboardInterrupt")
    assert run(LEFT, tmp_path, timeout=60) == "done\n"


MANY = """
    import threading
    import fastconv
    verdicts, gate = [], threading.Barrier(8)
    def look():
        gate.wait()
        verdicts.append(fastconv.backends()["alpha"])
    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(set(verdicts))
"""


def test_a_slow_description_is_waited_for_by_all_who_ask(tmp_path):
    """Whoever came while another thread waited was told at once that it is late."""
    (tmp_path / "heavy_alpha.py").write_text(MODULE)
    add_plugin(tmp_path, "alpha", "import time; time.sleep(0.5)\n" + good("alpha"))
    assert run(MANY, tmp_path, timeout=60) == "{'usable'}\n"


def test_a_malformed_name_is_not_imported(install):
    """Neither variable could disable it."""
    light = install("Bad-Name", LIGHT["raises"][0])
    assert "must be lower-case letters" in list_backends()["Bad-Name"]
    assert light not in sys.modules


def test_a_registered_backend_and_an_installed_one_of_the_same_name(install, tmp_path):
    (tmp_path / "heavy_alpha.py").write_text(MODULE)
    light = install("alpha", good("alpha"))
    assert list_backends()["alpha"] == "usable"
    other = fastconv.BackendSpec("alpha", "elsewhere:Backend")
    with pytest.raises(ValueError, match=r"already is a backend 'alpha' \(heavy_alpha:Backend\)"):
        fastconv.register_backend(other)
    fastconv.register_backend(importlib.import_module(light).BACKEND)  # the same: nothing new
    assert fastconv.backend_spec("alpha").distribution == "fastconv-alpha"


def test_disabled_plugin_is_not_even_imported(install, monkeypatch):
    monkeypatch.setenv("FASTCONV_DISABLE_BACKENDS", "raises")
    _config.reload()
    light = install("raises", LIGHT["raises"][0])
    assert "disabled by FASTCONV_DISABLE_BACKENDS" in list_backends()["raises"]
    assert light not in sys.modules
    with pytest.raises(fastconv.BackendUnavailableError, match="disabled"):
        conv2d(IMAGE, KERNEL, backend="raises")


# --- installing a plugin changes no result ----------------------------------------------------------------------------


def run(code, *folders, timeout=None, **environment):
    """Run code in a new process that sees the folders; return what it printed."""
    path = os.pathsep.join([*map(str, folders), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {"PYTHONPATH": path} | environment
    done = subprocess.run(
        [sys.executable, "-P", "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True,
        env=environment, timeout=timeout,
    )  # fmt: skip
    return done.stdout


BITS = """
    import hashlib, sys
    import fastconv
    from fastconv.testing import random_call
    digest = hashlib.sha256()
    for seed in range(300):
        call = random_call(seed)
        for _ in range(2):
            digest.update(fastconv.conv2d(call.x, call.weight, call.bias, **call.options).tobytes())
    print(digest.hexdigest())
"""


def test_installing_a_plugin_changes_no_result(tmp_path):
    """The same bits in a process that has plugins as in one that has none, also once they are known and loaded."""
    light = add_plugin(tmp_path, "eager", GREEDY)
    (tmp_path / "heavy_eager.py").write_text(MODULE.replace("pass", "def plan(self, p): return lambda *a: a[3]"))
    add_plugin(tmp_path, "raises", LIGHT["raises"][0])
    without = run(BITS)
    assert run(BITS + f"    print({light!r} in sys.modules, 'heavy_eager' in sys.modules)", tmp_path).split() == [
        without.strip(), "False", "False",
    ]  # fmt: skip
    loaded = BITS.replace("digest = ", "assert fastconv.backends()['eager'] == 'usable'; digest = ")
    assert run(loaded, tmp_path) == without


GREEDY = """
import fastconv
BACKEND = fastconv.BackendSpec("eager", "heavy_eager:Backend", owns=("some.library:Array",))
"""


def test_neither_import_nor_calls_on_numpy_arrays_look_for_plugins(tmp_path):
    """Everything that a call with default settings imports is in sys.modules, and no plugin is."""
    add_plugin(tmp_path, "exits", LIGHT["exits"][0])
    code = """
        import array, sys
        import numpy as np
        before = set(sys.modules)
        import fastconv
        after_import = set(sys.modules) - before
        x, w = np.ones((1, 2, 9, 9), "f4"), np.ones((4, 2, 3, 3), "f4")
        out = np.empty((1, 4, 7, 7), "f4")
        for _ in range(3):
            fastconv.conv2d(x, w)
            fastconv.conv2d(x, w, out=out)
            fastconv.conv2d(x.tolist(), w)
            fastconv.conv2d(np.float32(2) * x, w, np.ma.array(np.ones(4)))
            fastconv.conv2d(memoryview(x), w, array.array("f", [1, 2, 3, 4]))
            fastconv.conv2d(x, w, backend=("reference", "cpu"))
            fastconv.plan_conv2d(w)(x)
            with fastconv.trace(), fastconv.use_backend("cpu"):
                fastconv.conv2d(x, w)
        new = set(sys.modules) - before
        print("importlib.metadata" in new, [name for name in new if name.startswith(("light_", "heavy_"))])
        heavy = {name for name in after_import if name.split(".")[0] not in sys.stdlib_module_names}
        print(sorted(name for name in heavy if not name.startswith("fastconv")))
        print(sorted(name for name in heavy if name.startswith(("fastconv.backends.", "fastconv.testing"))))
    """
    lines = run(code, tmp_path).splitlines()
    assert lines[0] == "False []"
    assert lines[1] == "[]"
    internal = ["_compose", "_listing", "_selection", "_table", "_types", "reference"]
    assert lines[2] == str([f"fastconv.backends.{name}" for name in internal])


def test_a_list_of_plugins_takes_no_implementation_with_it(install, tmp_path):
    (tmp_path / "heavy_alpha.py").write_text(MODULE)
    light = install("alpha", good("alpha"))
    assert "alpha" in fastconv.explain(IMAGE, KERNEL).candidates
    assert light in sys.modules
    assert "heavy_alpha" not in sys.modules
