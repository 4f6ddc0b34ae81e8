"""The documentation is true: examples run, links lead somewhere, public names are described."""

import doctest
import importlib
import inspect
import os
import re
import shutil
import subprocess
import sys
import tomllib
import types
from pathlib import Path

import pytest

import fastconv
from fastconv.backends import BUILT_IN
from fastconv.backends._specs import RESERVED, check_spec
from fastconv.testing import BackendConformance

ROOT = Path(__file__).parent.parent
MODULES = sorted(  # those whose functions are public
    {
        *(thing.__module__ for thing in vars(fastconv).values() if inspect.isfunction(thing) or inspect.isclass(thing)),
        *("fastconv.expand", "fastconv.filters", "fastconv.testing._calls", "fastconv.testing.strategies"),
    }
)
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "plugins").rglob("*.md"),
        *(ROOT / "examples").rglob("*.md"),
    ]
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_docstrings(name):
    module = importlib.import_module(name)
    results = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert results.failed == 0


def public_functions():
    faces = [
        (fastconv, fastconv.__all__),
        (fastconv.filters, fastconv.filters.__all__),
        (fastconv.expand, fastconv.expand.__all__),
    ]
    return {
        name: getattr(face, name)
        for face, names in faces
        for name in names
        if inspect.isfunction(getattr(face, name)) or inspect.isclass(getattr(face, name))
    }


@pytest.mark.parametrize("name", public_functions())
def test_public_names_have_docstrings_with_every_parameter_and_an_example(name):
    thing = public_functions()[name]
    text = inspect.getdoc(thing)
    assert text
    assert text.split("\n")[0].endswith((".", ":"))
    if inspect.isfunction(thing):
        assert ">>>" in text, "an example that runs"
        for parameter in inspect.signature(thing).parameters:
            assert re.search(rf"^[\w, *]*\b{parameter}\b[\w, *]*( : .*)?$", text, re.MULTILINE), parameter


def test_python_examples_of_the_readme_run(capsys):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert len(blocks) == 2
    names = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)
    assert "backend: cpu" in capsys.readouterr().out


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page):
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_paths_named_in_architecture_exist():
    text = (ROOT / "ARCHITECTURE.md").read_text()
    for name in re.findall(r"`([\w/]+\.(?:py|pyx|c|h|md))`", text):
        candidates = (
            ROOT / name,
            ROOT / "fastconv" / name,
            ROOT / "fastconv/csrc" / name,
            ROOT / "fastconv/backends" / name,
        )
        assert any(path.exists() for path in candidates), name
    for name in re.findall(r"`(\w+)\.(?:Problem\.)?(\w+)`", text):
        if name[0] in ("_api", "_problem"):
            assert name[1] in (ROOT / "fastconv" / f"{name[0]}.py").read_text(), name


def test_environment_variables_are_documented():
    text = "".join(page.read_text() for page in PAGES) + inspect.getdoc(fastconv.conv2d)
    for name in fastconv._config.VARIABLES:
        assert name in text, f"{name} is in no page"


def code_blocks(page, kind="python"):
    return re.findall(rf"```{kind}\n(.*?)```", page.read_text(), re.DOTALL)


@pytest.mark.parametrize("name", ["which-backend", "threads", "dask"])
def test_python_examples_of_the_pages_run(name):
    names = {}
    try:
        for block in code_blocks(ROOT / "docs" / f"{name}.md"):
            exec(compile(block, name, "exec"), names)
    finally:
        fastconv.set_default_backend(None)


def test_the_how_to_shows_the_template_file_by_file():
    """What a reader of the page copies is what `.ci/run` installs and puts through the conformance kit."""
    page, plugin = ROOT / "docs/howto/add-a-backend.md", ROOT / "plugins/template"
    shown, others = set(), []
    for block in code_blocks(page):
        name, _, code = block.partition("\n")
        if name.startswith("# "):
            assert code == (plugin / name[2:]).read_text(), name
            shown.add(name[2:])
        else:
            others.append(block)
    spec, kit = others  # of a backend that has arrays of its own
    assert check_spec(eval(spec, {"BackendSpec": fastconv.BackendSpec})).owns == ("cupy:ndarray",)
    names = {"BackendConformance": BackendConformance, "cupy": types.SimpleNamespace(asarray=list, asnumpy=tuple)}
    exec(kit, names)
    assert names["TestCuda"]().to_numpy(names["TestCuda"]().make_array((1, 2))) == (1, 2)
    there = {path.relative_to(plugin) for path in plugin.rglob("*.py")}
    assert shown == {str(path) for path in there if path.parts[0] != "build"}
    (toml,) = code_blocks(page, "toml")
    assert toml in (plugin / "pyproject.toml").read_text()
    fields = re.search(r"`n, groups, .*?`macs`", page.read_text(), re.DOTALL).group()
    for word in re.findall(r"\b[a-z_]+\b", " ".join(re.findall(r"`([a-z_, \n]+)`", fields))):
        assert hasattr(fastconv.Problem, word), f"Problem has no {word}"
    (taken,) = re.findall(r"40 at most; (.*?) are taken", page.read_text(), re.DOTALL)
    assert set(re.findall(r"`(\w+)`", taken)) == {*RESERVED, *(spec.name for spec in BUILT_IN)}
    commands = " ".join(code_blocks(page, "sh"))
    assert "-p fastconv.testing.plugin --fastconv-backend=windows" in commands
    assert "--fastconv-backend=windows" in (ROOT / ".ci/run").read_text()


@pytest.mark.parametrize(
    ("folder", "only"),
    [("plugins/template", "test"), ("examples/fastconv-scipy", "usable or agrees or finite or early")],
)
def test_plugins_of_this_repository_pass_their_own_tests(folder, only, tmp_path):
    """As if they were installed: their modules and an entry point on the path."""
    plugin = ROOT / folder
    project = tomllib.loads((plugin / "pyproject.toml").read_text())["project"]
    for path in plugin.glob("*.py"):
        shutil.copy(path, tmp_path)
    metadata = tmp_path / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: 0.1.0\n")
    ((name, value),) = project["entry-points"]["fastconv.backends"].items()
    (metadata / "entry_points.txt").write_text(f"[fastconv.backends]\n{name} = {value}\n")
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", only],
        cwd=plugin, capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": path},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
    assert "passed" in done.stdout


def test_examples_stay_short():
    """What the example shows: a library as a backend, in under 80 lines."""
    lines = [line for path in (ROOT / "examples/fastconv-scipy").glob("*.py") for line in path.read_text().splitlines()]
    assert len(lines) < 80
