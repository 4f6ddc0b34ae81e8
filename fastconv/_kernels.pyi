from typing import Any

import numpy as np

OPENMP: int
COMPILER: str
CHANNEL_BLOCK: int

def configure_threads(configured: int, cgroup_quota: int) -> None: ...
def threads(asked: int = 0) -> tuple[int, str]: ...
def isas() -> list[tuple[str, bool]]: ...
def algorithms() -> dict[str, str]: ...

class Plan:
    def __init__(
        self,
        sizes: tuple[int, ...],
        padding_mode: int,
        kind: str,
        bias: bool,
        flip: bool,
        x_axes: tuple[int, ...],
        weight_axes: tuple[int, ...],
        isa: str,
        algorithm: str,
    ) -> None: ...
    @property
    def family(self) -> str: ...
    @property
    def algorithm(self) -> str: ...
    @property
    def isa(self) -> str: ...
    @property
    def n_tasks(self) -> int: ...
    @property
    def scratch_bytes(self) -> int: ...
    def verdicts(self) -> list[tuple[str, str | None, float | None]]: ...
    def threads(self, asked: int = 0) -> tuple[int, str]: ...
    def run(
        self,
        x: np.ndarray[Any, Any],
        weight: np.ndarray[Any, Any],
        bias: np.ndarray[Any, Any] | None,
        y: np.ndarray[Any, Any],
        fill: complex,
        num_threads: int = 0,
    ) -> None: ...
