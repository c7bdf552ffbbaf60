#include "store/icechunk/codec.h"

#include <memory>
#include <zstd.h>

#include "store/icechunk/flat.hpp"

using namespace sgc::codec;
namespace ice = sgc::ice;

namespace
{

constexpr unsigned kMaxDepth = 64;
constexpr unsigned kMaxTables = 50000000;
constexpr unsigned kMaxManifestTables = 500000000;
constexpr uint8_t kLocationsPlain = 0, kLocationsZstd = 1; /* Manifest.compression_algorithm */
constexpr size_t kLongestLocation = 1024;                  /* of those that are compressed */

static_assert(sizeof(ice::ChunkIndexRange) == sizeof(sgc_extent), "layout of extents");
static_assert(sizeof(ice::ManifestFileInfo) == 32, "layout of manifest infos");

bool less(const sgc_node_id &a, const sgc_node_id &b)
{
    return sgc_node_id_compare(&a, &b) < 0;
}

/* ---- encoding ---- */

auto flat_ids(Builder &b, const sgc_node_ids &ids)
{
    return b.CreateVectorOfStructs(reinterpret_cast<const ice::ObjectId8 *>(ids.ids), ids.count);
}

fb::Offset<ice::DimensionName> encode_name(Builder &b, const sgc_dimension &dimension)
{
    return ice::CreateDimensionName(b, flat(b, dimension.name));
}

fb::Offset<ice::ManifestRef> encode_manifest_ref(Builder &b, const sgc_manifest_ref &manifest,
                                                 size_t dimensions)
{
    const auto extents = b.CreateVectorOfStructs(
        reinterpret_cast<const ice::ChunkIndexRange *>(manifest.extents), dimensions);
    return ice::CreateManifestRef(b, flat(manifest.id), extents);
}

fb::Offset<ice::ArrayNodeData> encode_array(Builder &b, const sgc_node &node, int spec_version)
{
    std::vector<ice::DimensionShape> shape;
    Vector<fb::Offset<ice::DimensionShapeV2>> shape_v2;
    Vector<fb::Offset<ice::DimensionName>> names;
    if (spec_version == 2)
        shape_v2 = flat_all(b, node.dimensions, node.dimension_count, [&](const sgc_dimension &d) {
            return ice::CreateDimensionShapeV2(b, d.array_length, d.num_chunks);
        });
    else
        for (size_t i = 0; i < node.dimension_count; i++)
            shape.emplace_back(node.dimensions[i].array_length, node.dimensions[i].chunk_length);
    if (node.has_dimension_names)
        names = flat_all(b, node.dimensions, node.dimension_count,
                         [&](const sgc_dimension &d) { return encode_name(b, d); });
    const auto manifests =
        flat_all(b, node.manifests, node.manifest_count, [&](const sgc_manifest_ref &m) {
            return encode_manifest_ref(b, m, node.dimension_count);
        });
    return ice::CreateArrayNodeData(b, b.CreateVectorOfStructs(shape), names, manifests, shape_v2);
}

fb::Offset<ice::NodeSnapshot> encode_node(Builder &b, const sgc_node &node, int spec_version)
{
    const auto path = flat_required(b, node.path);
    const auto user_data = b.CreateVector(node.user_data, node.user_data_size);
    const auto extra = flat(b, node.extra);
    if (node.is_array)
        return ice::CreateNodeSnapshot(b, flat(node.id), path, user_data,
                                       ice::NodeData_ArrayNodeData,
                                       encode_array(b, node, spec_version).Union(), extra);
    return ice::CreateNodeSnapshot(b, flat(node.id), path, user_data, ice::NodeData_GroupNodeData,
                                   ice::CreateGroupNodeData(b).Union(), extra);
}

sgc_status encode_snapshot(const sgc_snapshot_data &s, sgc_buffer *out, sgc_error *err)
{
    Builder b;
    const bool v2 = s.spec_version == 2;
    const auto nodes = flat_all(b, s.nodes, s.node_count, [&](const sgc_node &node) {
        return encode_node(b, node, s.spec_version);
    });
    std::vector<ice::ManifestFileInfo> files;
    Vector<fb::Offset<ice::ManifestFileInfoV2>> files_v2;
    if (v2)
        files_v2 =
            flat_all(b, s.manifest_files, s.manifest_file_count, [&](const sgc_manifest_file &f) {
                return ice::CreateManifestFileInfoV2(b, flat(f.id), f.size_bytes, f.num_chunk_refs,
                                                     flat(b, f.extra));
            });
    else
        for (size_t i = 0; i < s.manifest_file_count; i++)
            files.emplace_back(*flat(s.manifest_files[i].id), s.manifest_files[i].size_bytes,
                               s.manifest_files[i].num_chunk_refs);
    const auto files_v1 = b.CreateVectorOfStructs(files);
    const auto message = flat_required(b, s.message);
    const auto metadata = flat_metadata(b, s.metadata, s.metadata_count);
    const auto extra = flat(b, s.extra);
    return finish(b,
                  ice::CreateSnapshot(b, flat(s.id), s.has_parent && !v2 ? flat(s.parent) : nullptr,
                                      nodes, s.flushed_at, message, metadata, files_v1, files_v2,
                                      extra),
                  out, err);
}

fb::Offset<ice::ChunkRef> encode_virtual(Builder &b, Vector<uint32_t> index,
                                         const sgc_chunk_ref &ref, Vector<uint8_t> extra)
{
    if (ref.details == nullptr)
        throw Failure{SGC_INVALID, "a virtual reference without location"};
    const auto location = flat_required(b, ref.details->location);
    const auto etag = flat(b, ref.details->etag);
    return ice::CreateChunkRef(b, index, 0, ref.offset, ref.length, nullptr, location, etag,
                               ref.details->last_modified, 0, extra);
}

fb::Offset<ice::ChunkRef> encode_ref(Builder &b, const uint32_t *coordinates, size_t dimensions,
                                     const sgc_chunk_ref &ref)
{
    const auto index = b.CreateVector(coordinates, dimensions);
    const auto extra = ref.details != nullptr ? flat(b, ref.details->extra) : Vector<uint8_t>();
    switch (ref.kind) {
    case SGC_CHUNK_INLINE:
        return ice::CreateChunkRef(b, index,
                                   b.CreateVector(ref.inline_data, static_cast<size_t>(ref.length)),
                                   0, 0, nullptr, 0, 0, 0, 0, extra);
    case SGC_CHUNK_NATIVE:
        return ice::CreateChunkRef(b, index, 0, ref.offset, ref.length, flat(ref.id), 0, 0, 0, 0,
                                   extra);
    case SGC_CHUNK_VIRTUAL:
        return encode_virtual(b, index, ref, extra);
    case SGC_CHUNK_NONE:
        break;
    }
    throw Failure{SGC_INVALID, "a reference to nothing"};
}

fb::Offset<ice::ArrayManifest> encode_array_manifest(Builder &b, const sgc_array_manifest &array)
{
    const uint32_t *coordinates = array.coordinates;
    const auto refs = flat_all(b, array.refs, array.count, [&](const sgc_chunk_ref &ref) {
        const auto result = encode_ref(b, coordinates, array.dimension_count, ref);
        coordinates += array.dimension_count;
        return result;
    });
    const auto extra = flat(b, array.extra);
    return ice::CreateArrayManifest(b, flat(array.node), refs, extra);
}

sgc_status encode_manifest(const sgc_manifest_data &m, sgc_buffer *out, sgc_error *err)
{
    Builder b;
    const auto arrays = flat_all(b, m.arrays, m.array_count, [&](const sgc_array_manifest &array) {
        return encode_array_manifest(b, array);
    });
    /* Spec 1 does not know the field, which is what its default says. */
    const uint8_t compression = m.spec_version == 2 ? kLocationsPlain : kLocationsZstd;
    const auto extra = flat(b, m.extra);
    return finish(b, ice::CreateManifest(b, flat(m.id), arrays, 0, compression, extra), out, err);
}

fb::Offset<ice::ArrayUpdatedChunks> encode_updated_chunks(Builder &b, const sgc_updated_chunks &u)
{
    std::vector<fb::Offset<ice::ChunkIndices>> chunks;
    chunks.reserve(u.count);
    for (size_t i = 0; i < u.count; i++)
        chunks.push_back(ice::CreateChunkIndices(
            b, b.CreateVector(u.coordinates + i * u.dimension_count, u.dimension_count)));
    return ice::CreateArrayUpdatedChunks(b, flat(u.node), b.CreateVector(chunks));
}

fb::Offset<ice::MoveOperation> encode_move(Builder &b, const sgc_moved_node &move)
{
    const auto from = flat_required(b, move.from), to = flat_required(b, move.to);
    return ice::CreateMoveOperation(b, from, to, flat(move.id), move.is_array ? 1 : 0);
}

sgc_status encode_log(const sgc_transaction_log &log, sgc_buffer *out, sgc_error *err)
{
    if (log.spec_version != 2 && log.moved_node_count > 0)
        throw Failure{SGC_INVALID, "version 1 of Icechunk cannot move nodes"};
    Builder b;
    const auto updated =
        flat_all(b, log.updated_chunks, log.updated_chunk_count,
                 [&](const sgc_updated_chunks &u) { return encode_updated_chunks(b, u); });
    Vector<fb::Offset<ice::MoveOperation>> moved;
    if (log.spec_version == 2)
        moved = flat_all(b, log.moved_nodes, log.moved_node_count,
                         [&](const sgc_moved_node &move) { return encode_move(b, move); });
    const auto new_groups = flat_ids(b, log.new_groups), new_arrays = flat_ids(b, log.new_arrays);
    const auto deleted_groups = flat_ids(b, log.deleted_groups);
    const auto deleted_arrays = flat_ids(b, log.deleted_arrays);
    const auto updated_arrays = flat_ids(b, log.updated_arrays);
    const auto updated_groups = flat_ids(b, log.updated_groups);
    return finish(b,
                  ice::CreateTransactionLog(b, flat(log.id), new_groups, new_arrays, deleted_groups,
                                            deleted_arrays, updated_arrays, updated_groups, updated,
                                            moved),
                  out, err);
}

/* ---- decoding ---- */

/* The verifier looks at the alignment of a vector's length, not at that of its elements. */
template <class T> void check_aligned(const fb::Vector<const T *> &structs)
{
    if (structs.size() > 0 && reinterpret_cast<uintptr_t>(structs.Data()) % alignof(T) != 0)
        corrupt("misaligned structs");
}

void check_dimension_count(size_t count)
{
    if (count > SGC_MAX_DIMENSIONS)
        throw Failure{SGC_UNSUPPORTED, "an array with more than 16 dimensions"};
}

sgc_dimension decode_dimension(const ice::DimensionShape &shape)
{
    sgc_dimension dimension = {shape.array_length(), shape.chunk_length(), 0, nullptr};
    if (dimension.array_length == 0)
        return dimension;
    if (dimension.chunk_length == 0)
        corrupt("an array with chunks of length 0");
    const uint64_t chunks = (dimension.array_length - 1) / dimension.chunk_length + 1;
    if (chunks > UINT32_MAX)
        corrupt("an array with more than 2^32 chunks along a dimension");
    dimension.num_chunks = static_cast<uint32_t>(chunks);
    return dimension;
}

/* Fills node.dimensions from whichever of the two shapes the file has. */
void decode_shape(const ice::ArrayNodeData &array, Memory &memory, sgc_node &node)
{
    const auto *v2 = array.shape_v2();
    check_aligned(*array.shape());
    node.dimension_count = v2 != nullptr ? v2->size() : array.shape()->size();
    check_dimension_count(node.dimension_count);
    auto *dimensions = memory.list<sgc_dimension>(node.dimension_count);
    for (unsigned i = 0; i < node.dimension_count; i++)
        if (v2 != nullptr)
            dimensions[i] = {v2->Get(i)->array_length(), 0, v2->Get(i)->num_chunks(), nullptr};
        else
            dimensions[i] = decode_dimension(*array.shape()->Get(i));
    if (const auto *names = array.dimension_names()) {
        if (names->size() != node.dimension_count)
            corrupt("an array whose dimensions and names differ in number");
        node.has_dimension_names = true;
        for (unsigned i = 0; i < names->size(); i++) {
            const fb::String *name = names->Get(i)->name();
            if (name != nullptr && name->size() > 0)
                dimensions[i].name = memory.text(name);
        }
    }
    node.dimensions = dimensions;
}

sgc_manifest_ref decode_manifest_ref(const ice::ManifestRef &m, size_t dimensions, Memory &memory)
{
    if (m.extents()->size() != dimensions)
        corrupt("a manifest whose extents differ from its array in dimensions");
    auto *extents = memory.list<sgc_extent>(dimensions);
    for (unsigned i = 0; i < dimensions; i++)
        extents[i] = {m.extents()->Get(i)->from(), m.extents()->Get(i)->to()};
    return {plain(*m.object_id()), extents};
}

sgc_node decode_node(const ice::NodeSnapshot &flat_node, Memory &memory)
{
    sgc_node node = {};
    node.id = plain(*flat_node.id());
    node.path = memory.text(flat_node.path());
    if (node.path[0] != '/')
        corrupt("a node whose path is not absolute");
    const sgc_bytes user_data = memory.bytes(flat_node.user_data());
    node.user_data = user_data.data;
    node.user_data_size = user_data.size;
    node.extra = memory.bytes(flat_node.extra());
    if (const auto *array = flat_node.node_data_as_ArrayNodeData()) {
        node.is_array = true;
        decode_shape(*array, memory, node);
        node.manifests = memory.all<sgc_manifest_ref>(
            array->manifests(), &node.manifest_count, [&](const ice::ManifestRef &m) {
                return decode_manifest_ref(m, node.dimension_count, memory);
            });
    } else if (flat_node.node_data_as_GroupNodeData() == nullptr) {
        throw Failure{SGC_UNSUPPORTED, "a node that is neither array nor group"};
    }
    return node;
}

sgc_manifest_file decode_manifest_file(const ice::ManifestFileInfoV2 &f, Memory &memory)
{
    if (f.id() == nullptr)
        corrupt("a manifest without id");
    return {plain(*f.id()), f.size_bytes(), f.num_chunk_refs(), memory.bytes(f.extra())};
}

void decode_manifest_files(const ice::Snapshot &s, Memory &memory, sgc_snapshot_data &out)
{
    check_aligned(*s.manifest_files());
    if (s.manifest_files_v2() != nullptr) {
        out.manifest_files = memory.all<sgc_manifest_file>(
            s.manifest_files_v2(), &out.manifest_file_count,
            [&](const ice::ManifestFileInfoV2 &f) { return decode_manifest_file(f, memory); });
    } else {
        out.manifest_file_count = s.manifest_files()->size();
        auto *files = memory.list<sgc_manifest_file>(out.manifest_file_count);
        for (unsigned i = 0; i < out.manifest_file_count; i++) {
            const ice::ManifestFileInfo &f = *s.manifest_files()->Get(i);
            files[i] = {plain(f.id()), f.size_bytes(), f.num_chunk_refs(), {}};
        }
        out.manifest_files = files;
    }
    check_order(
        out.manifest_files, out.manifest_file_count,
        [](const sgc_manifest_file &a, const sgc_manifest_file &b) {
            return sgc_object_id_compare(&a.id, &b.id) < 0;
        },
        "manifests out of order");
}

sgc_status decode_snapshot(const void *buffer, size_t size, sgc_arena *arena,
                           sgc_snapshot_data *out)
{
    const auto &s = verified<ice::Snapshot>(buffer, size, kMaxDepth, kMaxTables);
    Memory memory(arena, size);
    sgc_snapshot_data result = {};
    result.id = plain(*s.id());
    if (s.parent_id() != nullptr) {
        result.has_parent = true;
        result.parent = plain(*s.parent_id());
    }
    result.flushed_at = s.flushed_at();
    result.message = memory.text(s.message());
    result.metadata = memory.all<sgc_metadata_item>(
        s.metadata(), &result.metadata_count,
        [&](const ice::MetadataItem &item) { return plain(item, memory); });
    result.nodes =
        memory.all<sgc_node>(s.nodes(), &result.node_count, [&](const ice::NodeSnapshot &node) {
            return decode_node(node, memory);
        });
    check_order(
        result.nodes, result.node_count,
        [](const sgc_node &a, const sgc_node &b) { return std::strcmp(a.path, b.path) < 0; },
        "nodes out of order");
    decode_manifest_files(s, memory, result);
    result.extra = memory.bytes(s.extra());
    *out = result;
    return SGC_OK;
}

/* Expands the compressed locations of a manifest. */
class Locations
{
  public:
    explicit Locations(const ice::Manifest &manifest) : manifest_(manifest)
    {
    }

    const char *expand(const fb::Vector<uint8_t> &compressed, Memory &memory)
    {
        if (context_ == nullptr)
            prepare();
        char text[kLongestLocation];
        const size_t size =
            ZSTD_decompress_usingDDict(context_.get(), text, sizeof text, compressed.data(),
                                       compressed.size(), dictionary_.get());
        if (ZSTD_isError(size))
            corrupt("a location that cannot be decompressed");
        return memory.text(text, size);
    }

  private:
    void prepare()
    {
        const auto *dictionary = manifest_.location_dictionary();
        if (manifest_.compression_algorithm() > kLocationsZstd)
            throw Failure{SGC_UNSUPPORTED, "an unknown compression of locations"};
        if (manifest_.compression_algorithm() == kLocationsPlain || dictionary == nullptr)
            corrupt("a compressed location without dictionary");
        dictionary_.reset(ZSTD_createDDict(dictionary->data(), dictionary->size()));
        if (dictionary_ == nullptr)
            corrupt("a bad dictionary of locations");
        context_.reset(ZSTD_createDCtx());
        if (context_ == nullptr)
            throw std::bad_alloc();
    }

    template <class T, size_t (*release)(T *)> struct Release {
        void operator()(T *pointer) const
        {
            release(pointer);
        }
    };

    const ice::Manifest &manifest_;
    std::unique_ptr<ZSTD_DDict, Release<ZSTD_DDict, ZSTD_freeDDict>> dictionary_;
    std::unique_ptr<ZSTD_DCtx, Release<ZSTD_DCtx, ZSTD_freeDCtx>> context_;
};

/* NULL where there are none. */
const sgc_ref_details *decode_details(const ice::ChunkRef &r, bool is_virtual, Locations &locations,
                                      Memory &memory)
{
    if (!is_virtual && r.extra() == nullptr)
        return nullptr;
    auto *details = memory.list<sgc_ref_details>(1);
    details->extra = memory.bytes(r.extra());
    if (is_virtual) {
        details->location = r.compressed_location() != nullptr
                                ? locations.expand(*r.compressed_location(), memory)
                                : memory.text(r.location());
        details->etag = memory.text(r.checksum_etag());
        details->last_modified = r.checksum_last_modified();
    }
    return details;
}

sgc_chunk_ref decode_ref(const ice::ChunkRef &r, Locations &locations, Memory &memory)
{
    sgc_chunk_ref ref = {};
    ref.offset = r.offset();
    ref.length = r.length();
    if (r.chunk_id() != nullptr) {
        ref.kind = SGC_CHUNK_NATIVE;
        ref.id = plain(*r.chunk_id());
    } else if (r.compressed_location() != nullptr || r.location() != nullptr) {
        ref.kind = SGC_CHUNK_VIRTUAL;
    } else if (r.inline_data() != nullptr) {
        ref.kind = SGC_CHUNK_INLINE;
        ref.inline_data = memory.bytes(r.inline_data()).data;
        ref.offset = 0;
        ref.length = r.inline_data()->size();
    } else {
        corrupt("a reference to nothing");
    }
    ref.details = decode_details(r, ref.kind == SGC_CHUNK_VIRTUAL, locations, memory);
    return ref;
}

/* The coordinates that `index` finds in each table, one after the other; all tables have the same
 * number of them. */
template <class Table, class Index>
const uint32_t *decode_coordinates(const fb::Vector<fb::Offset<Table>> &tables, Index index,
                                   Memory &memory, size_t *dimensions)
{
    const size_t count = tables.size() > 0 ? index(*tables.Get(0))->size() : 0;
    check_dimension_count(count);
    auto *coordinates = memory.list<uint32_t>(tables.size(), count);
    uint32_t *next = coordinates;
    for (const Table *table : tables) {
        if (index(*table)->size() != count)
            corrupt("chunks of one array with different dimensions");
        next = std::copy(index(*table)->begin(), index(*table)->end(), next);
    }
    *dimensions = count;
    return coordinates;
}

sgc_array_manifest decode_array_manifest(const ice::ArrayManifest &flat_array, Locations &locations,
                                         Memory &memory)
{
    sgc_array_manifest array = {};
    array.node = plain(*flat_array.node_id());
    array.coordinates = decode_coordinates(
        *flat_array.refs(), [](const ice::ChunkRef &r) { return r.index(); }, memory,
        &array.dimension_count);
    array.refs =
        memory.all<sgc_chunk_ref>(flat_array.refs(), &array.count, [&](const ice::ChunkRef &r) {
            return decode_ref(r, locations, memory);
        });
    const size_t n = array.dimension_count;
    for (size_t i = 1; i < array.count; i++) {
        const uint32_t *at = array.coordinates + i * n;
        if (!std::lexicographical_compare(at - n, at, at, at + n))
            corrupt("references out of order");
    }
    array.extra = memory.bytes(flat_array.extra());
    return array;
}

sgc_status decode_manifest(const void *buffer, size_t size, sgc_arena *arena,
                           sgc_manifest_data *out)
{
    const auto &m = verified<ice::Manifest>(buffer, size, kMaxDepth, kMaxManifestTables);
    Memory memory(arena, size);
    Locations locations(m);
    sgc_manifest_data result = {};
    result.id = plain(*m.id());
    result.arrays = memory.all<sgc_array_manifest>(
        m.arrays(), &result.array_count, [&](const ice::ArrayManifest &array) {
            return decode_array_manifest(array, locations, memory);
        });
    check_order(
        result.arrays, result.array_count,
        [](const sgc_array_manifest &a, const sgc_array_manifest &b) {
            return less(a.node, b.node);
        },
        "arrays out of order");
    result.extra = memory.bytes(m.extra());
    *out = result;
    return SGC_OK;
}

sgc_node_ids decode_ids(const fb::Vector<const ice::ObjectId8 *> &flat_ids, Memory &memory)
{
    const auto *ids =
        memory.copy(reinterpret_cast<const sgc_node_id *>(flat_ids.Data()), flat_ids.size());
    check_order(ids, flat_ids.size(), less, "nodes out of order");
    return {flat_ids.size(), ids};
}

sgc_updated_chunks decode_updated_chunks(const ice::ArrayUpdatedChunks &u, Memory &memory)
{
    sgc_updated_chunks updated = {};
    updated.node = plain(*u.node_id());
    updated.count = u.chunks()->size();
    updated.coordinates = decode_coordinates(
        *u.chunks(), [](const ice::ChunkIndices &c) { return c.coords(); }, memory,
        &updated.dimension_count);
    return updated;
}

sgc_moved_node decode_move(const ice::MoveOperation &move, Memory &memory)
{
    if (move.from() == nullptr || move.to() == nullptr || move.node_id() == nullptr ||
        move.node_type() > 1)
        corrupt("an incomplete move of a node");
    return {memory.text(move.from()), memory.text(move.to()), plain(*move.node_id()),
            move.node_type() == 1};
}

sgc_status decode_log(const void *buffer, size_t size, sgc_arena *arena, sgc_transaction_log *out)
{
    const auto &log = verified<ice::TransactionLog>(buffer, size, kMaxDepth, kMaxTables);
    Memory memory(arena, size);
    sgc_transaction_log result = {};
    result.id = plain(*log.id());
    result.new_groups = decode_ids(*log.new_groups(), memory);
    result.new_arrays = decode_ids(*log.new_arrays(), memory);
    result.deleted_groups = decode_ids(*log.deleted_groups(), memory);
    result.deleted_arrays = decode_ids(*log.deleted_arrays(), memory);
    result.updated_arrays = decode_ids(*log.updated_arrays(), memory);
    result.updated_groups = decode_ids(*log.updated_groups(), memory);
    result.updated_chunks = memory.all<sgc_updated_chunks>(
        log.updated_chunks(), &result.updated_chunk_count,
        [&](const ice::ArrayUpdatedChunks &u) { return decode_updated_chunks(u, memory); });
    check_order(
        result.updated_chunks, result.updated_chunk_count,
        [](const sgc_updated_chunks &a, const sgc_updated_chunks &b) {
            return less(a.node, b.node);
        },
        "arrays out of order");
    result.moved_nodes = memory.all<sgc_moved_node>(
        log.moved_nodes(), &result.moved_node_count,
        [&](const ice::MoveOperation &move) { return decode_move(move, memory); });
    *out = result;
    return SGC_OK;
}

} // namespace

sgc_status sgc_snapshot_encode(const sgc_snapshot_data *snapshot, sgc_buffer *out, sgc_error *err)
{
    return guarded("snapshot", err, [&] { return encode_snapshot(*snapshot, out, err); });
}

sgc_status sgc_snapshot_decode(const void *buffer, size_t size, sgc_arena *arena,
                               sgc_snapshot_data *out, sgc_error *err)
{
    return guarded("snapshot", err, [&] { return decode_snapshot(buffer, size, arena, out); });
}

sgc_status sgc_manifest_encode(const sgc_manifest_data *manifest, sgc_buffer *out, sgc_error *err)
{
    return guarded("manifest", err, [&] { return encode_manifest(*manifest, out, err); });
}

sgc_status sgc_manifest_decode(const void *buffer, size_t size, sgc_arena *arena,
                               sgc_manifest_data *out, sgc_error *err)
{
    return guarded("manifest", err, [&] { return decode_manifest(buffer, size, arena, out); });
}

sgc_status sgc_transaction_log_encode(const sgc_transaction_log *log, sgc_buffer *out,
                                      sgc_error *err)
{
    return guarded("transaction log", err, [&] { return encode_log(*log, out, err); });
}

sgc_status sgc_transaction_log_decode(const void *buffer, size_t size, sgc_arena *arena,
                                      sgc_transaction_log *out, sgc_error *err)
{
    return guarded("transaction log", err, [&] { return decode_log(buffer, size, arena, out); });
}
