#include "gdal_sgc/dataset.h"

#include <algorithm>
#include <cinttypes>
#include <cmath>

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
        SGCReport(status, error);
        return nullptr;
    }
    return handle;
}

SGCHandle::~SGCHandle()
{
    sgc_cube_unref(cube_);
    sgc_connection_free(connection_);
}

void SGCHandle::Announce(size_t level, const sgc_rect &rect)
{
    const std::lock_guard<std::mutex> lock(mutex_);
    announced_.resize(std::max(announced_.size(), level + 1));
    announced_[level] = rect;
}

namespace
{

struct ProgressCall {
    GDALProgressFunc function;
    void *data;
};

bool ReportProgress(void *user, double fraction)
{
    const auto *call = static_cast<const ProgressCall *>(user);
    // The rest is for reading what has been loaded.
    return call->function(fraction * 0.95, "", call->data) != FALSE;
}

} // namespace

CPLErr SGCHandle::Ensure(size_t level, const sgc_rect &rect, GDALProgressFunc progress,
                         void *progressData, sgc_view **view, bool *missing)
{
    ProgressCall call = {progress, progressData};
    const sgc_progress report = {ReportProgress, &call};
    sgc_policy policy = {};
    policy.download = connection_->download;
    policy.missing_is_nodata = connection_->missing_is_nodata;
    policy.num_threads = connection_->num_threads;
    policy.progress = progress != nullptr ? &report : nullptr;
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        policy.max_bytes =
            connection_->max_download - std::min(connection_->max_download, downloaded_);
        if (level < announced_.size())
            policy.announced = announced_[level];
    }
    sgc_ensured ensured = {};
    sgc_error error = {""};
    const sgc_status status = sgc_cube_ensure(cube_, level, rect, &policy, &ensured, &error);
    if (status != SGC_OK) {
        SGCReport(status, error);
        return CE_Failure;
    }
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        downloaded_ += ensured.estimated_bytes;
    }
    if (ensured.missing_chunks > 0)
        WarnOfMissing(ensured.missing_chunks);
    if (missing != nullptr)
        *missing = ensured.missing_chunks > 0;
    *view = ensured.view;
    return CE_None;
}

// Once a handle: a silent blank is worse than a warning, a thousand warnings are worse than one.
void SGCHandle::WarnOfMissing(uint64_t chunks)
{
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (warned_)
            return;
        warned_ = true;
    }
    CPLError(CE_Warning, CPLE_AppDefined,
             "SGC: %" PRIu64 " chunk%s of the window %s not in the cube and read%s as nodata",
             chunks, chunks == 1 ? "" : "s", chunks == 1 ? "is" : "are", chunks == 1 ? "s" : "");
}

// ---- SGCDataset ----

int SGCDataset::Identify(GDALOpenInfo *info)
{
    return STARTS_WITH_CI(info->pszFilename, SGC_PREFIX);
}

// The channels that become bands. Gives none, having reported why, when one is not known.
static std::vector<size_t> ChooseChannels(const SGCHandle &handle)
{
    const sgc_definition *definition = sgc_cube_definition(handle.Cube());
    std::vector<size_t> result;
    char **names = handle.Connection().channels;
    for (int i = 0; names != nullptr && names[i] != nullptr; i++) {
        size_t b = 0;
        while (b < definition->band_count && !EQUAL(definition->bands[b].name, names[i]))
            b++;
        if (b == definition->band_count) {
            std::string known;
            for (size_t k = 0; k < definition->band_count; k++)
                known += std::string(k > 0 ? ", " : "") + definition->bands[k].name;
            CPLError(CE_Failure, CPLE_IllegalArg,
                     "SGC: CHANNELS: %s has no channel \"%s\" (it has %s)", definition->id,
                     names[i], known.c_str());
            return {};
        }
        result.push_back(b);
    }
    if (names != nullptr && result.empty())
        CPLError(CE_Failure, CPLE_IllegalArg, "SGC: CHANNELS names no channel");
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

GDALDataset *SGCDataset::Open(GDALOpenInfo *info)
{
    if (!Identify(info) || (info->nOpenFlags & GDAL_OF_RASTER) == 0)
        return nullptr;
    if (info->eAccess == GA_Update) {
        CPLError(CE_Failure, CPLE_NotSupported,
                 "SGC: cubes are opened read-only; they fill themselves when they are read");
        return nullptr;
    }
    auto handle = SGCHandle::Open(info->pszFilename, info->papszOpenOptions);
    if (handle == nullptr)
        return nullptr;
    const auto channels = ChooseChannels(*handle);
    if (channels.empty())
        return nullptr;
    auto dataset = std::unique_ptr<SGCDataset>(new SGCDataset(handle, 0, channels));
    for (size_t level = 1; level < sgc_cube_level_count(handle->Cube()); level++)
        dataset->overviews_.emplace_back(new SGCDataset(handle, level, channels));
    dataset->SetDescription(info->pszFilename);
    dataset->DescribeCube();
    return dataset.release();
}

SGCDataset::SGCDataset(std::shared_ptr<SGCHandle> handle, size_t level,
                       const std::vector<size_t> &channels)
    : handle_(std::move(handle)), level_(level)
{
    const sgc_grid &grid = sgc_cube_level(handle_->Cube(), level)->grid;
    eAccess = GA_ReadOnly;
    nRasterXSize = static_cast<int>(grid.width);
    nRasterYSize = static_cast<int>(grid.height);
    spatialRef_.SetAxisMappingStrategy(OAMS_TRADITIONAL_GIS_ORDER);
    spatialRef_.SetFromUserInput(grid.crs);
    for (size_t i = 0; i < channels.size(); i++)
        SetBand(static_cast<int>(i) + 1, new SGCBand(this, static_cast<int>(i) + 1, channels[i]));
    GDALDataset::SetMetadataItem("INTERLEAVE", "BAND", "IMAGE_STRUCTURE");
    GDALDataset::SetMetadataItem("COMPRESSION", "ZSTD", "IMAGE_STRUCTURE");
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

// Where the pixels come from, for the metadata of whatever is made of them.
void SGCDataset::DescribeCube()
{
    const sgc_definition *definition = sgc_cube_definition(handle_->Cube());
    char snapshot[SGC_OBJECT_ID_TEXT + 1];
    sgc_cube_snapshot(handle_->Cube(), snapshot);
    const std::pair<const char *, const char *> items[] = {
        {"DATASET", definition->id},
        {"TITLE", definition->title},
        {"LICENSE", definition->license},
        {"ATTRIBUTION", definition->attribution},
        {"SNAPSHOT", snapshot[0] ? snapshot : nullptr},
    };
    for (const auto &item : items)
        if (item.second != nullptr)
            GDALDataset::SetMetadataItem(item.first, item.second);
    GDALDataset::SetMetadataItem(GDALMD_AREA_OR_POINT, GDALMD_AOP_AREA);
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

// A cube is no file; GDAL would look for sidecars named like the connection string.
char **SGCDataset::GetFileList()
{
    return nullptr;
}

// "Window_x_y_w_h" in the domain "SGC" tells what a read of that window would have to download.
const char *SGCDataset::GetMetadataItem(const char *name, const char *domain)
{
    if (domain == nullptr || !EQUAL(domain, "SGC"))
        return GDALDataset::GetMetadataItem(name, domain);
    int x, y, width, height, end = 0;
    if (sscanf(name, "Window_%d_%d_%d_%d%n", &x, &y, &width, &height, &end) != 4 ||
        name[end] != '\0' || x < 0 || y < 0 || width < 1 || height < 1 ||
        x > nRasterXSize - width || y > nRasterYSize - height)
        return nullptr;
    sgc_missing missing = {};
    sgc_error error = {""};
    const sgc_status status =
        sgc_cube_missing(handle_->Cube(), level_, {x, y, width, height}, &missing, &error);
    if (status != SGC_OK) {
        SGCReport(status, error);
        return nullptr;
    }
    windowState_.Printf("missing=%" PRIu64 ";bytes=%" PRIu64, missing.chunks, missing.bytes);
    return windowState_.c_str();
}

int SGCDataset::OverviewCount() const
{
    return static_cast<int>(overviews_.size());
}

SGCDataset *SGCDataset::Overview(int index)
{
    return index >= 0 && index < OverviewCount() ? overviews_[static_cast<size_t>(index)].get()
                                                 : nullptr;
}

CPLErr SGCDataset::IRasterIO(GDALRWFlag rw, int xOff, int yOff, int xSize, int ySize, void *data,
                             int bufXSize, int bufYSize, GDALDataType bufType, int bandCount,
                             BANDMAP_TYPE bandMap, GSpacing pixelSpace, GSpacing lineSpace,
                             GSpacing bandSpace, GDALRasterIOExtraArg *extra)
{
    // Resampling is per band, and GDAL knows how to choose levels for it.
    if (rw == GF_Write || xSize != bufXSize || ySize != bufYSize)
        return GDALDataset::IRasterIO(rw, xOff, yOff, xSize, ySize, data, bufXSize, bufYSize,
                                      bufType, bandCount, bandMap, pixelSpace, lineSpace, bandSpace,
                                      extra);
    const sgc_rect rect = {xOff, yOff, xSize, ySize};
    sgc_view *view = nullptr;
    if (handle_->Ensure(level_, rect, extra->pfnProgress, extra->pProgressData, &view) != CE_None)
        return CE_Failure;
    CPLErr result = CE_None;
    for (int i = 0; i < bandCount && result == CE_None; i++) {
        auto band = static_cast<SGCBand *>(GetRasterBand(bandMap[i]));
        result = band->ReadView(view, rect, static_cast<GByte *>(data) + i * bandSpace, bufType,
                                pixelSpace, lineSpace);
    }
    sgc_view_unref(view);
    return result;
}
