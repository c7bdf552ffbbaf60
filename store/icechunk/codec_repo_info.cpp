#include "store/icechunk/flat.hpp"

using namespace sgc::codec;
namespace ice = sgc::ice;

namespace
{

/* What the official library asks of this file. */
constexpr unsigned kMaxDepth = 10;
constexpr unsigned kMaxTables = 1000000;

constexpr uint8_t kSpecVersion = 2;
constexpr fb::voffset_t kNoFields = 2; /* the slot before the first */

static_assert(int{SGC_LAST_OPERATION} == int{ice::UpdateType_MAX}, "tags of operations");

/* ---- what must be true of the content ---- */

void check_refs(const sgc_named_snapshot *refs, size_t count, size_t snapshot_count)
{
    check_order(
        refs, count,
        [](const sgc_named_snapshot &a, const sgc_named_snapshot &b) {
            return std::strcmp(a.name, b.name) < 0;
        },
        "branches or tags out of order");
    for (size_t i = 0; i < count; i++)
        if (refs[i].snapshot >= snapshot_count)
            corrupt("a branch or tag without snapshot");
}

/* Each walk ends at a root or where an earlier one was; one that meets itself goes in circles. */
void check_parents(const sgc_snapshot_entry *snapshots, size_t count)
{
    std::vector<size_t> walks(count);
    for (size_t i = 0; i < count; i++)
        if (snapshots[i].parent < -1 || snapshots[i].parent >= static_cast<int64_t>(count))
            corrupt("a snapshot whose parent is missing");
    for (size_t walk = 1; walk <= count; walk++) {
        auto at = static_cast<int32_t>(walk - 1);
        for (; at >= 0 && walks[at] == 0; at = snapshots[at].parent)
            walks[at] = walk;
        if (at >= 0 && walks[at] == walk)
            corrupt("a snapshot that is its own ancestor");
    }
}

void check_flags(const uint16_t *flags, size_t count)
{
    check_order(flags, count, std::less<uint16_t>(), "feature flags out of order");
}

void check(const sgc_repo_info_data &info)
{
    check_order(
        info.snapshots, info.snapshot_count,
        [](const sgc_snapshot_entry &a, const sgc_snapshot_entry &b) {
            return sgc_object_id_compare(&a.id, &b.id) < 0;
        },
        "snapshots out of order");
    check_parents(info.snapshots, info.snapshot_count);
    check_refs(info.tags, info.tag_count, info.snapshot_count);
    check_refs(info.branches, info.branch_count, info.snapshot_count);
    if (std::none_of(info.branches, info.branches + info.branch_count,
                     [](const sgc_named_snapshot &b) { return std::strcmp(b.name, "main") == 0; }))
        corrupt("no branch main");
    check_order(
        info.deleted_tags, info.deleted_tag_count,
        [](const char *a, const char *b) { return std::strcmp(a, b) < 0; },
        "deleted tags out of order");
    check_flags(info.enabled_flags, info.enabled_flag_count);
    check_flags(info.disabled_flags, info.disabled_flag_count);
    if (info.operation_count == 0 && !info.has_unknown_fields)
        corrupt("no operation");
}

/* ---- encoding ---- */

fb::Offset<ice::Ref> encode_ref(Builder &b, const sgc_named_snapshot &ref)
{
    return ice::CreateRef(b, flat_required(b, ref.name), ref.snapshot);
}

fb::Offset<ice::RepoStatus> encode_status(Builder &b, const sgc_repo_status &status)
{
    return ice::CreateRepoStatus(b, status.availability, status.set_at, flat(b, status.reason));
}

fb::Offset<ice::SnapshotInfo> encode_snapshot(Builder &b, const sgc_snapshot_entry &s)
{
    Vector<fb::Offset<ice::MetadataItem>> metadata;
    Vector<const ice::ObjectId12 *> pruned;
    if (s.has_metadata)
        metadata = flat_metadata(b, s.metadata, s.metadata_count);
    if (s.pruned_log_count > 0)
        pruned = b.CreateVectorOfStructs(reinterpret_cast<const ice::ObjectId12 *>(s.pruned_logs),
                                         s.pruned_log_count);
    return ice::CreateSnapshotInfo(b, flat(s.id), s.parent, s.flushed_at,
                                   flat_required(b, s.message), metadata, pruned);
}

fb::Offset<void> encode_operation(Builder &b, const sgc_operation &op)
{
    const ice::ObjectId12 *previous = flat(op.previous), *snapshot = flat(op.snapshot);
    switch (op.kind) {
    case SGC_REPO_INITIALIZED:
        return ice::CreateRepoInitialized(b).Union();
    case SGC_REPO_MIGRATED:
        return ice::CreateRepoMigrated(b, op.from_version, op.to_version).Union();
    case SGC_CONFIG_CHANGED:
        return ice::CreateConfigChanged(b).Union();
    case SGC_METADATA_CHANGED:
        return ice::CreateMetadataChanged(b).Union();
    case SGC_TAG_CREATED:
        return ice::CreateTagCreated(b, flat_required(b, op.name)).Union();
    case SGC_TAG_DELETED:
        return ice::CreateTagDeleted(b, flat_required(b, op.name), previous).Union();
    case SGC_BRANCH_CREATED:
        return ice::CreateBranchCreated(b, flat_required(b, op.name)).Union();
    case SGC_BRANCH_DELETED:
        return ice::CreateBranchDeleted(b, flat_required(b, op.name), previous).Union();
    case SGC_BRANCH_RESET:
        return ice::CreateBranchReset(b, flat_required(b, op.name), previous).Union();
    case SGC_NEW_COMMIT:
        return ice::CreateNewCommit(b, flat_required(b, op.name), snapshot).Union();
    case SGC_COMMIT_AMENDED:
        return ice::CreateCommitAmended(b, flat_required(b, op.name), previous, snapshot).Union();
    case SGC_NEW_DETACHED_SNAPSHOT:
        return ice::CreateNewDetachedSnapshot(b, snapshot).Union();
    case SGC_GC_RAN:
        return ice::CreateGCRan(b).Union();
    case SGC_EXPIRATION_RAN:
        return ice::CreateExpirationRan(b).Union();
    case SGC_FEATURE_FLAG_CHANGED:
        return ice::CreateFeatureFlagChanged(b, op.flag, op.flag_value, op.flag_is_set).Union();
    case SGC_REPO_STATUS_CHANGED:
        return ice::CreateRepoStatusChanged(b, encode_status(b, op.status)).Union();
    }
    throw Failure{SGC_INVALID, "an operation of an unknown kind"};
}

fb::Offset<ice::Update> encode_update(Builder &b, const sgc_operation &op)
{
    const auto details = encode_operation(b, op);
    return ice::CreateUpdate(b, static_cast<ice::UpdateType>(op.kind), details, op.time,
                             flat(b, op.backup));
}

Vector<uint16_t> encode_flags(Builder &b, bool present, const uint16_t *flags, size_t count)
{
    return present ? b.CreateVector(flags, count) : Vector<uint16_t>();
}

/* What the official library does not bear in a file is not written. Older operations are as they
 * came: they cannot be mended. */
void check_before_encoding(const sgc_repo_info_data &info)
{
    if (info.has_unknown_fields)
        throw Failure{SGC_UNSUPPORTED,
                      "written by a later version of Icechunk; what it added would be lost, so "
                      "change the repository with that version"};
    try {
        check(info);
    } catch (const Failure &failure) {
        throw Failure{SGC_INVALID, failure.message};
    }
    if (info.spec_version != kSpecVersion)
        throw Failure{SGC_INVALID, "not of version 2"};
    if (info.operations[0].backup != nullptr)
        throw Failure{SGC_INVALID, "the newest operation has a backup"};
    if (info.operation_count > 1 && info.operations[0].time <= info.operations[1].time)
        throw Failure{SGC_INVALID, "the newest operation is older than the one before"};
}

sgc_status encode(const sgc_repo_info_data &info, sgc_buffer *out, sgc_error *err)
{
    check_before_encoding(info);
    Builder b;
    const auto ref = [&](const sgc_named_snapshot &r) { return encode_ref(b, r); };
    const auto tags = flat_all(b, info.tags, info.tag_count, ref);
    const auto branches = flat_all(b, info.branches, info.branch_count, ref);
    const auto deleted_tags = flat_all(b, info.deleted_tags, info.deleted_tag_count,
                                       [&](const char *name) { return flat_required(b, name); });
    const auto snapshots =
        flat_all(b, info.snapshots, info.snapshot_count,
                 [&](const sgc_snapshot_entry &s) { return encode_snapshot(b, s); });
    const auto operations = flat_all(b, info.operations, info.operation_count,
                                     [&](const sgc_operation &op) { return encode_update(b, op); });
    Vector<fb::Offset<ice::MetadataItem>> metadata;
    if (info.has_metadata)
        metadata = flat_metadata(b, info.metadata, info.metadata_count);
    const auto status = encode_status(b, info.status);
    const auto previous_file = flat(b, info.previous_file);
    const auto config = flat(b, info.config), extra = flat(b, info.extra);
    const auto enabled =
        encode_flags(b, info.has_enabled_flags, info.enabled_flags, info.enabled_flag_count);
    const auto disabled =
        encode_flags(b, info.has_disabled_flags, info.disabled_flags, info.disabled_flag_count);
    return finish(b,
                  ice::CreateRepo(b, info.spec_version, tags, branches, deleted_tags, snapshots,
                                  status, metadata, operations, previous_file, config, enabled,
                                  disabled, extra),
                  out, err);
}

/* ---- decoding ---- */

class Decoder
{
  public:
    Decoder(sgc_arena *arena, size_t size) : memory_(arena, size)
    {
    }

    sgc_repo_info_data decode(const ice::Repo &repo)
    {
        sgc_repo_info_data info = {};
        known(repo, ice::Repo::VT_EXTRA);
        info.spec_version = repo.spec_version();
        unknown_ |= info.spec_version > kSpecVersion;
        info.tags = decode_refs(*repo.tags(), &info.tag_count);
        info.branches = decode_refs(*repo.branches(), &info.branch_count);
        decode_deleted_tags(*repo.deleted_tags(), info);
        info.snapshots = memory_.all<sgc_snapshot_entry>(
            repo.snapshots(), &info.snapshot_count,
            [&](const ice::SnapshotInfo &s) { return decode_snapshot(s); });
        info.status = decode_status(*repo.status());
        info.has_metadata = repo.metadata() != nullptr;
        info.metadata = decode_metadata(repo.metadata(), &info.metadata_count);
        decode_operations(*repo.latest_updates(), info);
        info.previous_file = memory_.text(repo.repo_before_updates());
        info.config = memory_.bytes(repo.config());
        info.has_enabled_flags = repo.enabled_feature_flags() != nullptr;
        info.enabled_flags = decode_flags(repo.enabled_feature_flags(), &info.enabled_flag_count);
        info.has_disabled_flags = repo.disabled_feature_flags() != nullptr;
        info.disabled_flags =
            decode_flags(repo.disabled_feature_flags(), &info.disabled_flag_count);
        info.extra = memory_.bytes(repo.extra());
        info.has_unknown_fields = unknown_;
        return info;
    }

  private:
    /* The table, in which fields behind the slot `last` are of a later version. */
    template <class Table> const Table &known(const Table &table, fb::voffset_t last)
    {
        const auto *vtable = reinterpret_cast<const fb::Table &>(table).GetVTable();
        const auto size = fb::ReadScalar<fb::voffset_t>(vtable);
        for (size_t at = last + sizeof last; at < size; at += sizeof last)
            unknown_ |= fb::ReadScalar<fb::voffset_t>(vtable + at) != 0;
        return table;
    }

    const sgc_named_snapshot *decode_refs(const fb::Vector<fb::Offset<ice::Ref>> &refs,
                                          size_t *count)
    {
        return memory_.all<sgc_named_snapshot>(&refs, count, [&](const ice::Ref &ref) {
            known(ref, ice::Ref::VT_SNAPSHOT_INDEX);
            return sgc_named_snapshot{memory_.text(ref.name()), ref.snapshot_index()};
        });
    }

    void decode_deleted_tags(const fb::Vector<fb::Offset<fb::String>> &tags,
                             sgc_repo_info_data &info)
    {
        info.deleted_tags =
            memory_.all<const char *>(&tags, &info.deleted_tag_count,
                                      [&](const fb::String &name) { return memory_.text(&name); });
    }

    const sgc_metadata_item *
    decode_metadata(const fb::Vector<fb::Offset<ice::MetadataItem>> *metadata, size_t *count)
    {
        return memory_.all<sgc_metadata_item>(metadata, count, [&](const ice::MetadataItem &item) {
            return plain(known(item, ice::MetadataItem::VT_VALUE), memory_);
        });
    }

    sgc_snapshot_entry decode_snapshot(const ice::SnapshotInfo &s)
    {
        sgc_snapshot_entry entry = {};
        known(s, ice::SnapshotInfo::VT_PRUNED_ANCESTOR_TX_LOGS);
        entry.id = plain(*s.id());
        entry.parent = s.parent_offset();
        entry.flushed_at = s.flushed_at();
        entry.message = memory_.text(s.message());
        entry.has_metadata = s.metadata() != nullptr;
        entry.metadata = decode_metadata(s.metadata(), &entry.metadata_count);
        if (const auto *pruned = s.pruned_ancestor_tx_logs()) {
            entry.pruned_log_count = pruned->size();
            entry.pruned_logs = memory_.copy(
                reinterpret_cast<const sgc_object_id *>(pruned->Data()), pruned->size());
        }
        return entry;
    }

    sgc_repo_status decode_status(const ice::RepoStatus &status)
    {
        known(status, ice::RepoStatus::VT_LIMITED_AVAILABILITY_REASON);
        return {status.availability(), status.set_at(),
                memory_.text(status.limited_availability_reason())};
    }

    void decode_operations(const fb::Vector<fb::Offset<ice::Update>> &updates,
                           sgc_repo_info_data &info)
    {
        auto *operations = memory_.list<sgc_operation>(updates.size());
        for (const ice::Update *update : updates)
            if (decode_operation(*update, operations[info.operation_count]))
                info.operation_count++;
            else
                unknown_ = true;
        info.operations = operations;
    }

    /* False when the operation is of a kind we do not know. */
    bool decode_operation(const ice::Update &update, sgc_operation &op)
    {
        if (update.update_type_type() == ice::UpdateType_NONE)
            corrupt("an operation without kind");
        if (update.update_type_type() > ice::UpdateType_MAX)
            return false;
        known(update, ice::Update::VT_BACKUP_PATH);
        op.kind = static_cast<sgc_operation_kind>(update.update_type_type());
        op.time = update.updated_at();
        op.backup = memory_.text(update.backup_path());
        decode_details(update, op);
        return true;
    }

    void decode_details(const ice::Update &update, sgc_operation &op)
    {
        switch (update.update_type_type()) {
        case ice::UpdateType_RepoInitialized:
            known(*update.update_type_as_RepoInitialized(), kNoFields);
            break;
        case ice::UpdateType_RepoMigrated:
            return decode_details(*update.update_type_as_RepoMigrated(), op);
        case ice::UpdateType_ConfigChanged:
            known(*update.update_type_as_ConfigChanged(), kNoFields);
            break;
        case ice::UpdateType_MetadataChanged:
            known(*update.update_type_as_MetadataChanged(), kNoFields);
            break;
        case ice::UpdateType_TagCreated:
            return decode_name(*update.update_type_as_TagCreated(), op);
        case ice::UpdateType_TagDeleted:
            return decode_previous(*update.update_type_as_TagDeleted(), op);
        case ice::UpdateType_BranchCreated:
            return decode_name(*update.update_type_as_BranchCreated(), op);
        case ice::UpdateType_BranchDeleted:
            return decode_previous(*update.update_type_as_BranchDeleted(), op);
        case ice::UpdateType_BranchReset:
            return decode_previous(*update.update_type_as_BranchReset(), op);
        case ice::UpdateType_NewCommit:
            return decode_details(*update.update_type_as_NewCommit(), op);
        case ice::UpdateType_CommitAmended:
            return decode_details(*update.update_type_as_CommitAmended(), op);
        case ice::UpdateType_NewDetachedSnapshot:
            return decode_details(*update.update_type_as_NewDetachedSnapshot(), op);
        case ice::UpdateType_GCRan:
            known(*update.update_type_as_GCRan(), kNoFields);
            break;
        case ice::UpdateType_ExpirationRan:
            known(*update.update_type_as_ExpirationRan(), kNoFields);
            break;
        case ice::UpdateType_FeatureFlagChanged:
            return decode_details(*update.update_type_as_FeatureFlagChanged(), op);
        case ice::UpdateType_RepoStatusChanged:
            return decode_details(*update.update_type_as_RepoStatusChanged(), op);
        case ice::UpdateType_NONE:
            break;
        }
    }

    void decode_details(const ice::RepoMigrated &migrated, sgc_operation &op)
    {
        known(migrated, ice::RepoMigrated::VT_TO_VERSION);
        op.from_version = migrated.from_version();
        op.to_version = migrated.to_version();
    }

    template <class Created> void decode_name(const Created &created, sgc_operation &op)
    {
        op.name = memory_.text(known(created, Created::VT_NAME).name());
    }

    template <class Changed> void decode_previous(const Changed &changed, sgc_operation &op)
    {
        known(changed, Changed::VT_PREVIOUS_SNAP_ID);
        op.name = memory_.text(changed.name());
        op.previous = plain(*changed.previous_snap_id());
    }

    void decode_details(const ice::NewCommit &commit, sgc_operation &op)
    {
        known(commit, ice::NewCommit::VT_NEW_SNAP_ID);
        op.name = memory_.text(commit.branch());
        op.snapshot = plain(*commit.new_snap_id());
    }

    void decode_details(const ice::CommitAmended &amended, sgc_operation &op)
    {
        known(amended, ice::CommitAmended::VT_NEW_SNAP_ID);
        op.name = memory_.text(amended.branch());
        op.previous = plain(*amended.previous_snap_id());
        op.snapshot = plain(*amended.new_snap_id());
    }

    void decode_details(const ice::NewDetachedSnapshot &detached, sgc_operation &op)
    {
        known(detached, ice::NewDetachedSnapshot::VT_NEW_SNAP_ID);
        op.snapshot = plain(*detached.new_snap_id());
    }

    void decode_details(const ice::FeatureFlagChanged &changed, sgc_operation &op)
    {
        known(changed, ice::FeatureFlagChanged::VT_IS_SET);
        op.flag = changed.id();
        op.flag_value = changed.new_value();
        op.flag_is_set = changed.is_set();
    }

    void decode_details(const ice::RepoStatusChanged &changed, sgc_operation &op)
    {
        known(changed, ice::RepoStatusChanged::VT_STATUS);
        if (changed.status() == nullptr)
            corrupt("a change of the status without status");
        op.status = decode_status(*changed.status());
    }

    const uint16_t *decode_flags(const fb::Vector<uint16_t> *flags, size_t *count)
    {
        *count = flags != nullptr ? flags->size() : 0;
        auto *result = memory_.list<uint16_t>(*count);
        for (unsigned i = 0; i < *count; i++)
            result[i] = flags->Get(i);
        return result;
    }

    Memory memory_;
    bool unknown_ = false;
};

sgc_status decode(const void *buffer, size_t size, sgc_arena *arena, sgc_repo_info_data *out)
{
    const auto &repo = verified<ice::Repo>(buffer, size, kMaxDepth, kMaxTables);
    const sgc_repo_info_data info = Decoder(arena, size).decode(repo);
    check(info);
    *out = info;
    return SGC_OK;
}

} // namespace

sgc_status sgc_repo_info_encode(const sgc_repo_info_data *info, sgc_buffer *out, sgc_error *err)
{
    return guarded("repo info", err, [&] { return encode(*info, out, err); });
}

sgc_status sgc_repo_info_decode(const void *buffer, size_t size, sgc_arena *arena,
                                sgc_repo_info_data *out, sgc_error *err)
{
    return guarded("repo info", err, [&] { return decode(buffer, size, arena, out); });
}
