"""What a repository must hold: groups and arrays, kept as numpy arrays, chunk by chunk; and random changes of them."""
import copy
import itertools

import numpy as np

NAMES = ["a", "a-b", "a b", "a.b", "ab", "A", "b", "c", "0", "ü", "日本", "zarr", "%41", "é+;", "q'\"", "x" * 70, "😀"]
DATA_TYPES = ["bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
              "float16", "float32", "float64"]
COMPRESSORS = ["lz4", "lz4hc", "blosclz", "zstd", "zlib"]
TEXTS = ["", "plain", "ü – 日本 😀", "\"quoted\" \\ / \b\n\u0001", "NaN", "x" * 700]
INTEGERS = [0, -1, 7, 2**31, 2**53 + 1, 2**63 - 1, -2**63, 2**64 - 1]
REALS = [0.0, -0.0, 0.1, 1e300, -2.5e-310, 1e16]


class Group:
    def __init__(self, attributes):
        self.attributes = attributes


class Array:
    """The items of a chunk that its last writer did not have to care about, beyond the array's edge, are unknown."""

    def __init__(self, document):
        self.document = document
        self.chunks = {}  # by coordinates: (items, which of them are known)

    attributes = property(lambda self: self.document["attributes"])
    shape = property(lambda self: tuple(self.document["shape"]))
    chunk_shape = property(lambda self: tuple(self.document["chunk_grid"]["configuration"]["chunk_shape"]))
    type = property(lambda self: np.dtype(self.document["data_type"]))
    counts = property(lambda self: tuple(-(-n // c) for n, c in zip(self.shape, self.chunk_shape)))

    @property
    def fill_value(self):
        value = self.document["fill_value"]
        return self.type.type(float(value) if isinstance(value, str) else value)

    def blank(self):
        return np.full(self.chunk_shape, self.fill_value, self.type)

    def place(self, coordinates):
        """Of the chunk's items that are in the array: where, in the array and in the chunk."""
        starts = [i * c for i, c in zip(coordinates, self.chunk_shape)]
        ends = [min(start + c, n) for start, c, n in zip(starts, self.chunk_shape, self.shape)]
        return (tuple(slice(start, end) for start, end in zip(starts, ends)),
                tuple(slice(0, end - start) for start, end in zip(starts, ends)))

    def read(self):
        """All items, and which of them are known."""
        items, known = np.full(self.shape, self.fill_value, self.type), np.ones(self.shape, bool)
        for coordinates, chunk in self.chunks.items():
            outside, inside = self.place(coordinates)
            items[outside], known[outside] = chunk[0][inside], chunk[1][inside]
        return items, known

    def write(self, start, data):
        """Gives the chunks that it changes, as they are afterwards."""
        items, known = self.read()
        region = tuple(slice(s, s + n) for s, n in zip(start, data.shape))
        items[region], known[region] = data, True
        touched = [range(s // c, (s + n - 1) // c + 1) for s, n, c in zip(start, data.shape, self.chunk_shape)]
        written = {}
        for coordinates in itertools.product(*touched):
            outside, inside = self.place(coordinates)
            chunk, chunk_known = self.blank(), np.zeros(self.chunk_shape, bool)
            chunk[inside], chunk_known[inside] = items[outside], known[outside]
            self.chunks[coordinates] = (chunk, chunk_known)
            written[coordinates] = chunk
        return written

    def resize(self, shape):
        self.document = dict(self.document, shape=list(shape))
        self.chunks = {at: chunk for at, chunk in self.chunks.items() if all(i < n for i, n in zip(at, self.counts))}


class Tree:
    def __init__(self):
        self.nodes = {}  # by path

    def copy(self):
        """Chunks are never changed in place."""
        other = Tree()
        other.nodes = {path: copy.copy(node) for path, node in self.nodes.items()}
        for node in other.nodes.values():
            if isinstance(node, Array):
                node.chunks = dict(node.chunks)
        return other

    def below(self, path):
        return [p for p in self.nodes if p == path or p.startswith(path.rstrip("/") + "/")]

    def check(self, dump):
        """Asserts that a library has read this tree."""
        assert sorted(dump) == sorted(self.nodes)
        for path, node in self.nodes.items():
            found = dump[path]
            assert found.json["node_type"] == ("array" if isinstance(node, Array) else "group"), path
            assert found.json.get("attributes", {}) == node.attributes, path
            if isinstance(node, Array):
                self.check_array(path, node, found)

    def check_array(self, path, array, found):
        for member in ("shape", "data_type", "chunk_grid"):
            assert found.json[member] == array.document[member], path
        assert (found.json.get("dimension_names") or None) == (array.document.get("dimension_names") or None), path
        items, known = array.read()
        assert found.data.shape == items.shape, path
        same = np.frombuffer(found.data.tobytes(), "V%d" % items.itemsize) == np.frombuffer(
            items.tobytes(), "V%d" % items.itemsize)
        assert (same | ~known.ravel()).all(), (path, found.data, items)


# What is random

def random_attributes(random):
    def value(depth):
        kind = random.randrange(8 if depth < 3 else 6)
        if kind == 6:
            return [value(depth + 1) for _ in range(random.randrange(4))]
        if kind == 7:
            return {random.choice(TEXTS[1:] + NAMES): value(depth + 1) for _ in range(random.randrange(4))}
        return random.choice([None, True, False, random.choice(TEXTS), random.choice(INTEGERS), random.choice(REALS)])

    return {random.choice(NAMES): value(0) for _ in range(random.choice([0, 1, 1, 2, 4]))}


def random_items(random, count, data_type, fill_value):
    """Noise, few values, or the fill value alone."""
    kind = random.randrange(8)
    if kind == 0:
        return np.full(count, fill_value, data_type)
    generator = np.random.default_rng(random.randrange(2**32))
    if data_type == bool:
        return generator.integers(0, 2, count).astype(bool)
    if kind == 1:
        return generator.integers(0, 3, count).astype(data_type)
    if data_type.kind == "f":
        items = np.asarray(generator.normal(size=count) * 1000, data_type)
        special = np.array([np.nan, np.inf, -np.inf, -0.0, 0, np.finfo(data_type).tiny], data_type)
        return np.where(generator.random(count) < 0.2, generator.choice(special, count), items).astype(data_type)
    limits = np.iinfo(data_type)
    return generator.integers(limits.min, limits.max, count, data_type, endpoint=True)


def random_fill_value(random, data_type):
    if data_type == bool:
        return random.choice([False, True])
    if data_type.kind == "f":
        return random.choice(["NaN", "Infinity", "-Infinity", 0.0, -0.0, -9999.0, 0.5])
    limits = np.iinfo(data_type)
    return random.choice([0, 1, int(limits.min), int(limits.max), int(limits.max) - 1])


def random_codecs(random, data_type, dimension_count):
    codecs = []
    if dimension_count > 0 and random.random() < 0.2:
        codecs.append({"name": "transpose",
                       "configuration": {"order": random.sample(range(dimension_count), dimension_count)}})
    if data_type.itemsize == 1:
        codecs.append({"name": "bytes"})
    else:
        codecs.append({"name": "bytes", "configuration": {"endian": random.choice(["little"] * 4 + ["big"])}})
    kind = random.randrange(10)
    if kind < 3:
        codecs.append({"name": "zstd", "configuration": {"level": random.choice([-1, 0, 1, 3, 19]),
                                                         "checksum": random.random() < 0.5}})
    elif kind < 7:
        codecs.append({"name": "blosc", "configuration": {
            "cname": random.choice(COMPRESSORS), "clevel": random.randrange(10), "typesize": data_type.itemsize,
            "shuffle": random.choice(["noshuffle", "shuffle", "bitshuffle"]), "blocksize": random.choice([0, 0, 256])}})
    elif kind < 8:
        codecs.append({"name": "gzip", "configuration": {"level": random.randrange(10)}})
    if random.random() < 0.2:
        codecs.append({"name": "crc32c"})
    return codecs


def random_shapes(random):
    """Chunks of up to 8 KB, so that some are stored inline and some are not."""
    count = random.choice([0, 1, 1, 2, 2, 2, 3, 3, 4])
    if count == 1 and random.random() < 0.5:
        return [random.randrange(300, 1500)], [random.randrange(200, 400)]
    if count == 2 and random.random() < 0.5:
        return [random.randrange(20, 60) for _ in range(2)], [random.randrange(15, 30) for _ in range(2)]
    shape = [random.choice([0, 1, 2, 3, 5, 7]) if random.random() < 0.1 else random.randrange(1, 8)
             for _ in range(count)]
    return shape, [random.randrange(1, 5) for _ in range(count)]


def random_document(random):
    data_type = np.dtype(random.choice(DATA_TYPES))
    shape, chunk_shape = random_shapes(random)
    document = {
        "zarr_format": 3, "node_type": "array", "shape": shape, "data_type": data_type.name,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunk_shape}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": random_fill_value(random, data_type),
        "codecs": random_codecs(random, data_type, len(shape)), "attributes": random_attributes(random),
        "storage_transformers": []}
    if random.random() < 0.6:
        document["dimension_names"] = [random.choice(["x", "y", "time", "日", None]) for _ in shape]
    return document


# Transactions

class Changes:
    """Makes changes in a session and in a copy of the tree that it began with, and remembers them."""

    def __init__(self, session, before):
        self.session = session
        self.before = before
        self.tree = before.copy()
        self.fresh, self.deleted, self.updated, self.chunks = set(), set(), set(), {}

    def put_group(self, path, attributes):
        self.session.put_group(path, attributes)
        self.tree.nodes[path] = Group(attributes)
        self.fresh.add(path)

    def put_array(self, path, document):
        self.session.put_array(path, document)
        self.tree.nodes[path] = Array(document)
        self.fresh.add(path)

    def set_attributes(self, path, attributes):
        self.session.set_attributes(path, attributes)
        node = self.tree.nodes[path]
        if isinstance(node, Array):
            node.document = dict(node.document, attributes=attributes)
        else:
            node.attributes = attributes
        self.updated.add(path)

    def resize(self, path, shape):
        self.session.resize(path, list(shape))
        array = self.tree.nodes[path]
        array.resize(shape)
        self.updated.add(path)
        self.chunks[path] = {at for at in self.chunks.get(path, ()) if all(i < n for i, n in zip(at, array.counts))}

    def write(self, path, start, data):
        chunks = self.tree.nodes[path].write(start, data)
        self.session.write(path, list(start), data, chunks)
        self.chunks.setdefault(path, set()).update(chunks)

    def delete_chunk(self, path, coordinates):
        self.session.delete_chunk(path, list(coordinates))
        self.tree.nodes[path].chunks.pop(coordinates, None)
        self.chunks.setdefault(path, set()).add(coordinates)

    def delete(self, path):
        self.session.delete(path)
        for gone in self.tree.below(path):
            if gone not in self.fresh:
                self.deleted.add(gone)
            self.fresh.discard(gone)
            self.updated.discard(gone)
            self.chunks.pop(gone, None)
            del self.tree.nodes[gone]

    def expected_log(self):
        """What the official library's diff must say of a commit of ours."""
        def of_kind(paths, tree, kind):
            return sorted(path for path in paths if isinstance(tree.nodes[path], kind))

        found = {}
        for name, paths, tree in (("new", self.fresh, self.tree), ("deleted", self.deleted, self.before),
                                  ("updated", self.updated - self.fresh, self.tree)):
            found[name + "_groups"] = of_kind(paths, tree, Group)
            found[name + "_arrays"] = of_kind(paths, tree, Array)
        found["updated_chunks"] = {path: sorted(map(list, chunks)) for path, chunks in self.chunks.items() if chunks}
        return found

    def check_differences(self, nodes):
        """Asserts that our diff of the two snapshots tells these changes, and nothing else."""
        kinds = {kind: {node["path"] for node in nodes if node["kind"] == kind}
                 for kind in ("added", "removed", "modified")}
        assert kinds["added"] == self.fresh
        assert kinds["removed"] == self.deleted
        assert kinds["modified"] <= (self.updated | set(self.chunks)) - self.fresh
        chunks = {node["path"]: set(map(tuple, node["chunks"])) for node in nodes if node["kind"] != "removed"}
        for path, array in self.tree.nodes.items():
            if isinstance(array, Array):
                self.check_chunks(path, array, chunks.get(path, set()))

    def check_chunks(self, path, array, found):
        old = self.before.nodes.get(path) if path not in self.fresh else None
        before = old.chunks if old is not None else {}
        touched = self.chunks.get(path, set()) | {at for at in before if at not in array.chunks}
        assert found <= touched, path
        for at in set(before) | set(array.chunks):
            if not same_known(before.get(at), array.chunks.get(at), array.blank()):
                assert at in found, (path, at)


def same_known(a, b, blank):
    """True unless two chunks, None where there is none, differ in something that is known."""
    (left, known), (right, also_known) = (chunk or (blank, np.ones(blank.shape, bool)) for chunk in (a, b))
    return all(x.tobytes() == y.tobytes() for x, y in zip(left[known & also_known], right[known & also_known]))


ALL_CHANGES = "create create create write write write write write delete_chunk update update resize delete".split()


def make_random_changes(random, changes, supports):
    """supports(document) says which arrays can be made; None: no arrays."""
    if "/" not in changes.tree.nodes:
        changes.put_group("/", random_attributes(random))
    for _ in range(random.choice([1, 2, 4, 8])):
        globals()[random.choice(ALL_CHANGES)](random, changes, supports)


def groups_of(tree):
    return sorted(path for path, node in tree.nodes.items() if isinstance(node, Group))


def arrays_of(tree):
    return sorted(path for path, node in tree.nodes.items() if isinstance(node, Array))


def create(random, changes, supports):
    path = random.choice(groups_of(changes.tree)).rstrip("/") + "/" + random.choice(NAMES)
    if path in changes.tree.nodes or path.count("/") > 4:
        return
    if supports is None or random.random() < 0.3:
        changes.put_group(path, random_attributes(random))
        return
    document = random_document(random)
    while not supports(document):
        document = random_document(random)
    changes.put_array(path, document)
    for _ in range(random.randrange(3)):
        write_in(random, changes, path)


def write(random, changes, _):
    arrays = arrays_of(changes.tree)
    if arrays:
        write_in(random, changes, random.choice(arrays))


def write_in(random, changes, path):
    """The whole array, or a part."""
    array = changes.tree.nodes[path]
    if 0 in array.shape:
        return
    start = [0 if random.random() < 0.5 else random.randrange(n) for n in array.shape]
    count = [n - s if random.random() < 0.5 else random.randrange(1, n - s + 1) for n, s in zip(array.shape, start)]
    changes.write(path, start, random_items(random, count, array.type, array.fill_value))


def delete_chunk(random, changes, _):
    stored = [(path, at) for path in arrays_of(changes.tree) for at in sorted(changes.tree.nodes[path].chunks)]
    if stored:
        changes.delete_chunk(*random.choice(stored))


def update(random, changes, _):
    changes.set_attributes(random.choice(sorted(changes.tree.nodes)), random_attributes(random))


def resize(random, changes, _):
    arrays = [path for path in arrays_of(changes.tree) if changes.tree.nodes[path].shape]
    if arrays:
        path = random.choice(arrays)
        shape = [random.randrange(0, 2 * n + 2) if random.random() < 0.5 else n for n in changes.tree.nodes[path].shape]
        changes.resize(path, shape)


def delete(random, changes, _):
    paths = sorted(set(changes.tree.nodes) - {"/"})
    if paths:
        path = random.choice(paths)
        node = changes.tree.nodes[path]
        changes.delete(path)
        if random.random() < 0.5:  # and made again
            if isinstance(node, Array) and random.random() < 0.7:
                changes.put_array(path, node.document)
                write_in(random, changes, path)
            else:
                changes.put_group(path, {})
