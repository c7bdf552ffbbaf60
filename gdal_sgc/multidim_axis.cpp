#include "gdal_sgc/multidim.h"

#include <functional>
#include <string>
#include <utility>

#include "gdal_sgc/time_axis.h"

SGCArray::SGCArray(const std::string &name, GDALDataType type, const char *unit,
                   const SGCDimensions &dimensions)
    : GDALAbstractMDArray(SGC_ROOT, name), GDALMDArray(SGC_ROOT, name),
      type_(GDALExtendedDataType::Create(type)), dimensions_(dimensions),
      unit_(unit != nullptr ? unit : "")
{
}

namespace
{

// What the coordinates of an axis are.
struct Axis {
    std::string name, type, direction, unit;
    std::vector<std::pair<const char *, const char *>> attributes;
    GDALDataType dataType;
    GUInt64 size;
    std::function<double(GUInt64)> value;
};

// Its array is made when it is asked for: one that was kept would own its own owner.
class Dimension final : public GDALDimension, public std::enable_shared_from_this<Dimension>
{
  public:
    explicit Dimension(Axis axis)
        : GDALDimension(SGC_ROOT, axis.name, axis.type, axis.direction, axis.size),
          axis_(std::move(axis))
    {
    }
    const Axis &GetAxis() const
    {
        return axis_;
    }
    std::shared_ptr<GDALMDArray> GetIndexingVariable() const override;

  private:
    Axis axis_;
};

class CoordinateArray final : public SGCArray
{
  public:
    static std::shared_ptr<GDALMDArray> Create(const std::shared_ptr<Dimension> &dimension)
    {
        std::shared_ptr<CoordinateArray> array(new CoordinateArray(dimension));
        array->SetSelf(array);
        return array;
    }

    SGCAttributes GetAttributes(CSLConstList /* options */) const override
    {
        SGCAttributes result;
        for (const auto &attribute : axis_.attributes)
            result.push_back(std::make_shared<GDALAttributeString>(GetFullName(), attribute.first,
                                                                   attribute.second));
        return result;
    }

  protected:
    bool IRead(const GUInt64 *start, const size_t *count, const GInt64 *step,
               const GPtrDiff_t *stride, const GDALExtendedDataType &bufferType,
               void *buffer) const override;

  private:
    explicit CoordinateArray(const std::shared_ptr<Dimension> &dimension)
        : GDALAbstractMDArray(SGC_ROOT, dimension->GetName()),
          SGCArray(dimension->GetName(), dimension->GetAxis().dataType,
                   dimension->GetAxis().unit.c_str(), {dimension}),
          axis_(dimension->GetAxis())
    {
    }

    const Axis &axis_; // of the dimension
};

std::shared_ptr<GDALMDArray> Dimension::GetIndexingVariable() const
{
    return CoordinateArray::Create(std::const_pointer_cast<Dimension>(shared_from_this()));
}

bool CoordinateArray::IRead(const GUInt64 *start, const size_t *count, const GInt64 *step,
                            const GPtrDiff_t *stride, const GDALExtendedDataType &bufferType,
                            void *buffer) const
{
    const auto number = GDALExtendedDataType::Create(GDT_Float64);
    const auto bytes = stride[0] * static_cast<GPtrDiff_t>(bufferType.GetSize());
    for (size_t i = 0; i < count[0]; i++) {
        const auto n = static_cast<GPtrDiff_t>(i);
        const double value = axis_.value(start[0] + static_cast<GUInt64>(n * step[0]));
        if (!GDALExtendedDataType::CopyValue(&value, number,
                                             static_cast<GByte *>(buffer) + n * bytes, bufferType))
            return false;
    }
    return true;
}

// Pixel centres, in exactly the arithmetic of the arrays x and y of a cube (datasets guide 1.1).
std::function<double(GUInt64)> PixelCentres(double origin, double step)
{
    return [=](GUInt64 i) { return static_cast<double>(i) * step + (origin + step / 2); };
}

// As GDAL's netCDF driver wants it: it warns of "metre".
std::string LengthUnit(const OGRSpatialReference &spatialRef)
{
    const char *name = nullptr;
    return spatialRef.GetLinearUnits(&name) == 1 ? "m" : name;
}

Axis ColumnAxis(const sgc_grid &grid, const OGRSpatialReference &spatialRef)
{
    const bool geographic = spatialRef.IsGeographic() != 0;
    return {
        "x",
        GDAL_DIM_TYPE_HORIZONTAL_X,
        "",
        geographic ? "degrees_east" : LengthUnit(spatialRef),
        {{"standard_name", geographic ? "longitude" : "projection_x_coordinate"}, {"axis", "X"}},
        GDT_Float64,
        static_cast<GUInt64>(grid.width),
        PixelCentres(grid.transform[0], grid.transform[1])};
}

Axis RowAxis(const sgc_grid &grid, const OGRSpatialReference &spatialRef)
{
    const bool geographic = spatialRef.IsGeographic() != 0;
    return {"y",
            GDAL_DIM_TYPE_HORIZONTAL_Y,
            "",
            geographic ? "degrees_north" : LengthUnit(spatialRef),
            {{"standard_name", geographic ? "latitude" : "projection_y_coordinate"}, {"axis", "Y"}},
            GDT_Float64,
            static_cast<GUInt64>(grid.height),
            PixelCentres(grid.transform[3], grid.transform[5])};
}

// Numbers of the units that the array time of a new cube has.
Axis TimeAxis(const std::shared_ptr<SGCHandle> &handle, size_t first, size_t count)
{
    const sgc_time_axis &time = sgc_cube_definition(handle->Cube())->time;
    const sgc_time_units units = sgc_time_units_choose(&time);
    char text[SGC_TIME_UNITS_SIZE];
    sgc_time_units_format(&units, text);
    return {"time",
            GDAL_DIM_TYPE_TEMPORAL,
            "FUTURE",
            text,
            {{"standard_name", "time"}, {"calendar", "proleptic_gregorian"}, {"axis", "T"}},
            GDT_Int64,
            count,
            [=](GUInt64 i) {
                const int64_t *starts = sgc_cube_definition(handle->Cube())->time.starts;
                const int64_t number = (starts[first + i] - units.reference) / units.unit;
                return static_cast<double>(number);
            }};
}

} // namespace

SGCDimensions SGCMakeDimensions(const std::shared_ptr<SGCHandle> &handle,
                                const OGRSpatialReference &spatialRef, size_t firstStep,
                                size_t steps)
{
    const sgc_definition *definition = sgc_cube_definition(handle->Cube());
    SGCDimensions dimensions;
    if (definition->time.count > 0)
        dimensions.push_back(std::make_shared<Dimension>(TimeAxis(handle, firstStep, steps)));
    dimensions.push_back(std::make_shared<Dimension>(RowAxis(definition->grid, spatialRef)));
    dimensions.push_back(std::make_shared<Dimension>(ColumnAxis(definition->grid, spatialRef)));
    return dimensions;
}
