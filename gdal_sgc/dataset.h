// GDAL's view of a cube: a dataset per level, a band per channel.
#ifndef SGC_DATASET_H
#define SGC_DATASET_H

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <gdal_rat.h>

#include "gdal_sgc/compat.h"
#include "gdal_sgc/cube.h"
#include "gdal_sgc/cube_state.h"
#include "gdal_sgc/look.h"

// Says a failure of ours in GDAL's way. Emitted by the caller's thread, with no lock held.
void SGCReport(sgc_status status, const sgc_error &error);

// GDAL's progress of a read: of loading what is missing, if anything is, and of decoding. Its
// function is called by the thread that reads, and may be none.
class SGCProgress
{
  public:
    // Of a read that decodes so many rows.
    SGCProgress(const GDALRasterIOExtraArg &extra, int64_t rows)
        : function_(extra.pfnProgress), data_(extra.pProgressData), rows_(rows)
    {
    }
    bool IsWanted() const
    {
        return function_ != nullptr;
    }
    // A fraction of what is missing has been loaded; false when the user wants to stop.
    bool Loaded(double fraction);
    // So many rows more have been decoded; false, having reported it, when the user wants to stop.
    bool Decoded(int64_t rows);

  private:
    GDALProgressFunc function_;
    void *data_;
    int64_t rows_, decoded_ = 0;
    double loaded_ = 0; // of the whole
};

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

    // Reports what is wrong with what was opened; names the .sgc file that it may stand in.
    void Refuse(sgc_status status, sgc_error &error) const;

    sgc_cube *Cube() const
    {
        return cube_;
    }
    const sgc_connection &Connection() const
    {
        return *connection_;
    }

    // Remembers, as a hint of GDAL's, what will be read of a level at native size. Nothing is
    // downloaded for it before a read comes that follows it: one of a strip as wide as `rect`, at
    // its top, or where the last such strip lies or ends. The first strip fails if MAX_DOWNLOAD
    // does not bear all of `rect`; with each, loading goes on below, a little (cube.h, `ahead`).
    // The first read of the level that does anything else, or fails, ends it: programs announce
    // rasters that they do not read then.
    void Announce(size_t level, const sgc_rect &rect);
    // The same for who reads all of the level, in any order, until he withdraws it.
    void AnnounceAll(size_t level);
    void Withdraw(size_t level);

    // False, having reported it, when a read of the window would fail because of its price.
    bool CanAfford(const sgc_window &window);

    // How many reads were served with nodata for want of a download.
    uint64_t IncompleteReads();

    // Ensures the window and gives the view to read it from. Failures are reported. A level's
    // pixels count as decimated in any case. *missing, if not nullptr, tells whether some of the
    // window is not there for lack of a download. `progress` may be nullptr.
    CPLErr Ensure(const sgc_window &window, bool isDecimated, SGCProgress *progress,
                  sgc_view **view, bool *missing = nullptr);

    SGCLook &Look()
    {
        return look_;
    }

    // Reads a window of a slice from a view, in the channel's type; on a map coarser pixels stand
    // where chunks are missing.
    sgc_status Read(const sgc_view *view, size_t level, const sgc_slice &slice,
                    const sgc_rect &rect, void *buffer, sgc_error *error) const;

  private:
    // What was said of a level, and the last strip that was read of it.
    struct Announcement {
        sgc_rect rect{}, strip{};
        bool isHint = true; // else it holds until it is withdrawn
    };

    SGCHandle() = default;
    sgc_policy Policy(size_t level, bool isDecimated);
    sgc_rect Follow(const sgc_window &window);
    void Finish(const sgc_window &window, sgc_status status, const sgc_ensured &ensured,
                uint64_t downloaded);
    bool IsFirst(bool &warned);
    void Warn(const sgc_ensured &ensured);

    sgc_connection *connection_ = nullptr;
    sgc_cube *cube_ = nullptr;
    std::mutex mutex_{};
    uint64_t downloaded_ = 0; // estimated bytes, counted against MAX_DOWNLOAD
    uint64_t incompleteReads_ = 0;
    bool warnedOfMissing_ = false, warnedOfUnverified_ = false, warnedOfAbsences_ = false;
    Announcement announced_[SGC_MOST_LEVELS]{};
    SGCLook look_{};
};

// Keys and texts that say where the pixels come from, for the metadata of whatever is made of them:
// what the definition has, and the snapshot that the cube shows now.
std::vector<std::pair<const char *, std::string>> SGCProvenance(const SGCHandle &handle);

// What a cube shows now, for as long as this lives.
class SGCView
{
  public:
    explicit SGCView(sgc_cube *cube)
    {
        sgc_cube_view(cube, &view_);
    }
    ~SGCView()
    {
        sgc_view_unref(view_);
    }
    SGCView(const SGCView &) = delete;
    SGCView &operator=(const SGCView &) = delete;
    const sgc_view *Get() const
    {
        return view_;
    }

  private:
    sgc_view *view_ = nullptr;
};

// As sgc_view_visit_complete(), which calls visit(pixels, hasData).
template <typename Visit>
sgc_status SGCVisitComplete(const sgc_view *view, size_t level, const sgc_slice &slice,
                            const sgc_rect &chunks, Visit &visit, sgc_error *error)
{
    const auto call = [](void *user, sgc_rect pixels, bool hasData) {
        (*static_cast<Visit *>(user))(pixels, hasData);
    };
    return sgc_view_visit_complete(view, level, slice, chunks, call, &visit, error);
}

// A buffer of pixels; GDAL's allocator reports a failure.
class SGCScratch
{
  public:
    SGCScratch(size_t rows, size_t bytesPerRow) : data_(VSI_MALLOC2_VERBOSE(rows, bytesPerRow))
    {
    }
    ~SGCScratch()
    {
        VSIFree(data_);
    }
    SGCScratch(const SGCScratch &) = delete;
    SGCScratch &operator=(const SGCScratch &) = delete;
    GByte *Get() const
    {
        return static_cast<GByte *>(data_);
    }

  private:
    void *data_;
};

// The channels that CHANNELS names; without it, those that fit into one raster with the first one.
// Gives none, having reported why, when one is not known.
std::vector<size_t> SGCChooseChannels(const SGCHandle &handle);

// The consecutive steps that TIME names; without it one, or, where there is a time axis, none:
// *count is 0. False, having reported why, when TIME names none.
bool SGCChooseSteps(const SGCHandle &handle, size_t *first, size_t *count);

// A window in fractions of pixels.
struct SGCFloatWindow {
    double x, y, width, height;
};

// What a read is of: the floating window of `extra`, where it has one. `extra` may be nullptr.
SGCFloatWindow SGCWindowOfRead(const sgc_rect &rect, const GDALRasterIOExtraArg *extra);

// True for a read that gives the pixels of a window as they are; any other one is resampled.
bool SGCIsNative(const sgc_rect &rect, int bufXSize, int bufYSize,
                 const GDALRasterIOExtraArg *extra = nullptr);

class SGCDataset;

// The level that serves a decimated read, and what is read there.
struct SGCCoarseRead {
    SGCDataset *level;
    sgc_rect rect;
    GDALRasterIOExtraArg extra;
};

// While it lives, what GDAL reads is for a decimated read.
class SGCDecimation
{
  public:
    SGCDecimation(bool &flag, bool decimates) : flag_(flag), outer_(flag)
    {
        flag = flag || decimates;
    }
    ~SGCDecimation()
    {
        flag_ = outer_;
    }
    SGCDecimation(const SGCDecimation &) = delete;
    SGCDecimation &operator=(const SGCDecimation &) = delete;

  private:
    bool &flag_;
    bool outer_;
};

class SGCBand;

// Neither it nor its bands obey GDAL_FORCE_CACHING: GDAL's cache of blocks would not ask us whether
// what was missing when a block was made is still missing.
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
    char **GetMetadataDomainList() override;
    SGC_METADATA GetMetadata(const char *domain) override;
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
#if SGC_GDAL_AT_LEAST(3, 8)
    static GDALSubdatasetInfo *GetSubdatasetInfo(const char *name);
#endif
    // Overviews of this dataset: those of the coarser levels.
    int OverviewCount() const;
    SGCDataset *Overview(int index);
    // How many of the bands that a map shows at once have chunks of their own.
    size_t ReadsOfMap();
    // The same bands at a finer level, without overviews.
    SGCDataset *Finer(size_t level);
    // Whether GDAL reads native windows of this level only to decimate them.
    bool IsDecimating() const
    {
        return isDecimating_;
    }
    SGCDecimation Decimate(bool decimates)
    {
        return {isDecimating_, decimates};
    }
    using GDALDataset::AreOverviewsEnabled;

  protected:
    CPLErr IRasterIO(GDALRWFlag rw, int xOff, int yOff, int xSize, int ySize, void *data,
                     int bufXSize, int bufYSize, GDALDataType bufType, int bandCount,
                     BANDMAP_TYPE bandMap, GSpacing pixelSpace, GSpacing lineSpace,
                     GSpacing bandSpace, GDALRasterIOExtraArg *extra) override;

  private:
    SGCDataset(std::shared_ptr<SGCHandle> handle, size_t level,
               const std::vector<sgc_slice> &slices);
    std::optional<SGCCoarseRead> FindLevel(const sgc_rect &rect, int bufXSize, int bufYSize,
                                           int bandCount, const int *bandMap,
                                           const GDALRasterIOExtraArg *extra);
    std::vector<sgc_slice> Slices(int bandCount, const int *bandMap);
    std::vector<sgc_slice> ShownSlices();
    void DescribePixels();
    void DescribeCube();
    void ShowSnapshot();
    bool DescribeState();
    bool AddSubdatasets(const std::vector<size_t> &channels);
    void AddPatches();
    bool AddSubdataset(const char *time, const char *channels, const std::string &description);

    std::shared_ptr<SGCHandle> handle_;
    size_t level_;
    OGRSpatialReference spatialRef_{};
    std::vector<std::unique_ptr<SGCDataset>> overviews_{};
    std::vector<std::unique_ptr<SGCDataset>> finer_{}; // each made when this level needs it
    bool isDecimating_ = false;
    CPLStringList state_{}; // the domain "SGC", as it was when it was last asked for
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
    int64_t GetNoDataValueAsInt64(int *success) override;
    uint64_t GetNoDataValueAsUInt64(int *success) override;
    const char *GetUnitType() override;
    double GetScale(int *success) override;
    double GetOffset(int *success) override;

    char **GetMetadataDomainList() override;
    const char *GetMetadataItem(const char *name, const char *domain) override;

    // What values mean (categories.cpp). Made when they are asked for.
    char **GetCategoryNames() override;
    GDALColorTable *GetColorTable() override;
    GDALColorInterp GetColorInterpretation() override;
    GDALRasterAttributeTable *GetDefaultRAT() override;

    // Approximate ones are of what is complete, or else as the definition lets expect, and download
    // nothing: CE_Warning, without a message, where there is neither. Exact ones read every pixel
    // (statistics.cpp).
    CPLErr ComputeStatistics(int approxOK, double *minimum, double *maximum, double *mean,
                             double *stddev, GDALProgressFunc progress,
                             void *progressData SGC_STATISTICS_OPTIONS) override;
    CPLErr ComputeRasterMinMax(int approxOK, double *minmax) override;
    CPLErr GetHistogram(double from, double to, int buckets, GUIntBig *histogram,
                        int includeOutOfRange, int approxOK, GDALProgressFunc progress,
                        void *progressData) override;
    CPLErr GetDefaultHistogram(double *minimum, double *maximum, int *buckets, GUIntBig **histogram,
                               int force, GDALProgressFunc progress, void *progressData) override;

    int GetOverviewCount() override;
    GDALRasterBand *GetOverview(int index) override;
    CPLErr AdviseRead(int xOff, int yOff, int xSize, int ySize, int bufXSize, int bufYSize,
                      GDALDataType bufType, SGC_OPTIONS options) override;

    // Reads a window at native size from a view that has it.
    CPLErr ReadView(const sgc_view *view, const sgc_rect &rect, void *data, GDALDataType bufType,
                    GSpacing pixelSpace, GSpacing lineSpace, SGCProgress *progress = nullptr);

    // The level that serves a decimated read, if one does.
    std::optional<SGCCoarseRead> FindLevel(const sgc_rect &rect, int bufXSize, int bufYSize,
                                           const GDALRasterIOExtraArg *extra);
    // True for a window of a level that may not be downloaded, and whose missing chunks are there
    // at finer levels: it is computed.
    bool IsComputed(const sgc_rect &rect);

  protected:
    CPLErr IReadBlock(int xBlock, int yBlock, void *image) override;
    CPLErr IRasterIO(GDALRWFlag rw, int xOff, int yOff, int xSize, int ySize, void *data,
                     int bufXSize, int bufYSize, GDALDataType bufType, GSpacing pixelSpace,
                     GSpacing lineSpace, GDALRasterIOExtraArg *extra) override;
    int IGetDataCoverageStatus(int xOff, int yOff, int xSize, int ySize, int maskFlagStop,
                               double *percent) override;

  private:
    // What a window is read from: a view that has it, or finer levels.
    struct Source {
        Source() = default;
        ~Source();
        Source(const Source &) = delete;
        Source &operator=(const Source &) = delete;

        sgc_view *view = nullptr;
        bool isComputed = false;
        bool missing = false; // some of it is not there, and reads as something else
    };
    // Ensures a window of native pixels, unless they are computed.
    CPLErr Prepare(const sgc_rect &rect, bool isDecimated, SGCProgress *progress, Source &source);
    CPLErr ReadSource(const Source &source, const sgc_rect &rect, void *data, GDALDataType bufType,
                      GSpacing pixelSpace, GSpacing lineSpace, SGCProgress *progress = nullptr);

    using Visitor = std::function<void(double)>;
    CPLErr Sample(const Visitor &visit, GDALProgressFunc progress, void *progressData);
    CPLErr ReadAll(const std::function<CPLErr()> &read, bool *isComplete = nullptr);
    const char *PatchesAt(int x, int y);

    bool MayUse(const SGCCoarseRead &coarse, const sgc_rect &rect);
    CPLErr Compute(const sgc_rect &rect, void *data, GDALDataType bufType, GSpacing pixelSpace,
                   GSpacing lineSpace);
    CPLErr ComputeChunk(const sgc_rect &rect, GByte *data, GDALDataType bufType,
                        GSpacing pixelSpace, GSpacing lineSpace);
    CPLErr ComputeTile(const sgc_rect &rect, size_t finer, GByte *data, GDALDataType bufType,
                       GSpacing pixelSpace, GSpacing lineSpace);
    std::unique_ptr<GDALDataset> InMemory(int width, int height);
    CPLErr ReadNearest(const sgc_rect &rect, void *data, int bufXSize, int bufYSize,
                       GDALDataType bufType, GSpacing pixelSpace, GSpacing lineSpace,
                       const GDALRasterIOExtraArg &extra);
    const sgc_band &Definition() const;
    sgc_window Window(const sgc_rect &rect) const;

    void DropIncompleteBlocks();

    SGCDataset *dataset_; // poDS
    sgc_slice slice_;
    std::vector<std::pair<int, int>> incomplete_{}; // blocks that GDAL may keep with nodata in them
    CPLString answer_{};                            // the last live metadata item
    CPLStringList categoryNames_{};
    std::unique_ptr<GDALColorTable> colors_{};
    std::unique_ptr<GDALRasterAttributeTable> attributes_{};
};

#endif
