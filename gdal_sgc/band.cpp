#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <utility>

#include "gdal_sgc/dataset.h"
#include "gdal_sgc/time_axis.h"

namespace
{

constexpr int WISHED_BLOCK = 720;
constexpr size_t STRIP_BYTES = size_t{8} << 20;

// The divisor of a chunk's side nearest to the wished size, but no tiny one.
int BlockSide(int64_t chunk)
{
    constexpr int64_t SMALLEST = 64;
    int best = static_cast<int>(chunk);
    for (int64_t n = 1; n * n <= chunk; n++)
        if (chunk % n == 0)
            for (const int64_t side : {n, chunk / n})
                if (side >= SMALLEST &&
                    std::abs(side - WISHED_BLOCK) < std::abs(best - WISHED_BLOCK))
                    best = static_cast<int>(side);
    return best;
}

// Where GDAL's own nearest neighbour samples an axis: maybe beyond the window's whole pixels, but
// never beyond the raster.
struct NearestAxis {
    double offset, step; // in pixels
    int count, length;   // of samples, of the raster

    int64_t At(int i) const
    {
        constexpr double EPSILON = 1e-10;
        const double position = (i + 0.5) * step + offset + EPSILON;
        return static_cast<int64_t>(std::min(std::max(0.0, position), length - 1.0));
    }
    // The first and the last pixel.
    std::pair<int64_t, int64_t> Ends() const
    {
        return std::minmax({At(0), At(count - 1)});
    }
    // Whether they are pixels in a row, in order.
    bool IsWhole() const
    {
        for (int i = 1; i < count; i++)
            if (At(i) != At(i - 1) + 1)
                return false;
        return true;
    }
};

} // namespace

SGCFloatWindow SGCWindowOfRead(const sgc_rect &rect, const GDALRasterIOExtraArg *extra)
{
    if (extra != nullptr && extra->bFloatingPointWindowValidity)
        return {extra->dfXOff, extra->dfYOff, extra->dfXSize, extra->dfYSize};
    return {static_cast<double>(rect.x), static_cast<double>(rect.y),
            static_cast<double>(rect.width), static_cast<double>(rect.height)};
}

bool SGCIsNative(const sgc_rect &rect, int bufXSize, int bufYSize,
                 const GDALRasterIOExtraArg *extra)
{
    const SGCFloatWindow whole = SGCWindowOfRead(rect, nullptr);
    const SGCFloatWindow wanted = SGCWindowOfRead(rect, extra);
    return rect.width == bufXSize && rect.height == bufYSize && wanted.x == whole.x &&
           wanted.y == whole.y && wanted.width == whole.width && wanted.height == whole.height;
}

SGCBand::SGCBand(SGCDataset *dataset, int number, const sgc_slice &slice)
    : GDALRasterBand(FALSE), dataset_(dataset), slice_(slice)
{
    const sgc_level *level = sgc_cube_level(dataset->Handle()->Cube(), dataset->Level());
    poDS = dataset;
    nBand = number;
    eAccess = GA_ReadOnly;
    eDataType = Definition().type;
    nBlockXSize = BlockSide(level->chunk_width);
    nBlockYSize = BlockSide(level->chunk_height);
    nRasterXSize = dataset->GetRasterXSize();
    nRasterYSize = dataset->GetRasterYSize();
    const sgc_band &band = Definition();
    if (band.description != nullptr)
        GDALRasterBand::SetMetadataItem("LONG_NAME", band.description);
    if (band.has_statistics) {
        // So that a map needs no pixels to choose its colours.
        GDALRasterBand::SetMetadataItem("STATISTICS_MINIMUM", CPLSPrintf("%.17g", band.minimum));
        GDALRasterBand::SetMetadataItem("STATISTICS_MAXIMUM", CPLSPrintf("%.17g", band.maximum));
        GDALRasterBand::SetMetadataItem("STATISTICS_MEAN", CPLSPrintf("%.17g", band.mean));
        GDALRasterBand::SetMetadataItem("STATISTICS_STDDEV", CPLSPrintf("%.17g", band.stddev));
        GDALRasterBand::SetMetadataItem("STATISTICS_APPROXIMATE", "YES");
    }
}

const sgc_band &SGCBand::Definition() const
{
    return sgc_cube_definition(dataset_->Handle()->Cube())->bands[slice_.band];
}

sgc_window SGCBand::Window(const sgc_rect &rect) const
{
    return {dataset_->Level(), rect, &slice_, 1};
}

void SGCBand::Describe(bool byChannel, bool byTime)
{
    const sgc_time_axis &axis = sgc_cube_definition(dataset_->Handle()->Cube())->time;
    char time[SGC_TIME_SIZE] = "";
    if (axis.count > 0) {
        sgc_time_format(axis.starts[slice_.step], time);
        // As of an array's dimension that GDAL makes bands of.
        const sgc_time_units units = sgc_time_units_choose(&axis);
        const int64_t value = (axis.starts[slice_.step] - units.reference) / units.unit;
        char unit[SGC_TIME_UNITS_SIZE];
        sgc_time_units_format(&units, unit);
        GDALRasterBand::SetMetadataItem("DIM_time_INDEX", CPLSPrintf("%zu", slice_.step));
        GDALRasterBand::SetMetadataItem("DIM_time_VALUE", std::to_string(value).c_str());
        GDALRasterBand::SetMetadataItem("DIM_time_UNIT", unit);
        GDALRasterBand::SetMetadataItem("TIME", time);
    }
    const std::string name = Definition().name;
    GDALRasterBand::SetDescription((byChannel && byTime ? name + " " + time
                                    : byTime            ? time
                                                        : name)
                                       .c_str());
}

double SGCBand::GetNoDataValue(int *success)
{
    // Of a mask, 0 is a value.
    const bool has = !Definition().is_bool;
    if (success != nullptr)
        *success = has;
    return has ? Definition().nodata : GDALRasterBand::GetNoDataValue(nullptr);
}

int64_t SGCBand::GetNoDataValueAsInt64(int *success)
{
    const bool has = eDataType == GDT_Int64;
    if (success != nullptr)
        *success = has;
    return has ? static_cast<int64_t>(Definition().nodata_bits)
               : GDALRasterBand::GetNoDataValueAsInt64(nullptr);
}

uint64_t SGCBand::GetNoDataValueAsUInt64(int *success)
{
    const bool has = eDataType == GDT_UInt64;
    if (success != nullptr)
        *success = has;
    return has ? Definition().nodata_bits : GDALRasterBand::GetNoDataValueAsUInt64(nullptr);
}

const char *SGCBand::GetUnitType()
{
    return Definition().unit != nullptr ? Definition().unit : "";
}

double SGCBand::GetScale(int *success)
{
    if (success != nullptr)
        *success = Definition().has_scale;
    return Definition().has_scale ? Definition().scale : 1;
}

double SGCBand::GetOffset(int *success)
{
    if (success != nullptr)
        *success = Definition().has_scale;
    return Definition().has_scale ? Definition().offset : 0;
}

int SGCBand::GetOverviewCount()
{
    // Levels are chosen by FindLevel(): GDAL shall not choose another one meanwhile.
    const bool mayBeUsed = dataset_->AreOverviewsEnabled() && !dataset_->IsDecimating();
    return mayBeUsed ? dataset_->OverviewCount() : 0;
}

GDALRasterBand *SGCBand::GetOverview(int index)
{
    SGCDataset *overview = dataset_->Overview(index);
    return overview != nullptr ? overview->GetRasterBand(nBand) : nullptr;
}

CPLErr SGCBand::AdviseRead(int xOff, int yOff, int xSize, int ySize, int bufXSize, int bufYSize,
                           GDALDataType /* bufType */, SGC_OPTIONS /* options */)
{
    // A resampled read may go to another level: what it says about this one is not known.
    const sgc_rect rect = {xOff, yOff, xSize, ySize};
    if (SGCIsNative(rect, bufXSize, bufYSize))
        dataset_->Handle()->Announce(dataset_->Level(), rect);
    return CE_None;
}

// Straight into the caller's buffer where it has our form, else through strips. Whoever wants to
// know of progress gets parts that end where blocks do, so that little is decoded twice.
CPLErr SGCBand::ReadView(const sgc_view *view, const sgc_rect &rect, void *data,
                         GDALDataType bufType, GSpacing pixelSpace, GSpacing lineSpace,
                         SGCProgress *progress)
{
    const int size = GDALGetDataTypeSizeBytes(eDataType);
    const size_t rowBytes = static_cast<size_t>(rect.width) * static_cast<size_t>(size);
    const bool isOurs =
        bufType == eDataType && pixelSpace == size && lineSpace == static_cast<GSpacing>(rowBytes);
    const int64_t bottom = rect.y + rect.height;
    int64_t rows = std::clamp<int64_t>(static_cast<int64_t>(STRIP_BYTES / rowBytes), 1, bottom);
    if (isOurs)
        rows = progress != nullptr && progress->IsWanted()
                   ? (rows + nBlockYSize - 1) / nBlockYSize * nBlockYSize
                   : bottom;
    const SGCScratch strip(static_cast<size_t>(isOurs ? 0 : std::min(rows, rect.height)), rowBytes);
    if (!isOurs && strip.Get() == nullptr)
        return CE_Failure;
    for (int64_t y = rect.y, next; y < bottom; y = next) {
        next = std::min((y / rows + 1) * rows, bottom);
        GByte *target = static_cast<GByte *>(data) + (y - rect.y) * lineSpace;
        sgc_error error = {""};
        const sgc_status status = dataset_->Handle()->Read(view, dataset_->Level(), slice_,
                                                           {rect.x, y, rect.width, next - y},
                                                           isOurs ? target : strip.Get(), &error);
        if (status != SGC_OK) {
            SGCReport(status, error);
            return CE_Failure;
        }
        for (int64_t row = 0; row < next - y && !isOurs; row++)
            GDALCopyWords64(strip.Get() + static_cast<size_t>(row) * rowBytes, eDataType, size,
                            target + row * lineSpace, bufType, static_cast<int>(pixelSpace),
                            rect.width);
        if (progress != nullptr && !progress->Decoded(next - y))
            return CE_Failure;
    }
    return CE_None;
}

// A block that was served with nodata in it must not outlive the chance that somebody loads it. One
// that somebody holds goes later: GDAL would lose track of it.
void SGCBand::DropIncompleteBlocks()
{
    for (const auto &block : std::exchange(incomplete_, {})) {
        GDALRasterBlock *held = TryGetLockedBlockRef(block.first, block.second);
        if (held != nullptr && held->DropLock() > 0)
            incomplete_.push_back(block);
        else
            FlushBlock(block.first, block.second, FALSE);
    }
}

// ---- reads ----

SGCBand::Source::~Source()
{
    sgc_view_unref(view);
}

CPLErr SGCBand::Prepare(const sgc_rect &rect, bool isDecimated, SGCProgress *progress,
                        Source &source)
{
    source.isComputed = IsComputed(rect);
    if (source.isComputed)
        return CE_None;
    return dataset_->Handle()->Ensure(Window(rect), isDecimated || dataset_->IsDecimating(),
                                      progress, &source.view, &source.missing);
}

CPLErr SGCBand::ReadSource(const Source &source, const sgc_rect &rect, void *data,
                           GDALDataType bufType, GSpacing pixelSpace, GSpacing lineSpace,
                           SGCProgress *progress)
{
    if (!source.isComputed)
        return ReadView(source.view, rect, data, bufType, pixelSpace, lineSpace, progress);
    const CPLErr result = Compute(rect, data, bufType, pixelSpace, lineSpace);
    const bool goesOn = result != CE_None || progress == nullptr || progress->Decoded(rect.height);
    return goesOn ? result : CE_Failure;
}

CPLErr SGCBand::IReadBlock(int xBlock, int yBlock, void *image)
{
    const int64_t x = static_cast<int64_t>(xBlock) * nBlockXSize;
    const int64_t y = static_cast<int64_t>(yBlock) * nBlockYSize;
    const sgc_rect rect = {x, y, std::min<int64_t>(nBlockXSize, nRasterXSize - x),
                           std::min<int64_t>(nBlockYSize, nRasterYSize - y)};
    DropIncompleteBlocks();
    Source source;
    if (Prepare(rect, false, nullptr, source) != CE_None)
        return CE_Failure;
    if (source.missing)
        incomplete_.emplace_back(xBlock, yBlock);
    const int size = GDALGetDataTypeSizeBytes(eDataType);
    if (rect.width < nBlockXSize || rect.height < nBlockYSize) {
        sgc_band_fill_nodata(&Definition(), image,
                             static_cast<size_t>(nBlockXSize) * static_cast<size_t>(nBlockYSize));
    }
    const GSpacing line = static_cast<GSpacing>(size) * nBlockXSize;
    return ReadSource(source, rect, image, eDataType, size, line);
}

// What is complete is known; what a read would have to load may turn out to be anything.
int SGCBand::IGetDataCoverageStatus(int xOff, int yOff, int xSize, int ySize, int maskFlagStop,
                                    double *percent)
{
    sgc_cube *cube = dataset_->Handle()->Cube();
    const sgc_level *level = sgc_cube_level(cube, dataset_->Level());
    const sgc_rect rect = {xOff, yOff, xSize, ySize}, chunks = sgc_level_chunks(level, rect);
    const SGCView view(cube);
    int status = 0;
    double data = 0;
    int64_t known = 0;
    auto add = [&](const sgc_rect &pixels, bool hasData) {
        const sgc_rect part = sgc_rect_intersect(rect, pixels);
        known++;
        if (hasData)
            data += static_cast<double>(part.width) * static_cast<double>(part.height);
        status |= hasData ? GDAL_DATA_COVERAGE_STATUS_DATA : GDAL_DATA_COVERAGE_STATUS_EMPTY;
    };
    if (SGCVisitComplete(view.Get(), dataset_->Level(), slice_, chunks, add, nullptr) != SGC_OK ||
        known < chunks.width * chunks.height)
        return GDALRasterBand::IGetDataCoverageStatus(xOff, yOff, xSize, ySize, maskFlagStop,
                                                      percent);
    if (percent != nullptr)
        *percent = 100 * data / (static_cast<double>(xSize) * static_cast<double>(ySize));
    return status;
}

// Ensures and reads the rectangle that the samples span.
CPLErr SGCBand::ReadNearest(const sgc_rect &rect, void *data, int bufXSize, int bufYSize,
                            GDALDataType bufType, GSpacing pixelSpace, GSpacing lineSpace,
                            const GDALRasterIOExtraArg &extra)
{
    const SGCFloatWindow window = SGCWindowOfRead(rect, &extra);
    const NearestAxis columns = {window.x, window.width / bufXSize, bufXSize, nRasterXSize};
    const NearestAxis rows = {window.y, window.height / bufYSize, bufYSize, nRasterYSize};
    const auto [left, right] = columns.Ends();
    const auto [top, bottom] = rows.Ends();
    const sgc_rect sampled = {left, top, right - left + 1, bottom - top + 1};

    Source source;
    SGCProgress progress(extra, bufYSize);
    const bool decimates = bufXSize < rect.width || bufYSize < rect.height;
    if (Prepare(sampled, decimates, &progress, source) != CE_None)
        return CE_Failure;
    if (columns.IsWhole() && rows.IsWhole())
        return ReadSource(source, sampled, data, bufType, pixelSpace, lineSpace, &progress);
    const GSpacing size = GDALGetDataTypeSizeBytes(eDataType);
    const SGCScratch line(1, static_cast<size_t>(sampled.width * size));
    const SGCScratch picked(1, static_cast<size_t>(bufXSize * size));
    CPLErr result = line.Get() != nullptr && picked.Get() != nullptr ? CE_None : CE_Failure;
    for (int j = 0; j < bufYSize && result == CE_None; j++) {
        result = ReadSource(source, {left, rows.At(j), sampled.width, 1}, line.Get(), eDataType,
                            size, size * sampled.width);
        for (int i = 0; i < bufXSize; i++)
            memcpy(picked.Get() + i * size, line.Get() + (columns.At(i) - left) * size,
                   static_cast<size_t>(size));
        GDALCopyWords64(picked.Get(), eDataType, static_cast<int>(size),
                        static_cast<GByte *>(data) + j * lineSpace, bufType,
                        static_cast<int>(pixelSpace), bufXSize);
        if (result == CE_None && !progress.Decoded(1))
            result = CE_Failure;
    }
    return result;
}

// What may not be downloaded is read from the level that has it: from this one when this one has
// all of the window and the coarser one, which GDAL would choose, has not.
bool SGCBand::MayUse(const SGCCoarseRead &coarse, const sgc_rect &rect)
{
    const SGCHandle &handle = *dataset_->Handle();
    if (handle.Connection().download && sgc_cube_can_load(handle.Cube()))
        return true;
    uint64_t here = 0, there = 0;
    const sgc_window fine = Window(rect);
    const sgc_window window = {coarse.level->Level(), coarse.rect, &slice_, 1};
    return sgc_cube_count_missing(handle.Cube(), &fine, &here, nullptr) != SGC_OK ||
           sgc_cube_count_missing(handle.Cube(), &window, &there, nullptr) != SGC_OK || here > 0 ||
           there == 0;
}

// GDAL stretches an overview over the whole raster, which the last pixels of a level may exceed.
static void PlaceExactly(const SGCFloatWindow &window, double factor, const sgc_rect &whole,
                         SGCCoarseRead &coarse)
{
    GDALRasterIOExtraArg &extra = coarse.extra;
    extra.bFloatingPointWindowValidity = TRUE;
    extra.dfXOff = window.x / factor;
    extra.dfYOff = window.y / factor;
    extra.dfXSize = window.width / factor;
    extra.dfYSize = window.height / factor;
    const auto left = static_cast<int64_t>(std::floor(extra.dfXOff));
    const auto top = static_cast<int64_t>(std::floor(extra.dfYOff));
    const auto right = static_cast<int64_t>(std::ceil(extra.dfXOff + extra.dfXSize));
    const auto bottom = static_cast<int64_t>(std::ceil(extra.dfYOff + extra.dfYSize));
    coarse.rect = sgc_rect_intersect(whole, {left, top, right - left, bottom - top});
}

std::optional<SGCCoarseRead> SGCBand::FindLevel(const sgc_rect &rect, int bufXSize, int bufYSize,
                                                const GDALRasterIOExtraArg *extra)
{
    int x = static_cast<int>(rect.x), y = static_cast<int>(rect.y);
    int width = static_cast<int>(rect.width), height = static_cast<int>(rect.height);
    SGCCoarseRead coarse = {nullptr, {}, *extra};
    const int index =
        GDALBandGetBestOverviewLevel2(this, x, y, width, height, bufXSize, bufYSize, &coarse.extra);
    if (index < 0)
        return std::nullopt;
    coarse.level = dataset_->Overview(index);
    coarse.rect = {x, y, width, height};
    const sgc_cube *cube = dataset_->Handle()->Cube();
    const int64_t factor = sgc_cube_level(cube, coarse.level->Level())->factor;
    const sgc_rect whole = {0, 0, coarse.level->GetRasterXSize(), coarse.level->GetRasterYSize()};
    if (whole.width * factor != nRasterXSize || whole.height * factor != nRasterYSize)
        PlaceExactly(SGCWindowOfRead(rect, extra), static_cast<double>(factor), whole, coarse);
    return MayUse(coarse, rect) ? std::make_optional(coarse) : std::nullopt;
}

CPLErr SGCBand::IRasterIO(GDALRWFlag rw, int xOff, int yOff, int xSize, int ySize, void *data,
                          int bufXSize, int bufYSize, GDALDataType bufType, GSpacing pixelSpace,
                          GSpacing lineSpace, GDALRasterIOExtraArg *extra)
{
    if (rw == GF_Write) {
        CPLError(CE_Failure, CPLE_NotSupported, "SGC: cubes are read-only");
        return CE_Failure;
    }
    DropIncompleteBlocks();
    const sgc_rect rect = {xOff, yOff, xSize, ySize};
    const bool decimates = bufXSize < xSize || bufYSize < ySize;
    const size_t level = dataset_->Level();
    const SGCRead read(dataset_->Handle()->Look(), {level, rect, {slice_}, decimates || level > 0},
                       dataset_->ReadsOfMap());
    if (SGCIsNative(rect, bufXSize, bufYSize, extra)) {
        Source source;
        SGCProgress progress(*extra, ySize);
        if (Prepare(rect, false, &progress, source) != CE_None)
            return CE_Failure;
        return ReadSource(source, rect, data, bufType, pixelSpace, lineSpace, &progress);
    }
    if (auto coarse = decimates ? FindLevel(rect, bufXSize, bufYSize, extra) : std::nullopt) {
        const sgc_rect &there = coarse->rect;
        return coarse->level->GetRasterBand(nBand)->RasterIO(
            rw, static_cast<int>(there.x), static_cast<int>(there.y), static_cast<int>(there.width),
            static_cast<int>(there.height), data, bufXSize, bufYSize, bufType, pixelSpace,
            lineSpace, &coarse->extra);
    }
    if (extra->eResampleAlg == GRIORA_NearestNeighbour)
        return ReadNearest(rect, data, bufXSize, bufYSize, bufType, pixelSpace, lineSpace, *extra);
    const auto decimation = dataset_->Decimate(decimates);
    return GDALRasterBand::IRasterIO(rw, xOff, yOff, xSize, ySize, data, bufXSize, bufYSize,
                                     bufType, pixelSpace, lineSpace, extra);
}
