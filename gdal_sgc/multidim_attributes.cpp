#include "gdal_sgc/multidim.h"

#include <string>
#include <utility>
#include <vector>

namespace
{

// What GDAL has methods for is no attribute.
bool IsToldByMethod(const char *name)
{
    for (const char *known : {"units", "scale_factor", "add_offset", "_FillValue", "grid_mapping"})
        if (EQUAL(name, known))
            return true;
    return false;
}

// A list of numbers, such as flag_values.
class NumbersAttribute final : public GDALAttribute
{
  public:
    NumbersAttribute(const std::string &parent, const std::string &name, GDALDataType type,
                     std::vector<GByte> items)
        : GDALAbstractMDArray(parent, name), GDALAttribute(parent, name),
          type_(GDALExtendedDataType::Create(type)),
          items_(std::move(items)), dimensions_{std::make_shared<GDALDimension>(
                                        "", "dim0", "", "", items_.size() / type_.GetSize())}
    {
    }
    const SGCDimensions &GetDimensions() const override
    {
        return dimensions_;
    }
    const GDALExtendedDataType &GetDataType() const override
    {
        return type_;
    }

  protected:
    bool IRead(const GUInt64 *start, const size_t *count, const GInt64 *step,
               const GPtrDiff_t *stride, const GDALExtendedDataType &bufferType,
               void *buffer) const override
    {
        return GDALExtendedDataType::CopyValues(&items_[start[0] * type_.GetSize()], type_, step[0],
                                                buffer, bufferType, stride[0], count[0]);
    }

  private:
    const GDALExtendedDataType type_;
    const std::vector<GByte> items_;
    const SGCDimensions dimensions_;
};

// Writes a number into an item of the type. False where the item is another number.
bool StoreNumber(const cJSON *number, GDALDataType type, GByte *item)
{
    if (cJSON_IsRaw(number)) {
        const GIntBig value = CPLAtoGIntBig(number->valuestring);
        GDALCopyWords(&value, GDT_Int64, 0, item, type, 0, 1);
        return true;
    }
    double stored;
    GDALCopyWords(&number->valuedouble, GDT_Float64, 0, item, type, 0, 1);
    GDALCopyWords(item, type, 0, &stored, GDT_Float64, 0, 1);
    return cJSON_IsNumber(number) && stored == number->valuedouble;
}

// The items of a list; none when it has anything that is no number of the type.
std::vector<GByte> ItemsOf(const cJSON *list, GDALDataType type)
{
    const auto size = static_cast<size_t>(GDALGetDataTypeSizeBytes(type));
    std::vector<GByte> items(size * static_cast<size_t>(cJSON_GetArraySize(list)));
    GByte *next = items.data();
    const cJSON *item;
    cJSON_ArrayForEach(item, list)
    {
        if (!StoreNumber(item, type, next))
            return {};
        next += size;
    }
    return items;
}

// Lists of numbers are of the array's type, as CF wants flag_values, where that has them all.
std::shared_ptr<GDALAttribute> AttributeOf(const std::string &parent, const cJSON *item,
                                           GDALDataType arrayType)
{
    if (cJSON_IsString(item))
        return std::make_shared<GDALAttributeString>(parent, item->string, item->valuestring);
    if (cJSON_IsNumber(item) && item->valuedouble == item->valueint)
        return std::make_shared<GDALAttributeNumeric>(parent, item->string, item->valueint);
    if (cJSON_IsNumber(item))
        return std::make_shared<GDALAttributeNumeric>(parent, item->string, item->valuedouble);
    for (const GDALDataType type : {arrayType, GDT_Float64}) {
        auto items = cJSON_IsArray(item) ? ItemsOf(item, type) : std::vector<GByte>();
        if (!items.empty())
            return std::make_shared<NumbersAttribute>(parent, item->string, type, std::move(items));
    }
    char *text = cJSON_PrintUnformatted(item);
    const std::string json = text != nullptr ? text : "";
    cJSON_free(text);
    return std::make_shared<GDALAttributeString>(parent, item->string, json, GEDTST_JSON);
}

} // namespace

SGCAttributes SGCChannelAttributes(const std::string &array, const sgc_band &band)
{
    SGCAttributes result;
    cJSON *json = sgc_layout_channel_attributes(&band);
    const cJSON *item;
    cJSON_ArrayForEach(item, json) if (!IsToldByMethod(item->string))
        result.push_back(AttributeOf(array, item, band.type));
    cJSON_Delete(json);
    return result;
}
