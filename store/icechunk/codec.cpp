#include "store/icechunk/codec.h"

#include <cstdint>
#include <cstring>
#include <new>
#include <vector>

#include "icechunk_generated.h"

namespace ice = sgc::ice;
namespace fb = flatbuffers;

namespace
{

constexpr char kIdentifier[] = "Ichk";
constexpr size_t kFirstBuffer = 1 << 16;
constexpr unsigned kMaxDepth = 64;
constexpr unsigned kMaxTables = 50000000;

static_assert(sizeof(ice::ObjectId12) == sizeof(sgc_object_id), "layout of ids");
static_assert(sizeof(ice::ObjectId8) == sizeof(sgc_node_id), "layout of ids");
static_assert(sizeof(ice::ChunkIndexRange) == sizeof(sgc_extent), "layout of extents");
static_assert(sizeof(ice::ManifestFileInfo) == 32, "layout of manifest infos");

/* Ends a decoding from any depth; caught at the boundary to C. */
struct Failure {
    sgc_status status;
    const char *message;
};

[[noreturn]] void corrupt(const char *message)
{
    throw Failure{SGC_CORRUPT, message};
}

/* Runs `work`, which may throw, on behalf of a C caller. */
template <class Work> sgc_status guarded(const char *what, sgc_error *err, Work work)
{
    try {
        return work();
    } catch (const Failure &failure) {
        return sgc_fail(err, failure.status, "%s: %s", what, failure.message);
    } catch (const std::bad_alloc &) {
        return sgc_fail_memory(err, 0, what);
    }
}

/* ---- encoding ---- */

const ice::ObjectId12 *flat(const sgc_object_id &id)
{
    return reinterpret_cast<const ice::ObjectId12 *>(&id);
}

const ice::ObjectId8 *flat(const sgc_node_id &id)
{
    return reinterpret_cast<const ice::ObjectId8 *>(&id);
}

fb::Offset<fb::Vector<const ice::ObjectId8 *>> flat(fb::FlatBufferBuilder &b,
                                                    const sgc_node_ids &ids)
{
    return b.CreateVectorOfStructs(reinterpret_cast<const ice::ObjectId8 *>(ids.ids), ids.count);
}

sgc_status finish(fb::FlatBufferBuilder &b, sgc_buffer *out, sgc_error *err)
{
    return sgc_buffer_append(out, b.GetBufferPointer(), b.GetSize(), err);
}

fb::Offset<ice::ArrayNodeData> encode_array(fb::FlatBufferBuilder &b, const sgc_node &node)
{
    std::vector<ice::DimensionShape> shape;
    std::vector<fb::Offset<ice::DimensionName>> names;
    for (size_t i = 0; i < node.dimension_count; i++) {
        const sgc_dimension &d = node.dimensions[i];
        shape.emplace_back(d.array_length, d.chunk_length);
        if (node.has_dimension_names)
            names.push_back(
                ice::CreateDimensionName(b, d.name != nullptr ? b.CreateString(d.name) : 0));
    }
    std::vector<fb::Offset<ice::ManifestRef>> manifests;
    for (size_t i = 0; i < node.manifest_count; i++) {
        const sgc_manifest_ref &m = node.manifests[i];
        const auto extents = b.CreateVectorOfStructs(
            reinterpret_cast<const ice::ChunkIndexRange *>(m.extents), node.dimension_count);
        manifests.push_back(ice::CreateManifestRef(b, flat(m.id), extents));
    }
    const auto flat_shape = b.CreateVectorOfStructs(shape);
    const auto flat_names = node.has_dimension_names
                                ? b.CreateVector(names)
                                : fb::Offset<fb::Vector<fb::Offset<ice::DimensionName>>>();
    const auto flat_manifests = b.CreateVector(manifests);
    return ice::CreateArrayNodeData(b, flat_shape, flat_names, flat_manifests);
}

fb::Offset<ice::NodeSnapshot> encode_node(fb::FlatBufferBuilder &b, const sgc_node &node)
{
    const auto path = b.CreateString(node.path);
    const auto user_data = b.CreateVector(node.user_data, node.user_data_size);
    if (node.is_array)
        return ice::CreateNodeSnapshot(b, flat(node.id), path, user_data,
                                       ice::NodeData_ArrayNodeData, encode_array(b, node).Union());
    return ice::CreateNodeSnapshot(b, flat(node.id), path, user_data, ice::NodeData_GroupNodeData,
                                   ice::CreateGroupNodeData(b).Union());
}

sgc_status encode_snapshot(const sgc_snapshot_data &s, sgc_buffer *out, sgc_error *err)
{
    fb::FlatBufferBuilder b(kFirstBuffer);
    std::vector<fb::Offset<ice::NodeSnapshot>> nodes;
    for (size_t i = 0; i < s.node_count; i++)
        nodes.push_back(encode_node(b, s.nodes[i]));
    std::vector<fb::Offset<ice::MetadataItem>> metadata;
    for (size_t i = 0; i < s.metadata_count; i++) {
        const auto name = b.CreateString(s.metadata[i].name);
        const auto value = b.CreateVector(s.metadata[i].value, s.metadata[i].value_size);
        metadata.push_back(ice::CreateMetadataItem(b, name, value));
    }
    std::vector<ice::ManifestFileInfo> files;
    for (size_t i = 0; i < s.manifest_file_count; i++) {
        const sgc_manifest_file &f = s.manifest_files[i];
        files.emplace_back(*flat(f.id), f.size_bytes, f.num_chunk_refs);
    }
    const auto flat_nodes = b.CreateVector(nodes);
    const auto message = b.CreateString(s.message);
    const auto flat_metadata = b.CreateVector(metadata);
    const auto flat_files = b.CreateVectorOfStructs(files);
    b.Finish(ice::CreateSnapshot(b, flat(s.id), s.has_parent ? flat(s.parent) : nullptr, flat_nodes,
                                 s.flushed_at, message, flat_metadata, flat_files),
             kIdentifier);
    return finish(b, out, err);
}

fb::Offset<ice::ChunkRef> encode_ref(fb::FlatBufferBuilder &b, const uint32_t *coordinates,
                                     size_t dimensions, const sgc_chunk_ref &ref)
{
    const auto index = b.CreateVector(coordinates, dimensions);
    switch (ref.kind) {
    case SGC_CHUNK_INLINE:
        return ice::CreateChunkRef(
            b, index, b.CreateVector(ref.inline_data, static_cast<size_t>(ref.length)));
    case SGC_CHUNK_NATIVE:
        return ice::CreateChunkRef(b, index, 0, ref.offset, ref.length, flat(ref.id));
    case SGC_CHUNK_VIRTUAL:
        if (ref.location == nullptr)
            throw Failure{SGC_UNSUPPORTED, "a virtual reference with a compressed location"};
        return ice::CreateChunkRef(b, index, 0, ref.offset, ref.length, nullptr,
                                   b.CreateString(ref.location));
    case SGC_CHUNK_NONE:
        break;
    }
    throw Failure{SGC_INVALID, "a reference to nothing"};
}

sgc_status encode_manifest(const sgc_manifest_data &m, sgc_buffer *out, sgc_error *err)
{
    fb::FlatBufferBuilder b(kFirstBuffer);
    std::vector<fb::Offset<ice::ArrayManifest>> arrays;
    for (size_t i = 0; i < m.array_count; i++) {
        const sgc_array_manifest &a = m.arrays[i];
        std::vector<fb::Offset<ice::ChunkRef>> refs;
        refs.reserve(a.count);
        for (size_t k = 0; k < a.count; k++)
            refs.push_back(
                encode_ref(b, a.coordinates + k * a.dimension_count, a.dimension_count, a.refs[k]));
        arrays.push_back(ice::CreateArrayManifest(b, flat(a.node), b.CreateVector(refs)));
    }
    b.Finish(ice::CreateManifest(b, flat(m.id), b.CreateVector(arrays)), kIdentifier);
    return finish(b, out, err);
}

sgc_status encode_log(const sgc_transaction_log &log, sgc_buffer *out, sgc_error *err)
{
    fb::FlatBufferBuilder b(kFirstBuffer);
    std::vector<fb::Offset<ice::ArrayUpdatedChunks>> updated;
    for (size_t i = 0; i < log.updated_chunk_count; i++) {
        const sgc_updated_chunks &u = log.updated_chunks[i];
        std::vector<fb::Offset<ice::ChunkIndices>> chunks;
        chunks.reserve(u.count);
        for (size_t k = 0; k < u.count; k++)
            chunks.push_back(ice::CreateChunkIndices(
                b, b.CreateVector(u.coordinates + k * u.dimension_count, u.dimension_count)));
        updated.push_back(ice::CreateArrayUpdatedChunks(b, flat(u.node), b.CreateVector(chunks)));
    }
    const auto new_groups = flat(b, log.new_groups), new_arrays = flat(b, log.new_arrays);
    const auto deleted_groups = flat(b, log.deleted_groups);
    const auto deleted_arrays = flat(b, log.deleted_arrays);
    const auto updated_arrays = flat(b, log.updated_arrays);
    const auto updated_groups = flat(b, log.updated_groups);
    b.Finish(ice::CreateTransactionLog(b, flat(log.id), new_groups, new_arrays, deleted_groups,
                                       deleted_arrays, updated_arrays, updated_groups,
                                       b.CreateVector(updated)),
             kIdentifier);
    return finish(b, out, err);
}

/* ---- decoding ---- */

template <class Root> const Root &verified(const void *buffer, size_t size)
{
    fb::Verifier verifier(static_cast<const uint8_t *>(buffer), size, kMaxDepth, kMaxTables);
    if (!verifier.VerifyBuffer<Root>(nullptr))
        corrupt("not a valid FlatBuffers buffer");
    return *fb::GetRoot<Root>(buffer);
}

template <class T> T *allocate(sgc_arena *arena, size_t count)
{
    T *result = static_cast<T *>(sgc_arena_alloc(arena, count, sizeof(T)));
    if (result == nullptr)
        throw std::bad_alloc();
    return result;
}

const char *copy(sgc_arena *arena, const fb::String *text)
{
    if (std::strlen(text->c_str()) != text->size())
        corrupt("a text contains a NUL");
    char *result = sgc_arena_string(arena, text->c_str(), text->size());
    if (result == nullptr)
        throw std::bad_alloc();
    return result;
}

const unsigned char *copy(sgc_arena *arena, const fb::Vector<uint8_t> *bytes)
{
    void *result = sgc_arena_copy(arena, bytes->data(), bytes->size());
    if (result == nullptr)
        throw std::bad_alloc();
    return static_cast<unsigned char *>(result);
}

sgc_object_id plain(const ice::ObjectId12 &id)
{
    sgc_object_id result;
    std::memcpy(result.bytes, id.bytes()->data(), sizeof result.bytes);
    return result;
}

sgc_node_id plain(const ice::ObjectId8 &id)
{
    sgc_node_id result;
    std::memcpy(result.bytes, id.bytes()->data(), sizeof result.bytes);
    return result;
}

/* The verifier looks at the alignment of a vector's length, not at that of its elements. */
template <class T> void check_aligned(const fb::Vector<const T *> &structs)
{
    if (structs.size() > 0 && reinterpret_cast<uintptr_t>(structs.Data()) % alignof(T) != 0)
        corrupt("misaligned structs");
}

/* Fills node.dimensions from whichever of the two shapes the file has. */
void decode_shape(const ice::ArrayNodeData &array, sgc_arena *arena, sgc_node &node)
{
    const auto *v2 = array.shape_v2();
    node.dimension_count = v2 != nullptr ? v2->size() : array.shape()->size();
    if (node.dimension_count > SGC_MAX_DIMENSIONS)
        throw Failure{SGC_UNSUPPORTED, "an array with more than 16 dimensions"};
    check_aligned(*array.shape());
    auto *dimensions = allocate<sgc_dimension>(arena, node.dimension_count);
    for (unsigned i = 0; i < node.dimension_count; i++) {
        sgc_dimension &d = dimensions[i];
        if (v2 != nullptr) {
            d.array_length = v2->Get(i)->array_length();
            d.num_chunks = v2->Get(i)->num_chunks();
            continue;
        }
        d.array_length = array.shape()->Get(i)->array_length();
        d.chunk_length = array.shape()->Get(i)->chunk_length();
        if (d.array_length == 0)
            continue;
        if (d.chunk_length == 0)
            corrupt("an array with chunks of length 0");
        const uint64_t chunks = (d.array_length - 1) / d.chunk_length + 1;
        if (chunks > UINT32_MAX)
            corrupt("an array with more than 2^32 chunks along a dimension");
        d.num_chunks = static_cast<uint32_t>(chunks);
    }
    if (const auto *names = array.dimension_names()) {
        if (names->size() != node.dimension_count)
            corrupt("an array whose dimensions and names differ in number");
        node.has_dimension_names = true;
        for (unsigned i = 0; i < names->size(); i++) {
            const fb::String *name = names->Get(i)->name();
            if (name != nullptr && name->size() > 0)
                dimensions[i].name = copy(arena, name);
        }
    }
    node.dimensions = dimensions;
}

void decode_array(const ice::ArrayNodeData &array, sgc_arena *arena, sgc_node &node)
{
    decode_shape(array, arena, node);
    node.manifest_count = array.manifests()->size();
    auto *manifests = allocate<sgc_manifest_ref>(arena, node.manifest_count);
    for (unsigned i = 0; i < node.manifest_count; i++) {
        const ice::ManifestRef &m = *array.manifests()->Get(i);
        if (m.extents()->size() != node.dimension_count)
            corrupt("a manifest whose extents differ from its array in dimensions");
        auto *extents = allocate<sgc_extent>(arena, node.dimension_count);
        for (unsigned d = 0; d < node.dimension_count; d++)
            extents[d] = {m.extents()->Get(d)->from(), m.extents()->Get(d)->to()};
        manifests[i] = {plain(*m.object_id()), extents};
    }
    node.manifests = manifests;
}

sgc_node decode_node(const ice::NodeSnapshot &flat_node, sgc_arena *arena)
{
    sgc_node node = {};
    node.id = plain(*flat_node.id());
    node.path = copy(arena, flat_node.path());
    if (node.path[0] != '/')
        corrupt("a node whose path is not absolute");
    node.user_data = copy(arena, flat_node.user_data());
    node.user_data_size = flat_node.user_data()->size();
    if (const auto *array = flat_node.node_data_as_ArrayNodeData()) {
        node.is_array = true;
        decode_array(*array, arena, node);
    } else if (flat_node.node_data_as_GroupNodeData() == nullptr) {
        throw Failure{SGC_UNSUPPORTED, "a node that is neither array nor group"};
    }
    return node;
}

void decode_manifest_files(const ice::Snapshot &flat_snapshot, sgc_arena *arena,
                           sgc_snapshot_data *out)
{
    const auto *v2 = flat_snapshot.manifest_files_v2();
    const auto *v1 = flat_snapshot.manifest_files();
    check_aligned(*v1);
    out->manifest_file_count = v2 != nullptr ? v2->size() : v1->size();
    auto *files = allocate<sgc_manifest_file>(arena, out->manifest_file_count);
    for (unsigned i = 0; i < out->manifest_file_count; i++) {
        if (v2 == nullptr) {
            const ice::ManifestFileInfo &f = *v1->Get(i);
            files[i] = {plain(f.id()), f.size_bytes(), f.num_chunk_refs()};
        } else if (const ice::ObjectId12 *id = v2->Get(i)->id()) {
            files[i] = {plain(*id), v2->Get(i)->size_bytes(), v2->Get(i)->num_chunk_refs()};
        } else {
            corrupt("a manifest without id");
        }
        if (i > 0 && sgc_object_id_compare(&files[i - 1].id, &files[i].id) >= 0)
            corrupt("manifests out of order");
    }
    out->manifest_files = files;
}

sgc_status decode_snapshot(const void *buffer, size_t size, sgc_arena *arena,
                           sgc_snapshot_data *out)
{
    const auto &s = verified<ice::Snapshot>(buffer, size);
    sgc_snapshot_data result = {};
    result.id = plain(*s.id());
    if (s.parent_id() != nullptr) {
        result.has_parent = true;
        result.parent = plain(*s.parent_id());
    }
    result.flushed_at = s.flushed_at();
    result.message = copy(arena, s.message());
    result.metadata_count = s.metadata()->size();
    auto *metadata = allocate<sgc_metadata_item>(arena, result.metadata_count);
    for (unsigned i = 0; i < result.metadata_count; i++) {
        const ice::MetadataItem &item = *s.metadata()->Get(i);
        metadata[i] = {copy(arena, item.name()), copy(arena, item.value()), item.value()->size()};
    }
    result.metadata = metadata;
    result.node_count = s.nodes()->size();
    auto *nodes = allocate<sgc_node>(arena, result.node_count);
    for (unsigned i = 0; i < result.node_count; i++) {
        nodes[i] = decode_node(*s.nodes()->Get(i), arena);
        if (i > 0 && std::strcmp(nodes[i - 1].path, nodes[i].path) >= 0)
            corrupt("nodes out of order");
    }
    result.nodes = nodes;
    decode_manifest_files(s, arena, &result);
    *out = result;
    return SGC_OK;
}

sgc_chunk_ref decode_ref(const ice::ChunkRef &r, sgc_arena *arena)
{
    sgc_chunk_ref ref = {};
    ref.offset = r.offset();
    ref.length = r.length();
    if (r.chunk_id() != nullptr) {
        ref.kind = SGC_CHUNK_NATIVE;
        ref.id = plain(*r.chunk_id());
    } else if (r.compressed_location() != nullptr || r.location() != nullptr) {
        ref.kind = SGC_CHUNK_VIRTUAL;
        ref.location = r.location() != nullptr ? copy(arena, r.location()) : nullptr;
    } else if (r.inline_data() != nullptr) {
        ref.kind = SGC_CHUNK_INLINE;
        ref.inline_data = copy(arena, r.inline_data());
        ref.length = r.inline_data()->size();
    } else {
        corrupt("a reference to nothing");
    }
    return ref;
}

int compare_coordinates(const uint32_t *a, const uint32_t *b, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (a[i] != b[i])
            return a[i] < b[i] ? -1 : 1;
    return 0;
}

sgc_array_manifest decode_array_manifest(const ice::ArrayManifest &flat_array, sgc_arena *arena)
{
    sgc_array_manifest array = {};
    array.node = plain(*flat_array.node_id());
    array.count = flat_array.refs()->size();
    if (array.count == 0)
        return array;
    array.dimension_count = flat_array.refs()->Get(0)->index()->size();
    if (array.dimension_count > SGC_MAX_DIMENSIONS)
        throw Failure{SGC_UNSUPPORTED, "an array with more than 16 dimensions"};
    auto *coordinates = allocate<uint32_t>(arena, array.count * array.dimension_count);
    auto *refs = allocate<sgc_chunk_ref>(arena, array.count);
    for (unsigned i = 0; i < array.count; i++) {
        const ice::ChunkRef &r = *flat_array.refs()->Get(i);
        if (r.index()->size() != array.dimension_count)
            corrupt("references of one array with different dimensions");
        uint32_t *at = coordinates + i * array.dimension_count;
        for (unsigned d = 0; d < array.dimension_count; d++)
            at[d] = r.index()->Get(d);
        if (i > 0 &&
            compare_coordinates(at - array.dimension_count, at, array.dimension_count) >= 0)
            corrupt("references out of order");
        refs[i] = decode_ref(r, arena);
    }
    array.coordinates = coordinates;
    array.refs = refs;
    return array;
}

sgc_status decode_manifest(const void *buffer, size_t size, sgc_arena *arena,
                           sgc_manifest_data *out)
{
    const auto &m = verified<ice::Manifest>(buffer, size);
    sgc_manifest_data result = {};
    result.id = plain(*m.id());
    result.array_count = m.arrays()->size();
    auto *arrays = allocate<sgc_array_manifest>(arena, result.array_count);
    for (unsigned i = 0; i < result.array_count; i++) {
        arrays[i] = decode_array_manifest(*m.arrays()->Get(i), arena);
        if (i > 0 && sgc_node_id_compare(&arrays[i - 1].node, &arrays[i].node) >= 0)
            corrupt("arrays out of order");
    }
    result.arrays = arrays;
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
