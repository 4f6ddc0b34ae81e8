"""The working half: one call of scipy.signal.correlate for each image and each kernel."""

import numpy as np
from scipy import signal

MOST_PIXELS = 2**26  # of the padded image, which this backend copies


class ScipyBackend:
    """SciPy's direct correlation of whole channels, in double precision."""

    algorithms = ("auto", "direct")

    def probe(self):
        """Usable wherever SciPy is: the import above has said so."""
        return

    def reject(self, problem):
        """Decline what this library would get wrong."""
        if problem.compute.kind not in "fc":
            return "its sums are float64, which is not exact for 64-bit integers"
        if (problem.dh, problem.dw) != (1, 1):
            return "SciPy has no dilated correlation, and a kernel with zeros in it is another where x has infinities"
        p = problem
        if p.n * p.ic * (p.ih + p.pt + p.pb) * (p.iw + p.pl + p.pr) > MOST_PIXELS:
            return f"it copies the padded image, which would be more than {MOST_PIXELS} elements"
        return None

    def cost(self, problem):
        """Seconds, roughly: 10 us a call of SciPy, 15 ns a product (measured), those between strides too."""
        return problem.n * problem.oc * 1e-5 + problem.macs * problem.sh * problem.sw * 15e-9

    def plan(self, problem):
        """Return what computes one problem."""
        p = problem
        wide = np.result_type(p.compute, np.float64)
        fill = {"constant_values": p.fill_value} if p.padding_mode == "constant" else {}
        ins, outs = p.ic // p.groups, p.oc // p.groups

        def run(x, weight, bias, out, num_threads):
            # Through p.compute first: that is the arithmetic's dtype, and `wide` only holds its sums.
            images, kernels = p.nchw(x).astype(p.compute).astype(wide), p.oihw(weight).astype(p.compute).astype(wide)
            images = np.pad(images, ((0, 0), (0, 0), (p.pt, p.pb), (p.pl, p.pr)), p.padding_mode, **fill)
            y = p.nchw(out)
            with np.errstate(invalid="ignore", over="ignore"):
                for o, kernel in enumerate(kernels.conj()):  # SciPy conjugates it once more
                    first = o // outs * ins
                    add = 0 if bias is None else bias[o].astype(p.compute)
                    for n, image in enumerate(images[:, first : first + ins]):
                        y[n, o] = signal.correlate(image, kernel, "valid", "direct")[0, :: p.sh, :: p.sw] + add
            return out

        return run
