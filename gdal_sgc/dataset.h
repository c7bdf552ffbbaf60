// GDAL's view of a cube: a dataset per level, a band per channel.
#ifndef SGC_DATASET_H
#define SGC_DATASET_H

#include <memory>
#include <mutex>
#include <vector>

#include "gdal_sgc/compat.h"
#include "gdal_sgc/cube.h"

// Says a failure of ours in GDAL's way. Emitted by the caller's thread, with no lock held.
void SGCReport(sgc_status status, const sgc_error &error);

// One opening of a cube: the cube and what the user said when opening it. Shared by the datasets of
// all levels.
class SGCHandle
{
  public:
    // Gives nullptr, having reported why.
    static std::shared_ptr<SGCHandle> Open(const char *name, CSLConstList openOptions);
    ~SGCHandle();
    SGCHandle(const SGCHandle &) = delete;
    SGCHandle &operator=(const SGCHandle &) = delete;

    sgc_cube *Cube() const
    {
        return cube_;
    }
    const sgc_connection &Connection() const
    {
        return *connection_;
    }

    // Remembers a window that will be read. Nothing is downloaded for it before a read comes.
    void Announce(size_t level, const sgc_rect &rect, const sgc_slice &slice);

    // Ensures the window and gives the view to read it from. Failures are reported.
    // *missing, if not nullptr, tells whether some of it reads as nodata for lack of a download.
    CPLErr Ensure(const sgc_window &window, GDALProgressFunc progress, void *progressData,
                  sgc_view **view, bool *missing = nullptr);

  private:
    // What was said of a level: a rectangle, and its slices by step and band.
    struct Announcement {
        sgc_rect rect{};
        std::vector<sgc_slice> slices{};
    };

    SGCHandle() = default;
    bool IsFirst(bool &warned);
    void Warn(const sgc_ensured &ensured);

    sgc_connection *connection_ = nullptr;
    sgc_cube *cube_ = nullptr;
    std::mutex mutex_{};
    uint64_t downloaded_ = 0; // estimated bytes, counted against MAX_DOWNLOAD
    bool warnedOfMissing_ = false, warnedOfUnverified_ = false;
    std::vector<Announcement> announced_{}; // by level
};

class SGCBand;

class SGCDataset final : public GDALDataset
{
  public:
    static int Identify(GDALOpenInfo *info);
    static GDALDataset *Open(GDALOpenInfo *info);
    ~SGCDataset() override;

#if SGC_GDAL_AT_LEAST(3, 12)
    CPLErr GetGeoTransform(GDALGeoTransform &transform) const override;
#else
    CPLErr GetGeoTransform(double *transform) override;
#endif
    const OGRSpatialReference *GetSpatialRef() const override;
    const char *GetMetadataItem(const char *name, const char *domain) override;
    char **GetFileList() override;
    // The layer of patches, where it was opened for vectors (patch_layer.cpp).
    int GetLayerCount() SGC_CONST_LAYER override;
    SGC_CONST_LAYER OGRLayer *GetLayer(int index) SGC_CONST_LAYER override;
    int CloseDependentDatasets() override;

    const std::shared_ptr<SGCHandle> &Handle() const
    {
        return handle_;
    }
    size_t Level() const
    {
        return level_;
    }
    // Overviews of this dataset: those of the coarser levels.
    int OverviewCount() const;
    SGCDataset *Overview(int index);
    // Of a level: the same bands at full resolution.
    SGCDataset *FullResolution();
    using GDALDataset::AreOverviewsEnabled;

  protected:
    CPLErr IRasterIO(GDALRWFlag rw, int xOff, int yOff, int xSize, int ySize, void *data,
                     int bufXSize, int bufYSize, GDALDataType bufType, int bandCount,
                     BANDMAP_TYPE bandMap, GSpacing pixelSpace, GSpacing lineSpace,
                     GSpacing bandSpace, GDALRasterIOExtraArg *extra) override;

  private:
    SGCDataset(std::shared_ptr<SGCHandle> handle, size_t level,
               const std::vector<sgc_slice> &slices);
    std::vector<sgc_slice> Slices(int bandCount, const int *bandMap);
    void DescribeCube();
    bool AddSubdatasets(const std::vector<size_t> &channels);
    void AddPatches();
    bool AddSubdataset(const char *time, const char *channels, const std::string &description);

    std::shared_ptr<SGCHandle> handle_;
    size_t level_;
    OGRSpatialReference spatialRef_{};
    std::vector<std::unique_ptr<SGCDataset>> overviews_{};
    std::unique_ptr<SGCDataset> fullResolution_{}; // made when a level needs it
    CPLString windowState_{};
    int subdatasets_ = 0;
    std::unique_ptr<OGRLayer> patches_{};
};

class SGCBand final : public GDALRasterBand
{
  public:
    SGCBand(SGCDataset *dataset, int number, const sgc_slice &slice);

    const sgc_slice &Slice() const
    {
        return slice_;
    }
    // Its name where several bands are of the same channel or step.
    void Describe(bool byChannel, bool byTime);

    double GetNoDataValue(int *success) override;
    const char *GetUnitType() override;
    double GetScale(int *success) override;
    double GetOffset(int *success) override;
    int GetOverviewCount() override;
    GDALRasterBand *GetOverview(int index) override;
    CPLErr AdviseRead(int xOff, int yOff, int xSize, int ySize, int bufXSize, int bufYSize,
                      GDALDataType bufType, SGC_OPTIONS options) override;

    // Reads a window at native size from a view that has it.
    CPLErr ReadView(const sgc_view *view, const sgc_rect &rect, void *data, GDALDataType bufType,
                    GSpacing pixelSpace, GSpacing lineSpace);

    // True for a window of a level that may not be downloaded and is complete at full resolution:
    // it is computed.
    bool IsComputed(const sgc_rect &rect);

  protected:
    CPLErr IReadBlock(int xBlock, int yBlock, void *image) override;
    CPLErr IRasterIO(GDALRWFlag rw, int xOff, int yOff, int xSize, int ySize, void *data,
                     int bufXSize, int bufYSize, GDALDataType bufType, GSpacing pixelSpace,
                     GSpacing lineSpace, GDALRasterIOExtraArg *extra) override;

  private:
    bool MayUseOverviews(const sgc_rect &rect, int bufXSize, int bufYSize,
                         const GDALRasterIOExtraArg &extra);
    CPLErr Compute(const sgc_rect &rect, void *data, GDALDataType bufType, GSpacing pixelSpace,
                   GSpacing lineSpace);
    CPLErr ReadNearest(const sgc_rect &rect, void *data, int bufXSize, int bufYSize,
                       GDALDataType bufType, GSpacing pixelSpace, GSpacing lineSpace,
                       const GDALRasterIOExtraArg &extra);
    const sgc_band &Definition() const;
    sgc_window Window(const sgc_rect &rect) const;

    void DropIncompleteBlocks();

    SGCDataset *dataset_; // poDS
    sgc_slice slice_;
    std::vector<std::pair<int, int>> incomplete_{}; // blocks that GDAL may keep with nodata in them
};

#endif
