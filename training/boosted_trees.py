"""A LightGBM text model scored through LightGBM's C interface.

The Python package imports pandas and scikit-learn, seconds and 100 MB that a server does not need.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data_contracts.errors import MissingPart

_FLOAT32, _FLOAT64, _ROW_MAJOR, _RAW_SCORE = 0, 1, 1, 1
_QUIET = b"num_threads=1 verbosity=-1"


class BoostedTrees:
    """Raw scores (log-odds) of one row at a time. Not for several threads at once."""

    def __init__(self, text: str) -> None:
        self._library = _library()
        self._handle = ctypes.c_void_p()
        self._fast: dict[int, ctypes.c_void_p] = {}
        rounds = ctypes.c_int()
        loaded = self._library.LGBM_BoosterLoadModelFromString(
            text.encode(), ctypes.byref(rounds), ctypes.byref(self._handle)
        )
        if loaded != 0:
            reason = self._library.LGBM_GetLastError().decode(errors="replace")
            raise ValueError(f"not a LightGBM text model: {reason}")

    def score(self, row: NDArray[np.float32]) -> float:
        """The sum of the trees for one row, float[k]."""
        return float(self._scored_alone(np.ascontiguousarray(row, np.float32)))

    def scores(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        """`score` of each row of float32[n, k], as float64[n]."""
        values = np.ascontiguousarray(rows, np.float32)
        if len(values) == 1:
            return np.array([self._scored_alone(values[0])])
        answers = np.zeros(len(values), np.float64)
        length = ctypes.c_int64()
        status = self._library.LGBM_BoosterPredictForMat(
            self._handle, values.ctypes.data_as(ctypes.c_void_p), _FLOAT32,
            ctypes.c_int32(values.shape[0]), ctypes.c_int32(values.shape[1]), _ROW_MAJOR,
            _RAW_SCORE, 0, -1, _QUIET, ctypes.byref(length),
            answers.ctypes.data_as(ctypes.POINTER(ctypes.c_double)),
        )  # fmt: skip
        self._check(status)
        return answers

    def _scored_alone(self, row: NDArray[np.float32]) -> float:
        answer, length = ctypes.c_double(), ctypes.c_int64()
        status = self._library.LGBM_BoosterPredictForMatSingleRowFast(
            self._prepared(len(row)), ctypes.c_void_p(row.ctypes.data), ctypes.byref(length),
            ctypes.byref(answer),
        )  # fmt: skip
        self._check(status)
        return answer.value

    def _prepared(self, columns: int) -> ctypes.c_void_p:
        """LightGBM's settings for rows of this width, read once."""
        if columns not in self._fast:
            handle = ctypes.c_void_p()
            status = self._library.LGBM_BoosterPredictForMatSingleRowFastInit(
                self._handle, _RAW_SCORE, 0, -1, _FLOAT32, ctypes.c_int32(columns), _QUIET,
                ctypes.byref(handle),
            )  # fmt: skip
            self._check(status)
            self._fast[columns] = handle
        return self._fast[columns]

    def _check(self, status: int) -> None:
        if status != 0:
            raise ValueError(self._library.LGBM_GetLastError().decode(errors="replace"))

    def __del__(self) -> None:
        if getattr(self, "_handle", None):
            for handle in self._fast.values():
                self._library.LGBM_FastConfigFree(handle)
            self._library.LGBM_BoosterFree(self._handle)


@cache
def _library() -> ctypes.CDLL:
    found = importlib.util.find_spec("lightgbm")
    origin = Path(found.origin).parent if found and found.origin else Path()
    name = {"nt": "lib_lightgbm.dll"}.get(os.name, "lib_lightgbm.so")
    for folder in ("lib", "bin"):
        path = origin / folder / name
        if path.is_file():
            library = ctypes.CDLL(str(path))
            library.LGBM_GetLastError.restype = ctypes.c_char_p
            return library
    raise MissingPart("lightgbm's library is absent; run `make setup` to install lightgbm")
