#include "autotest/unit/crafted_buffers.h"

#include <cstdlib>
#include <flatbuffers/flatbuffers.h>
#include <string>
#include <vector>

namespace fb = flatbuffers;

namespace
{

using Builder = fb::FlatBufferBuilder;
using Any = fb::Offset<void>;

/* Parts of a table come first, then the table. */
class Table
{
  public:
    explicit Table(Builder &b) : b_(b), start_(b.StartTable())
    {
    }

    Table &part(int slot, Any offset)
    {
        b_.AddOffset(at(slot), offset);
        return *this;
    }
    /* Also where it is 0. */
    template <class T> Table &scalar(int slot, T value)
    {
        b_.AddElement(at(slot), value);
        return *this;
    }
    template <class T> Table &id(int slot, const T &value)
    {
        b_.AddStruct(at(slot), &value);
        return *this;
    }
    /* A field of a later version. */
    Table &later(bool wanted, int slot)
    {
        return wanted ? scalar(slot, uint32_t{1}) : *this;
    }
    Any end()
    {
        return b_.EndTable(start_);
    }

  private:
    static fb::voffset_t at(int slot)
    {
        return static_cast<fb::voffset_t>(4 + 2 * slot);
    }

    Builder &b_;
    fb::uoffset_t start_;
};

Any text(Builder &b, const char *value)
{
    return value != nullptr ? b.CreateString(value).Union() : Any();
}

Any bytes(Builder &b, sgc_bytes value)
{
    return value.data != nullptr ? b.CreateVector(value.data, value.size).Union() : Any();
}

Any filler(Builder &b, size_t size)
{
    return b.CreateVector(std::vector<uint8_t>(size, 'x')).Union();
}

Any vector(Builder &b, const std::vector<Any> &items)
{
    return b.CreateVector(items).Union();
}

Any ids(Builder &b, const sgc_object_id *items, size_t count)
{
    return b.CreateVectorOfStructs(items, count).Union();
}

void finish(Builder &b, Any root, sgc_buffer *out)
{
    b.Finish(root, "Ichk");
    if (sgc_buffer_append(out, b.GetBufferPointer(), b.GetSize(), nullptr) != SGC_OK)
        std::abort();
}

Any manifest_of(Builder &b, const std::vector<Any> &refs)
{
    const Any refs_vector = vector(b, refs);
    return vector(b, {Table(b).id(0, sgc_node_id{{1}}).part(1, refs_vector).end()});
}

} // namespace

void crafted_shared_inline(uint32_t count, size_t size, sgc_buffer *out)
{
    Builder b;
    const Any data = filler(b, size);
    std::vector<Any> refs;
    for (uint32_t i = 0; i < count; i++) {
        const Any index = b.CreateVector(&i, 1).Union();
        refs.push_back(Table(b).part(0, index).part(1, data).end());
    }
    const Any arrays = manifest_of(b, refs);
    finish(b, Table(b).id(0, sgc_object_id{{1}}).part(1, arrays).end(), out);
}

void crafted_shared_document(uint32_t count, size_t size, sgc_buffer *out)
{
    Builder b;
    const Any document = filler(b, size), group = Table(b).end(), message = text(b, "");
    const Any none = vector(b, {});
    std::vector<Any> nodes;
    for (uint32_t i = 0; i < count; i++) {
        const Any path = text(b, ("/" + std::to_string(1000000 + i)).c_str());
        nodes.push_back(Table(b)
                            .id(0, sgc_node_id{{1}})
                            .part(1, path)
                            .part(2, document)
                            .scalar(3, uint8_t{2})
                            .part(4, group)
                            .end());
    }
    const Any nodes_vector = vector(b, nodes);
    finish(b,
           Table(b)
               .id(0, sgc_object_id{{1}})
               .part(2, nodes_vector)
               .part(4, message)
               .part(5, none)
               .part(6, none)
               .end(),
           out);
}

static Any log_of(Builder &b, Any updated_chunks, Any moved_nodes)
{
    const Any none = vector(b, {});
    Table log(b);
    log.id(0, sgc_object_id{{1}});
    for (int slot = 1; slot <= 6; slot++)
        log.part(slot, none);
    return log.part(7, updated_chunks).part(8, moved_nodes).end();
}

void crafted_shared_tables(uint32_t count, sgc_buffer *out)
{
    Builder b;
    const uint32_t index = 0;
    const Any coordinates = b.CreateVector(&index, 1).Union();
    const Any chunk = Table(b).part(0, coordinates).end();
    const Any chunks = vector(b, std::vector<Any>(count, chunk));
    const Any array = Table(b).id(0, sgc_node_id{{1}}).part(1, chunks).end();
    const Any arrays = vector(b, std::vector<Any>(count, array));
    finish(b, log_of(b, arrays, Any()), out);
}

void crafted_location(int algorithm, sgc_bytes dictionary, sgc_bytes location, sgc_buffer *out)
{
    Builder b;
    const uint32_t coordinate = 0;
    const Any index = b.CreateVector(&coordinate, 1).Union(), compressed = bytes(b, location);
    const Any etag = text(b, "tag");
    const Any ref = Table(b)
                        .part(0, index)
                        .scalar(2, uint64_t{8})
                        .scalar(3, uint64_t{9})
                        .part(6, etag)
                        .scalar(7, uint32_t{10})
                        .part(8, compressed)
                        .end();
    const Any arrays = manifest_of(b, {ref}), dictionary_vector = bytes(b, dictionary);
    Table manifest(b);
    manifest.id(0, sgc_object_id{{1}}).part(1, arrays).part(2, dictionary_vector);
    if (algorithm >= 0)
        manifest.scalar(3, static_cast<uint8_t>(algorithm));
    finish(b, manifest.end(), out);
}

void crafted_move(unsigned slots, uint8_t node_type, sgc_buffer *out)
{
    Builder b;
    const Any from = text(b, "/a"), to = text(b, "/b"), none = vector(b, {});
    Table move(b);
    if ((slots & 1) != 0)
        move.part(0, from);
    if ((slots & 2) != 0)
        move.part(1, to);
    if ((slots & 4) != 0)
        move.id(2, sgc_node_id{{7}});
    if ((slots & 8) != 0)
        move.scalar(3, node_type);
    const Any moves = vector(b, {move.end()});
    finish(b, log_of(b, none, moves), out);
}

/* ---- repo info ---- */

namespace
{

/* Where the name and the snapshots of an operation are; -1: nowhere. */
struct Layout {
    int name, previous, snapshot, slot_count;
};

constexpr Layout kLayouts[] = {
    {},
    {-1, -1, -1, 0}, /* RepoInitialized */
    {-1, -1, -1, 2}, /* RepoMigrated */
    {-1, -1, -1, 0}, /* ConfigChanged */
    {-1, -1, -1, 0}, /* MetadataChanged */
    {0, -1, -1, 1},  /* TagCreated */
    {0, 1, -1, 2},   /* TagDeleted */
    {0, -1, -1, 1},  /* BranchCreated */
    {0, 1, -1, 2},   /* BranchDeleted */
    {0, 1, -1, 2},   /* BranchReset */
    {0, -1, 1, 2},   /* NewCommit */
    {0, 1, 2, 3},    /* CommitAmended */
    {-1, -1, 0, 1},  /* NewDetachedSnapshot */
    {-1, -1, -1, 0}, /* GCRan */
    {-1, -1, -1, 0}, /* ExpirationRan */
    {-1, -1, -1, 3}, /* FeatureFlagChanged */
    {-1, -1, -1, 1}, /* RepoStatusChanged */
};

class Repo
{
  public:
    Repo(const sgc_repo_info_data &info, crafted_flaw flaw) : info_(info), flaw_(flaw)
    {
    }

    void finish(sgc_buffer *out)
    {
        const Any tags = refs(info_.tags, info_.tag_count);
        const Any branches = refs(info_.branches, info_.branch_count);
        const Any deleted = deleted_tags(), snapshots = all_snapshots(), updates = all_updates();
        const Any current = status(info_.status);
        const Any metadata =
            info_.has_metadata ? items(info_.metadata, info_.metadata_count) : Any();
        const Any previous = text(b_, info_.previous_file);
        const Any config = bytes(b_, info_.config), extra = bytes(b_, info_.extra);
        const Any on =
            flags(info_.has_enabled_flags, info_.enabled_flags, info_.enabled_flag_count);
        const Any off =
            flags(info_.has_disabled_flags, info_.disabled_flags, info_.disabled_flag_count);
        ::finish(b_,
                 Table(b_)
                     .scalar(0, info_.spec_version)
                     .part(1, tags)
                     .part(2, branches)
                     .part(3, deleted)
                     .part(4, snapshots)
                     .part(5, current)
                     .part(6, metadata)
                     .part(7, updates)
                     .part(8, previous)
                     .part(9, config)
                     .part(10, on)
                     .part(11, off)
                     .part(12, extra)
                     .later(flaw_ == CRAFTED_LATER_REPO, 13)
                     .end(),
                 out);
    }

  private:
    Any refs(const sgc_named_snapshot *list, size_t count)
    {
        std::vector<Any> result;
        for (size_t i = 0; i < count; i++) {
            const Any name = text(b_, list[i].name);
            result.push_back(Table(b_)
                                 .part(0, name)
                                 .scalar(1, list[i].snapshot)
                                 .later(flaw_ == CRAFTED_LATER_REF, 2)
                                 .end());
        }
        return vector(b_, result);
    }

    Any deleted_tags()
    {
        std::vector<Any> result;
        for (size_t i = 0; i < info_.deleted_tag_count; i++)
            result.push_back(text(b_, info_.deleted_tags[i]));
        return vector(b_, result);
    }

    Any items(const sgc_metadata_item *list, size_t count)
    {
        std::vector<Any> result;
        for (size_t i = 0; i < count; i++) {
            const Any name = text(b_, list[i].name);
            const Any value = bytes(b_, {list[i].value, list[i].value_size});
            result.push_back(Table(b_)
                                 .part(0, name)
                                 .part(1, value)
                                 .later(flaw_ == CRAFTED_LATER_METADATA, 2)
                                 .end());
        }
        return vector(b_, result);
    }

    Any all_snapshots()
    {
        std::vector<Any> result;
        for (size_t i = 0; i < info_.snapshot_count; i++) {
            const sgc_snapshot_entry &s = info_.snapshots[i];
            const Any message = text(b_, s.message);
            const Any metadata = s.has_metadata ? items(s.metadata, s.metadata_count) : Any();
            const Any pruned =
                s.pruned_log_count > 0 ? ids(b_, s.pruned_logs, s.pruned_log_count) : Any();
            result.push_back(Table(b_)
                                 .id(0, s.id)
                                 .scalar(1, s.parent)
                                 .scalar(2, s.flushed_at)
                                 .part(3, message)
                                 .part(4, metadata)
                                 .part(5, pruned)
                                 .later(flaw_ == CRAFTED_LATER_SNAPSHOT, 6)
                                 .end());
        }
        return vector(b_, result);
    }

    Any status(const sgc_repo_status &s)
    {
        const Any reason = text(b_, s.reason);
        return Table(b_)
            .scalar(0, s.availability)
            .scalar(1, s.set_at)
            .part(2, reason)
            .later(flaw_ == CRAFTED_LATER_STATUS, 3)
            .end();
    }

    Any operation(const sgc_operation &op)
    {
        const Layout &layout = kLayouts[op.kind];
        const Any name = layout.name >= 0 ? text(b_, op.name) : Any();
        const Any changed = op.kind == 16 && flaw_ != CRAFTED_NO_STATUS ? status(op.status) : Any();
        Table table(b_);
        if (layout.name >= 0)
            table.part(layout.name, name);
        if (layout.previous >= 0)
            table.id(layout.previous, op.previous);
        if (layout.snapshot >= 0)
            table.id(layout.snapshot, op.snapshot);
        if (op.kind == 2)
            table.scalar(0, op.from_version).scalar(1, op.to_version);
        if (op.kind == 15)
            table.scalar(0, op.flag)
                .scalar(1, uint8_t{op.flag_value})
                .scalar(2, uint8_t{op.flag_is_set});
        if (op.kind == 16)
            table.part(0, changed);
        return table.later(flaw_ == CRAFTED_LATER_OPERATION, layout.slot_count).end();
    }

    Any update(const sgc_operation &op, bool strange)
    {
        const uint8_t kind = !strange                        ? static_cast<uint8_t>(op.kind)
                             : flaw_ == CRAFTED_UNKNOWN_KIND ? 17
                                                             : 0;
        const Any details = strange ? text(b_, "no table") : operation(op);
        const Any backup = text(b_, op.backup);
        return Table(b_)
            .scalar(0, kind)
            .part(1, details)
            .scalar(2, op.time)
            .part(3, backup)
            .later(flaw_ == CRAFTED_LATER_UPDATE, 4)
            .end();
    }

    Any all_updates()
    {
        std::vector<Any> result;
        for (size_t i = 0; i < info_.operation_count; i++)
            result.push_back(update(info_.operations[i], i + 1 == info_.operation_count &&
                                                             (flaw_ == CRAFTED_UNKNOWN_KIND ||
                                                              flaw_ == CRAFTED_NO_KIND)));
        return vector(b_, result);
    }

    Any flags(bool present, const uint16_t *list, size_t count)
    {
        return present ? b_.CreateVector(list, count).Union() : Any();
    }

    Builder b_;
    const sgc_repo_info_data &info_;
    const crafted_flaw flaw_;
};

} // namespace

void crafted_repo(const sgc_repo_info_data *info, crafted_flaw flaw, sgc_buffer *out)
{
    Repo(*info, flaw).finish(out);
}
