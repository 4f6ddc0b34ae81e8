"""fastconv: fast convolution on plain NumPy arrays, with backends as plugins.

The main function is `conv2d`; `plan_conv2d` prepares one whose weights stay the same, `conv2d_grad_input` and its
like are its gradients. `backends` lists who can compute it, `explain` says who would and why, `filters` makes classic
kernels. On the command line: ``python -m fastconv info``.
"""

from . import expand, filters
from ._api import conv2d, conv2d_output_shape, explain
from ._arguments import PADDING_MODES
from ._conv1d import conv1d, conv_transpose1d
from ._conv3d import conv3d, conv_transpose3d
from ._error_bound import conv2d_error_bound
from ._errors import (
    BackendError,
    BackendLoadError,
    BackendNotFoundError,
    BackendResultError,
    BackendUnavailableError,
    BackendUnsupportedError,
    BackendVersionError,
    ConfigError,
)
from ._explain import Explanation, trace
from ._gradients import conv2d_grad_bias, conv2d_grad_input, conv2d_grad_weight, conv_transpose2d
from ._plan import Plan, plan_conv2d
from ._problem import Problem
from ._show_config import show_config
from ._version import __version__
from ._views import convolve2d, correlate2d, depthwise_conv2d, filter2d
from ._windows import fold2d, local_conv2d, pad2d, unfold2d
from .backends import Backend, BackendPlan, BackendSpec
from .backends._listing import backend_spec, backends, register_backend
from .backends._selection import set_default_backend, use_backend

__all__ = [
    "PADDING_MODES",
    "Backend",
    "BackendError",
    "BackendLoadError",
    "BackendNotFoundError",
    "BackendPlan",
    "BackendResultError",
    "BackendSpec",
    "BackendUnavailableError",
    "BackendUnsupportedError",
    "BackendVersionError",
    "ConfigError",
    "Explanation",
    "Plan",
    "Problem",
    "__version__",
    "backend_spec",
    "backends",
    "conv1d",
    "conv2d",
    "conv2d_error_bound",
    "conv2d_grad_bias",
    "conv2d_grad_input",
    "conv2d_grad_weight",
    "conv2d_output_shape",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "convolve2d",
    "correlate2d",
    "depthwise_conv2d",
    "expand",
    "explain",
    "filter2d",
    "filters",
    "fold2d",
    "local_conv2d",
    "pad2d",
    "plan_conv2d",
    "register_backend",
    "set_default_backend",
    "show_config",
    "trace",
    "unfold2d",
    "use_backend",
]
