#!/usr/bin/env python3
"""seeds.py BUILD_DIR: writes inputs to begin with into BUILD_DIR/seeds/<target>.

They are taken out of the repositories below $SGC_SHARED/icechunk-repos (default: ../shared beside the sources);
a few are made here, of kinds that those lack. Needs the program zstd and BUILD_DIR/autotest/fuzz/chunk_seeds.
"""
import hashlib
import json
import os
from pathlib import Path
import struct
import subprocess
import sys

ROOT = Path(__file__).resolve().parents[2]
REPOSITORIES = Path(os.environ.get("SGC_SHARED", ROOT.parent / "shared")) / "icechunk-repos"
SEEDS = Path(sys.argv[1]) / "seeds"
HEADER = 39  # bytes before the zstd frame
TARGETS = {1: "snapshot", 2: "manifest", 4: "transaction_log", 6: "repo_info"}  # by the kind in byte 37


def put(target, content):
    directory = SEEDS / target
    directory.mkdir(parents=True, exist_ok=True)
    (directory / hashlib.sha1(content).hexdigest()[:16]).write_bytes(content)


class Table:
    """A table of a FlatBuffers buffer; fields are known by their slots (store/icechunk/schema/icechunk.fbs)."""

    def __init__(self, buffer, position):
        self.buffer, self.position = buffer, position

    def number(self, form, position):
        return struct.unpack_from("<" + form, self.buffer, position)[0]

    def field(self, slot):
        """Where the field is, or None."""
        vtable = self.position - self.number("i", self.position)
        at = 4 + 2 * slot
        offset = self.number("H", vtable + at) if at < self.number("H", vtable) else 0
        return self.position + offset if offset else None

    def structure(self, slot, size):
        return self.buffer[self.field(slot):self.field(slot) + size]

    def target(self, slot):
        """Where the offset in `slot` points to, or None."""
        field = self.field(slot)
        return None if field is None else field + self.number("I", field)

    def data(self, slot):
        at = self.target(slot)
        return b"" if at is None else self.buffer[at + 4:at + 4 + self.number("I", at)]

    def tables(self, slot):
        at = self.target(slot)
        items = [] if at is None else range(at + 4, at + 4 + 4 * self.number("I", at), 4)
        return [Table(self.buffer, item + self.number("I", item)) for item in items]


def root(buffer):
    return Table(buffer, struct.unpack_from("<I", buffer)[0])


def put_json(document):
    put("json_text", document)
    if json.loads(document).get("node_type") == "array":
        put("zarr_json", document)


def put_metadata(items, target):
    for item in items:
        put(target, item.data(1))


def put_snapshot(snapshot, version):
    for node in snapshot.tables(2):
        put_json(node.data(2))
    put_metadata(snapshot.tables(5), "flex_buffers" if version == 2 else "message_pack")


def put_repo_info(repo):
    put("flex_buffers", repo.data(9))
    put_metadata(repo.tables(6), "flex_buffers")
    for snapshot in repo.tables(4):
        put_metadata(snapshot.tables(4), "flex_buffers")


def unpack(file):
    return subprocess.run(["zstd", "-dcq"], input=file[HEADER:], stdout=subprocess.PIPE, check=True).stdout


def put_pairs(repository):
    """Each manifest with a snapshot that names it."""
    snapshots = [unpack(path.read_bytes()) for path in sorted(repository.glob("snapshots/*"))]
    for path in sorted(repository.glob("manifests/*")):
        manifest = unpack(path.read_bytes())
        name = root(manifest).structure(0, 12)
        for snapshot in [s for s in snapshots if name in s][:1]:
            put("repository", struct.pack("<H", len(snapshot)) + snapshot + manifest)


def put_metadata_file(file):
    version, kind = file[36], file[37]
    payload = unpack(file)
    put("envelope", file)
    put(TARGETS[kind], payload)
    if kind == 1:
        put_snapshot(root(payload), version)
    if kind == 6:
        put_repo_info(root(payload))


def put_repositories():
    for path in sorted(REPOSITORIES.glob("*/**/*")):
        if not path.is_file():
            continue
        content = path.read_bytes()
        if path.name.startswith("ref.json"):
            put("ref", content)
            put("json_text", content)
        elif path.name == "config.yaml":
            put("config_yaml", content)
        elif path.parent.name == "chunks":
            for kind in range(4):  # those of chunk_kinds.c that these repositories have
                put("chunk", bytes([kind]) + content)
        else:
            put_metadata_file(content)
    for repository in sorted(REPOSITORIES.iterdir()):
        put_pairs(repository)


JSON = [
    b'{"a": [1, -2, 3.5, 1e300, 18446744073709551615, -9223372036854775808], "b": {"c": null, "d": [true, false]}}',
    b'"text \\"quoted\\" \\\\ \\u00e9 \\ud83e\\udd8a \\n"',
    b'[]', b'{}', b' { "a" : { } , "z" : [ [ ] ] } ', b'-0.0',
]
MESSAGE_PACK = [
    b"\x83\xa1a\x93\x01\xff\xcb\x3f\xf8\0\0\0\0\0\0\xa1b\xc0\xa1c\x82\xa1d\xc3\xa1e\xc2",
    b"\xdc\0\x03\xcd\x01\x00\xd1\xff\x00\xca\x3f\xc0\0\0", b"\xde\0\x01\xd9\x01k\xda\0\x02\xc3\xa9",
    b"\xdd\0\0\0\x02\xcf\xff\xff\xff\xff\xff\xff\xff\xff\xd3\x80\0\0\0\0\0\0\0", b"\xc4\x01x", b"\xd4\0\0",
]
FLEX_BUFFERS = [
    b"\0\0\x01",  # null
    b"\x02\x01\x02\x04\x04\x02\x28\x01",  # [1, 2], untyped
    b"\x03\x01\x02\x03\x03\x2c\x01",  # [1, 2, 3], typed
    b"a\0\x01\x03\x01\x01\x01\x07\x04\x02\x24\x01",  # {"a": 7}
    b"\x02hi\0\x03\x14\x01",  # "hi"
]
YAML = [
    b"manifest:\n  splitting:\n    split_sizes:\n    - - !or\n        - !and\n          - !path_matches {regex: '^/g'}\n"
    b"          - any_array\n        - !name_matches\n          regex: t[a-z]+\n      - - condition: Any\n"
    b"          num_chunks: 7\n",
    b"a: &x [1, 0x1f, .5, ~]\nb: *x\nc: 'text'\nd: |\n  lines\n  of text\n",
    b"num_updates_per_repo_info_file: 3\ninline_chunk_threshold_bytes: 99999999\n", b"", b"--- {}\n...\n",
]
ZARR_JSON = [
    b'{"zarr_format":3,"node_type":"array","shape":[7,0],"data_type":"%s","chunk_grid":{"name":"regular",'
    b'"configuration":{"chunk_shape":[2,3]}},"chunk_key_encoding":{"name":"default","configuration":{"separator":"/"}},'
    b'"fill_value":%s,"codecs":[%s],"attributes":{"k":[1]},"dimension_names":["y",null]}' % parts for parts in [
        (b"float64", b'"NaN"', b'{"name":"bytes","configuration":{"endian":"little"}},{"name":"blosc","configuration":'
         b'{"typesize":8,"cname":"zstd","clevel":5,"shuffle":"bitshuffle","blocksize":0}}'),
        (b"uint8", b"255", b'{"name":"bytes"},{"name":"zstd","configuration":{"level":3,"checksum":true}}'),
        (b"float32", b'"0x7fc00001"', b'{"name":"bytes","configuration":{"endian":"big"}},{"name":"crc32c"}'),
        (b"complex128", b'["Infinity",-1.5]', b'{"name":"transpose","configuration":{"order":[1,0]}},'
         b'{"name":"bytes","configuration":{"endian":"little"}},{"name":"gzip","configuration":{"level":1}}'),
        (b"int64", b"-9223372036854775808", b'{"name":"sharding_indexed","configuration":{"chunk_shape":[1,3],"codecs":'
         b'[{"name":"bytes","configuration":{"endian":"little"}}],"index_codecs":[{"name":"bytes","configuration":'
         b'{"endian":"little"}},{"name":"crc32c"}],"index_location":"end"}}'),
        (b"bool", b"true", b'{"name":"bytes"}'),
    ]
]
MADE = {
    "json_text": JSON, "message_pack": JSON + MESSAGE_PACK, "flex_buffers": JSON + FLEX_BUFFERS, "config_yaml": YAML,
    "zarr_json": ZARR_JSON, "ref": [b'{"snapshot": "1CECHNKREP0F1RSTCMT0", "more": [{}]}'],
}

for name, contents in MADE.items():
    for made in contents:
        put(name, made)
(SEEDS / "chunk").mkdir(exist_ok=True)
subprocess.run([Path(sys.argv[1]) / "autotest" / "fuzz" / "chunk_seeds", SEEDS / "chunk"], check=True)
if REPOSITORIES.is_dir():
    put_repositories()
else:
    print("%s is missing: few seeds" % REPOSITORIES)
