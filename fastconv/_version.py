"""The version, in one place that the build reads without running anything."""

__version__ = "0.1.0"
