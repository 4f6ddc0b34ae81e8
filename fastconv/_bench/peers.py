"""Against whom: one table, a row for each way of asking a library for a convolution, and which others it is asked for.

Operands are brought into the form and the layout that a peer likes best before the clock starts, so that no peer is
charged for a conversion; what a call returns is left in the peer's own form too.
"""

from __future__ import annotations

from functools import partial

from . import arrays, runtimes
from .peer import Peer
from .problems import OPERATORS

OURS = "fastconv"
PREPARED = "fastconv-plan"
ALL = tuple(OPERATORS)

_ours = partial(Peer, modules=("fastconv",), threads="num_threads", bytes=True)
_opencv = partial(Peer, modules=("cv2",), limited=arrays.opencv_limited, bytes=True)
_torch = partial(Peer, modules=("torch",), threads="set_num_threads", limited=runtimes.torch_limited)
_dense = partial(_torch, operators=ALL)
_ort = partial(Peer, modules=("onnxruntime", "onnx"), layout="nchw", threads="intra_op_num_threads")
_openvino = partial(Peer, modules=("openvino",), layout="nchw", threads="INFERENCE_NUM_THREADS")
_scipy = partial(Peer, modules=("scipy.signal",), layout="planes", limited=arrays.scipy_limited)

PEERS = {
    peer.name: peer
    for peer in [
        _ours(OURS, make=arrays.fastconv, operators=ALL),
        _ours(PREPARED, make=partial(arrays.fastconv, prepared=True), prepared=True),
        _dense("torch", make=partial(runtimes.torch, formats=runtimes.CONTIGUOUS), layout="nchw"),
        _dense("torch-channels-last", make=partial(runtimes.torch, formats=runtimes.CHANNELS_LAST), layout="nhwc"),
        _torch("torch-prepacked", make=runtimes.torch_prepacked, prepared=True, layout="nchw"),
        _ort("onnxruntime", make=partial(runtimes.onnxruntime, constant=False)),
        _ort("onnxruntime-constant", make=partial(runtimes.onnxruntime, constant=True), prepared=True),
        _openvino("openvino", make=partial(runtimes.openvino, constant=False)),
        _openvino("openvino-constant", make=partial(runtimes.openvino, constant=True), prepared=True),
        Peer("jax", ("jax",), runtimes.jax, threads="PJRT_NPROC", limited=runtimes.jax_limited),
        _opencv("opencv", make=arrays.opencv, layout="planes or pixels", threads="setNumThreads"),
        _scipy("scipy", make=partial(arrays.scipy, function="correlate2d"), threads="always one"),
        _scipy("scipy-fft", make=partial(arrays.scipy, function="oaconvolve"), threads="set_workers"),
    ]
}
