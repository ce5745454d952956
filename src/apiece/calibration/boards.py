"""Calibration by a board: lens and perspective from the corners of one photo, whose plane is the plane measured."""

from __future__ import annotations

import cv2
import numpy as np
from scipy.optimize import least_squares

from apiece._arrays import Array, Float
from apiece.calibration.camera import Calibration, length
from apiece.core.image import Image
from apiece.errors import ConfigError, UnknownNameError

__all__ = ["from_aruco", "from_charuco", "from_checkerboard"]

_FEW = 12  # corners below which the lens is taken to be straight
_PRIOR = (0.5, 0.03)  # standard deviation of k1, k2 before a photo is seen
_CORNER = 0.1  # pixels: standard deviation of a corner before a photo is seen


def from_checkerboard(image: Image, corners: tuple[int, int], square: str) -> Calibration:
    """Return the calibration of a photo of a checkerboard.

    Parameters
    ----------
    corners : inner corners in a row and in a column: a board of 10 x 7 squares has (9, 6).
    square : side of a square, with its unit.

    Raises
    ------
    ConfigError
        If the board is not found as a whole.

    Examples
    --------
    >>> board = np.kron(np.indices((7, 10)).sum(0) % 2, np.ones((30, 30))) * 255
    >>> photo = apiece.Image(np.pad(board, 60, constant_values=255).astype(np.uint8))
    >>> camera = apiece.calibration.from_checkerboard(photo, (9, 6), "5 mm")
    >>> round(abs(camera.homography[0]), 3)  # mm a pixel
    0.167
    """
    side, unit = length(square)
    if min(corners) < 3:
        raise ConfigError(f"a checkerboard has at least 3 x 3 inner corners, got {corners[0]} x {corners[1]}")
    flags = cv2.CALIB_CB_EXHAUSTIVE | cv2.CALIB_CB_ACCURACY | cv2.CALIB_CB_NORMALIZE_IMAGE
    grey = _grey(image)
    found, seen = cv2.findChessboardCornersSB(grey, tuple(corners), flags=flags)
    if not found:
        raise ConfigError(
            f"no checkerboard of {corners[0]} x {corners[1]} inner corners in the photo; count the corners where four "
            "squares meet, show the whole board with a white border, and avoid glare"
        )
    board = np.stack(np.meshgrid(np.arange(corners[0]), np.arange(corners[1])), 2).reshape(-1, 2) * side
    return _fitted(image.size, _refined(grey, seen, corners[0]), board, unit, "checkerboard")


def _refined(grey: Array, seen: Array, row: int) -> Array:
    """Return corners (x, y; pixel edges at whole numbers) placed by the gradients around them."""
    seen = seen.reshape(-1, 2).astype(np.float32)
    apart = np.hypot(*np.diff(seen.reshape(-1, row, 2), axis=1).reshape(-1, 2).T).min()
    reach = int(np.clip(apart / 4, 2, 15))
    rule = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_COUNT, 100, 1e-4)
    return cv2.cornerSubPix(grey, seen.reshape(-1, 1, 2), (reach, reach), (-1, -1), rule).reshape(-1, 2) + 0.5


def from_charuco(image: Image, squares: tuple[int, int], square: str, marker: str, dictionary: str) -> Calibration:
    """Return the calibration of a photo of a ChArUco board; it may be seen in part.

    Parameters
    ----------
    squares : squares in a row and in a column.
    square, marker : side of a square and of a marker, with their units.
    dictionary : of the markers, such as ``"4x4_50"``.

    Raises
    ------
    ConfigError
        If fewer than 6 corners are found, or if they lie on one line.
    UnknownNameError
        If there is no such dictionary.
    """
    (side, unit), (mark, other) = length(square), length(marker)
    if unit != other or not 0 < mark < side:
        raise ConfigError(f"the marker ({marker}) must be smaller than the square ({square}), in the same unit")
    board = cv2.aruco.CharucoBoard(tuple(squares), side, mark, _dictionary(dictionary))
    seen, ids, _, _ = cv2.aruco.CharucoDetector(board).detectBoard(_grey(image))
    if ids is None or len(ids) < 6:
        raise ConfigError(
            f"only {0 if ids is None else len(ids)} corners of the ChArUco board in the photo; check its squares, its "
            "dictionary, and that it is sharp"
        )
    places = np.asarray(board.getChessboardCorners())[ids.reshape(-1), :2]
    return _fitted(image.size, seen.reshape(-1, 2) + 0.5, places, unit, "charuco")


def from_aruco(image: Image, marker: str, dictionary: str = "4x4_50") -> Calibration:
    """Return the calibration of a photo of one ArUco marker of a known side: perspective, no lens.

    Raises
    ------
    ConfigError
        If there is no marker, or more than one.
    UnknownNameError
        If there is no such dictionary.
    """
    side, unit = length(marker)
    settings = cv2.aruco.DetectorParameters()
    settings.cornerRefinementMethod = cv2.aruco.CORNER_REFINE_SUBPIX
    seen, _, _ = cv2.aruco.ArucoDetector(_dictionary(dictionary), settings).detectMarkers(_grey(image))
    if len(seen) != 1:
        raise ConfigError(f"one marker of dictionary {dictionary} is wanted in the photo, and {len(seen)} are there")
    corners = np.array([[0, 0], [side, 0], [side, side], [0, side]])
    return _fitted(image.size, seen[0].reshape(-1, 2) + 0.5, corners, unit, "aruco")


def _dictionary(name: str) -> cv2.aruco.Dictionary:
    known = {key.removeprefix("DICT_").lower(): key for key in dir(cv2.aruco) if key.startswith("DICT_")}
    key = name.lower().removeprefix("dict_")
    if key not in known:
        raise UnknownNameError("dictionary", name, known)
    return cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, known[key]))


def _grey(image: Image) -> Array:
    """Return 8-bit grey values, stretched where the image has more bits."""
    pixels = image.colours().pixels
    if pixels.dtype != np.uint8:
        values = pixels.astype(np.float64)
        low, high = np.percentile(values, (0.5, 99.5))
        pixels = ((values - low) / max(high - low, 1e-12) * 255).clip(0, 255).astype(np.uint8)
    return np.ascontiguousarray(pixels.mean(2).round().astype(np.uint8))


def _fitted(size: tuple[int, int], seen: Array, places: Array, unit: str, method: str) -> Calibration:
    """Fit homography and lens to points seen at ``seen`` and lying at ``places``, by least squares in the image."""
    seen, places = np.asarray(seen, np.float64), np.asarray(places, np.float64)
    if np.linalg.matrix_rank(places - places.mean(0), tol=1e-9 * max(np.ptp(places), 1e-12)) < 2:
        raise ConfigError(
            "the points that were found lie on one line, so they say nothing about the plane; show more of the board"
        )
    middle, unit_px = np.array(size[::-1]) / 2, max(size)
    norm = places.mean(0), np.ptp(places)
    board, image = (places - norm[0]) / norm[1], (seen - middle) / unit_px
    start, _ = cv2.findHomography(board, image)
    if start is None:
        raise ConfigError("the points that were found fit no plane; show more of the board")
    lens = len(seen) >= _FEW

    def project(p: Float) -> Float:
        flat = board @ p[:6].reshape(3, 2)[:2] + p[4:6]
        flat = flat / (1 + board @ p[6:8])[:, None]
        if not lens:
            return flat
        square = (flat * flat).sum(1, keepdims=True)
        return flat * (1 + square * (p[8] + square * p[9]))

    def off(p: Float) -> Float:
        weak = p[8:] / _PRIOR * (_CORNER / unit_px) if lens else p[8:]
        return np.concatenate(((project(p) - image).ravel(), weak))

    start = start / start[2, 2]
    first = np.concatenate((start[:2, :2].T.ravel(), start[:2, 2], start[2, :2], np.zeros(2 if lens else 0)))
    fit = least_squares(off, first, method="lm", x_scale="jac")
    p, count = fit.x, 2 * len(seen)
    error = float(np.sqrt((fit.fun[:count] ** 2).sum() / len(seen)) * unit_px)
    to_image = np.array([[p[0], p[2], p[4]], [p[1], p[3], p[5]], [p[6], p[7], 1]])
    into = np.array([[norm[1], 0, norm[0][0]], [0, norm[1], norm[0][1]], [0, 0, 1]])
    whole = (
        into @ np.linalg.inv(to_image) @ np.array([[1, 0, -middle[0]], [0, 1, -middle[1]], [0, 0, unit_px]]) / unit_px
    )
    matrix = whole / np.abs(whole[2] @ [*middle, 1])
    spread = float(np.sqrt((fit.fun[:count] ** 2).sum() / max(count - len(p), 1)))
    return Calibration(
        (size[0], size[1]), unit, tuple(matrix.ravel().tolist()), tuple(p[8:].tolist()) or (0.0, 0.0), method, error,
        _scale_error(fit.jac[:count], p, spread, unit_px),
    )  # fmt: skip


def _scale_error(jacobian: Float, p: Float, spread: float, unit_px: int) -> float:
    """Return the relative standard uncertainty of a length: that of the scale, from the fit's covariance."""
    least = 0.02 / unit_px  # of a corner finder, in units of the longer side; a synthetic photo has no error to see
    covariance = np.linalg.pinv(jacobian.T @ jacobian) * max(spread, least) ** 2
    size = np.sqrt(abs(p[0] * p[3] - p[1] * p[2]))
    slope = np.zeros(len(p))
    slope[:4] = np.array([p[3], -p[2], -p[1], p[0]]) * np.sign(p[0] * p[3] - p[1] * p[2]) / (2 * size * size)
    return float(np.sqrt(slope @ covariance @ slope))
