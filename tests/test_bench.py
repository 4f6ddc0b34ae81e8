"""``fastconv bench``: the suites are what they are named after, peers agree or are named, times are taken in turn."""

import collections
import itertools
import json
import os
import re
import subprocess
import sys
import types

import numpy as np
import pytest

import fastconv
from fastconv import _kernels
from fastconv.__main__ import main

pytest.importorskip("matplotlib")
pytest.importorskip("rich")
pytest.importorskip("scipy.signal")

from fastconv._bench import measure, report
from fastconv._bench.peer import Made
from fastconv._bench.peers import OURS, PEERS, PREPARED
from fastconv._bench.problems import OPERATORS, Case, Layer
from fastconv._bench.suites import SUITES, USUAL

QUICK = ["bench", "--suite", "tiny", "--peers", "scipy", "--threads", "1", "--repeats", "2", "--seconds", "0"]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Run in an empty directory, on a machine that is said to be quiet."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(measure, "NOISY_SPREAD", 1e9)
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0), raising=False)
    return tmp_path


def files(path):
    return sorted(file.name for file in path.iterdir())


# --- the suites

NETWORKS = {  # convolutions, distinct ones, multiply-adds in all: the published counts less the dense layers
    "resnet50": (53, 23, 4_087_136_256),
    "vgg16": (13, 9, 15_346_630_656),
    "mobilenetv2": (52, 30, 299_494_272),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_are_complete(name):
    layers = SUITES[name]
    cases = [Case(layer, 1, "float32", "nchw", 1) for layer in layers]
    macs = sum(case.flop * case.layer.times for case in cases) // 2
    assert (sum(layer.times for layer in layers), len(layers), macs) == NETWORKS[name]
    assert len({layer._replace(name="", times=1) for layer in layers}) == len(layers), "each is distinct"


@pytest.mark.parametrize("suite", SUITES)
def test_layers_have_names_and_sizes_of_their_own(suite):
    assert len({layer.name for layer in SUITES[suite]}) == len(SUITES[suite])
    for layer in SUITES[suite]:
        case = Case(layer, 2, "float32", "nchw", 1)
        x, weight, y = (case.shapes[name] for name in ("x", "weight", "y"))
        assert weight[:2] == (layer.oc, layer.ic // layer.groups)
        for size, k, out, axis in zip(x[2:], weight[2:], y[2:], case.axes, strict=True):
            shape = fastconv.conv2d_output_shape(
                (2, layer.ic, size, 1), (*weight[:2], k, 1), (axis.stride, 1), (axis.padding, 0), layer.dilation,
                layer.groups,
            )  # fmt: skip
            assert shape == (2, layer.oc, out, 1)
        assert y[:2] == (2, layer.oc)
        assert case.flop == 2 * np.prod(y) * np.prod(weight[1:])
        assert layer.operator == "conv2d" or layer.name.startswith(layer.operator.removeprefix("conv2d_"))


# --- the command


def test_run_writes_what_it_measured_and_shows_it(here, capsys):
    assert main([*QUICK, "--layout", "both", "--json", "out.json", "--plot", "out.png"]) == 0
    assert files(here) == ["out.json", "out.png"]
    assert (here / "out.png").read_bytes().startswith(b"\x89PNG")
    document = json.loads((here / "out.json").read_text())
    assert list(document) == ["schema", "config", "machine", "settings", "peers", "rows", "fresh"]
    assert document["config"]["fastconv"] == fastconv.__version__
    assert document["machine"]["peak"] > 0
    assert document["machine"]["model"]
    assert document["machine"]["warnings"] == []
    assert list(document["peers"]) == [OURS, "scipy"]
    assert document["peers"]["scipy"]["why_not"] is None
    names = [layer.name for layer in SUITES["tiny"]]
    assert [(row["layout"], row["name"]) for row in document["rows"]] == [
        (layout, name) for layout in ("nchw", "nhwc") for name in names
    ]
    for row in document["rows"]:
        assert row["wrong"] == {}
        assert row["failed"] == {}
        assert {OURS} <= set(row["peers"]) <= {OURS, "scipy"}
        times = row["peers"][OURS]
        assert 0 < times["best"] <= times["q1"] <= times["median"] <= times["q3"]
        assert times["rounds"] == 2
        assert row["gflops"] == pytest.approx(row["flop"] / times["median"] / 1e9)
        assert row["percent_of_peak"] == pytest.approx(1e11 * row["gflops"] / document["machine"]["peak"])
    (entry,) = document["fresh"]
    for seconds in entry["peers"].values():
        assert all(seconds[key] > 0 for key in ("import", "first", "second", "varying"))

    text = capsys.readouterr().out
    for title in ("tiny: float32, nchw, batch 1, 1 thread\n", "tiny: float32, nhwc", "peers, over", "first calls in a"):
        assert f"\n{title}" in text
    assert re.search(
        r"^problem +MFLOP +ms +GFLOP/s +% peak +each call +ms +ratio +plan ms +any +ms +ratio$", text, re.MULTILINE
    )
    assert len(re.findall(r"^3x3 8-8 8 +0\.04147 .* scipy +[\d.]+ +[\d.]+$", text, re.MULTILINE)) == 2
    assert re.search(r"^FMA peak of one thread: [\d.]+ GFLOP/s", text, re.MULTILINE)
    assert "\x1b" not in text
    assert not re.search(r" $", text, re.MULTILINE)


def test_runs_are_compared(here, capsys):
    assert main([*QUICK, "--no-first", "--json", "old.json"]) == 0
    old = json.loads((here / "old.json").read_text())
    for row in old["rows"]:
        row["peers"][OURS]["median"] *= 1e6
    old["machine"]["peak"] /= 2
    (here / "old.json").write_text(json.dumps(old))
    capsys.readouterr()
    assert main([*QUICK, "--no-first", "--compare", "old.json"]) == 0
    text = capsys.readouterr().out
    assert re.search(r"^tiny 3x3 8-8 8, nchw +1 +[\d.]+ +[\d.]+ +\d{5,}\.\d\d$", text, re.MULTILINE)
    assert re.search(r"^of the peers, which should be 1 ", text, re.MULTILINE)
    assert "another machine, or a busy one" in text
    old["rows"] = []
    assert report.compare(old, old) == ["the two runs have no problem in common"]


def test_every_peer_that_is_installed_agrees(here):
    """In a process of its own, since it imports all of them."""
    arguments = ["bench", "--suite", "tiny", "--repeats", "1", "--seconds", "0", "--threads", "1", "--layout", "both"]
    code = "import sys; from fastconv.__main__ import main; sys.exit(main(sys.argv[1:]))"
    run = subprocess.run(
        [sys.executable, "-P", "-W", "error", "-c", code, *arguments, "--no-first", "--json", "out.json"],
        cwd=here, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    document = json.loads((here / "out.json").read_text())
    assert set(document["peers"]) == set(PEERS)
    assert all(row["failed"] == {} for row in document["rows"])
    for name, peer in document["peers"].items():
        computed = [row for row in document["rows"] if name in row["peers"]]
        assert (peer["why_not"] is None) == bool(computed), name
        assert (f"left out: {name}, " in run.stdout) == (peer["why_not"] is not None)


def test_images_as_in_files_are_filtered_once_in_their_own_layout_by_peers_that_take_them(here, monkeypatch):
    layers = [
        Layer(name, 3, 9, 20, 3, 3, padding=1, groups=groups, pixels=pixels, bytes=is_bytes)
        for name, groups, pixels, is_bytes in (
            ("pixels", 3, True, False),
            ("bytes", 3, True, True),
            ("mixing", 1, True, True),
            ("planes", 3, False, True),
        )
    ]
    monkeypatch.setitem(SUITES, "tiny", layers)
    peers = f"{OURS},{PREPARED},scipy,opencv"
    assert main([*QUICK, "--no-first", "--peers", peers, "--layout", "both", "--json", "out.json"]) == 0
    document = json.loads((here / "out.json").read_text())
    expected = [("planes", "nchw"), *((name, "nhwc") for name in ("pixels", "bytes", "mixing", "planes"))]
    assert sorted((row["name"], row["layout"]) for row in document["rows"]) == sorted(expected)
    for row in document["rows"]:
        assert row["wrong"] == row["failed"] == {}
        assert {OURS, PREPARED} <= set(row["peers"])
        assert ("scipy" in row["peers"]) == (row["name"] == "pixels")
        has_opencv = document["peers"]["opencv"]["why_not"] is None
        assert ("opencv" in row["peers"]) == (has_opencv and row["name"] != "mixing")
        if row["name"] == "bytes":
            assert row["unable"]["scipy"] == "it takes no images of bytes"
    image, weight = (getattr(Case(layers[1], 1, "float32", "nhwc", 1), name)() for name in ("x", "weight"))
    assert image.dtype == np.uint8
    assert (weight == weight[0]).all()


def test_operators_are_compared_with_peers_that_have_them(here, monkeypatch):
    """A peer that has all: the plain definitions. Their operands and results are brought into one order first."""

    def make(case, second):
        made = PEERS[OURS].make(case, second)

        def feed(first):
            with fastconv.use_backend("reference"):
                result = made.feed(first)()
            return lambda: result

        return Made(feed, made.read)

    monkeypatch.setitem(PEERS, "scipy", PEERS["scipy"]._replace(make=make, operators=tuple(OPERATORS)))
    peers = f"{OURS},{PREPARED},scipy,scipy-fft"
    outputs = ["--json", "out.json", "--plot", "out.png", "--page", "page.md"]
    assert main([*QUICK, "--no-first", "--peers", peers, "--layout", "both", "--batch", "1,2", *outputs]) == 0
    document = json.loads((here / "out.json").read_text())
    assert {row["operator"] for row in document["rows"]} == set(OPERATORS)
    assert len(document["rows"]) == 4 * len(SUITES["tiny"])
    for row in document["rows"]:
        assert row["wrong"] == row["failed"] == {}
        assert {OURS, "scipy"} <= set(row["peers"])
        other = row["operator"] != "conv2d"
        assert (PREPARED not in row["peers"]) == other
        assert (row["unable"].get("scipy-fft") == f"it is not asked for {row['operator']}") == other
    page = (here / "page.md").read_text()
    for layout, batch in itertools.product(("nchw", "nhwc"), (1, 2)):
        assert f"\n## tiny: float32, {layout}, batch {batch}, 1 thread\n" in page
    assert len(re.findall(r"^grad_weight 3x3 8-8 8 .* scipy +[\d.]+ +[\d.]+ +- ", page, re.MULTILINE)) == 4
    assert re.search(r"^- conv3d 3x3x3 1-1 6x6x6: scipy takes \d+% of the time of conv3d$", page, re.MULTILINE)


def test_wrong_result_of_another_operator_is_a_failure(monkeypatch, capsys):
    right = PEERS[OURS].make

    def make(case, second):
        second = second.copy()
        second[0, 0, 0] += 0.1
        return right(case, second)

    monkeypatch.setitem(PEERS, "scipy", PEERS["scipy"]._replace(make=make, operators=tuple(OPERATORS)[1:]))
    assert main([*QUICK, "--no-first"]) == 1
    others = [layer for layer in SUITES["tiny"] if layer.operator != "conv2d"]
    assert capsys.readouterr().err.startswith(f"fastconv: {len(others)} results are wrong: scipy on tiny grad_input ")


def test_peer_that_is_missing_is_named(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "scipy.signal", None)
    assert main([*QUICK, "--no-first"]) == 0
    assert re.search(
        r"^left out: scipy, scipy\.signal can't be imported \(.+\)$", capsys.readouterr().out, re.MULTILINE
    )


def test_peer_that_fails_is_named(monkeypatch, capsys):
    def make(case, weight):
        raise RuntimeError("no luck.\nmore")

    monkeypatch.setitem(PEERS, "scipy", PEERS["scipy"]._replace(make=make))
    assert main(QUICK) == 0
    assert "\nscipy failed on 5 problems, first: RuntimeError: no luck\n" in capsys.readouterr().out


def test_wrong_result_of_a_peer_is_a_failure(here, monkeypatch, capsys):
    right = PEERS["scipy"].make

    def make(case, weight):
        weight = weight.copy()
        weight[0, 0, 0, 0] += 0.01
        return right(case, weight)

    monkeypatch.setitem(PEERS, "scipy", PEERS["scipy"]._replace(make=make))
    assert main([*QUICK, "--no-first", "--json", "out.json"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("fastconv: 4 results are wrong: scipy on tiny 3x3 1-1 8 (float32, nchw, batch 1, 1 thread): ")
    assert err.count("\n") == 1
    row = json.loads((here / "out.json").read_text())["rows"][0]
    assert "scipy" in row["wrong"]
    assert "scipy" not in row["peers"], "it is not timed"


def test_noisy_machine_is_told_or_refused(here, monkeypatch, capsys):
    monkeypatch.setattr(os, "getloadavg", lambda: (99.0, 0.0, 0.0), raising=False)
    assert main([*QUICK, "--no-first"]) == 0
    assert re.match(r"fastconv: this machine is noisy: the load average is 99\.00 on \d+ ", capsys.readouterr().err)
    assert main([*QUICK, "--strict", "--json", "out.json"]) == 2
    captured = capsys.readouterr()
    assert captured.err.endswith("; nothing was measured.\n")
    assert captured.out == ""
    assert files(here) == []


def test_varying_clock_is_noise(monkeypatch):
    monkeypatch.setattr(measure, "NOISY_SPREAD", 0.05)
    rates = iter([100.0, 80.0] * 25)
    monkeypatch.setattr(_kernels, "measure_peak", lambda *args: next(rates))
    assert measure.noise()["warnings"] == ["the time of one same loop varies by 20%"]


ERRORS = {
    "--suite nonsense": r"unknown suite 'nonsense'; there are resnet50, .*tiny\.",
    "--peers scipy,nonsense": r"unknown peer 'nonsense'; there are fastconv, fastconv-plan, torch, ",
    "--threads 0": r"--threads takes numbers from 1 to \d+ separated by commas, got '0'",
    "--threads 1,x": r"--threads takes numbers from 1 to \d+ separated by commas, got 'x'",
    "--threads 99999": r"--threads takes numbers from 1 to ",
    "--batch 0": r"--batch takes numbers from 1 to 1000000 separated by commas, got '0'",
    "--batch 1,-2": r"--batch takes numbers from 1 to 1000000 separated by commas, got '-2'",
    "--repeats 0": r"--repeats must be at least 1, got 0",
    "--seconds -1": r"--seconds must be between 0 and a million, got -1",
    "--seconds nan": r"--seconds must be between 0 and a million, got nan",
    "--json absent/out.json": r"can't write absent/out\.json: there is no directory absent",
    "--json out.txt": r"can't write out\.txt: its name must end in one of \.json",
    "--plot out.txt": r"can't write out\.txt: its name must end in one of \.pdf, \.png, \.svg",
    "--compare absent.json": r"can't read absent\.json: No such file",
    "--compare bad.json": r"can't read bad\.json: it is not JSON",
    "--compare other.json": r"can't compare with other\.json: it was not written by this version's bench --json",
}


@pytest.mark.parametrize("line", ERRORS)
def test_errors_are_one_sentence_before_anything_is_measured(here, line, capsys):
    (here / "bad.json").write_text("{")
    (here / "other.json").write_text("[1]")
    before = files(here)
    assert main(["bench", *line.split()]) == 2
    captured = capsys.readouterr()
    assert re.match(r"fastconv: " + ERRORS[line], captured.err)
    assert captured.err.count("\n") == 1
    assert captured.out == ""
    assert files(here) == before


@pytest.mark.parametrize(("module", "more"), [("rich", []), ("matplotlib", ["--plot", "out.png"])])
def test_missing_extra_is_named(module, more, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, module, None)
    assert main([*QUICK, *more]) == 1
    assert "pip install 'fastconv[bench]'" in capsys.readouterr().err


# --- how it is measured


@pytest.mark.parametrize("threads", [1, 2])
def test_calls_are_made_in_turn(threads, monkeypatch):
    monkeypatch.setattr(measure, "SAMPLE", 0)
    monkeypatch.setattr(measure, "WARM", 0)
    monkeypatch.setattr(measure, "LONG", 0)
    made = []
    calls = {name: (lambda name=name: made.append(name)) for name in "abc"}
    samples = measure.race(calls, 40, 1e3, threads)
    assert {name: len(values) for name, values in samples.items()} == dict.fromkeys("abc", 40)
    first, rounds = made[6:12], list(zip(*[iter(made[12:])] * 3, strict=True))
    assert first[::2] == first[1::2], "the first of each wakes its threads"
    assert sorted(first) == list("aabbcc")
    assert len(rounds) == 39
    assert all(sorted(each) == list("abc") for each in rounds), "in turn"
    # In no one order: each comes after each, about equally often.
    after = collections.Counter(itertools.pairwise(made[12:]))
    assert min(after[pair] for pair in itertools.permutations("abc", 2)) >= 8
    again, made[:] = list(made), []
    measure.race(calls, 40, 1e3, threads)
    assert made == again, "the same in each run"
    assert measure.race({"a": lambda: None}, 9, 0, 1)["a"][measure.LEAST_ROUNDS :] == []


@pytest.mark.parametrize(("lasts", "warm", "before"), [(3, True, 3), (0, True, 1), (3, False, 0)])
def test_calls_come_before_those_that_count(lasts, warm, before, monkeypatch):
    ticks = itertools.count()
    monkeypatch.setattr(measure, "time", types.SimpleNamespace(perf_counter=lambda: next(ticks)))
    monkeypatch.setattr(measure, "WARM", lasts)
    made = []
    measure.sample(lambda: made.append(None), 5, 1, warm)
    assert len(made) == before + 5


def test_one_wrong_product_is_more_than_rounding_and_another_order_is_not():
    case = Case(Layer("", 512, 9, 9, 4, 3, padding=1), 1, "float32", "nchw", 1)
    x, weight = case.x(), case.weight()
    y = fastconv.conv2d(x, weight, padding=1)
    other = fastconv.conv2d(x[:, ::-1], weight[:, ::-1], padding=1)
    assert not np.array_equal(y, other)
    assert measure.difference(case, other, y) is None
    x[0, 0, 4, 4] += 1
    assert "differs" in measure.difference(case, fastconv.conv2d(x, weight, padding=1), y)
    assert "shape" in measure.difference(case, y[..., 1:], y)
    assert "differs" in measure.difference(case, y * np.nan, y)


def test_peers_with_prepared_weights_are_apart():
    document = {"peers": {OURS: {"weights": "each call"}, "a": {"weights": "each call"}, "b": {"weights": "prepared"}}}
    cells = report.against({OURS: 2e-3, "a": 3e-3, "b": 1e-3}, document)
    assert cells == ["a", "3.00", "1.50", "-", "b", "1.00", "0.50"]
    cells = report.against({OURS: 2e-3, PREPARED: 5e-4, "a": 3e-3, "b": 1e-3}, document)
    assert cells == ["a", "3.00", "1.50", "0.500", "b", "1.00", "2.00"]
    assert report.against({OURS: 1.0}, document) == ["-"] * 7


def test_page_says_what_was_measured_and_where_peers_are_faster(here):
    assert main([*QUICK, "--no-first", "--json", "out.json"]) == 0
    document = json.loads((here / "out.json").read_text())
    quick = dict(document["rows"][0]["peers"][OURS], median=1e-9)
    document["rows"][0]["peers"]["scipy"] = quick
    (here / "out.json").write_text(json.dumps(document))
    assert main([*QUICK, "--no-first", "--also", "out.json", "--page", "page.md"]) == 0
    page = (here / "page.md").read_text()
    assert page.startswith("# Performance\n\nMade by `fastconv bench --suite tiny ")
    assert page.count("## tiny: float32, nchw, batch 1, 1 thread\n") == 2
    assert "FMA peak of one thread" in page
    assert f"processors ({document['machine']['model']}), instruction set" in page
    assert re.search(r"^- 3x3 1-1 8: scipy takes 0% of the time of conv2d$", page, re.MULTILINE)
    assert not re.search(r" $", page, re.MULTILINE)


def test_usual_suites_and_rows_of_the_table():
    assert set(USUAL) < set(SUITES)
    assert next(iter(PEERS)) == OURS
    assert all(name == peer.name for name, peer in PEERS.items())
    assert Made(lambda x: lambda: x).read is np.asarray


@pytest.mark.parametrize("kind", ["f32", "f64"])
def test_peak_is_measured_for_every_instruction_set_that_runs_here(kind):
    for name, runs_here in _kernels.isas():
        if runs_here:
            assert _kernels.measure_peak(name, kind, 0.001) > 0
        else:
            with pytest.raises(ValueError, match="does not run on this processor"):
                _kernels.measure_peak(name, kind)


def test_peak_of_nonsense_is_refused():
    with pytest.raises(ValueError, match="kind must be 'f32' or 'f64', got 'i64'"):
        _kernels.measure_peak("portable", "i64")
    with pytest.raises(ValueError, match="unknown instruction set"):
        _kernels.measure_peak("nonsense", "f32")
