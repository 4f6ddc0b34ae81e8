"""Against whom: one table, a row for each way of asking a library for a convolution.

Operands are brought into the form and the layout that a peer likes best before the clock starts, so that no peer is
charged for a conversion; what a call returns is left in the peer's own form too.
"""

from __future__ import annotations

from functools import partial

from . import arrays, runtimes
from .peer import Peer

OURS = "fastconv"
PREPARED = "fastconv-plan"

_ours = partial(Peer, modules=("fastconv",), threads="num_threads", bytes=True)
_opencv = partial(Peer, modules=("cv2",), limited=arrays.opencv_limited, bytes=True)
_torch = partial(Peer, modules=("torch",), threads="set_num_threads", limited=runtimes.torch_limited)
_ort = partial(Peer, modules=("onnxruntime", "onnx"), layout="nchw", threads="intra_op_num_threads")
_openvino = partial(Peer, modules=("openvino",), layout="nchw", threads="INFERENCE_NUM_THREADS")
_scipy = partial(Peer, modules=("scipy.signal",), layout="planes", limited=arrays.scipy_limited)

PEERS = {
    peer.name: peer
    for peer in [
        _ours(OURS, make=arrays.fastconv),
        _ours(PREPARED, make=partial(arrays.fastconv, prepared=True), prepared=True),
        _torch("torch", make=partial(runtimes.torch, memory_format="contiguous_format"), layout="nchw"),
        _torch("torch-channels-last", make=partial(runtimes.torch, memory_format="channels_last"), layout="nhwc"),
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
