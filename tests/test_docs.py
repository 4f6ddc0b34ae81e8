"""The documentation is true: examples run, links lead somewhere, public names are described."""

import doctest
import importlib
import inspect
import re
from pathlib import Path

import pytest

import fastconv

ROOT = Path(__file__).parent.parent
MODULES = [
    "_api",
    "_explain",
    "_plan",
    "_problem",
    "_show_config",
    "backends._selection",
    "backends._listing",
    "filters",
    "testing._calls",
    "testing.strategies",
]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "plugins").rglob("*.md")])


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_docstrings(name):
    module = importlib.import_module(f"fastconv.{name}")
    results = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert results.failed == 0


def public_functions():
    faces = [(fastconv, fastconv.__all__), (fastconv.filters, fastconv.filters.__all__)]
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


def test_template_in_the_how_to_is_the_template():
    """The how-to shows the plugin's own files."""
    page = (ROOT / "docs/howto/add-a-backend.md").read_text()
    plugin = ROOT / "plugins/template"
    assert 'windows = "fastconv_windows:BACKEND"' in page
    assert 'windows = "fastconv_windows:BACKEND"' in (plugin / "pyproject.toml").read_text()
    squeezed = re.sub(r"\s+|,(?=\s*\))", "", (plugin / "fastconv_windows.py").read_text())
    block = re.search(r"# fastconv_windows\.py\n(.*?)```", page, re.DOTALL).group(1)
    assert re.sub(r"\s+|,(?=\s*\))", "", block) in squeezed
