"""The terrain of the dataset `Demo`, written a second time.

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
CONTINENT_HEIGHT = 700.0
MOUNTAIN_HEIGHT = 2000.0
MOUNTAIN_FOOT = 0.25
SEA_DEPTH = 150.0
DEEP_SEA = -0.45

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


def lattice(ix, iy, octave):
    return hash32(ix, iy, octave) * 2.0 ** -31 - 1.0


def cell_and_ease(coordinate, octave):
    u = coordinate / (LONGEST_WAVE / 2.0 ** octave)
    cell = np.floor(u)
    t = u - cell
    return cell.astype(np.int64), t * t * t * (t * (t * 6.0 - 15.0) + 10.0)


def lerp(a, b, s):
    return a + s * (b - a)


def noise(x, y, octave):
    """The octave's noise on the product of the vectors `x` and `y`."""
    ix, sx = cell_and_ease(x, octave)
    iy, sy = cell_and_ease(y, octave)
    # Along x once for each lattice row, whatever the number of pixel rows between two of them.
    lattice_rows, position = np.unique(np.concatenate([iy, iy + 1]), return_inverse=True)
    along_x = lerp(lattice(ix[None, :], lattice_rows[:, None], octave),
                   lattice(ix[None, :] + 1, lattice_rows[:, None], octave), sx[None, :])
    return lerp(along_x[position[:iy.size]], along_x[position[iy.size:]], sy[:, None])


def base(x, y):
    return noise(x, y, 0) + 0.5 * noise(x, y, 1) + 0.25 * noise(x, y, 2)


def mountains(x, y):
    total = np.zeros((y.size, x.size))
    for octave in range(3, 12):
        ridge = 1.0 - np.abs(noise(x, y, octave))
        total += 2.0 ** -(octave - 3) * ridge * ridge
    return total


def terrain(x, y):
    """Heights at the product of the vectors `x` and `y`, in full-resolution pixels."""
    b = base(x, y)
    m = np.minimum(np.maximum(b + MOUNTAIN_FOOT, 0.0), 1.0)
    h = b * CONTINENT_HEIGHT + (m * m) * (mountains(x, y) * MOUNTAIN_HEIGHT) - SEA_DEPTH
    return np.floor(np.maximum(h, 0.0) * 128.0 + 0.5) / 128.0


@lru_cache(maxsize=None)
def existing_patches():
    """(row, column) of each patch that exists, in ascending order of ids."""
    centre = PATCH_STEP * np.arange(PATCHES) + PATCH_STEP / 2
    exists = ~(base(centre, centre) < DEEP_SEA)
    return tuple((int(r), int(c)) for r, c in np.argwhere(exists))


def patch_id(patch):
    return "%02d_%02d" % patch


def patch_tag(patch):
    row, column = patch
    return (7 * row + 3 * column) % 8 / 8


def patch_range(index, factor=1):
    """First and one past the last level pixel whose centre lies in the patch, along one axis."""
    first = max(PATCH_STEP * index - PATCH_BUFFER, 0)
    end = min(PATCH_STEP * (index + 1) + PATCH_BUFFER, SIZE)
    return tuple(math.ceil((2 * edge - factor) / (2 * factor)) for edge in (first, end))


def tags(xoff, yoff, xsize, ysize, factor):
    result = np.full((ysize, xsize), np.nan)
    for row, column in reversed(existing_patches()):  # the first of the ids is written last
        top, bottom = (min(max(v - yoff, 0), ysize) for v in patch_range(row, factor))
        left, right = (min(max(v - xoff, 0), xsize) for v in patch_range(column, factor))
        result[top:bottom, left:right] = patch_tag((row, column))
    return result


def window(xoff, yoff, xsize, ysize, factor=1):
    """Pixels of the cube, or of its level of that factor; NaN where no patch exists."""
    assert 0 <= xoff and xoff + xsize <= level_size(factor)
    assert 0 <= yoff and yoff + ysize <= level_size(factor)
    x = (np.arange(xoff, xoff + xsize) + 0.5) * factor
    y = (np.arange(yoff, yoff + ysize) + 0.5) * factor
    result = np.empty((ysize, xsize), np.float32)
    tag = tags(xoff, yoff, xsize, ysize, factor)

    def fill(first):
        rows = slice(first, first + STRIP_ROWS)
        result[rows] = terrain(x, y[rows]) + tag[rows]

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(fill, range(0, ysize, STRIP_ROWS)))
    return result
