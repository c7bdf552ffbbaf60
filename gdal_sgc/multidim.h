// GDAL's multidimensional view of a cube: each channel an array of [time,] rows and columns.
#ifndef SGC_MULTIDIM_H
#define SGC_MULTIDIM_H

#include <memory>
#include <string>
#include <vector>

#include "gdal_sgc/dataset.h"

// Gives a dataset that has a root group and no bands; nullptr, having reported why, when CHANNELS
// or TIME name what the cube has not. Nothing is read.
GDALDataset *SGCOpenMultidim(const std::shared_ptr<SGCHandle> &handle);

// ---- what its files share ----

constexpr const char *SGC_ROOT = "/";

using SGCAttributes = std::vector<std::shared_ptr<GDALAttribute>>;
using SGCDimensions = std::vector<std::shared_ptr<GDALDimension>>;

// An array that is no file: GDAL would keep caches and statistics beside one.
class SGCArray : public GDALMDArray
{
  public:
    const SGCDimensions &GetDimensions() const override
    {
        return dimensions_;
    }
    const GDALExtendedDataType &GetDataType() const override
    {
        return type_;
    }
    const std::string &GetUnit() const override
    {
        return unit_;
    }
    const std::string &GetFilename() const override
    {
        return noFile_;
    }
    bool IsWritable() const override
    {
        return false;
    }

  protected:
    SGCArray(const std::string &name, GDALDataType type, const char *unit,
             const SGCDimensions &dimensions);
    bool IsCacheable() const override
    {
        return false;
    }

    const GDALExtendedDataType type_;
    const SGCDimensions dimensions_;

  private:
    const std::string unit_, noFile_{};
};

// The attributes that new cubes give a channel's array, but for what GDAL has methods for.
SGCAttributes SGCChannelAttributes(const std::string &array, const sgc_band &band);

// The axes with their coordinates: time, of that many steps, where the cube has it; y; x.
SGCDimensions SGCMakeDimensions(const std::shared_ptr<SGCHandle> &handle,
                                const OGRSpatialReference &spatialRef, size_t firstStep,
                                size_t steps);

#endif
