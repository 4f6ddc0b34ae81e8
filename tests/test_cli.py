"""The command line: each command through main(argv), and through ``python -m fastconv`` from another directory."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastconv
from fastconv.__main__ import main

Image = pytest.importorskip("PIL.Image")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Run in an empty directory, so that every file written shows."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def rgb(here):
    """A small colour image, in.png."""
    pixels = np.random.default_rng(0).integers(0, 256, (17, 23, 3), dtype=np.uint8)
    Image.fromarray(pixels).save("in.png")
    return pixels


def files(path):
    return sorted(file.name for file in path.iterdir())


def opened(path):
    with Image.open(path) as image:
        image.load()
        return image


def read(path):
    return np.asarray(opened(path))


def as_float(pixels):
    return pixels.astype(np.float32) / np.float32(255)


def as_bytes(values):
    return np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)


def direct(pixels, kernel, **options):
    """Filter each channel of (H, W, C) on its own, one call a channel."""
    planes = [
        fastconv.conv2d(
            as_float(pixels[..., c]), kernel.astype(np.float32), padding="same",
            **{"padding_mode": "reflect", **options},
        )
        for c in range(pixels.shape[2])
    ]  # fmt: skip
    return np.stack(planes, axis=-1)


def run_module(cwd, *arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "fastconv", *arguments],
        cwd=cwd, capture_output=True, text=True, timeout=60, check=False, encoding="utf-8",
        env={**os.environ, "PYTHONIOENCODING": "utf-8", **environment},
    )  # fmt: skip


# --- info


def test_info_says_everything_that_show_config_knows(capsys):
    assert main(["info"]) == 0
    text = capsys.readouterr().out
    config = fastconv.show_config()
    assert text.startswith(f"fastconv {fastconv.__version__}\n")
    assert config["compiler"] in text
    assert re.search(rf"threads +{config['threads']['count']}, from: {re.escape(config['threads']['from'])}", text)
    for section in ("instruction_sets", "backends"):
        for name, state in config[section].items():
            assert re.search(rf"^  {name} .*{re.escape(state)}$", text, re.MULTILINE), name
    for operator, ways in config["operators"].items():
        for name, way in ways.items():
            assert re.search(rf"^  {operator} +{way} +(.*, )?{name}(,|$)", text, re.MULTILINE), (operator, name)
    assert re.search(rf"^  cpu +fastconv {fastconv.__version__} ", text, re.MULTILINE)
    assert "NumPy arrays go to cpu, from: default" in text
    for name in config["environment"]:
        assert name in text
    assert "OpenMP" in text
    assert max(map(len, text.splitlines())) <= 120


def test_info_without_openmp_says_what_that_means():
    from fastconv._cli.info import as_text

    assert "one thread" in as_text({**fastconv.show_config(), "openmp": None})


def test_info_json_is_show_config(capsys):
    assert main(["info", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == fastconv.show_config()


def test_module_runs_from_another_directory_and_info_needs_numpy_alone(here):
    block = "import sys; sys.modules.update(dict.fromkeys(['matplotlib', 'PIL', 'rich', 'scipy', 'skimage']));"
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"{block} from fastconv.__main__ import main; sys.exit(main(['info']))"],
        cwd=here, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert "FASTCONV_ISA" in run.stdout
    assert run.stderr == ""
    assert run_module(here, "--version").stdout == f"fastconv {fastconv.__version__}\n"
    assert files(here) == []


def test_importing_main_imports_nothing_of_the_extra(here):
    heavy = "{'matplotlib', 'PIL', 'rich', 'scipy', 'skimage'}"
    code = (
        f"import sys, fastconv.__main__; sys.exit(str({heavy} & set(sys.modules)) if {heavy} & set(sys.modules) else 0)"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=here, capture_output=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr


def test_wrong_environment_variable_is_one_sentence(here):
    run = run_module(here, "info", FASTCONV_NUM_THREADS="many")
    assert run.returncode == 2
    assert run.stderr.startswith("fastconv: the environment variable FASTCONV_NUM_THREADS must be ")
    assert run.stderr.count("\n") == 1


def test_output_that_the_terminal_cannot_show_is_replaced(here, rgb):
    run = run_module(here, "filter", "in.png", "--kernel", "box:3", PYTHONIOENCODING="ascii")
    assert run.returncode == 0, run.stderr
    assert "kernel 3?3" in run.stdout


# --- filter

KERNELS = {
    "gaussian:5": fastconv.filters.gaussian(5),
    "gaussian:9:1.5": fastconv.filters.gaussian(9, 1.5),
    "sharpen:0.5": fastconv.filters.sharpen(0.5),
    "emboss": fastconv.filters.emboss(),
}


@pytest.mark.parametrize("spec", KERNELS)
def test_filter_clips_to_the_range_of_the_image(here, rgb, spec, capsys):
    assert main(["filter", "in.png", "--kernel", spec, "-o", "out.png"]) == 0
    expected = direct(rgb, KERNELS[spec])
    np.testing.assert_array_equal(read("out.png"), as_bytes(expected))
    out = capsys.readouterr().out
    assert f"{spec}: kernel {len(KERNELS[spec])}×" in out
    assert "image (17, 23, 3)," in out
    assert " ms" in out
    assert f"raw result from {expected.min():.4g} to {expected.max():.4g}; clipped" in out
    assert files(here) == ["in.png", "out.png"]


def test_filter_shows_a_derivative_around_mid_grey(rgb, capsys):
    assert main(["filter", "in.png", "--kernel", "sobel_x"]) == 0
    y = direct(rgb, fastconv.filters.sobel_x())
    shown = read("filtered.png")
    np.testing.assert_array_equal(shown, as_bytes(0.5 + y / (2 * np.abs(y).max())))
    assert "zero is mid-grey" in capsys.readouterr().out


def test_filter_applies_kernels_one_after_the_other_and_a_chain_with_a_derivative_is_one(rgb):
    assert main(["filter", "in.png", "-k", "box:3", "laplacian"]) == 0
    x = rgb.transpose(2, 0, 1)[:, None].astype(np.float32) / np.float32(255)
    for kernel in (fastconv.filters.box(3), fastconv.filters.laplacian()):
        x = fastconv.conv2d(x, kernel.astype(np.float32)[None, None], padding="same", padding_mode="reflect")
    shown = read("filtered.png")
    np.testing.assert_array_equal(shown, as_bytes(0.5 + x / (2 * np.abs(x).max()))[:, 0].transpose(1, 2, 0))


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int16, np.bool_])
def test_filter_reads_npy(rgb, dtype):
    kernel = np.array([[1, 0, 0, 1]], dtype)
    np.save("kernel.npy", kernel)
    assert main(["filter", "in.png", "--kernel", "kernel.npy", "--padding-mode", "wrap", "--flip"]) == 0
    expected = direct(rgb, kernel, padding_mode="wrap", flip=True)
    np.testing.assert_array_equal(read("filtered.png"), as_bytes(expected))


def test_filter_of_a_flat_image_is_mid_grey(here):
    Image.fromarray(np.full((9, 9), 77, np.uint8)).save("flat.png")
    assert main(["filter", "flat.png", "--kernel", "gaussian:5", "laplacian"]) == 0
    assert set(read("filtered.png").ravel()) == {128}


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P", "1", "CMYK"])
def test_filter_keeps_alpha_and_the_kind_of_image(here, mode):
    pixels = np.random.default_rng(1).integers(0, 256, (6, 8, 4), dtype=np.uint8)
    image = Image.fromarray(pixels).convert(mode)
    image.save("in.tif")
    assert main(["filter", "in.tif", "--kernel", "identity", "-o", "out.png"]) == 0
    out = opened("out.png")
    assert out.mode == {"P": "RGB", "CMYK": "RGB", "1": "L"}.get(mode, mode)
    np.testing.assert_array_equal(np.asarray(out), np.asarray(image.convert(out.mode)))


def test_filter_keeps_alpha_apart_from_the_colours(here):
    pixels = np.random.default_rng(1).integers(0, 256, (6, 8, 4), dtype=np.uint8)
    Image.fromarray(pixels).save("in.png")
    assert main(["filter", "in.png", "--kernel", "box:3"]) == 0
    out = read("filtered.png")
    np.testing.assert_array_equal(out[..., 3], pixels[..., 3])
    np.testing.assert_array_equal(out[..., :3], as_bytes(direct(pixels[..., :3], fastconv.filters.box(3))))


def test_filter_keeps_sixteen_bits(here):
    pixels = np.random.default_rng(2).integers(0, 65536, (6, 8), dtype=np.uint16)
    Image.fromarray(pixels).save("in.png")
    assert main(["filter", "in.png", "--kernel", "identity"]) == 0
    np.testing.assert_array_equal(read("filtered.png"), pixels)


def test_filter_turns_a_photo_the_way_the_camera_says(here):
    image = Image.fromarray(np.arange(6, dtype=np.uint8).reshape(2, 3))
    exif = image.getexif()
    exif[0x0112] = 6  # a quarter of a turn
    image.save("in.png", exif=exif)
    assert main(["filter", "in.png", "--kernel", "identity"]) == 0
    assert opened("filtered.png").size == (2, 3)


def test_filter_help_says_how_derivatives_are_shown(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["filter", "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    assert "mid-grey" in text
    assert "gaussian:SIZE[:SIGMA]" in text


# --- errors


def write_bad_files():
    np.save("cube.npy", np.ones((2, 2, 2)))
    np.save("complex.npy", np.ones((2, 2), complex))
    np.save("nan.npy", np.full((3, 3), np.nan))
    np.save("empty.npy", np.ones((0, 3)))
    np.save("objects.npy", np.array([[None]]), allow_pickle=True)
    Path("text.npy").write_text("1 2 3")
    with Path("zip.npy").open("wb") as file:
        np.savez(file, a=np.ones((2, 2)))
    Path("text.png").write_text("not an image")
    Path("cut.png").write_bytes(Path("in.png").read_bytes()[:400])


ERRORS = {
    "filter absent.png --kernel box:3": r"can't read absent\.png: No such file",
    "filter . --kernel box:3": r"can't read \.: Is a directory",
    "filter text.png --kernel box:3": r"can't read text\.png as an image: ",
    "filter cut.png --kernel box:3": r"can't read cut\.png as an image: ",
    "demo absent.png": r"can't read absent\.png: No such file",
    "demo text.png": r"can't read text\.png as an image: ",
    "filter in.png --kernel nonsense": r"unknown kernel 'nonsense'; there are box, emboss, .*\.npy",
    "filter in.png --kernel gaussian": r"kernel 'gaussian': .*write it as gaussian:SIZE\[:SIGMA\]",
    "filter in.png --kernel gaussian:4": r"kernel 'gaussian:4': size must be odd",
    "filter in.png --kernel gaussian:5:0": r"kernel 'gaussian:5:0': sigma must be",
    "filter in.png --kernel gaussian:x": r"kernel 'gaussian:x': could not convert",
    "filter in.png --kernel gaussian:2.5": r"kernel 'gaussian:2.5': size must be an integer, got 2\.5",
    "filter in.png --kernel box:99999": r"kernel 'box:99999': size must be at most 1001",
    "filter in.png --kernel sobel_x:3": r"kernel 'sobel_x:3': .*write it as sobel_x\.",
    "filter in.png --kernel sharpen:nan": r"kernel 'sharpen:nan': amount must be a finite number, got nan",
    "filter in.png --kernel absent.npy": r"can't read the kernel absent\.npy: No such file",
    "filter in.png --kernel text.npy": r"can't read the kernel text\.npy: it is not a \.npy file of numbers",
    "filter in.png --kernel zip.npy": r"can't read the kernel zip\.npy: it is not a \.npy file of numbers",
    "filter in.png --kernel objects.npy": r"can't read the kernel objects\.npy: it is not a \.npy file of numbers",
    "filter in.png --kernel cube.npy": r"the kernel cube\.npy must be a two-dimensional .*\(2, 2, 2\)",
    "filter in.png --kernel empty.npy": r"the kernel empty\.npy must be a two-dimensional .*\(0, 3\)",
    "filter in.png --kernel complex.npy": r"the kernel complex\.npy must be .*complex128",
    "filter in.png --kernel nan.npy": r"kernel 'nan\.npy' has weights that are not finite",
    "filter in.png --kernel box:3 -o absent/out.png": r"can't write absent/out\.png: there is no directory absent",
    "filter in.png --kernel box:3 -o out.nonsense": r"can't write out\.nonsense: its name must end in",
    "filter in.png --kernel box:3 -o out": r"can't write out: its name must end in",
    "demo in.png -o absent/out.png": r"can't write absent/out\.png: there is no directory absent",
    "demo in.png -o out.txt": r"can't write out\.txt: its name must end in one of \.jpg, \.pdf, \.png, \.svg",
}  # fmt: skip


@pytest.mark.parametrize("line", ERRORS)
def test_user_errors_are_one_sentence_and_write_nothing(here, rgb, line, capsys):
    write_bad_files()
    before = files(here)
    assert main(line.split()) == 2
    captured = capsys.readouterr()
    assert re.match(r"fastconv: " + ERRORS[line], captured.err)
    assert captured.err.count("\n") == 1
    assert len(captured.err) <= 500
    assert captured.out == ""
    assert files(here) == before


def test_output_that_is_a_directory_is_refused(here, rgb, capsys):
    (here / "out.png").mkdir()
    assert main(["filter", "in.png", "--kernel", "box:3", "-o", "out.png"]) == 2
    assert capsys.readouterr().err == "fastconv: can't write out.png: it is a directory.\n"


def test_image_format_without_alpha_is_refused(here, capsys):
    Image.fromarray(np.zeros((4, 4, 4), np.uint8)).save("in.png")
    assert main(["filter", "in.png", "--kernel", "box:3", "-o", "out.jpg"]) == 2
    assert capsys.readouterr().err.startswith("fastconv: can't write this image as .jpg: cannot write mode RGBA")
    assert files(here) == ["in.png"]


def test_backend_that_is_not_there_is_one_sentence(rgb, capsys):
    with fastconv.use_backend(("cpu",)):
        assert main(["filter", "in.png", "--kernel", "box:3"]) == 0
    run = run_module(".", "filter", "in.png", "--kernel", "box:3", FASTCONV_BACKEND="nonsense")
    assert run.returncode == 2
    assert re.match(r"fastconv: .*'nonsense'.*\n\Z", run.stderr)


@pytest.mark.parametrize("argv", [[], ["nonsense"], ["filter", "in.png"], ["filter", "in.png", "--kernel"]])
def test_usage_errors_exit_with_2(argv, capsys):
    with pytest.raises(SystemExit) as stop:
        main(argv)
    assert stop.value.code == 2
    assert "fastconv" in capsys.readouterr().err


EXTRA = {"matplotlib": "matplotlib", "PIL": "pillow", "rich": "rich", "scipy": "scipy", "skimage": "scikit-image"}


@pytest.mark.parametrize("module", EXTRA)
def test_missing_extra_is_one_sentence_that_says_what_to_install(here, rgb, module, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, module, None)
    assert main(["demo", "in.png"]) == 1
    err = capsys.readouterr().err
    assert err.startswith(f"fastconv: this command needs {EXTRA[module]}, ")
    assert "pip install 'fastconv[demo]'" in err
    assert err.count("\n") == 1
    assert main(["filter", "in.png", "--kernel", "box:3"]) == (1 if module == "PIL" else 0)


# --- demo

STEPS = ["classic filters", "colour-edge", "cross-correlation", "true convolution", "layer 1", "layer 2", "NHWC",
         "layer 3"]  # fmt: skip


def test_demo_draws_one_figure_of_the_photo_that_ships_and_opens_nothing(here):
    """In a process of its own: no pyplot, no network, no display, nothing written beside the figure."""
    code = (
        "import socket, sys\n"
        "def refuse(*args, **kwargs): raise AssertionError('network')\n"
        "socket.socket.connect = refuse\n"
        "from fastconv.__main__ import main\n"
        "status = main(['demo'])\n"
        "assert 'matplotlib.pyplot' not in sys.modules and 'tkinter' not in sys.modules\n"
        "sys.exit(status)\n"
    )
    run = subprocess.run(
        [sys.executable, "-W", "error", "-X", "utf8", "-c", code],
        cwd=here, capture_output=True, text=True, timeout=120, check=False, encoding="utf-8",
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert files(here) == ["demo.png"]
    assert 100_000 < (here / "demo.png").stat().st_size < 3_000_000
    width, height = opened("demo.png").size
    assert 1000 <= width <= 2400
    assert 1000 <= height <= 2400
    for k, step in enumerate(STEPS, 1):
        assert re.search(rf"^\[{k}/{len(STEPS)}\] .*{step}.*: [0-9.]+ ms$", run.stdout, re.MULTILINE), step
    assert "1×16×75×113" in run.stdout
    assert "SciPy" in run.stdout
    assert "wrote demo.png" in run.stdout


@pytest.mark.parametrize("mode", ["L", "RGBA", "I;16"])
def test_demo_takes_any_image(here, mode, capsys, monkeypatch):
    monkeypatch.setattr("fastconv._cli.steps.SECONDS", 0)
    monkeypatch.setattr("fastconv._cli.figure.DPI", 40)
    monkeypatch.delitem(sys.modules, "matplotlib.pyplot", raising=False)
    h, w = {"L": (7, 5), "RGBA": (40, 30), "I;16": (1, 1)}[mode]
    pixels = np.random.default_rng(3).integers(0, 256, (h, w, 4), dtype=np.uint8)
    image = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257) if mode == "I;16" else Image.fromarray(pixels)
    (image if mode == "I;16" else image.convert(mode)).save("in.png")
    assert main(["demo", "in.png", "-o", "out.png"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"photo: in.png, {h} × {w}, ")
    assert files(here) == ["in.png", "out.png"]
    assert min(opened("out.png").size) > 300
    assert "matplotlib.pyplot" not in sys.modules


def test_demo_shrinks_a_large_photo_and_says_so(here, capsys, monkeypatch):
    monkeypatch.setattr("fastconv._cli.story.LONGEST_SIDE", 60)
    monkeypatch.setattr("fastconv._cli.steps.SECONDS", 0)
    monkeypatch.setattr("fastconv._cli.figure.DPI", 40)
    Image.new("RGB", (120, 80), "teal").save("in.png")
    assert main(["demo", "in.png", "-o", "out.svg"]) == 0
    assert "in.png, 80 × 120, RGB; computed at 40 × 60 × 3" in capsys.readouterr().out
    assert "<svg" in (here / "out.svg").read_text()


def test_demo_fails_where_scipy_disagrees(here, capsys, monkeypatch):
    from fastconv._cli import steps

    monkeypatch.setattr(steps, "SECONDS", 0)
    monkeypatch.setattr("fastconv._cli.figure.draw", lambda *args: b"")
    monkeypatch.setitem(steps.SCIPY, "signal.oaconvolve", lambda x, weight: np.ones((1, 1, 1, 1), np.float32))
    Image.new("RGB", (30, 20), "teal").save("in.png")
    assert main(["demo", "in.png"]) == 1
    assert capsys.readouterr().err == "fastconv: fastconv and SciPy differ in: 9 classic filters.\n"


def test_designed_kernels_answer_to_what_they_are_named_after():
    from fastconv._cli import layers

    bank = layers.layer1()
    ramp = np.broadcast_to(np.linspace(0, 1, 15, dtype=np.float32), (3, 15, 15))
    edges = fastconv.conv2d(ramp, bank.weight, bank.bias)[:8, 4, 4]
    assert bank.names[int(edges.argmax())] == "edge →"
    assert bank.names[int(edges.argmin())] == "edge ←"
    red = np.zeros((3, 9, 9), np.float32)
    red[0] = 1
    colours = dict(zip(bank.names, fastconv.conv2d(red, bank.weight, bank.bias)[:, 1, 1], strict=True))
    assert colours["red"] > 0.9
    assert max(colours["green"], colours["blue"]) < 0
    second = layers.layer2(bank.names)
    third = layers.layer3(second.names)
    assert [b.weight.shape[:2] for b in (bank, second, third)] == [(16, 3), (16, 16), (16, 16)]


def test_sources_that_are_not_compiled_say_so(tmp_path):
    code = """if True:
        import sys
        sys.modules["fastconv._kernels"] = None
        from fastconv.__main__ import main
        sys.exit(main(["info"]))
    """
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 2
    assert "sources that are not compiled? run from another folder" in run.stderr
    assert "Traceback" not in run.stderr
