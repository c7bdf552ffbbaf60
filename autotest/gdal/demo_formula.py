"""The terrain of the dataset `Demo`, and of any other from the synthetic source, written a second time.

Every operation is an IEEE double operation in the order that the specification gives, so the pixels
are equal to the driver's bit for bit.
"""
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
import math
import os

import numpy as np

SIZE = 100000
PIXEL = 40.0
ORIGIN = (-2000000.0, 2000000.0)
FACTORS = (1, 2, 4, 8, 16, 32, 64, 128)

PATCHES = 40
PATCH_STEP = 2500
PATCH_BUFFER = 100

LONGEST_WAVE = 32768.0
OCTAVES = 11
CONTINENT_HEIGHT = 900.0
MOUNTAIN_HEIGHT = 2200.0
MOUNTAIN_FOOT = 0.25
SEA_DEPTH = 150.0
DEEP_SEA = -0.45

STEP_HEIGHT = 16  # from time step to time step
BAND_HEIGHT = 1   # from band to band

STRIP_ROWS = 64


def level_size(factor):
    return -(-SIZE // factor)


def hash32(ix, iy, octave):
    h = (ix.astype(np.uint32) * np.uint32(0x8da6b343)
         ^ iy.astype(np.uint32) * np.uint32(0xd8163841)
         ^ np.uint32(octave * 0xcb1ab31f & 0xffffffff))
    h ^= h >> np.uint32(16)
    h *= np.uint32(0x7feb352d)
    h ^= h >> np.uint32(15)
    h *= np.uint32(0x846ca68b)
    h ^= h >> np.uint32(16)
    return h


GRADIENTS = np.array([(1, .375), (.375, 1), (-.375, 1), (-1, .375),
                      (-1, -.375), (-.375, -1), (.375, -1), (1, -.375)])


def gradients(ix, iy, octave):
    """The x and y parts of the gradients of a box of lattice points around all of (ix, iy), and the
    position of each of these points and of its next row in the flattened box."""
    left, top = ix.min(), iy.min()
    columns, rows = ix.max() - left + 2, iy.max() - top + 2
    box = hash32(np.arange(left, left + columns)[None, :], np.arange(top, top + rows)[:, None], octave)
    chosen = GRADIENTS[box >> np.uint32(29)]
    return (np.ascontiguousarray(chosen[..., 0]).ravel(), np.ascontiguousarray(chosen[..., 1]).ravel(),
            (iy - top) * columns + (ix - left), columns)


def ease(t):
    return t * t * t * (t * (t * 6.0 - 15.0) + 10.0)


def lerp(a, b, s):
    return a + s * (b - a)


def noise(x, y, octave):
    """The octave's gradient noise at the points of the equally shaped arrays `x` and `y`."""
    wave = LONGEST_WAVE / 2.0 ** octave
    u, v = x / wave, y / wave
    left, top = np.floor(u), np.floor(v)
    tx, ty = u - left, v - top
    gx, gy, at, below = gradients(left.astype(np.int64), top.astype(np.int64), octave)

    def corner(right, down):
        index = at + (right + down * below)
        return gx[index] * (tx - right) + gy[index] * (ty - down)

    sx = ease(tx)
    return lerp(lerp(corner(0, 0), corner(1, 0), sx), lerp(corner(0, 1), corner(1, 1), sx), ease(ty))


def base(x, y):
    return (noise(x, y, 0) + 0.5 * noise(x, y, 1) + 0.25 * noise(x, y, 2)) * 1.5


def mountains(x, y):
    total = np.zeros(x.shape)
    weight = np.ones(x.shape)
    for octave in range(3, OCTAVES):
        x, y = (0.8 * x - 0.6 * y) + 100000.0, 0.6 * x + 0.8 * y  # no two octaves share their axes
        ridge = np.maximum(1.0 - np.abs(noise(x, y, octave)) * 1.6, 0.0)
        ridge = ridge * ridge * weight
        weight = np.minimum(ridge * 1.8, 1.0)
        total = total + 2.0 ** -(octave - 3) * ridge
    return total


def terrain(x, y):
    """Heights at the product of the vectors `x` and `y`, in full-resolution pixels."""
    x, y = np.meshgrid(x, y)
    b = base(x, y)
    m = np.minimum(np.maximum(b + MOUNTAIN_FOOT, 0.0), 1.0)
    h = b * CONTINENT_HEIGHT + (m * m) * (mountains(x, y) * MOUNTAIN_HEIGHT) - SEA_DEPTH
    return np.floor(np.maximum(h, 0.0) * 128.0 + 0.5) / 128.0


@lru_cache(maxsize=None)
def existing_patches():
    """(row, column) of each patch that exists, in ascending order of ids."""
    centre = PATCH_STEP * np.arange(PATCHES) + PATCH_STEP / 2
    exists = ~(base(*np.meshgrid(centre, centre)) < DEEP_SEA)
    return tuple((int(r), int(c)) for r, c in np.argwhere(exists))


def patch_id(patch):
    return "%02d_%02d" % patch


def patch_tag(patch):
    row, column = patch
    return (7 * row + 3 * column) % 8 / 8


def first_behind(edge, factor):
    """The first level pixel whose centre is at or behind the edge; the last one ends where the cube ends."""
    last = level_size(factor) - 1
    pixel = math.ceil((2 * edge - factor) / (2 * factor))
    return pixel if pixel < last else last + ((last * factor + min((last + 1) * factor, SIZE)) / 2 < edge)


def patch_range(index, factor=1):
    """First and one past the last level pixel whose centre lies in the patch, along one axis."""
    first = max(PATCH_STEP * index - PATCH_BUFFER, 0)
    end = min(PATCH_STEP * (index + 1) + PATCH_BUFFER, SIZE)
    return tuple(first_behind(edge, factor) for edge in (first, end))


def tags(xoff, yoff, xsize, ysize, factor):
    result = np.full((ysize, xsize), np.nan)
    for row, column in reversed(existing_patches()):  # the first of the ids is written last
        top, bottom = (min(max(v - yoff, 0), ysize) for v in patch_range(row, factor))
        left, right = (min(max(v - xoff, 0), xsize) for v in patch_range(column, factor))
        result[top:bottom, left:right] = patch_tag((row, column))
    return result


def window(xoff, yoff, xsize, ysize, factor=1, band=0, step=0, offset=0):
    """Pixels of a band (from 0) at a time step (from 0) of the cube, or of its level of that factor; NaN
    where no patch exists. `offset` is that of the source."""
    assert 0 <= xoff and xoff + xsize <= level_size(factor)
    assert 0 <= yoff and yoff + ysize <= level_size(factor)
    x = (np.arange(xoff, xoff + xsize) + 0.5) * factor
    y = (np.arange(yoff, yoff + ysize) + 0.5) * factor
    result = np.empty((ysize, xsize), np.float32)
    tag = tags(xoff, yoff, xsize, ysize, factor) + (offset + STEP_HEIGHT * step + BAND_HEIGHT * band)

    def fill(first):
        rows = slice(first, first + STRIP_ROWS)
        result[rows] = terrain(x, y[rows]) + tag[rows]

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(fill, range(0, ysize, STRIP_ROWS)))
    return result
