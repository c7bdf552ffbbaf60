"""The two libraries behind one face: processes that answer lines of JSON, and what tests ask of them."""
import atexit
import itertools
import json
import os
from pathlib import Path
import subprocess
import tempfile

import numpy as np

HERE = Path(__file__).resolve().parent
BUILD_DIR = Path(os.environ.get("SGC_BUILD_DIR", HERE.parents[1] / "build" / "release"))
PYTHONS = [os.environ[name] for name in ("SGC_INTEROP_PYTHON", "SGC_INTEROP2_PYTHON", "SGC_INTEROP3_PYTHON")
           if os.environ.get(name)]


class PeerError(Exception):
    """What a library refuses: its kind ("conflict", …) and its message."""

    def __init__(self, kind, message):
        super().__init__("%s: %s" % (kind, message))
        self.kind = kind


class Process:
    def __init__(self, *command):
        self.errors = tempfile.TemporaryFile(mode="w+")
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors,
                                        text=True, encoding="utf-8")
        atexit.register(self.close)

    def ask(self, command, **request):
        line = self.exchange(json.dumps(dict(request, do=command)))
        if not line:
            self.errors.seek(0)
            raise RuntimeError("%s died with %s: %s" % (self.process.args, self.process.wait(60),
                                                        self.errors.read()[-4000:]))
        answer = json.loads(line)
        if "error" in answer:
            raise PeerError(answer["error"], answer["message"])
        return answer

    def exchange(self, request):
        try:
            self.process.stdin.write(request + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return ""
        return self.process.stdout.readline()

    def close(self):
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass
        self.process.wait(60)


class Node:
    """A group or array as a library has read it: its zarr.json, as text and value, and its items."""

    def __init__(self, text, data):
        self.text = text
        self.json = json.loads(text)
        self.data = data

    def __eq__(self, other):
        return self.text == other.text and same_items(self.data, other.data)


def same_items(a, b):
    return (a is None) == (b is None) and (a is None or (a.shape == b.shape and a.tobytes() == b.tobytes()))


def to_node(found):
    node = Node(found["json"], None)
    if "data" in found:
        node.data = np.frombuffer(bytes.fromhex(found["data"]), node.json["data_type"]).reshape(node.json["shape"])
    return node


def to_commits(answer):
    return [dict(commit, parent=commit.get("parent"), metadata=json.loads(commit["metadata"]))
            for commit in answer["commits"]]


class Session:
    """Changes on a branch. Each library puts its own way of making them into the methods."""

    def __init__(self, process, number):
        self.process = process
        self.number = number

    def ask(self, command, path, **request):
        return self.process.ask(command, session=self.number, path=path, **request)

    def delete(self, path):
        self.ask("delete", path)

    def delete_chunk(self, path, coordinates):
        self.ask("delete_chunk", path, coordinates=coordinates)

    def commit(self, message, metadata=None, rebase="no", **options):
        return self.process.ask("commit", session=self.number, message=message, rebase=rebase,
                                metadata=None if metadata is None else json.dumps(metadata, ensure_ascii=False),
                                **options)["snapshot"]


class OurSession(Session):
    def end(self):
        self.process.ask("end_session", session=self.number)

    def put_group(self, path, attributes):
        self.ask("put_group", path, json=json.dumps(
            {"zarr_format": 3, "node_type": "group", "attributes": attributes}, ensure_ascii=False))

    def put_array(self, path, document):
        self.ask("put_array", path, json=json.dumps(document, ensure_ascii=False))

    def change_document(self, path, **members):
        document = json.loads(self.ask("find_json", path)["json"])
        command = "put_array" if document["node_type"] == "array" else "put_group"
        self.ask(command, path, json=json.dumps(dict(document, **members), ensure_ascii=False))

    def set_attributes(self, path, attributes):
        self.change_document(path, attributes=attributes)

    def resize(self, path, shape):
        self.change_document(path, shape=shape)

    def write(self, path, start, data, chunks):
        for coordinates, chunk in chunks.items():
            self.ask("set_chunk", path, coordinates=coordinates, data=chunk.tobytes().hex())


class OfficialSession(Session):
    def end(self):
        self.process.ask("forget", handle=self.number)

    def put_group(self, path, attributes):
        self.ask("put_group", path, attributes=attributes)

    def put_array(self, path, document):
        self.ask("put_array", path, document=document)

    def set_attributes(self, path, attributes):
        self.ask("set_attributes", path, attributes=attributes)

    def resize(self, path, shape):
        self.ask("resize", path, shape=shape)

    def write(self, path, start, data, chunks):
        self.ask("write", path, start=start, count=data.shape, data=data.tobytes().hex())


class Repository:
    def __init__(self, library, number):
        self.library = library
        self.number = number

    def ask(self, command, **request):
        return self.library.process.ask(command, repository=self.number, **request)

    def session(self, branch="main"):
        return self.library.session_type(self.library.process, self.ask("session", branch=branch)["session"])

    def refs(self):
        refs = self.ask("refs")
        return {"branches": refs["branches"], "tags": refs["tags"]}

    def tip(self, branch="main"):
        return self.refs()["branches"][branch]

    def create_ref(self, kind, name, snapshot):
        self.ask("create_ref", kind=kind, name=name, snapshot=snapshot)

    def delete_ref(self, kind, name):
        self.ask("delete_ref", kind=kind, name=name)

    def reset_branch(self, name, old, new):
        self.ask("reset_branch", **{"name": name, "from": old, "to": new})

    def history(self, snapshot):
        """The commits from the snapshot to the root."""
        return to_commits(self.ask("history", **{"from": snapshot}))

    def diff(self, old, new):
        return self.ask("diff", **{"from": old, "to": new})

    def expire(self, older_than, **options):
        return self.ask("expire", older_than=older_than, **options)

    def collect_garbage(self, older_than):
        return self.ask("collect_garbage", older_than=older_than)


class OurRepository(Repository):
    def dump(self, snapshot):
        """{path: Node}."""
        nodes = self.ask("nodes", snapshot=snapshot)["nodes"]
        for node in nodes:
            if node["is_array"]:
                node["data"] = self.ask("read", snapshot=snapshot, path=node["path"])["data"]
        return {node["path"]: to_node(node) for node in nodes}

    def defects(self):
        return self.ask("verify")["defects"]

    def close(self):
        self.ask("close")


class OfficialRepository(Repository):
    def dump(self, snapshot):
        return {node["path"]: to_node(node) for node in self.ask("dump", snapshot=snapshot)["nodes"]}

    def rearrange(self, moves, message):
        session = OfficialSession(self.library.process, self.ask("rearrange_session", branch="main")["session"])
        for old, new in moves.items():
            session.ask("move", old, to=new)
        session.commit(message)
        session.end()

    def close(self):
        self.library.process.ask("forget", handle=self.number)


class Ours:
    name = "ours"
    session_type = OurSession

    def __init__(self):
        self.process = Process(str(BUILD_DIR / "autotest" / "interop" / "store_tool"))

    def create(self, place, spec_version, split=None):
        answer = self.process.ask("create", place=str(place), spec_version=spec_version, split=split or {})
        return OurRepository(self, answer["repository"])

    def open(self, place):
        return OurRepository(self, self.process.ask("open", place=str(place))["repository"])

    def supports(self, document):
        try:
            self.process.ask("check", json=json.dumps(document))
        except PeerError as error:
            assert error.kind == "unsupported", error
            return False
        return True


class Official:
    session_type = OfficialSession

    def __init__(self, python):
        self.process = Process(python, str(HERE / "official_driver.py"))
        about = self.process.ask("version")
        self.name = about["version"]
        self.spec_versions = range(1, about["latest_spec_version"] + 1)
        # Before the format was final, version 2 listed the manifests where version 1 does (format guide 5.2), and such
        # a library does not find those that others list. It is good for everything but chunks.
        self.keeps_logs_of_expired = self.name >= "2.1"  # in version 2 (format guide 18.2)
        self.finds_chunks_of_2 = not self.name.startswith("2.0.0a")

    def create(self, place, spec_version, config=None):
        answer = self.process.ask("create", place=str(place), spec_version=spec_version, config=config)
        return OfficialRepository(self, answer["repository"])

    def open(self, place):
        return OfficialRepository(self, self.process.ask("open", place=str(place))["repository"])


def all_coordinates(counts):
    return itertools.product(*(range(n) for n in counts))
