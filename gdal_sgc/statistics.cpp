// Statistics and histograms: exact ones of every pixel, approximate ones of what is complete.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "gdal_sgc/dataset.h"

namespace
{

constexpr size_t MOST_STRIPS = 64;
constexpr int64_t MOST_PIXELS = int64_t{4} << 20;
constexpr int64_t ENOUGH_PIXELS = 2500; // of a level, as GDAL has it

int64_t Area(const sgc_rect &rect)
{
    return rect.width * rect.height;
}

// What is complete of a level.
struct Complete {
    size_t level = 0;
    double share = 0;  // of the level's pixels
    size_t chunks = 0; // those with data
};

template <typename Visit>
sgc_status VisitLevel(const sgc_cube *cube, const sgc_view *view, size_t level,
                      const sgc_slice &slice, Visit &visit, sgc_error *err)
{
    const sgc_level *l = sgc_cube_level(cube, level);
    const sgc_rect all = {0, 0, sgc_level_columns(l), sgc_level_rows(l)};
    return SGCVisitComplete(view, level, slice, all, visit, err);
}

sgc_status FindComplete(const sgc_cube *cube, const sgc_view *view, size_t level,
                        const sgc_slice &slice, Complete &found, sgc_error *err)
{
    const sgc_grid &grid = sgc_cube_level(cube, level)->grid;
    auto add = [&](const sgc_rect &pixels, bool hasData) {
        found.share += static_cast<double>(Area(pixels));
        found.chunks += hasData;
    };
    SGC_TRY(VisitLevel(cube, view, level, slice, add, err));
    found.level = level;
    found.share /= static_cast<double>(grid.width) * static_cast<double>(grid.height);
    return SGC_OK;
}

// The level, from `level` on, of which the largest share is complete; the coarsest of equals.
sgc_status ChooseComplete(const sgc_cube *cube, const sgc_view *view, size_t level,
                          const sgc_slice &slice, Complete &best, sgc_error *err)
{
    for (size_t l = level; l < sgc_cube_level_count(cube); l++) {
        const sgc_grid &grid = sgc_cube_level(cube, l)->grid;
        if (l > level && grid.width * grid.height < ENOUGH_PIXELS)
            break;
        Complete found;
        SGC_TRY(FindComplete(cube, view, l, slice, found, err));
        if (found.chunks > 0 && found.share >= best.share)
            best = found;
    }
    return SGC_OK;
}

// Some rows of some of the chunks with data, evenly: a bounded number of pixels, whatever there is.
sgc_status ChooseStrips(const sgc_cube *cube, const sgc_view *view, const sgc_slice &slice,
                        const Complete &complete, std::vector<sgc_rect> &strips, sgc_error *err)
{
    const size_t count = std::min(complete.chunks, MOST_STRIPS);
    size_t at = 0;
    strips.reserve(count + 1); // nothing is thrown through the visit
    auto choose = [&](const sgc_rect &chunk, bool hasData) {
        if (!hasData || at++ != strips.size() * complete.chunks / count)
            return;
        const int64_t rows = std::clamp<int64_t>(
            MOST_PIXELS / (static_cast<int64_t>(count) * chunk.width), 1, chunk.height);
        strips.push_back({chunk.x, chunk.y + (chunk.height - rows) / 2, chunk.width, rows});
    };
    return count > 0 ? VisitLevel(cube, view, complete.level, slice, choose, err) : SGC_OK;
}

// The share of a band's values below `value`, if the definition's statistics are those of a normal
// distribution between its bounds.
double ShareBelow(const sgc_band &band, double value)
{
    const auto normal = [&](double at) {
        return std::erfc((band.mean - at) / band.stddev / std::sqrt(2.0)) / 2;
    };
    if (value <= band.minimum || value >= band.maximum)
        return value >= band.maximum ? 1 : 0;
    const double low = normal(band.minimum), high = normal(band.maximum);
    if (band.stddev > 0 && high > low)
        return (normal(value) - low) / (high - low);
    return value > band.mean ? 1 : 0;
}

// The histogram that the definition's statistics let expect, of a million values.
void Expect(const sgc_band &band, double from, double to, int buckets, bool includeOutOfRange,
            GUIntBig *histogram)
{
    constexpr double VALUES = 1e6;
    const auto below = [&](int bucket) {
        if (includeOutOfRange && (bucket == 0 || bucket == buckets))
            return bucket == 0 ? 0 : VALUES;
        return std::round(VALUES * ShareBelow(band, from + bucket * (to - from) / buckets));
    };
    for (int i = 0; i < buckets; i++)
        histogram[i] = static_cast<GUIntBig>(below(i + 1) - below(i));
}

bool Goes(GDALProgressFunc progress, void *data, double fraction)
{
    if (progress == nullptr || progress(fraction, "", data))
        return true;
    CPLError(CE_Failure, CPLE_UserInterrupt, "SGC: cancelled");
    return false;
}

} // namespace

// Visits the valid pixels of a part of what is complete.
CPLErr SGCBand::Sample(const Visitor &visit, GDALProgressFunc progress, void *progressData)
{
    sgc_cube *cube = dataset_->Handle()->Cube();
    const unsigned threads = dataset_->Handle()->Connection().num_threads;
    const SGCView view(cube);
    const sgc_band &band = Definition();
    Complete complete;
    sgc_error error = {""};
    sgc_status status =
        ChooseComplete(cube, view.Get(), dataset_->Level(), slice_, complete, &error);
    std::vector<sgc_rect> strips;
    if (status == SGC_OK)
        status = ChooseStrips(cube, view.Get(), slice_, complete, strips, &error);
    bool found = false;
    for (size_t i = 0; i < strips.size() && status == SGC_OK; i++) {
        const sgc_rect &strip = strips[i];
        const size_t size = static_cast<size_t>(GDALGetDataTypeSizeBytes(eDataType));
        const size_t width = static_cast<size_t>(strip.width);
        const size_t height = static_cast<size_t>(strip.height);
        const SGCScratch pixels(height, width * size), row(width, sizeof(double));
        const auto values = reinterpret_cast<double *>(row.Get());
        if (pixels.Get() == nullptr || values == nullptr)
            return CE_Failure;
        status = sgc_cube_read(cube, view.Get(), complete.level, slice_, strip, pixels.Get(),
                               threads, &error);
        for (size_t y = 0; y < height && status == SGC_OK; y++) {
            GDALCopyWords64(pixels.Get() + y * width * size, eDataType, static_cast<int>(size),
                            values, GDT_Float64, sizeof(double), strip.width);
            for (size_t x = 0; x < width; x++)
                if (!std::isnan(values[x]) && (band.is_bool || values[x] != band.nodata)) {
                    visit(values[x]);
                    found = true;
                }
        }
        if (status == SGC_OK &&
            !Goes(progress, progressData,
                  static_cast<double>(i + 1) / static_cast<double>(strips.size())))
            return CE_Failure;
    }
    if (status != SGC_OK) {
        SGCReport(status, error);
        return CE_Failure;
    }
    if (!found)
        CPLDebug("SGC", "%s: nothing is complete yet that has a value", GetDescription());
    return found ? CE_None : CE_Warning;
}

// Of what will be read all, the price is told before the first byte. GDAL up to 3.10 takes the
// pixels from its cache of blocks, maybe without asking us.
CPLErr SGCBand::ReadAll(const std::function<CPLErr()> &read, bool *isComplete)
{
    SGCHandle &handle = *dataset_->Handle();
    DropIncompleteBlocks();
    if (!handle.CanAfford(Window({0, 0, nRasterXSize, nRasterYSize})))
        return CE_Failure;
    const uint64_t before = handle.IncompleteReads();
    handle.AnnounceAll(dataset_->Level());
    const CPLErr result = read();
    handle.Withdraw(dataset_->Level());
    if (isComplete != nullptr)
        *isComplete = handle.IncompleteReads() == before;
    return result;
}

CPLErr SGCBand::ComputeStatistics(int approxOK, double *minimum, double *maximum, double *mean,
                                  double *stddev, GDALProgressFunc progress,
                                  void *progressData SGC_STATISTICS_OPTIONS)
{
    if (!approxOK) {
        bool isComplete = true;
        const auto compute = [&] {
            return GDALRasterBand::ComputeStatistics(approxOK, minimum, maximum, mean, stddev,
                                                     progress,
                                                     progressData SGC_GIVEN_STATISTICS_OPTIONS);
        };
        const CPLErr result = ReadAll(compute, &isComplete);
        if (!isComplete)
            SetMetadataItem("STATISTICS_APPROXIMATE", "YES");
        return result;
    }
    const sgc_band &band = Definition();
    double low = std::numeric_limits<double>::infinity(), high = -low, average = 0, squares = 0;
    double count = 0;
    CPLErr result = Sample(
        [&](double value) {
            low = std::min(low, value);
            high = std::max(high, value);
            const double before = value - average;
            average += before / ++count;
            squares += before * (value - average);
        },
        progress, progressData);
    double deviation = std::sqrt(squares / count);
    if (result == CE_Warning && band.has_statistics) {
        low = band.minimum;
        high = band.maximum;
        average = band.mean;
        deviation = band.stddev;
        result = CE_None;
    }
    const bool known = result == CE_None;
    const std::pair<double *, double> answers[] = {
        {minimum, low}, {maximum, high}, {mean, average}, {stddev, deviation}};
    for (const auto &answer : answers)
        if (answer.first != nullptr)
            *answer.first = known ? answer.second : std::numeric_limits<double>::quiet_NaN();
    return result;
}

CPLErr SGCBand::ComputeRasterMinMax(int approxOK, double *minmax)
{
    if (approxOK)
        return ComputeStatistics(TRUE, &minmax[0], &minmax[1], nullptr, nullptr, nullptr, nullptr);
    return ReadAll([&] { return GDALRasterBand::ComputeRasterMinMax(approxOK, minmax); });
}

CPLErr SGCBand::GetHistogram(double from, double to, int buckets, GUIntBig *histogram,
                             int includeOutOfRange, int approxOK, GDALProgressFunc progress,
                             void *progressData)
{
    if (!approxOK || buckets < 1)
        return ReadAll([&] {
            return GDALRasterBand::GetHistogram(from, to, buckets, histogram, includeOutOfRange,
                                                approxOK, progress, progressData);
        });
    std::fill_n(histogram, buckets, 0);
    const double scale = to > from ? buckets / (to - from) : 0;
    const CPLErr result = Sample(
        [&](double value) {
            const double at = std::floor((value - from) * scale);
            const bool inside = at >= 0 && at < buckets;
            if (inside || (includeOutOfRange && !std::isnan(at)))
                histogram[static_cast<int>(std::clamp(at, 0.0, buckets - 1.0))]++;
        },
        progress, progressData);
    if (result != CE_Warning || !Definition().has_statistics || to <= from)
        return result;
    Expect(Definition(), from, to, buckets, includeOutOfRange != FALSE, histogram);
    return CE_None;
}

// The counts are exact, but GDAL takes approximate bounds for them, which may not be known.
CPLErr SGCBand::GetDefaultHistogram(double *minimum, double *maximum, int *buckets,
                                    GUIntBig **histogram, int force, GDALProgressFunc progress,
                                    void *progressData)
{
    double low, high;
    if (force && eDataType != GDT_Byte &&
        GetStatistics(TRUE, TRUE, &low, &high, nullptr, nullptr) == CE_Warning) {
        const CPLErr result =
            ComputeStatistics(FALSE, &low, &high, nullptr, nullptr, GDALDummyProgress, nullptr);
        if (result != CE_None)
            return result;
    }
    return GDALRasterBand::GetDefaultHistogram(minimum, maximum, buckets, histogram, force,
                                               progress, progressData);
}
