"""Every environment variable: parsed strictly, read when needed, named in its error."""

import numpy as np
import pytest

from fastconv import BackendUnsupportedError, ConfigError, _config, _kernels, conv2d, explain, plan_conv2d
from fastconv._cpus import choose_isa


@pytest.fixture
def environment(monkeypatch):
    def set_to(name, value):
        monkeypatch.setenv(name, value)
        _config.reload()

    yield set_to
    _config.reload()


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("FASTCONV_NUM_THREADS", "4", 4),
        ("FASTCONV_NUM_THREADS", " 12 ", 12),
        ("FASTCONV_NUM_THREADS", "", 0),
        ("FASTCONV_BACKEND", "cpu", ("cpu",)),
        ("FASTCONV_BACKEND", "cuda, cpu", ("cuda", "cpu")),
        ("FASTCONV_BACKEND", "  ", ()),
        ("FASTCONV_DISABLE_BACKENDS", "a,b,", ("a", "b")),
        ("FASTCONV_ISA", "AVX2 ", "avx2"),
        ("FASTCONV_ALGORITHM", "Direct", "direct"),
        ("FASTCONV_ALGORITHM", "", "auto"),
    ],
)
def test_values(environment, name, text, value):
    environment(name, text)
    assert _config.get(name) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *(("FASTCONV_NUM_THREADS", text) for text in ("0", "-1", "2.0", "two", "1,2", "9999999", "٣")),
        *((name, text) for name in ("FASTCONV_BACKEND", "FASTCONV_DISABLE_BACKENDS") for text in ("CPU", "a b", "1")),
    ],
)
def test_malformed_values_name_the_variable_and_what_it_accepts(environment, name, text):
    environment(name, text)
    with pytest.raises(ConfigError, match=f"environment variable {name} must be .*, got "):
        _config.get(name)


def test_values_are_read_once_until_reload(environment, monkeypatch):
    environment("FASTCONV_NUM_THREADS", "3")
    assert _config.get("FASTCONV_NUM_THREADS") == 3
    monkeypatch.setenv("FASTCONV_NUM_THREADS", "5")
    assert _config.get("FASTCONV_NUM_THREADS") == 3
    _config.reload()
    assert _config.get("FASTCONV_NUM_THREADS") == 5


def test_every_row_has_a_meaning_and_its_default_needs_no_parsing():
    for name, row in _config.VARIABLES.items():
        assert name == row.name
        assert name.startswith("FASTCONV_")
        assert len(row.meaning) > 10


def test_isa_is_a_choice_of_what_runs_here():
    here = [name for name, runs_here in _kernels.isas() if runs_here]
    assert choose_isa("") == here[0]
    for name in here:
        assert choose_isa(name) == name
    with pytest.raises(ConfigError, match=r"FASTCONV_ISA asks for 'mmx', which is none; this machine has .*portable"):
        choose_isa("mmx")
    for name, runs_here in _kernels.isas():
        if not runs_here:
            with pytest.raises(ConfigError, match="which this processor does not have"):
                choose_isa(name)


def test_algorithm_is_forced_where_a_call_names_none(environment):
    x, weight = np.ones((1, 32, 30, 31), "f4"), np.ones((32, 32, 3, 3), "f4")  # shapes that no other test has

    def algorithm(**options):
        details = explain(x, weight, **options).details
        return details["algorithm"], details["algorithm_from"]

    assert algorithm() == ("winograd", "cost")
    environment("FASTCONV_ALGORITHM", "gather")
    assert algorithm() == ("direct", "FASTCONV_ALGORITHM")
    assert explain(x, weight).details["variant"] == "gather"
    assert algorithm(algorithm="winograd") == ("winograd", "algorithm=")
    assert plan_conv2d(weight, x_shape=x.shape).explain(x.shape).details["variant"] == "gather"
    environment("FASTCONV_ALGORITHM", "winograd")
    with pytest.raises(BackendUnsupportedError, match=r"'winograd' \(FASTCONV_ALGORITHM\): it needs stride 1 "):
        conv2d(x, weight, stride=3)
    environment("FASTCONV_ALGORITHM", "fastest")
    with pytest.raises(ConfigError, match=r"FASTCONV_ALGORITHM must be one of auto, direct, .*, got 'fastest'"):
        conv2d(x[:, :, :29], weight)


def test_portable_is_the_last_row_and_runs_everywhere():
    assert _kernels.isas()[-1] == ("portable", True)


def test_instruction_sets_by_detection_are_those_numpy_finds():
    """An oracle for the detection: NumPy's own."""
    features = np._core._multiarray_umath.__cpu_features__
    expected = {"avx512": features.get("AVX512_SKX"), "avx2": features.get("AVX2") and features.get("FMA3")}
    for name, runs_here in _kernels.isas():
        if expected.get(name) is not None:
            assert runs_here == expected[name]
