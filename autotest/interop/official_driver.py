"""Drives the official icechunk and zarr by lines of JSON, as store_tool.c drives our library.

Runs in a Python that has them. The requests are those of store_tool, as far as there are the same things; arrays are
made and written through zarr, as everybody does."""
import datetime
import json
import os
import sys
import warnings

import icechunk
import numpy
import zarr
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync

warnings.simplefilter("ignore")
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)  # icechunk's warnings go to stdout
handles = []


def keep(thing):
    handles.append(thing)
    return len(handles) - 1


# Repositories

def split_condition(text):
    """"any", "name REGEX", "path REGEX", or several of them with " or " or " and " between."""
    make = icechunk.ManifestSplitCondition
    for word, join in ((" or ", make.or_conditions), (" and ", make.and_conditions)):
        if word in text:
            return join([split_condition(part) for part in text.split(word)])
    kind, _, regex = text.partition(" ")
    return {"any": lambda _: make.AnyArray(), "name": make.name_matches, "path": make.path_matches}[kind](regex)


def split_dimension(value):
    make = icechunk.ManifestSplitDimCondition
    return make.Any() if value is None else make.Axis(value) if isinstance(value, int) else make.DimensionName(value)


def configuration(request):
    config = icechunk.RepositoryConfig.default()
    if "inline_threshold" in request:
        config.inline_chunk_threshold_bytes = request["inline_threshold"]
    if "updates_per_file" in request:
        config.num_updates_per_repo_info_file = request["updates_per_file"]
    if "split" in request:
        rules = {split_condition(array): {split_dimension(d): n for d, n in dimensions}
                 for array, dimensions in request["split"]}
        config.manifest = icechunk.ManifestConfig(
            splitting=icechunk.ManifestSplittingConfig.from_dict(rules))
    return config


def do_create(request):
    options = {"spec_version": request["spec_version"]} if icechunk.__version__ >= "2" else {}
    config = configuration(request["config"]) if request.get("config") else None
    repository = icechunk.Repository.create(
        icechunk.local_filesystem_storage(request["place"]), config=config, **options)
    return {"repository": keep(repository)}


def do_open(request):
    return {"repository": keep(icechunk.Repository.open(icechunk.local_filesystem_storage(request["place"])))}


def do_forget(request):
    handles[request["handle"]] = None
    while handles and handles[-1] is None:
        handles.pop()


def do_migrate(request):
    return {"repository": keep(icechunk.upgrade_icechunk_repository(
        repository_of(request), dry_run=False, delete_unused_v1_files=True))}


def repository_of(request):
    return handles[request["repository"]]


# Branches, tags, history

def do_refs(request):
    repository = repository_of(request)
    return {"branches": {name: repository.lookup_branch(name) for name in repository.list_branches()},
            "tags": {name: repository.lookup_tag(name) for name in repository.list_tags()}}


def do_create_ref(request):
    create = getattr(repository_of(request), "create_" + request["kind"])
    create(request["name"], snapshot_id=request["snapshot"])


def do_delete_ref(request):
    getattr(repository_of(request), "delete_" + request["kind"])(request["name"])


def do_reset_branch(request):
    repository_of(request).reset_branch(request["name"], request["to"])


def do_history(request):
    return {"commits": [
        {"id": commit.id, "parent": commit.parent_id, "message": commit.message,
         "time": round(commit.written_at.timestamp() * 1e6), "metadata": json.dumps(commit.metadata)}
        for commit in repository_of(request).ancestry(snapshot_id=request["from"])]}


def do_operations(request):
    return {"operations": [type(update.kind).__name__.rpartition("_")[2]
                           for update in repository_of(request).ops_log()]}


def do_settings(request):
    """Changes and tells what a repository info has beside snapshots and references."""
    repository = repository_of(request)
    if "metadata" in request:
        repository.set_metadata(request["metadata"])
    for name, value in request.get("flags", {}).items():
        repository.set_feature_flag(name, value)
    if "availability" in request:
        repository.set_status(icechunk.RepoStatus(getattr(icechunk.RepoAvailability, request["availability"]),
                                                  limited_availability_reason=request.get("reason")))
    status = repository.get_status()
    return {"metadata": repository.get_metadata(), "availability": str(status.availability),
            "reason": status.limited_availability_reason,
            "flags": {flag.name: flag.setting for flag in repository.feature_flags()}}


def do_extents(request):
    """The extents of each manifest, by array."""
    description = repository_of(request).inspect_snapshot(request["snapshot"])
    if isinstance(description, str):
        description = json.loads(description)
    return {"extents": {node["path"]: sorted(manifest["extents"] for manifest in node["manifest_refs"])
                        for node in description["nodes"] if node["node_type"] == "array"}}


# Reading

def document(store, path):
    key = (path.strip("/") + "/zarr.json").lstrip("/")
    return sync(store.get(key, default_buffer_prototype())).to_bytes().decode()


def describe_node(store, path, is_array):
    found = {"path": "/" + path, "is_array": is_array, "json": document(store, path)}
    if is_array:
        found["data"] = zarr.open_array(store, path=path, mode="r")[...].tobytes().hex()
    return found


def do_dump(request):
    """All nodes of a snapshot, as a walk through the groups finds them, with their values."""
    store = repository_of(request).readonly_session(snapshot_id=request["snapshot"]).store
    try:
        root = zarr.open(store, mode="r")
    except FileNotFoundError:
        return {"nodes": []}
    members = root.members(max_depth=None) if isinstance(root, zarr.Group) else ()
    paths = [("", not isinstance(root, zarr.Group))] + [
        (path, isinstance(node, zarr.Array)) for path, node in members]
    return {"nodes": [describe_node(store, path, is_array) for path, is_array in paths]}


def do_append_by_xarray(request):
    """Doubles a dataset of our session along a dimension."""
    import xarray
    dataset = xarray.open_zarr(store_of(request), group=path_of(request), consolidated=False, chunks=None).load()
    dataset.to_zarr(store_of(request), group=path_of(request), append_dim=request["dimension"], consolidated=False)


def do_open_xarray(request):
    """All variables of a dataset, as xarray has them."""
    import xarray
    store = repository_of(request).readonly_session(snapshot_id=request["snapshot"]).store
    dataset = xarray.open_zarr(store, group=request["path"].strip("/") or None, consolidated=False, chunks=None,
                               decode_cf=False)
    return {"variables": {name: {"dims": list(variable.dims), "dtype": str(variable.dtype),
                                 "data": numpy.ascontiguousarray(variable.values).tobytes().hex()}
                          for name, variable in dataset.variables.items()}}


def do_diff(request):
    diff = repository_of(request).diff(from_snapshot_id=request["from"], to_snapshot_id=request["to"])
    found = {"%s_%s" % (what, kind): sorted(getattr(diff, "%s_%s" % (what, kind)))
             for what in ("new", "deleted", "updated") for kind in ("groups", "arrays")}
    found["updated_chunks"] = {path: sorted(chunks) for path, chunks in diff.updated_chunks.items()}
    return found


# Sessions

def do_session(request):
    return {"session": keep(repository_of(request).writable_session(request["branch"]))}


def do_rearrange_session(request):
    return {"session": keep(repository_of(request).rearrange_session(request["branch"]))}


def session_of(request):
    return handles[request["session"]]


def store_of(request):
    return session_of(request).store


def path_of(request):
    return request["path"].strip("/")


def do_put_group(request):
    zarr.create_group(store_of(request), path=path_of(request), attributes=request["attributes"])


def split_codecs(codecs):
    """The codecs before "bytes", "bytes" itself, and those after it."""
    at = [codec["name"] for codec in codecs].index("bytes")
    return codecs[:at], codecs[at], codecs[at + 1:]


def fill_value(json_value, data_type):
    """zarr takes a value here, not what zarr.json says for it."""
    return numpy.dtype(data_type).type(float(json_value) if isinstance(json_value, str) else json_value)


def do_put_array(request):
    json_of = request["document"]
    filters, serializer, compressors = split_codecs(json_of["codecs"])
    options = {"name": path_of(request)} if path_of(request) else {}
    zarr.create_array(
        store_of(request), shape=tuple(json_of["shape"]), dtype=json_of["data_type"],
        chunks=tuple(json_of["chunk_grid"]["configuration"]["chunk_shape"]),
        fill_value=fill_value(json_of["fill_value"], json_of["data_type"]), filters=filters, serializer=serializer,
        compressors=compressors, attributes=json_of["attributes"],
        dimension_names=json_of.get("dimension_names"), **options)


EXOTIC = {
    "complex": numpy.arange(5).astype("complex64"),
    "text": numpy.array(["a", "äö", "", "日本", "z"]),
    "variable_text": numpy.array(["a", "äö" * 500, "", "日本", "z"], dtype=object),
    "time": numpy.arange(5).astype("datetime64[s]"),
    "bytes": numpy.array([b"a", b"bc", b"", b"d", b"e"]),
}


def do_put_exotic(request):
    """Arrays of types and codecs that need not be known to everybody; returns their paths."""
    store, path = store_of(request), path_of(request)
    for name, values in EXOTIC.items():
        data_type = "string" if values.dtype == object else values.dtype
        zarr.create_array(store, name="%s/%s" % (path, name), shape=(5,), chunks=(2,), dtype=data_type)[:] = values
    zarr.create_array(store, name=path + "/shards", shape=(7, 5), chunks=(2, 1), shards=(4, 4), dtype="i4")[:] = 7
    return {"paths": ["/%s/%s" % (path, name) for name in [*EXOTIC, "shards"]]}


def do_values(request):
    store = repository_of(request).readonly_session(snapshot_id=request["snapshot"]).store
    array = zarr.open_array(store, path=path_of(request), mode="r")
    return {"values": [str(value) for value in array[...].ravel()]}


def do_set_attributes(request):
    zarr.open(store_of(request), path=path_of(request), mode="r+").attrs.put(request["attributes"])


def do_resize(request):
    zarr.open_array(store_of(request), path=path_of(request), mode="r+").resize(tuple(request["shape"]))


def do_write(request):
    array = zarr.open_array(store_of(request), path=path_of(request), mode="r+")
    count = tuple(request["count"])
    data = numpy.frombuffer(bytes.fromhex(request["data"]), dtype=array.dtype).reshape(count)
    array[tuple(slice(start, start + n) for start, n in zip(request["start"], count)) or ...] = data


def chunk_key(request):
    return "/".join([part for part in [path_of(request), "c"] if part] + [str(c) for c in request["coordinates"]])


def do_delete_chunk(request):
    sync(store_of(request).delete(chunk_key(request)))


def do_delete(request):
    sync(store_of(request).delete_dir(path_of(request)))


def do_move(request):
    session_of(request).move(request["path"], request["to"])


def solver(rebase):
    if rebase == "detect":
        return icechunk.ConflictDetector()
    choices = icechunk.VersionSelection
    return icechunk.BasicConflictSolver(
        on_chunk_conflict=choices.UseTheirs if rebase == "theirs" else choices.UseOurs)


def do_commit(request):
    rebase = request.get("rebase", "no")
    options = {} if rebase == "no" else {"rebase_with": solver(rebase), "rebase_tries": 3}
    session, message = session_of(request), request["message"]
    metadata = json.loads(request["metadata"]) if request.get("metadata") else None
    how = request.get("how", "commit")
    if how == "commit":
        return {"snapshot": session.commit(message, metadata=metadata, **options)}
    return {"snapshot": getattr(session, how)(message, metadata=metadata)}


# Maintenance

def time_of(microseconds):
    return datetime.datetime.fromtimestamp(0, datetime.timezone.utc) + datetime.timedelta(microseconds=microseconds)


def do_expire(request):
    expired = repository_of(request).expire_snapshots(
        time_of(request["older_than"]), delete_expired_branches=request.get("delete_branches", False),
        delete_expired_tags=request.get("delete_tags", False))
    return {"snapshots": sorted(expired)}


def do_collect_garbage(request):
    result = repository_of(request).garbage_collect(time_of(request["older_than"]))
    return {"snapshots": result.snapshots_deleted, "transaction_logs": result.transaction_logs_deleted,
            "manifests": result.manifests_deleted, "chunks": result.chunks_deleted}


def do_rewrite_manifests(request):
    return {"snapshot": repository_of(request).rewrite_manifests(request["message"], branch=request["branch"])}


def do_version(_):
    return {"version": icechunk.__version__, "latest_spec_version": 2 if icechunk.__version__ >= "2" else 1}


def is_conflict(error):
    return isinstance(error, (icechunk.ConflictError, icechunk.RebaseFailedError)) or "conflict" in str(error).lower()


def answer(line):
    request = json.loads(line)
    try:
        return globals()["do_" + request["do"]](request) or {}
    except Exception as error:  # whatever it is, the test wants to know
        kind = "conflict" if is_conflict(error) else type(error).__name__
        return {"error": kind, "message": "%s: %s" % (type(error).__name__, error)}


for each_line in sys.stdin:
    print(json.dumps(answer(each_line)), file=answers, flush=True)
os._exit(0)  # icechunk 1.1.21 may abort when its threads wind up
