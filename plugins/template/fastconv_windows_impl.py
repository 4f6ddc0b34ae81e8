"""The working half: cross-correlation as a matrix product over sliding windows, in plain NumPy."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

MOST_PIXELS = 2**26  # of the padded image, which this backend copies


class WindowsBackend:
    """What fastconv asks of a backend; see fastconv/backends/__init__.py for the protocol."""

    algorithms = ("auto",)

    def probe(self):
        """Usable wherever NumPy is."""
        return

    def reject(self, problem):
        """Decline with a reason: it is what the user reads."""
        p = problem
        if p.compute.kind not in "fc":
            return "its sums are float64, which is not exact for 64-bit integers"
        if p.n * p.ic * (p.ih + p.pt + p.pb) * (p.iw + p.pl + p.pr) > MOST_PIXELS:
            return f"it copies the padded image, which would be more than {MOST_PIXELS} elements"
        return None

    def plan(self, problem):
        """Return a callable for one problem; it may be called often, and from several threads."""
        p = problem
        # A wider accumulator than the result keeps every sum within the operator's error bound.
        wide = np.result_type(p.compute, np.float64)
        fill = {"constant_values": p.fill_value} if p.padding_mode == "constant" else {}

        def run(x, weight, bias, out, num_threads):
            # nchw and oihw give views in one layout, whatever the arrays' own; the kernel comes flipped if need be.
            x, kernel = p.nchw(x).astype(p.compute).astype(wide), p.oihw(weight).astype(p.compute).astype(wide)
            x = np.pad(x, ((0, 0), (0, 0), (p.pt, p.pb), (p.pl, p.pr)), p.padding_mode, **fill)
            reach = (p.kh - 1) * p.dh + 1, (p.kw - 1) * p.dw + 1
            windows = sliding_window_view(x, reach, axis=(2, 3))[:, :, :: p.sh, :: p.sw, :: p.dh, :: p.dw]
            y = np.empty((p.n, p.oc, p.oh, p.ow), wide)
            with np.errstate(invalid="ignore", over="ignore"):
                for g in range(p.groups):
                    ins = slice(g * p.ic // p.groups, (g + 1) * p.ic // p.groups)
                    outs = slice(g * p.oc // p.groups, (g + 1) * p.oc // p.groups)
                    y[:, outs] = np.einsum("nchwab,ocab->nohw", windows[:, ins], kernel[outs])
                if bias is not None:
                    y += bias.astype(p.compute).astype(wide)[:, None, None]
                p.nchw(out)[...] = y
            return out

        return run
