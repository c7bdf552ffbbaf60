#include "gdal_sgc/multidim.h"

#include <algorithm>
#include <numeric>
#include <string>
#include <utility>

#include "gdal_sgc/cube_state.h"

namespace
{

constexpr size_t STRIP_BYTES = size_t{8} << 20;

const sgc_band &BandOf(const SGCHandle &handle, size_t band)
{
    return sgc_cube_definition(handle.Cube())->bands[band];
}

// ---- reading ----

// Where samples of an axis are taken, ascending, and how they lie in the buffer.
struct Samples {
    int64_t first, step;
    size_t count;
    GPtrDiff_t offset, stride; // in items of the buffer

    int64_t At(size_t i) const
    {
        return first + static_cast<int64_t>(i) * step;
    }
    int64_t Extent() const
    {
        return At(count - 1) - first + 1;
    }
};

Samples Ascending(GUInt64 start, size_t count, GInt64 step, GPtrDiff_t stride)
{
    Samples samples = {static_cast<int64_t>(start), step, count, 0, stride};
    if (step < 0)
        samples = {samples.At(count - 1), -step, count, static_cast<GPtrDiff_t>(count - 1) * stride,
                   -stride};
    return samples;
}

// Cuts samples where whole chunks lie between two of them, which need not be loaded.
std::vector<Samples> CutAtGaps(const Samples &all, int64_t chunk)
{
    std::vector<Samples> runs;
    for (size_t i = 0; i < all.count; i++) {
        const int64_t at = all.At(i);
        if (runs.empty() || at / chunk > runs.back().At(runs.back().count - 1) / chunk + 1)
            runs.push_back({at, all.step, 0, all.offset + static_cast<GPtrDiff_t>(i) * all.stride,
                            all.stride});
        runs.back().count++;
    }
    return runs;
}

struct Buffer {
    GByte *data;
    const GDALExtendedDataType &type;
};

// A channel. Reads obey the handle's policy, like those of bands.
class ChannelArray final : public SGCArray
{
  public:
    static std::shared_ptr<GDALMDArray> Create(std::shared_ptr<SGCHandle> handle, size_t band,
                                               size_t firstStep, const SGCDimensions &dimensions,
                                               std::shared_ptr<OGRSpatialReference> spatialRef)
    {
        std::shared_ptr<ChannelArray> array(new ChannelArray(std::move(handle), band, firstStep,
                                                             dimensions, std::move(spatialRef)));
        array->SetSelf(array);
        return array;
    }

    std::vector<GUInt64> GetBlockSize() const override;
    SGCAttributes GetAttributes(CSLConstList /* options */) const override
    {
        return SGCChannelAttributes(GetFullName(), Definition());
    }
    CSLConstList GetStructuralInfo() const override
    {
        return structure_.List();
    }
    const void *GetRawNoDataValue() const override
    {
        return nodata_.empty() ? nullptr : nodata_.data();
    }
    double GetScale(bool *has, GDALDataType *storage) const override
    {
        return PackingOf(Definition().scale, 1, has, storage);
    }
    double GetOffset(bool *has, GDALDataType *storage) const override
    {
        return PackingOf(Definition().offset, 0, has, storage);
    }
    std::shared_ptr<OGRSpatialReference> GetSpatialRef() const override
    {
        return spatialRef_;
    }

  protected:
    bool IRead(const GUInt64 *start, const size_t *count, const GInt64 *step,
               const GPtrDiff_t *stride, const GDALExtendedDataType &bufferType,
               void *buffer) const override;
    bool IAdviseRead(const GUInt64 *start, const size_t *count,
                     CSLConstList options) const override;

  private:
    ChannelArray(std::shared_ptr<SGCHandle> handle, size_t band, size_t firstStep,
                 const SGCDimensions &dimensions, std::shared_ptr<OGRSpatialReference> spatialRef);

    const sgc_band &Definition() const
    {
        return BandOf(*handle_, band_);
    }
    const sgc_level &Level() const
    {
        return *sgc_cube_level(handle_->Cube(), 0);
    }
    double PackingOf(double value, double without, bool *has, GDALDataType *storage) const;
    bool ReadBox(const Samples &time, const Samples &y, const Samples &x,
                 const Buffer &buffer) const;
    bool ReadSlice(const sgc_view *view, const sgc_slice &slice, const Samples &y, const Samples &x,
                   const Buffer &buffer) const;

    std::shared_ptr<SGCHandle> handle_;
    size_t band_, firstStep_;
    std::shared_ptr<OGRSpatialReference> spatialRef_;
    std::vector<GByte> nodata_{}; // empty: there is none
    CPLStringList structure_{};
};

ChannelArray::ChannelArray(std::shared_ptr<SGCHandle> handle, size_t band, size_t firstStep,
                           const SGCDimensions &dimensions,
                           std::shared_ptr<OGRSpatialReference> spatialRef)
    : GDALAbstractMDArray(SGC_ROOT, BandOf(*handle, band).name),
      SGCArray(BandOf(*handle, band).name, BandOf(*handle, band).type, BandOf(*handle, band).unit,
               dimensions),
      handle_(std::move(handle)), band_(band), firstStep_(firstStep),
      spatialRef_(std::move(spatialRef))
{
    char compression[SGC_COMPRESSION_SIZE];
    sgc_view_compression(SGCView(handle_->Cube()).Get(), band_, compression);
    if (compression[0] != '\0')
        structure_.SetNameValue("COMPRESSION", compression);
    if (Definition().is_bool)
        return; // of a mask, 0 is a value
    nodata_.resize(type_.GetSize());
    sgc_band_fill_nodata(&Definition(), nodata_.data(), 1);
}

std::vector<GUInt64> ChannelArray::GetBlockSize() const
{
    std::vector<GUInt64> size(dimensions_.size(), 1);
    size[size.size() - 2] = static_cast<GUInt64>(Level().chunk_height);
    size[size.size() - 1] = static_cast<GUInt64>(Level().chunk_width);
    return size;
}

double ChannelArray::PackingOf(double value, double without, bool *has, GDALDataType *storage) const
{
    if (has != nullptr)
        *has = Definition().has_scale;
    if (storage != nullptr)
        *storage = GDT_Float64;
    return Definition().has_scale ? value : without;
}

bool ChannelArray::IAdviseRead(const GUInt64 *start, const size_t *count,
                               CSLConstList /* options */) const
{
    const size_t y = dimensions_.size() - 2, x = y + 1;
    const sgc_rect rect = {static_cast<int64_t>(start[x]), static_cast<int64_t>(start[y]),
                           static_cast<int64_t>(count[x]), static_cast<int64_t>(count[y])};
    handle_->Announce(0, rect);
    return true;
}

bool ChannelArray::IRead(const GUInt64 *start, const size_t *count, const GInt64 *step,
                         const GPtrDiff_t *stride, const GDALExtendedDataType &bufferType,
                         void *buffer) const
{
    const size_t y = dimensions_.size() - 2, x = y + 1;
    const auto samples = [=](size_t d) {
        return Ascending(start[d], count[d], step[d], stride[d]);
    };
    const Samples now = {0, 0, 1, 0, 0}; // of a static cube
    const Samples time = y > 0 ? samples(0) : now;
    const Buffer all = {static_cast<GByte *>(buffer), bufferType};
    const auto columns = CutAtGaps(samples(x), Level().chunk_width);
    for (const Samples &rows : CutAtGaps(samples(y), Level().chunk_height))
        for (const Samples &part : columns)
            if (!ReadBox(time, rows, part, all))
                return false;
    return true;
}

bool ChannelArray::ReadBox(const Samples &time, const Samples &y, const Samples &x,
                           const Buffer &buffer) const
{
    std::vector<sgc_slice> slices;
    for (size_t i = 0; i < time.count; i++)
        slices.push_back({band_, firstStep_ + static_cast<size_t>(time.At(i))});
    const sgc_window window = {
        0, {x.first, y.first, x.Extent(), y.Extent()}, slices.data(), slices.size()};
    sgc_view *view = nullptr;
    if (handle_->Ensure(window, false, nullptr, &view) != CE_None)
        return false;
    bool good = true;
    const auto size = static_cast<GPtrDiff_t>(buffer.type.GetSize());
    for (size_t i = 0; i < time.count && good; i++) {
        const GPtrDiff_t offset = time.offset + static_cast<GPtrDiff_t>(i) * time.stride;
        good = ReadSlice(view, slices[i], y, x, {buffer.data + offset * size, buffer.type});
    }
    sgc_view_unref(view);
    return good;
}

// Adjacent rows strip by strip, others one by one: what lies between them is not decoded.
bool ChannelArray::ReadSlice(const sgc_view *view, const sgc_slice &slice, const Samples &y,
                             const Samples &x, const Buffer &buffer) const
{
    const size_t rowBytes = static_cast<size_t>(x.Extent()) * type_.GetSize();
    const size_t atOnce = y.step == 1 ? std::clamp<size_t>(STRIP_BYTES / rowBytes, 1, y.count) : 1;
    const auto size = static_cast<GPtrDiff_t>(buffer.type.GetSize());
    const SGCScratch strip(atOnce, rowBytes);
    if (strip.Get() == nullptr)
        return false;
    for (size_t i = 0; i < y.count; i += atOnce) {
        const size_t rows = std::min(atOnce, y.count - i);
        const sgc_rect rect = {x.first, y.At(i), x.Extent(), static_cast<int64_t>(rows)};
        sgc_error error = {""};
        const sgc_status status = handle_->Read(view, 0, slice, rect, strip.Get(), &error);
        if (status != SGC_OK) {
            SGCReport(status, error);
            return false;
        }
        for (size_t row = 0; row < rows; row++) {
            const GPtrDiff_t offset =
                x.offset + y.offset + static_cast<GPtrDiff_t>(i + row) * y.stride;
            if (!GDALExtendedDataType::CopyValues(strip.Get() + row * rowBytes, type_, x.step,
                                                  buffer.data + offset * size, buffer.type,
                                                  x.stride, x.count))
                return false;
        }
    }
    return true;
}

// ---- the root group ----

class RootGroup final : public GDALGroup
{
  public:
    static std::shared_ptr<GDALGroup> Create(std::shared_ptr<SGCHandle> handle,
                                             std::vector<size_t> channels, size_t firstStep,
                                             size_t steps)
    {
        std::shared_ptr<RootGroup> group(
            new RootGroup(std::move(handle), std::move(channels), firstStep, steps));
#if SGC_GDAL_AT_LEAST(3, 8)
        group->SetSelf(group); // for SubsetDimensionFromSelection()
#endif
        return group;
    }

    std::vector<std::string> GetMDArrayNames(CSLConstList options) const override;
    std::shared_ptr<GDALMDArray> OpenMDArray(const std::string &name,
                                             CSLConstList options) const override;
    SGCDimensions GetDimensions(CSLConstList /* options */) const override
    {
        return dimensions_;
    }
    SGCAttributes GetAttributes(CSLConstList options) const override;

  private:
    RootGroup(std::shared_ptr<SGCHandle> handle, std::vector<size_t> channels, size_t firstStep,
              size_t steps);

    const char *ChannelName(size_t channel) const
    {
        return sgc_cube_definition(handle_->Cube())->bands[channel].name;
    }

    std::shared_ptr<SGCHandle> handle_;
    std::vector<size_t> channels_;
    size_t firstStep_;
    SGCDimensions dimensions_{};
    std::shared_ptr<OGRSpatialReference> spatialRef_ = std::make_shared<OGRSpatialReference>();
};

RootGroup::RootGroup(std::shared_ptr<SGCHandle> handle, std::vector<size_t> channels,
                     size_t firstStep, size_t steps)
    : GDALGroup("", SGC_ROOT), handle_(std::move(handle)), channels_(std::move(channels)),
      firstStep_(firstStep)
{
    const sgc_definition *definition = sgc_cube_definition(handle_->Cube());
    spatialRef_->SetAxisMappingStrategy(OAMS_TRADITIONAL_GIS_ORDER);
    spatialRef_->SetFromUserInput(definition->crs);
    dimensions_ = SGCMakeDimensions(handle_, *spatialRef_, firstStep, steps);
    // In the mapping of a raster 1 is x and 2 is y; in that of an array they are its dimensions.
    const int x = static_cast<int>(dimensions_.size()), y = x - 1;
    std::vector<int> mapping = spatialRef_->GetDataAxisToSRSAxisMapping();
    for (int &axis : mapping)
        axis = axis == 1 ? x : axis == 2 ? y : axis;
    spatialRef_->SetDataAxisToSRSAxisMapping(mapping);
}

std::vector<std::string> RootGroup::GetMDArrayNames(CSLConstList /* options */) const
{
    std::vector<std::string> names;
    for (const auto &dimension : dimensions_)
        names.push_back(dimension->GetName());
    for (const size_t channel : channels_)
        names.push_back(ChannelName(channel));
    return names;
}

std::shared_ptr<GDALMDArray> RootGroup::OpenMDArray(const std::string &name,
                                                    CSLConstList /* options */) const
{
    for (const auto &dimension : dimensions_)
        if (dimension->GetName() == name)
            return dimension->GetIndexingVariable();
    for (const size_t channel : channels_)
        if (ChannelName(channel) == name)
            return ChannelArray::Create(handle_, channel, firstStep_, dimensions_, spatialRef_);
    return nullptr;
}

SGCAttributes RootGroup::GetAttributes(CSLConstList /* options */) const
{
    SGCAttributes result;
    for (const auto &[name, text] : SGCProvenance(*handle_))
        result.push_back(
            std::make_shared<GDALAttributeString>(SGC_ROOT, CPLString(name).tolower(), text));
    return result;
}

class MultidimDataset final : public GDALDataset
{
  public:
    explicit MultidimDataset(std::shared_ptr<GDALGroup> root) : root_(std::move(root))
    {
        eAccess = GA_ReadOnly;
    }
    std::shared_ptr<GDALGroup> GetRootGroup() const override
    {
        return root_;
    }
    char **GetFileList() override
    {
        return nullptr;
    }

  private:
    std::shared_ptr<GDALGroup> root_;
};

} // namespace

GDALDataset *SGCOpenMultidim(const std::shared_ptr<SGCHandle> &handle)
{
    const sgc_definition *definition = sgc_cube_definition(handle->Cube());
    size_t firstStep = 0, steps = definition->time.count;
    if (handle->Connection().time != nullptr && !SGCChooseSteps(*handle, &firstStep, &steps))
        return nullptr;
    std::vector<size_t> channels(definition->band_count);
    std::iota(channels.begin(), channels.end(), size_t{0}); // of whatever type
    if (handle->Connection().channels != nullptr)
        channels = SGCChooseChannels(*handle);
    if (channels.empty())
        return nullptr;
    return new MultidimDataset(RootGroup::Create(handle, std::move(channels), firstStep, steps));
}
