"""The light half: what fastconv reads to know of this backend. It imports no SciPy."""

from fastconv import BackendSpec

BACKEND = BackendSpec(
    name="scipy",
    implementation="fastconv_scipy_impl:ScipyBackend",
    api=1,
    hint="pip install fastconv-scipy",
)
