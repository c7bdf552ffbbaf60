// Levels that nobody may download, computed of finer ones.
#include <algorithm>
#include <memory>

#include "gdal_sgc/dataset.h"

namespace
{

constexpr int64_t SIDE = 2048; // of finer pixels, at once

GDALRIOResampleAlg ResamplingOf(const sgc_band &band)
{
    switch (band.resampling) {
    case SGC_RESAMPLE_NEAREST:
        return GRIORA_NearestNeighbour;
    case SGC_RESAMPLE_BILINEAR:
        return GRIORA_Bilinear;
    case SGC_RESAMPLE_CUBIC:
        return GRIORA_Cubic;
    case SGC_RESAMPLE_AVERAGE:
        return GRIORA_Average;
    case SGC_RESAMPLE_MODE:
        return GRIORA_Mode;
    }
    return GRIORA_NearestNeighbour;
}

} // namespace

bool SGCBand::IsComputed(const sgc_rect &rect)
{
    const SGCHandle &handle = *dataset_->Handle();
    if (dataset_->Level() == 0 ||
        (handle.Connection().download && sgc_cube_can_load(handle.Cube())))
        return false;
    const sgc_window window = Window(rect);
    bool can = false;
    return sgc_cube_can_compute(handle.Cube(), &window, &can, nullptr) == SGC_OK && can;
}

// Chunk by chunk, each from the level that has it.
CPLErr SGCBand::Compute(const sgc_rect &rect, void *data, GDALDataType bufType, GSpacing pixelSpace,
                        GSpacing lineSpace)
{
    const sgc_level *level = sgc_cube_level(dataset_->Handle()->Cube(), dataset_->Level());
    const sgc_rect chunks = sgc_level_chunks(level, rect);
    CPLErr result = CE_None;
    for (int64_t i = 0; i < chunks.width * chunks.height && result == CE_None; i++) {
        const sgc_rect chunk =
            sgc_level_chunk_rect(level, chunks.y + i / chunks.width, chunks.x + i % chunks.width);
        const sgc_rect part = sgc_rect_intersect(chunk, rect);
        GByte *at = static_cast<GByte *>(data) + (part.y - rect.y) * lineSpace +
                    (part.x - rect.x) * pixelSpace;
        result = ComputeChunk(part, at, bufType, pixelSpace, lineSpace);
    }
    return result;
}

// The last row and column of a level may stand for less than a whole pixel of it: they are parts of
// their own.
CPLErr SGCBand::ComputeChunk(const sgc_rect &rect, GByte *data, GDALDataType bufType,
                             GSpacing pixelSpace, GSpacing lineSpace)
{
    sgc_cube *cube = dataset_->Handle()->Cube();
    const sgc_window window = Window(rect);
    size_t finer = 0;
    sgc_error error = {""};
    const sgc_status status = sgc_cube_find_finer(cube, &window, &finer, &error);
    if (status != SGC_OK) {
        SGCReport(status, error);
        return CE_Failure;
    }
    if (finer == dataset_->Level()) {
        GDALRasterIOExtraArg extra;
        INIT_RASTERIO_EXTRA_ARG(extra);
        return RasterIO(GF_Read, static_cast<int>(rect.x), static_cast<int>(rect.y),
                        static_cast<int>(rect.width), static_cast<int>(rect.height), data,
                        static_cast<int>(rect.width), static_cast<int>(rect.height), bufType,
                        pixelSpace, lineSpace, &extra);
    }
    const sgc_level *from = sgc_cube_level(cube, finer);
    const int64_t ratio = sgc_cube_level(cube, dataset_->Level())->factor / from->factor;
    const int64_t side = std::max<int64_t>(SIDE / ratio, 1);
    sgc_rect parts[4];
    const size_t count = sgc_rect_split_cut(&from->grid, rect, ratio, parts);
    CPLErr result = CE_None;
    for (size_t i = 0; i < count; i++) {
        const sgc_rect &part = parts[i];
        for (int64_t y = part.y; y < part.y + part.height && result == CE_None; y += side)
            for (int64_t x = part.x; x < part.x + part.width && result == CE_None; x += side) {
                const sgc_rect tile = sgc_rect_intersect(part, {x, y, side, side});
                result = ComputeTile(tile, finer,
                                     data + (y - rect.y) * lineSpace + (x - rect.x) * pixelSpace,
                                     bufType, pixelSpace, lineSpace);
            }
    }
    return result;
}

// Of a copy of what is needed: GDAL reads a little more than it resamples, which may be missing.
CPLErr SGCBand::ComputeTile(const sgc_rect &rect, size_t finer, GByte *data, GDALDataType bufType,
                            GSpacing pixelSpace, GSpacing lineSpace)
{
    sgc_cube *cube = dataset_->Handle()->Cube();
    const sgc_level *level = sgc_cube_level(cube, dataset_->Level());
    const sgc_level *from = sgc_cube_level(cube, finer);
    const sgc_window window = Window(rect);
    const sgc_rect needed = sgc_cube_rect_at_finer(cube, &window, finer);
    const sgc_rect under = sgc_rect_under_level(&from->grid, rect, level->factor / from->factor);
    const auto width = static_cast<int>(needed.width), height = static_cast<int>(needed.height);
    const GSpacing size = GDALGetDataTypeSizeBytes(eDataType);
    const SGCScratch pixels(static_cast<size_t>(needed.height),
                            static_cast<size_t>(needed.width * size));
    GDALRasterIOExtraArg extra;
    INIT_RASTERIO_EXTRA_ARG(extra);
    const auto copy = InMemory(width, height);
    if (pixels.Get() == nullptr || copy == nullptr ||
        dataset_->Finer(finer)->GetRasterBand(nBand)->RasterIO(
            GF_Read, static_cast<int>(needed.x), static_cast<int>(needed.y), width, height,
            pixels.Get(), width, height, eDataType, size, size * width, &extra) != CE_None ||
        copy->GetRasterBand(1)->RasterIO(GF_Write, 0, 0, width, height, pixels.Get(), width, height,
                                         eDataType, size, size * width, &extra) != CE_None)
        return CE_Failure;
    extra.eResampleAlg = ResamplingOf(Definition());
    return copy->GetRasterBand(1)->RasterIO(
        GF_Read, static_cast<int>(under.x - needed.x), static_cast<int>(under.y - needed.y),
        static_cast<int>(under.width), static_cast<int>(under.height), data,
        static_cast<int>(rect.width), static_cast<int>(rect.height), bufType, pixelSpace, lineSpace,
        &extra);
}

// A raster without pixels that is like this band otherwise.
std::unique_ptr<GDALDataset> SGCBand::InMemory(int width, int height)
{
    GDALDriver *driver = GetGDALDriverManager()->GetDriverByName("MEM");
    std::unique_ptr<GDALDataset> raster(
        driver != nullptr ? driver->Create("", width, height, 1, eDataType, nullptr) : nullptr);
    if (raster == nullptr) {
        if (driver == nullptr)
            CPLError(CE_Failure, CPLE_NotSupported,
                     "SGC: levels are computed with GDAL's driver MEM, which GDAL_SKIP leaves out");
        return nullptr;
    }
    GDALRasterBand *band = raster->GetRasterBand(1);
    int has = FALSE;
    if (eDataType == GDT_Int64)
        band->SetNoDataValueAsInt64(GetNoDataValueAsInt64(&has));
    else if (eDataType == GDT_UInt64)
        band->SetNoDataValueAsUInt64(GetNoDataValueAsUInt64(&has));
    else if (const double nodata = GetNoDataValue(&has); has)
        band->SetNoDataValue(nodata);
    return raster;
}
