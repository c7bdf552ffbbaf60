#include "gdal_sgc/dataset.h"

#include <algorithm>
#include <cinttypes>
#include <cmath>
#include <cstring>
#include <set>
#include <string>
#include <utility>

#include "datasets/condition.h"
#include "gdal_sgc/descriptor.h"
#include "gdal_sgc/multidim.h"
#include "gdal_sgc/time_axis.h"

namespace
{

bool ReportProgress(void *user, double fraction)
{
    return static_cast<SGCProgress *>(user)->Loaded(fraction);
}

} // namespace

// ---- SGCProgress ----

bool SGCProgress::Loaded(double fraction)
{
    constexpr double SHARE = 0.95; // the rest is for decoding
    loaded_ = std::max(loaded_, SHARE * fraction);
    return function_(loaded_, "", data_) != FALSE;
}

bool SGCProgress::Decoded(int64_t rows)
{
    decoded_ += rows;
    const double decoded = static_cast<double>(decoded_) / static_cast<double>(rows_);
    if (function_ == nullptr || function_(loaded_ + (1 - loaded_) * decoded, "", data_))
        return true;
    CPLError(CE_Failure, CPLE_UserInterrupt, "SGC: cancelled");
    return false;
}

// ---- SGCHandle ----

std::shared_ptr<SGCHandle> SGCHandle::Open(const char *name, CSLConstList openOptions)
{
    std::shared_ptr<SGCHandle> handle(new SGCHandle());
    sgc_error error = {""};
    sgc_status status = sgc_connection_parse(name, const_cast<const char *const *>(openOptions),
                                             &handle->connection_, &error);
    if (status == SGC_OK)
        status = sgc_cube_open(handle->connection_, &handle->cube_, &error);
    if (status != SGC_OK) {
        if (handle->connection_ != nullptr)
            handle->Refuse(status, error);
        else
            SGCReport(status, error);
        return nullptr;
    }
    const char *warning = sgc_cube_definition(handle->cube_)->warning;
    if (warning != nullptr)
        CPLError(CE_Warning, CPLE_AppDefined, "SGC: %s", warning);
    const sgc_connection &connection = *handle->connection_;
    handle->look_.Allow(connection.timeout_ms, connection.for_view);
    if (connection.dataset != nullptr && connection.download && !sgc_cube_can_load(handle->cube_))
        CPLError(CE_Warning, CPLE_AppDefined, "SGC: %s", sgc_cube_why_no_load(handle->cube_));
    return handle;
}

void SGCHandle::Refuse(sgc_status status, sgc_error &error) const
{
    if (connection_->file != nullptr)
        sgc_fail_in(&error, status, "%.300s", connection_->file);
    SGCReport(status, error);
}

SGCHandle::~SGCHandle()
{
    sgc_cube_unref(cube_);
    sgc_connection_free(connection_);
}

void SGCHandle::Announce(size_t level, const sgc_rect &rect)
{
    const std::lock_guard<std::mutex> lock(mutex_);
    Announcement &announced = announced_[level];
    if (announced.isHint)
        announced = {rect, {rect.x, rect.y, rect.width, 0}, true};
}

void SGCHandle::AnnounceAll(size_t level)
{
    const std::lock_guard<std::mutex> lock(mutex_);
    const sgc_grid &grid = sgc_cube_level(cube_, level)->grid;
    announced_[level] = {{0, 0, grid.width, grid.height}, {}, false};
}

void SGCHandle::Withdraw(size_t level)
{
    const std::lock_guard<std::mutex> lock(mutex_);
    announced_[level] = {};
}

// What was announced that a read of the window follows; if none, a hint is forgotten.
sgc_rect SGCHandle::Follow(const sgc_window &window)
{
    const std::lock_guard<std::mutex> lock(mutex_);
    Announcement &announced = announced_[window.level];
    const sgc_rect &rect = window.rect, &strip = announced.strip;
    if (!announced.isHint)
        return announced.rect;
    // GDAL's strips overlap by a row where they have no whole rows.
    const bool goesOn =
        rect.y == announced.rect.y || (rect.y >= strip.y && rect.y <= strip.y + strip.height);
    if (!goesOn || rect.width != announced.rect.width || !sgc_rect_contains(announced.rect, rect)) {
        announced = {};
        return {};
    }
    announced.strip = rect;
    return announced.rect;
}

// A read that failed is not followed by the next strip.
void SGCHandle::Finish(const sgc_window &window, sgc_status status, const sgc_ensured &ensured,
                       uint64_t downloaded)
{
    const std::lock_guard<std::mutex> lock(mutex_);
    downloaded_ += downloaded;
    incompleteReads_ += ensured.missing_chunks > 0;
    if (status != SGC_OK && announced_[window.level].isHint)
        announced_[window.level] = {};
}

uint64_t SGCHandle::IncompleteReads()
{
    const std::lock_guard<std::mutex> lock(mutex_);
    return incompleteReads_;
}

// What a read may do that begins now.
sgc_policy SGCHandle::Policy(size_t level, bool isDecimated)
{
    sgc_policy policy = {};
    policy.download = connection_->download;
    policy.in_part = connection_->for_view && (isDecimated || level > 0);
    policy.missing_is_nodata =
        policy.in_part ? connection_->view_misses_nodata : connection_->missing_is_nodata;
    policy.num_threads = connection_->num_threads;
    policy.deadline_ms = look_.Deadline();
    policy.max_bytes = connection_->max_download;
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!connection_->for_view)
        policy.max_bytes -= std::min(policy.max_bytes, downloaded_);
    return policy;
}

bool SGCHandle::CanAfford(const sgc_window &window)
{
    const sgc_policy policy = Policy(window.level, false);
    if (!policy.download || policy.in_part || policy.missing_is_nodata || !sgc_cube_can_load(cube_))
        return true; // what such reads do is not a matter of their price
    sgc_error error = {""};
    const sgc_status status = sgc_cube_check_budget(cube_, &window, policy.max_bytes, &error);
    if (status != SGC_OK)
        SGCReport(status, error);
    return status == SGC_OK;
}

CPLErr SGCHandle::Ensure(const sgc_window &window, bool isDecimated, SGCProgress *progress,
                         sgc_view **view, bool *missing)
{
    const sgc_progress report = {ReportProgress, progress};
    uint64_t downloaded = 0;
    sgc_policy policy = Policy(window.level, isDecimated);
    policy.progress = progress != nullptr && progress->IsWanted() ? &report : nullptr;
    policy.ahead = Follow(window);
    policy.downloaded = &downloaded;
    sgc_ensured ensured = {};
    sgc_error error = {""};
    // Who copies a raster hears at the beginning that it costs too much, not in the middle.
    if (!connection_->for_view && window.rect.y == policy.ahead.y &&
        window.rect.width == policy.ahead.width &&
        !CanAfford({window.level, policy.ahead, window.slices, window.slice_count})) {
        Finish(window, SGC_BUDGET, ensured, 0);
        return CE_Failure;
    }
    const sgc_status status = sgc_cube_ensure(cube_, &window, &policy, &ensured, &error);
    Finish(window, status, ensured, downloaded);
    if (policy.deadline_ms > 0 && sgc_monotonic_ms() >= policy.deadline_ms &&
        (status == SGC_BUDGET || ensured.missing_chunks > 0))
        look_.SetLate();
    if (status != SGC_OK) {
        SGCReport(status, error);
        return CE_Failure;
    }
    Warn(ensured);
    if (missing != nullptr)
        *missing = ensured.missing_chunks > 0;
    *view = ensured.view;
    return CE_None;
}

sgc_status SGCHandle::Read(const sgc_view *view, size_t level, const sgc_slice &slice,
                           const sgc_rect &rect, void *buffer, sgc_error *error) const
{
    const unsigned threads = connection_->num_threads;
    const sgc_status status =
        sgc_cube_read(cube_, view, level, slice, rect, buffer, threads, error);
    return status == SGC_OK && connection_->for_view
               ? sgc_cube_fill_gaps(cube_, view, level, slice, rect, buffer, threads, error)
               : status;
}

bool SGCHandle::IsFirst(bool &warned)
{
    const std::lock_guard<std::mutex> lock(mutex_);
    return !std::exchange(warned, true);
}

// Once a handle: a silent blank is worse than a warning, a thousand warnings are worse than one.
void SGCHandle::Warn(const sgc_ensured &ensured)
{
    const uint64_t missing = ensured.missing_chunks, unverified = ensured.unverified_chunks;
    if (missing > 0 && IsFirst(warnedOfMissing_))
        CPLError(CE_Warning, CPLE_AppDefined,
                 "SGC: %" PRIu64 " chunk%s of the window %s not in the cube: %s there", missing,
                 missing == 1 ? "" : "s", missing == 1 ? "is" : "are",
                 connection_->for_view ? "coarser pixels or nodata stand" : "it reads as nodata");
    const sgc_absences &absences = ensured.absences;
    if (absences.count > 0 && IsFirst(warnedOfAbsences_))
        CPLError(CE_Warning, CPLE_AppDefined,
                 "SGC: none of the files supposed here exists (%zu, the first %s), and the cube "
                 "holds no data yet: if there should be some, look at /source in %s",
                 absences.count, absences.first, sgc_cube_definition(cube_)->name);
    if (unverified > 0 && IsFirst(warnedOfUnverified_))
        CPLError(CE_Warning, CPLE_AppDefined,
                 "SGC: %" PRIu64 " chunk%s of the window %s shown as stored by another program; "
                 "whether all patches are in %s only the source can tell, and nothing may be "
                 "downloaded",
                 unverified, unverified == 1 ? "" : "s", unverified == 1 ? "is" : "are",
                 unverified == 1 ? "it" : "them");
}

// ---- SGCDataset ----

// A name, or a file that is called as those that name cubes, and begins like JSON.
int SGCDataset::Identify(GDALOpenInfo *info)
{
    if (STARTS_WITH_CI(info->pszFilename, SGC_PREFIX))
        return TRUE;
    if (info->nHeaderBytes == 0 || !sgc_descriptor_is_named(info->pszFilename))
        return FALSE;
    const char *text = reinterpret_cast<const char *>(info->pabyHeader); // with a NUL behind
    if (STARTS_WITH(text, "\xef\xbb\xbf"))
        text += 3;
    return text[strspn(text, " \t\r\n")] == '{';
}

std::vector<size_t> SGCChooseChannels(const SGCHandle &handle)
{
    const sgc_definition *definition = sgc_cube_definition(handle.Cube());
    std::vector<size_t> result;
    sgc_error error = {""};
    char **names = handle.Connection().channels;
    for (int i = 0; names != nullptr && names[i] != nullptr; i++) {
        size_t b = 0;
        while (b < definition->band_count && !EQUAL(definition->bands[b].name, names[i]))
            b++;
        if (b == definition->band_count) {
            std::string known;
            for (size_t k = 0; k < definition->band_count; k++)
                known += std::string(k > 0 ? ", " : "") + definition->bands[k].name;
            handle.Refuse(sgc_fail(&error, SGC_INVALID,
                                   "CHANNELS: %s has no channel \"%.64s\" (it has %s)",
                                   definition->id, names[i], known.c_str()),
                          error);
            return {};
        }
        result.push_back(b);
    }
    if (names != nullptr && result.empty())
        handle.Refuse(sgc_fail(&error, SGC_INVALID, "CHANNELS names no channel"), error);
    if (names != nullptr)
        return result;
    // Those that fit into one GeoTIFF with the first one.
    const sgc_band &first = definition->bands[0];
    for (size_t b = 0; b < definition->band_count; b++) {
        const sgc_band &band = definition->bands[b];
        const bool sameNodata =
            band.nodata == first.nodata || (std::isnan(band.nodata) && std::isnan(first.nodata));
        if (band.type == first.type && band.is_bool == first.is_bool && sameNodata)
            result.push_back(b);
    }
    return result;
}

// False, having reported it, when a dataset cannot have so many bands.
static bool CheckBandCount(const SGCHandle &handle, size_t steps, size_t channels)
{
    constexpr size_t MOST_BANDS = 65535; // of GDAL
    if (steps <= MOST_BANDS / channels)
        return true;
    sgc_error error = {""};
    handle.Refuse(sgc_fail(&error, SGC_INVALID,
                           "%zu time steps of %zu channels are more than %zu bands: name fewer "
                           "with TIME or CHANNELS",
                           steps, channels, MOST_BANDS),
                  error);
    return false;
}

bool SGCChooseSteps(const SGCHandle &handle, size_t *first, size_t *count)
{
    const sgc_definition *definition = sgc_cube_definition(handle.Cube());
    const char *time = handle.Connection().time;
    *first = 0;
    *count = definition->time.count == 0 ? 1 : 0;
    if (time == nullptr)
        return true;
    sgc_error error = {""};
    const sgc_status status =
        definition->time.count > 0
            ? sgc_time_axis_find(&definition->time, time, first, count, &error)
            : sgc_fail(&error, SGC_INVALID, "TIME=%.64s: %s has no time axis", time,
                       definition->id);
    if (status != SGC_OK)
        handle.Refuse(status, error);
    return status == SGC_OK;
}

GDALDataset *SGCDataset::Open(GDALOpenInfo *info)
{
    constexpr int KINDS = GDAL_OF_RASTER | GDAL_OF_VECTOR | GDAL_OF_MULTIDIM_RASTER;
    if (!Identify(info) || (info->nOpenFlags & KINDS) == 0)
        return nullptr;
    if (info->eAccess == GA_Update && (info->nOpenFlags & KINDS) == GDAL_OF_VECTOR) {
        CPLDebug("SGC", "patches are opened read-only"); // who tries to update first tries again
        return nullptr;
    }
    if (info->eAccess == GA_Update) {
        CPLError(CE_Failure, CPLE_NotSupported,
                 "SGC: cubes are opened read-only; they fill themselves when they are read");
        return nullptr;
    }
    auto handle = SGCHandle::Open(info->pszFilename, info->papszOpenOptions);
    if (handle == nullptr)
        return nullptr;
    if ((info->nOpenFlags & GDAL_OF_MULTIDIM_RASTER) != 0) // gdalmdimtranslate would take either
        return SGCOpenMultidim(handle);
    const bool hasPatches = (info->nOpenFlags & GDAL_OF_VECTOR) != 0;
    size_t first, count;
    if (!SGCChooseSteps(*handle, &first, &count))
        return nullptr;
    if ((info->nOpenFlags & GDAL_OF_RASTER) == 0) {
        auto patches = new SGCDataset(handle, 0, {});
        patches->SetDescription(info->pszFilename);
        patches->AddPatches();
        return patches;
    }
    const auto channels = SGCChooseChannels(*handle);
    if (channels.empty() || !CheckBandCount(*handle, count, channels.size()))
        return nullptr;
    std::vector<sgc_slice> slices;
    for (size_t step = first; step < first + count; step++)
        for (const size_t channel : channels)
            slices.push_back({channel, step});
    auto dataset = std::unique_ptr<SGCDataset>(new SGCDataset(handle, 0, slices));
    for (size_t level = 1; level < sgc_cube_level_count(handle->Cube()); level++)
        dataset->overviews_.emplace_back(new SGCDataset(handle, level, slices));
    dataset->SetDescription(info->pszFilename);
    if (hasPatches)
        dataset->AddPatches();
    dataset->DescribeCube();
    if (slices.empty() && !dataset->AddSubdatasets(channels))
        return nullptr;
    return dataset.release();
}

SGCDataset::SGCDataset(std::shared_ptr<SGCHandle> handle, size_t level,
                       const std::vector<sgc_slice> &slices)
    : GDALDataset(FALSE), handle_(std::move(handle)), level_(level)
{
    const sgc_grid &grid = sgc_cube_level(handle_->Cube(), level)->grid;
    eAccess = GA_ReadOnly;
    nRasterXSize = static_cast<int>(grid.width);
    nRasterYSize = static_cast<int>(grid.height);
    spatialRef_.SetAxisMappingStrategy(OAMS_TRADITIONAL_GIS_ORDER);
    spatialRef_.SetFromUserInput(grid.crs);
    const bool byChannel =
        slices.empty() || slices.front().band != slices.back().band || slices.size() == 1;
    const bool byTime = !slices.empty() && slices.front().step != slices.back().step;
    for (const auto &slice : slices) {
        auto band = new SGCBand(this, nBands + 1, slice);
        SetBand(nBands + 1, band);
        band->Describe(byChannel, byTime);
    }
    DescribePixels();
}

SGCDataset::~SGCDataset()
{
    SGCDataset::CloseDependentDatasets();
}

int SGCDataset::CloseDependentDatasets()
{
    int dropped = GDALDataset::CloseDependentDatasets();
    if (!overviews_.empty()) {
        overviews_.clear();
        dropped = TRUE;
    }
    return dropped;
}

#if SGC_GDAL_AT_LEAST(3, 12)
CPLErr SGCDataset::GetGeoTransform(GDALGeoTransform &transform) const
{
    transform = GDALGeoTransform(sgc_cube_level(handle_->Cube(), level_)->grid.transform);
    return CE_None;
}
#else
CPLErr SGCDataset::GetGeoTransform(double *transform)
{
    const double *ours = sgc_cube_level(handle_->Cube(), level_)->grid.transform;
    std::copy(ours, ours + 6, transform);
    return CE_None;
}
#endif

const OGRSpatialReference *SGCDataset::GetSpatialRef() const
{
    return &spatialRef_;
}

// A cube is no file, but one may name it; GDAL would look for sidecars named like the connection
// string.
char **SGCDataset::GetFileList()
{
    const char *name = GetDescription();
    return sgc_descriptor_is_named(name) && !STARTS_WITH_CI(name, SGC_PREFIX)
               ? CSLAddString(nullptr, name)
               : nullptr;
}

int SGCDataset::OverviewCount() const
{
    return static_cast<int>(overviews_.size());
}

SGCDataset *SGCDataset::Finer(size_t level)
{
    finer_.resize(level_);
    if (finer_[level] == nullptr)
        finer_[level].reset(new SGCDataset(handle_, level, Slices(nBands, nullptr)));
    return finer_[level].get();
}

size_t SGCDataset::ReadsOfMap()
{
    constexpr int COLOURS = 3;
    const bool byChannel = sgc_cube_definition(handle_->Cube())->fill_channels;
    std::set<std::pair<size_t, size_t>> reads;
    for (const sgc_slice &slice : Slices(std::min(nBands, COLOURS), nullptr))
        reads.insert({slice.step, byChannel ? slice.band : 0});
    return reads.size();
}

SGCDataset *SGCDataset::Overview(int index)
{
    return index >= 0 && index < OverviewCount() ? overviews_[static_cast<size_t>(index)].get()
                                                 : nullptr;
}

// What the bands show; without a map, the first ones.
std::vector<sgc_slice> SGCDataset::Slices(int bandCount, const int *bandMap)
{
    std::vector<sgc_slice> result;
    for (int i = 0; i < bandCount; i++)
        result.push_back(
            static_cast<SGCBand *>(GetRasterBand(bandMap != nullptr ? bandMap[i] : i + 1))
                ->Slice());
    return result;
}

// Only where all bands are read from one level.
std::optional<SGCCoarseRead> SGCDataset::FindLevel(const sgc_rect &rect, int bufXSize, int bufYSize,
                                                   int bandCount, const int *bandMap,
                                                   const GDALRasterIOExtraArg *extra)
{
    std::optional<SGCCoarseRead> found;
    for (int i = 0; i < bandCount; i++) {
        auto band = static_cast<SGCBand *>(GetRasterBand(bandMap[i]));
        found = band->FindLevel(rect, bufXSize, bufYSize, extra);
        if (!found)
            break;
    }
    return found;
}

CPLErr SGCDataset::IRasterIO(GDALRWFlag rw, int xOff, int yOff, int xSize, int ySize, void *data,
                             int bufXSize, int bufYSize, GDALDataType bufType, int bandCount,
                             BANDMAP_TYPE bandMap, GSpacing pixelSpace, GSpacing lineSpace,
                             GSpacing bandSpace, GDALRasterIOExtraArg *extra)
{
    const bool decimates = bufXSize < xSize || bufYSize < ySize;
    const sgc_rect rect = {xOff, yOff, xSize, ySize};
    const auto slices = Slices(bandCount, bandMap);
    const SGCRead read(handle_->Look(), {level_, rect, slices, decimates || level_ > 0});
    if (auto coarse = decimates ? FindLevel(rect, bufXSize, bufYSize, bandCount, bandMap, extra)
                                : std::nullopt) {
        const sgc_rect &there = coarse->rect;
        return coarse->level->RasterIO(
            rw, static_cast<int>(there.x), static_cast<int>(there.y), static_cast<int>(there.width),
            static_cast<int>(there.height), data, bufXSize, bufYSize, bufType, bandCount, bandMap,
            pixelSpace, lineSpace, bandSpace, &coarse->extra);
    }
    const bool isTogether =
        rw == GF_Read && bandCount > 0 && SGCIsNative(rect, bufXSize, bufYSize, extra) &&
        std::none_of(bandMap, bandMap + bandCount, [&](int number) {
            return static_cast<SGCBand *>(GetRasterBand(number))->IsComputed(rect);
        });
    if (!isTogether)
        return BandBasedRasterIO(rw, xOff, yOff, xSize, ySize, data, bufXSize, bufYSize, bufType,
                                 bandCount, bandMap, pixelSpace, lineSpace, bandSpace, extra);
    const sgc_window window = {level_, rect, slices.data(), slices.size()};
    sgc_view *view = nullptr;
    SGCProgress progress(*extra, int64_t{ySize} * bandCount);
    if (handle_->Ensure(window, isDecimating_, &progress, &view) != CE_None)
        return CE_Failure;
    CPLErr result = CE_None;
    for (int i = 0; i < bandCount && result == CE_None; i++) {
        auto band = static_cast<SGCBand *>(GetRasterBand(bandMap[i]));
        result = band->ReadView(view, rect, static_cast<GByte *>(data) + i * bandSpace, bufType,
                                pixelSpace, lineSpace, &progress);
    }
    sgc_view_unref(view);
    return result;
}
