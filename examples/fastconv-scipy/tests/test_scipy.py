"""fastconv's conformance kit, for this backend."""

from fastconv.testing import BackendConformance


class TestScipy(BackendConformance):
    backend = "scipy"
    least_share = 0.2  # neither integers nor dilation
