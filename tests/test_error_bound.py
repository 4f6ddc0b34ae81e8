"""The bound on the error of each element: it holds, for what is drawn and for what is meant to break it."""

import functools
import itertools

import numpy as np
import pytest

import fastconv
from fastconv import conv2d, conv2d_error_bound, explain
from fastconv._error_bound import bound_of
from fastconv._spectral_bound import spectral_bound
from fastconv._tile_bound import axis_of
from fastconv.backends.cpu import CpuPlan
from fastconv.testing import random_call

# What Winograd's transforms of points +-1/sqrt(2) and +-sqrt(2) amplify most: pixels with the signs of their rows.
SIGNS = [(1, 1, 1, 1), (1, -1, -1, 1), (1, -1, -1, -1), (-1, -1, -1, 1), (1, 1, -1, 1), (1, -1, 1, -1), (1, 1, -1, -1)]
# With a stride of 2, where tiles are 8 pixels apart, the even ones have those for +-7/16, +-5/4 and infinity.
EVEN_SIGNS = np.repeat([(-1, -1, 1, 1), (1, -1, -1, 1), (1, 1, -1, -1), (1, -1, 1, -1), (1, 1, 1, 1)], 2, 1)


def excess(x, weight, bias=None, **options):
    """How far the error is above the bound, at most, as a share of it."""
    wide = [None if a is None else a.astype("f8") for a in (x, weight, bias)]
    exact = conv2d(*wide, **(options | {"algorithm": "direct"}))
    own = conv2d_error_bound(*wide, **(options | {"algorithm": "direct"})) if x.dtype != "f8" else 0
    bound = conv2d_error_bound(x, weight, bias, **options)
    error = abs(conv2d(x, weight, bias, **options) - exact) - own
    return float(np.where(bound > 0, error / np.where(bound > 0, bound, 1), np.where(error > 0, np.inf, 0)).max())


@pytest.mark.parametrize("algorithm", ["direct", "winograd", "split"])
@pytest.mark.parametrize(("kernel", "stride"), [((3, 3), 1), ((5, 5), 1), ((1, 3), 1), ((3, 3), 2), ((5, 5), 2)])
def test_holds_for_data_chosen_against_it(algorithm, kernel, stride):
    rng = np.random.default_rng(6)
    worst = 0
    for number, (down, across) in enumerate(itertools.product(SIGNS if stride == 1 else EVEN_SIGNS, repeat=2)):
        rolled = np.roll(down, number), np.roll(across, number // 4)
        pattern = np.outer(*(np.resize(line, 22) for line in rolled))
        channels = int(rng.choice([16, 40, 130]))
        x = np.broadcast_to(pattern * rng.uniform(0.5, 1), (1, channels, 22, 22)).astype("f4")
        weight = np.zeros((12, channels, *kernel), "f4")
        for o in range(12):  # the same in all channels, so that roundings add up: one tap, or some
            taps = rng.standard_normal(kernel) * (rng.random(kernel) < rng.random())
            taps.flat[rng.integers(taps.size)] = 1
            weight[o] = taps * rng.uniform(0.5, 1)
        worst = max(worst, excess(x, weight, stride=stride, padding=1, algorithm=algorithm))
    assert worst <= 1
    assert worst > 0.01  # and it is of the size of what can happen


def test_of_a_plan_is_that_of_the_tiles_it_chose():
    """Prepared weights make larger tiles the cheaper ones here, in which a large pixel has more neighbours."""
    rng = np.random.default_rng(9)
    weight, options = rng.standard_normal((16, 17, 3, 3)), {"stride": 2, "groups": 2, "algorithm": "winograd"}
    plan, outside = fastconv.plan_conv2d(weight, **options), 0
    for row, column in itertools.product(range(12, 20), repeat=2):
        x = rng.standard_normal((1, 34, 31, 37))
        x[0, 3, row, column] = 1e30
        error = abs(plan(x) - conv2d(x, weight, **options | {"algorithm": "direct"}))
        assert (error <= 1.01 * plan.error_bound(x)).all(), (row, column)
        outside += (error > conv2d_error_bound(x, weight, **options)).any()
    assert outside
    with pytest.raises(TypeError, match="x has dtype"):
        plan.error_bound("an image")


def test_of_a_plan_for_every_kind_of_operand():
    x, weight, bias = np.ones((2, 3, 9, 9)), np.ones((4, 3, 3, 3)), np.ones(4)
    for dtype in "f2", "f4", "f8", "c8", "i4":
        operands = [array.astype(dtype) for array in (x, weight, bias)]
        bound = fastconv.plan_conv2d(*operands[1:]).error_bound(operands[0])
        assert (bound == conv2d_error_bound(*operands)).all()
        assert bound.any() == (dtype != "i4")
    bound = fastconv.plan_conv2d(weight, bias, backend="reference").error_bound(x)
    assert (bound == conv2d_error_bound(x, weight, bias, backend="reference")).all()
    assert fastconv.plan_conv2d(weight).error_bound(x[:0]).shape == (0, 4, 7, 7)


@pytest.mark.parametrize(
    ("k", "stride", "size"), [(3, 1, 26), (3, 1, 4), (5, 1, 26), (3, 2, 65), (3, 2, 5), (5, 2, 49)]
)
def test_holds_around_one_large_pixel(k, stride, size):
    """Its roundings reach all outputs of its tiles, and no others."""
    rng = np.random.default_rng(8)
    x = rng.standard_normal((1, 32, size, size)).astype("f4")
    weight = rng.standard_normal((64, 32, k, k)).astype("f4")
    for row, column in itertools.product(range(min(size, 10)), repeat=2):  # two tiles
        one = x.copy()
        one[0, 3, row, column] = 1e12
        assert excess(one, weight, stride=stride, padding=1, algorithm="winograd") <= 1, (row, column)


def amplification(points, outputs, taps):
    """What transforms with some points and infinity make of roundings, by Toom and Cook: products', pixels'."""
    size = outputs + taps - 1
    if size == outputs:
        return 1, 1
    others = [[q for q in points if q != p] for p in points]
    a = np.array([[p**i for p in points] + [float(i == outputs - 1)] for i in range(outputs)])
    g = np.array(
        [[p**t / np.prod(np.subtract(p, rest)) for t in range(taps)] for p, rest in zip(points, others, strict=True)]
    )
    g = np.vstack([g, np.eye(taps)[-1]])
    b = np.array([np.append(np.poly(rest)[::-1], 0) for rest in others] + [np.poly(points)[::-1]])
    pixels, kernel = np.random.default_rng(0).standard_normal(size), np.arange(1.0, taps + 1)
    np.testing.assert_allclose(a @ ((g @ kernel) * (b @ pixels)), np.correlate(pixels, kernel))
    corners = np.array(list(itertools.product((-1, 1), repeat=size)))
    by_tap = np.einsum("ip,pt->pit", abs(a), abs(g)).reshape(size, -1)
    return (abs(corners @ b.T) @ by_tap).max(), (abs(b).sum(1) @ by_tap).max()


ROOT = 2**0.5
SCHEMES = {  # taps and stride: of large and of small tiles, and with a stride of even and of odd taps
    (3, 1): ([([0, 1 / ROOT, -1 / ROOT, ROOT, -ROOT], 4, 3)], [([0, 1, -1], 2, 3)]),
    (5, 1): ([([0, 1 / ROOT, -1 / ROOT, ROOT, -ROOT], 2, 5)],),
    (3, 2): ([([7 / 16, -7 / 16, 5 / 4, -5 / 4], 4, 2), ([], 4, 1)], [([0, 1], 2, 2), ([], 2, 1)]),
    (5, 2): ([([0, 1, -1], 2, 3), ([0, 1], 2, 2)],),
}


def stated_by(x, weight, algorithm, **options):
    found = explain(x, weight, algorithm=algorithm, **options)
    return CpuPlan(found.problem, found.details["isa"], algorithm).error()


@pytest.mark.parametrize(("k", "stride"), SCHEMES)
def test_constant_is_that_of_the_transforms(k, stride):
    expected = []
    for parts in SCHEMES[k, stride]:
        together, apart = np.max([amplification(*part) for part in parts], axis=0)
        expected.append(together * apart * (32 + 25) + apart**2 * 8)
    found = set()
    weight = np.zeros((64, 32, k, k), "f4")
    for size in (3, 48):
        x = np.ones((1, 32, size * stride + k, size * stride + k), "f4")
        constant = stated_by(x, weight, "winograd", stride=stride)[0]
        found |= {number for number, k in enumerate(expected) if abs(constant - k) < 1e-3 * k}
    assert found == set(range(len(expected)))


@pytest.mark.parametrize(("k", "stride"), [*SCHEMES, ((1, 3), 1), ((5, 1), 1)])
def test_of_tiles_is_what_absolute_values_of_the_transforms_make_of_roundings(k, stride):
    """By loops, of one tile: 8, 12 and 12 in the transforms, fewer for each later channel, and one of the result."""
    rng = np.random.default_rng(2)
    kernel = k if isinstance(k, tuple) else (k, k)
    for size in (11, 48):
        x, weight = (rng.standard_normal(shape) for shape in ((1, 16, size, size), (16, 16, *kernel)))
        constant, _, (kind, *stated) = stated_by(x, weight, "winograd", stride=stride)
        assert kind == "points"
        down, across = axes = [axis_of(*axis) for axis in stated]
        for axis, taps in zip(axes, kernel, strict=True):
            some, of = rng.standard_normal(axis.pixels), rng.standard_normal(taps)
            exact = [some[i * stride : i * stride + taps] @ of for i in range(axis.outputs)]
            np.testing.assert_allclose(axis.to_outputs @ ((axis.of_taps @ of) * (axis.of_pixels @ some)), exact)
        y, left = (axis.outputs * (1 if size == 48 else 0) for axis in axes)
        tile = x[0, :, y * stride :, left * stride :][:, : down.pixels, : across.pixels]
        errors, sums = np.zeros((2, len(down.of_pixels), len(across.of_pixels)))
        for c, of in enumerate(weight[2]):
            u, v = down.of_taps @ of @ across.of_taps.T, down.of_pixels @ tile[c] @ across.of_pixels.T
            u_most = abs(down.of_taps) @ abs(of) @ abs(across.of_taps).T
            v_most = abs(down.of_pixels) @ abs(tile[c]) @ abs(across.of_pixels).T
            errors += 8 * abs(u) * v_most + 12 * u_most * abs(v) + (16 - c) * abs(u * v)
            sums += u * v
        expected = abs(down.to_outputs) @ (errors + 13 * abs(sums)) @ abs(across.to_outputs).T
        bound = conv2d_error_bound(x, weight, stride=stride, algorithm="winograd")[0, 2, y:, left:]
        expected = expected[: len(bound)]
        np.testing.assert_allclose(bound[: down.outputs, : across.outputs], expected * 2.0**-53, rtol=1e-7)
        assert constant > 1


@pytest.mark.parametrize("dilation", [1, 3])
def test_of_tiles_goes_by_tiles(dilation):
    """A large pixel reaches all outputs of the tiles that read it, and no others, of its own grid."""
    x, weight, options = np.ones((1, 16, 60, 60)), np.ones((16, 16, 3, 3)), {"dilation": dilation, "padding": 2}
    plain = conv2d_error_bound(x, weight, **options, algorithm="winograd")
    _, _, (_, *axes) = stated_by(x, weight, "winograd", **options)
    for row, column in ((0, 1), (20, 31), (25, 23), (59, 40)):
        one = x.copy()
        one[0, 3, row, column] = 1e6
        changed = conv2d_error_bound(one, weight, **options, algorithm="winograd") != plain
        reached = []
        for axis, at in zip((axis_of(*stated) for stated in axes), (row, column), strict=True):
            outputs, pixel = np.arange(plain.shape[2]), (at + 2) // dilation
            first = outputs // dilation // axis.outputs * axis.outputs
            same = outputs % dilation == (at + 2) % dilation
            reached.append(same & (first <= pixel) & (pixel < first + axis.pixels))
        assert (changed[0, 0] == np.outer(*reached)).all(), (row, column)


@pytest.mark.parametrize("options", [{"dilation": 3}, {"groups": 2}, {"padding_mode": "reflect"}, {"fill_value": -2}])
def test_of_tiles_of_every_kind(options):
    rng = np.random.default_rng(2)
    groups, channels = options.get("groups", 1), 32
    x, weight = rng.standard_normal((2, channels, 23, 29)), rng.standard_normal((18, channels // groups, 3, 3))
    x[:, :, :, 20:] *= 1e6
    worst = excess(x.astype("f4"), weight.astype("f4"), padding=2, algorithm="winograd", **options)
    assert 1e-3 < worst <= 1


@pytest.mark.parametrize(("filling", "share"), [("normal", 1 / 200), ("positive", 1 / 80), ("constant", 1 / 80)])
def test_of_tiles_is_of_the_size_of_what_happens(filling, share):
    rng = np.random.default_rng(5)
    x, weight = (FILLINGS[filling](rng, shape).astype("f4") for shape in ((1, 64, 56, 56), (64, 64, 3, 3)))
    assert share < excess(x, weight, padding=1, algorithm="winograd") <= 1


def remainders(points, blocks, quarter):
    """The matrix from polynomials modulo z^points = 1, or i, to those modulo z^n = t, for each of `blocks` such t."""
    roots, span = np.exp(2j * np.pi * (quarter - np.arange(blocks)) / blocks), points // blocks
    found = np.zeros((blocks, span, points), complex)
    for p, power in np.ndindex(span, blocks):
        found[:, p, p + power * span] = roots**power
    return found.reshape(points, points)


class Tile:
    """12 x 8 pixels of two channels and their transforms by matrices, as the algorithm makes 6 x 8 numbers of them."""

    points, quarters, radices, outputs = (6, 8), (0.25, 0), ([3, 2], [2, 2, 2]), (10, 7)

    def __init__(self, x, kernel):
        padded = np.zeros((2, 6, 8))
        padded[:, :3, :2] = kernel
        self.down, self.across = (remainders(n, n, q) for n, q in zip(self.points, self.quarters, strict=True))
        self.x, self.w = x[:, :6] + 1j * x[:, 6:], (self.down @ padded @ self.across.T).conj()
        self.spectra = self.down @ self.x @ self.across.T
        self.y = self.back(self.spectra)

    def back(self, spectra):
        return np.linalg.inv(self.down) @ (spectra * self.w).sum(-3) @ np.linalg.inv(self.across).T

    def outputs_of(self, numbers):
        """Of both halves, those whose windows do not wrap around."""
        return np.vstack([numbers.real, numbers.imag])[: self.outputs[0], : self.outputs[1]]

    def brute(self, way, axis, level, three=False):
        """What outputs are off by if each number of a level is, by its size, in the worst of all phases."""
        blocks = int(np.prod(self.radices[axis][:level]))
        span, cut = self.points[axis] // blocks, remainders(self.points[axis], blocks, self.quarters[axis])
        of = self.x if way == "there" else self.y[None]
        numbers = cut @ of if axis == 0 else self.down @ of @ cut.T
        groups = {}
        for place in np.ndindex(numbers.shape):
            one = np.zeros(numbers.shape, complex)
            one[place] = 1
            made = np.linalg.inv(cut) @ one if axis == 0 else np.linalg.inv(self.down) @ one @ np.linalg.inv(cut).T
            made = self.back(self.down @ made @ self.across.T) if way == "there" else made[0]
            block, at = divmod(place[1 + axis], span)
            group = (place[0], block, at % (span // 3), place[2 - axis]) if three else place
            groups.setdefault(group, []).append((abs(made), abs(numbers[place])))
        found = sum(
            np.sqrt(sum(made**2 for made, _ in group) * sum(size**2 for _, size in group)) for group in groups.values()
        )
        return self.outputs_of(found * (1 + 1j))


@pytest.mark.parametrize("axis", [0, 1], ids=["down", "across"])
def test_of_spectra_is_what_each_rounding_makes_of_an_output(axis):
    rng = np.random.default_rng(3)
    x, kernel = rng.standard_normal((1, 2, 12, 8)), rng.standard_normal((1, 2, 3, 2))
    tile, problem = Tile(x[0], kernel[0]), explain(x, kernel).problem
    exact = conv2d(x, kernel, algorithm="direct")[0, 0]
    np.testing.assert_allclose(tile.outputs_of(tile.y), exact)

    def stated(way="there", level=0, error=1.0, three=0.0):
        axes = []
        for i, (pixels, step, radices) in enumerate(zip((12, 8), tile.outputs, tile.radices, strict=True)):
            errors = {name: [0.0] * (len(radices) + 1) for name in ("there", "back")}
            if i == axis:
                errors[way][level] = error
            axes.append((pixels, step, radices, errors["there"], errors["back"], three * (i == axis)))
        bound, large = spectral_bound(problem, x, kernel, 0.0, 1.0, 0.0, (1, *axes))
        assert not large.any()
        return bound[0, 0]

    close = functools.partial(np.testing.assert_allclose, rtol=1e-6)  # it is a 2^-30 more
    # The first channel's products go through four roundings, the second's through two, as results do.
    rest = (np.array([4, 2]) * abs(tile.spectra * tile.w).sum((1, 2))).sum() / 48 + 2 * abs(exact)
    close(stated(error=0), rest)
    for level in range(len(tile.radices[axis]) + 1):  # what a kernel's spectrum errs by counts as much as a tile's
        close(stated("there", level) - rest, 2 * tile.brute("there", axis, level))
        close(stated("back", level) - rest, tile.brute("back", axis, level))
    if axis == 0:
        threes = 2 * tile.brute("there", 0, 0, three=True) + tile.brute("back", 0, 0, three=True)
        close(stated(error=0, three=1.0) - rest, threes)


def test_of_spectra_goes_by_tiles():
    """A large pixel reaches all outputs of the tiles that read it, and no others."""
    x, weight = np.ones((2, 2, 300, 400), "f4"), np.ones((2, 2, 9, 9), "f4")
    _, _, (_, _, down, across) = stated_by(x, weight, "fft")
    plain = conv2d_error_bound(x, weight, algorithm="fft")
    row, column = down[1] + 8, across[1] + 7  # the last tile of the first ones that reads it begins at 0, 0 across
    x[1, 1, row, column] = 1e6
    changed = conv2d_error_bound(x, weight, algorithm="fft") != plain
    expected = np.zeros(plain.shape, bool)
    expected[1, :, down[1] : 2 * down[1], : 2 * across[1]] = True
    assert down[1] * 2 < 292
    assert (changed == expected).all()


def test_of_spectra_is_a_sum_of_its_levels():
    for dtype in "f4", "f8":
        for size, k in ((40, 9), (300, 15), (300, 70)):
            x, weight = np.ones((1, 3, size, size), dtype), np.ones((4, 3, k, k), dtype)
            constant, reach, (kind, blocks, *axes) = stated_by(x, weight, "fft")
            assert kind == "levels"
            expected = 2 * 3 + blocks + 2
            for pixels, step, radices, there, back, three in axes:
                expected += 2 * sum(there) + sum(back) + 3 * three * radices.count(3)
                assert pixels // (1 + (pixels != np.prod(radices))) == np.prod(radices)
                assert step == pixels - k + 1
            np.testing.assert_allclose(constant, expected)
            assert reach == (0, 0)


@pytest.mark.parametrize(("filling", "share"), [("normal", 1 / 400), ("positive", 1 / 50), ("constant", 1 / 50)])
def test_of_spectra_is_of_the_size_of_what_happens(filling, share):
    rng = np.random.default_rng(5)
    x, weight = (FILLINGS[filling](rng, shape).astype("f4") for shape in ((1, 1, 256, 256), (1, 1, 15, 15)))
    assert share < excess(x, weight, padding=7, algorithm="fft") <= 1


def test_of_spectra_where_tiles_are_computed_by_direct():
    """As those are that could overflow on the way; around what is not finite there is a bound."""
    rng = np.random.default_rng(5)
    x, weight = rng.standard_normal((1, 2, 60, 70)).astype("f4"), rng.standard_normal((3, 2, 9, 9)).astype("f4")
    for value in (np.nan, np.inf):
        x[0, 1, 20, 30] = value
        y, direct = (conv2d(x, weight, algorithm=name) for name in ("fft", "direct"))
        wide, bound = x.astype("f8"), conv2d_error_bound(x, weight, algorithm="fft")
        finite = np.isfinite(y)
        assert (np.isfinite(bound) == finite).all()
        assert (y[finite] == direct[finite]).sum() > 1000
        error = abs(y[finite] - conv2d(wide, weight.astype("f8"), algorithm="direct")[finite])
        assert (error <= bound[finite]).all()
    x[0, 1, 20, 30] = 0
    assert excess(x * np.float32(1e16), weight * np.float32(1e16), algorithm="fft") <= 1
    large = conv2d_error_bound(x * np.float32(1e16), weight * np.float32(1e16), algorithm="fft")
    assert (large >= conv2d_error_bound(x * np.float32(1e16), weight * np.float32(1e16), algorithm="direct")).all()


def test_of_spectra_of_complex_numbers():
    rng = np.random.default_rng(6)
    x, weight, bias = (
        (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype("c8")
        for shape in ((1, 2, 40, 40), (3, 2, 9, 9), 3)
    )
    options = {"padding": 4, "fill_value": 2 - 1j}
    exact = conv2d(*(array.astype("c16") for array in (x, weight, bias)), **options, algorithm="direct")
    bound = conv2d_error_bound(x, weight, bias, **options, algorithm="fft")
    share = abs(conv2d(x, weight, bias, **options, algorithm="fft") - exact) / bound
    assert 1 / 1000 < share.max() <= 1
    real, kernel = x.real.copy(), weight.real.copy()
    of_real = conv2d_error_bound(real, kernel, algorithm="fft")
    sums = 2.0**-23 * conv2d(abs(real), abs(kernel), algorithm="direct")
    for turn in 1, 1j:  # two of four products are none; what is left is rounded twice more
        for turned in 1, 1j:
            bound = conv2d_error_bound(real * np.complex64(turn), kernel * np.complex64(turned), algorithm="fft")
            np.testing.assert_allclose(bound, of_real + sums, rtol=1e-4)


@pytest.mark.parametrize(("channels", "kernel", "steps"), [(32, 3, 9), (33, 1, 2), (70, 5, 75)])
def test_of_split_numbers_counts_products_of_tiles_and_what_they_make_0(channels, kernel, steps):
    """Six products of 32 numbers a step, each of which may lose what is not normal of either factor, or of itself."""
    x, weight = np.full((1, channels, 9, 9), 0.5, "f4"), np.full((18, channels, kernel, kernel), 0.25, "f4")
    weight[5] = -3
    constant, reach, tiles = stated_by(x, weight, "split")
    assert (constant, reach, tiles) == (6 * steps + 24, (0, 0), ("flushed", 2 * 6 * 32 * steps))
    lost = 2.0**-126 * 2 * 6 * 32 * steps
    for of_x, of_w in [(0, 1), (1, 0), (0, 0), (2.0**-100, 1)]:
        pixels, weights = x * np.float32(of_x), weight * np.float32(of_w)
        bound = conv2d_error_bound(pixels, weights, algorithm="split")
        factors = 1 + abs(weights).max((1, 2, 3)) + abs(pixels).max()
        roundings = constant * 2.0**-24 / (1 - constant * 2.0**-24) * abs(weights).sum((1, 2, 3)) * abs(pixels).max()
        np.testing.assert_allclose(bound[0, :, 2, 3], roundings + lost * factors, rtol=1e-4)


@pytest.mark.parametrize(("of_x", "of_w"), [*itertools.product([1, 1e-25, 1e-37, 1e-40], [1, 1e-12, 1e-38, 1e-43])])
def test_of_split_numbers_that_are_tiny(of_x, of_w):
    """What lies beside larger ones in a row is not computed again."""
    rng = np.random.default_rng(3)
    x, weight = rng.standard_normal((1, 40, 9, 30)), rng.standard_normal((34, 40, 3, 3))
    x[..., 3:] *= of_x
    weight[::2] *= of_w
    assert excess(x.astype("f4"), weight.astype("f4"), algorithm="split") <= 1


@pytest.mark.semantics
def test_holds_for_random_calls(request, unless_refused):
    for seed in range(request.config.getoption("--problems") // 40):
        with unless_refused():
            call = random_call(seed)
            options = {name: value for name, value in call.options.items() if name != "num_threads"}
            y = conv2d(call.x, call.weight, call.bias, **options)
            bound = conv2d_error_bound(call.x, call.weight, call.bias, **options)
            assert bound.shape == y.shape
            assert bound.dtype == "f8"
            if y.dtype.kind in "iu":
                assert not bound.any()
            elif call.exact:
                assert (bound[np.isfinite(bound)] >= 0).all()


def waves(rng, shape):
    """One frequency of a tile, as Fourier transforms know them, or some of Winograd's signs."""
    rows, columns = np.arange(shape[-2])[:, None], np.arange(shape[-1])
    if rng.random() < 0.3:
        signs = [np.resize(np.roll(SIGNS[rng.integers(len(SIGNS))], rng.integers(4)), size) for size in shape[-2:]]
        return np.broadcast_to(np.outer(*signs), shape) * rng.uniform(0.5, 1)
    steps = [rng.integers(0, 49) / rng.choice([16, 32, 48, 64, 96]) * np.pi for _ in range(2)]
    return np.broadcast_to(np.cos(steps[0] * rows + steps[1] * columns + rng.uniform(0, 6)), shape)


def spots(rng, shape):
    """Zeros but for one or a few."""
    found = np.zeros(shape)
    for _ in range(rng.integers(1, 4)):
        found[tuple(map(rng.integers, shape))] = rng.standard_normal() * 10.0 ** rng.integers(-6, 7)
    return found


FILLINGS = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "positive": lambda rng, shape: rng.random(shape),
    "constant": lambda rng, shape: np.full(shape, rng.standard_normal()),
    "integers": lambda rng, shape: rng.integers(-8, 9, shape).astype("f8"),
    "the same in all channels": lambda rng, shape: np.broadcast_to(rng.standard_normal(shape[-2:]), shape),
    "almost constant": lambda rng, shape: 1 + 2.0**-12 * rng.standard_normal(shape),
    "all magnitudes": lambda rng, shape: rng.standard_normal(shape) * 10.0 ** rng.uniform(-12, 12, shape),
    "a step": lambda rng, shape: rng.standard_normal(shape) * np.where(np.arange(shape[-1]) < shape[-1] // 2, 1, 1e6),
    "rounded to few bits": lambda rng, shape: (
        np.sign(rng.standard_normal(shape)) * (1 + 2.0**-23 * rng.integers(0, 2, shape))
    ),
    "waves": waves,
    "spots": spots,
}
KERNELS = {
    "direct": [1, 2, 3, 5, 9],
    "winograd": [(3, 3), (5, 5), (3, 1), (1, 3), (5, 1), (1, 5)],
    "fft": [5, 7, 9, 13, 21],
    "split": [1, 3, (5, 5), (1, 3)],
}
KERNELS["auto"] = [3, 5, 9, 15]
CHANNELS = {
    "direct": [1, 3, 40],
    "winograd": [16, 20, 40],
    "fft": [1, 1, 2, 7],
    "split": [8, 20, 40],
    "auto": [1, 4, 16, 40],
}


def exact_sums(x, weight, bias, padding):
    """In extended precision, a tap at a time."""
    x = np.pad(x.astype("g"), ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    kh, kw = weight.shape[2:]
    windows = np.lib.stride_tricks.sliding_window_view(x, (kh, kw), (2, 3))
    return (
        np.stack([(windows[0] * of[:, None, None]).sum((0, 3, 4)) for of in weight.astype("g")])[None]
        + bias[:, None, None]
    )


@pytest.mark.parametrize("algorithm", KERNELS)
def test_holds_for_random_problems_of_every_filling(algorithm, request):
    """A fifth in float64, where it is taken, against extended precision; `--problems` says how many, 1 for each 100."""
    first = request.config.getoption("--first-problem")
    for seed in range(first, first + request.config.getoption("--problems") // 100):
        rng = np.random.default_rng([seed, list(KERNELS).index(algorithm)])
        dtype = "f8" if rng.random() < 0.2 and algorithm != "split" else "f4"
        kernel = KERNELS[algorithm][rng.integers(len(KERNELS[algorithm]))]
        kh, kw = kernel if isinstance(kernel, tuple) else (kernel, kernel)
        channels, filters = (
            int(rng.choice(CHANNELS[algorithm])),
            int(rng.choice([16, 18] if algorithm == "winograd" else [1, 3, 18])),
        )
        most = 8 if dtype == "f8" else 30
        fillings = [str(rng.choice(list(FILLINGS))) for _ in range(2)]
        scales = [10.0 ** rng.integers(-6, 7) if rng.random() < 0.2 else 1 for _ in range(2)]
        shapes = (1, channels, kh + rng.integers(0, most), kw + rng.integers(0, most)), (filters, channels, kh, kw)
        x, weight = (
            (FILLINGS[name](rng, shape) * scale).astype(dtype)
            for name, shape, scale in zip(fillings, shapes, scales, strict=True)
        )
        bias, padding = (rng.standard_normal(filters) * scales[0]).astype(dtype), int(rng.integers(0, 3))
        if dtype == "f4":
            worst = excess(x, weight, bias, padding=padding, algorithm=algorithm)
        else:
            bound = conv2d_error_bound(x, weight, bias, padding=padding, algorithm=algorithm)
            error = abs(
                conv2d(x, weight, bias, padding=padding, algorithm=algorithm) - exact_sums(x, weight, bias, padding)
            )
            worst = float((error / (bound * (1 + 2.0**-9))).max())  # the sums err too, in the 64th bit
        assert worst <= 1, (seed, fillings, worst)


@pytest.mark.semantics
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "c8", "bfloat16"])
@pytest.mark.parametrize("algorithm", ["auto", "direct"])
def test_holds_for_every_dtype(dtype, algorithm):
    if dtype == "bfloat16":
        dtype = pytest.importorskip("ml_dtypes").bfloat16
    rng = np.random.default_rng(7)
    for seed in range(10):
        x, weight = (rng.standard_normal(shape) for shape in ((2, 24, 17, 18), (20, 24, 3, 3)))
        if dtype == "c8":
            x, weight = x + 1j * x[:, ::-1], weight - 1j * weight[::-1]
        x, weight = x.astype(dtype), weight.astype(dtype)
        wide = "c16" if dtype == "c8" else np.longdouble if dtype == "f8" else "f8"
        exact = sum(
            np.einsum("oc,nchw->nohw", weight.astype(wide)[:, :, a, b], x.astype(wide)[:, :, a : a + 15, b : b + 16])
            for a, b in itertools.product(range(3), range(3))
        )
        error = abs(conv2d(x, weight, algorithm=algorithm).astype(wide) - exact)
        assert (error <= conv2d_error_bound(x, weight, algorithm=algorithm)).all(), seed


def test_direct_counts_each_product_and_winograd_its_neighbourhood():
    x, weight = np.zeros((1, 32, 12, 12), "f4"), np.zeros((4, 32, 3, 3), "f4")
    x[0, 0, 6, 6], weight[:, 0, 1, 1] = 2, 3
    u = 2.0**-24
    k = 32 * 9 + 1
    direct = conv2d_error_bound(x, weight, padding=1, algorithm="direct")
    np.testing.assert_allclose(direct[0, 0, 6, 6], 6 * k * u / (1 - k * u), rtol=1e-8)
    assert (direct[0, 0, 5, 5], direct[0, 0, 6, 5]) < (1e-40, 1e-40)
    fast = conv2d_error_bound(x, weight, padding=1, algorithm="winograd")
    reached = np.argwhere(fast[0, 0] > 1e-20)
    assert (reached.min(), reached.max()) == (4, 7)  # of one tile of 4 x 4, or four of 2 x 2
    assert (fast > direct)[0, 0, 4:6, 4:6].all()


def test_of_a_backend_that_reaches_beyond_windows():
    class Stated:
        def error(self):
            return 1000.0, (2, 1)

    x, weight, bias = np.zeros((1, 2, 20, 20), "f4"), np.full((3, 2, 3, 3), 0.5, "f4"), np.zeros(3, "f4")
    x[0, 1, 10, 10] = -4
    bound = bound_of(explain(x, weight, bias).problem, Stated(), (x, weight, bias))
    expected = np.zeros((1, 3, 18, 18))
    expected[:, :, 8 - 2 : 11 + 2, 8 - 1 : 11 + 1] = 4 * 4.5 * 1000 * 2.0**-24 / (1 - 1000 * 2.0**-24)
    np.testing.assert_allclose(bound, expected, rtol=1e-9, atol=1e-30)


def test_is_not_finite_where_the_result_is_not():
    x, weight = np.ones((1, 16, 30, 30), "f4"), np.ones((2, 16, 3, 3), "f4")
    x[0, 0, 4, 4] = np.nan
    for algorithm in ("direct", "winograd", "split"):
        y = conv2d(x, weight, algorithm=algorithm)
        bound = conv2d_error_bound(x, weight, algorithm=algorithm)
        assert not np.isfinite(bound[~np.isfinite(y)]).any()
        assert (bound[:, :, 10:, 10:] < 0.1).all()


def test_other_backends_and_integers():
    x, weight = np.ones((1, 3, 9, 9), "f4"), np.ones((2, 3, 3, 3), "f4")
    of_reference = conv2d_error_bound(x, weight, backend="reference")  # 28 roundings in float64, and one to float32
    np.testing.assert_allclose(of_reference, 27 * 2.0**-24, rtol=1e-6)
    narrow = x + np.float32(0.1), weight * np.float32(0.7)
    exact = conv2d(*(array.astype("f8") for array in narrow))
    error = abs(conv2d(*narrow, backend="reference") - exact)
    assert error.any()
    assert (error <= conv2d_error_bound(*narrow, backend="reference")).all()
    of_double = conv2d_error_bound(*(array.astype("f8") for array in narrow), backend="reference")
    np.testing.assert_allclose(of_double, conv2d_error_bound(*(array.astype("f8") for array in narrow)))
    assert not conv2d_error_bound(x.astype("i4"), weight.astype("i4")).any()
    assert conv2d_error_bound(x[:0], weight).shape == (0, 2, 7, 7)
    with pytest.raises(ValueError, match="channels"):
        conv2d_error_bound(x, weight[:, :2])
    with pytest.raises(fastconv.BackendUnsupportedError):
        conv2d_error_bound(x, weight, algorithm="winograd")
