// The vector layer "patches": one feature for each patch, level and time step that is known without
// a request.
#ifndef SGC_PATCH_LAYER_H
#define SGC_PATCH_LAYER_H

#include <memory>

#include "gdal_sgc/dataset.h"
#include "gdal_sgc/patches.h"

class SGCPatchLayer final : public OGRLayer, public OGRGetNextFeatureThroughRaw<SGCPatchLayer>
{
  public:
    SGCPatchLayer(std::shared_ptr<SGCHandle> handle, const OGRSpatialReference &crs);
    ~SGCPatchLayer() override;

    SGC_CONST_LAYER OGRFeatureDefn *GetLayerDefn() SGC_CONST_LAYER override;
    int TestCapability(const char *capability) SGC_CONST_LAYER override;
    void ResetReading() override;
    OGRFeature *GetFeature(GIntBig fid) override;
    GIntBig GetFeatureCount(int force) override;
    DEFINE_GET_NEXT_FEATURE_THROUGH_RAW(SGCPatchLayer)
#if SGC_GDAL_AT_LEAST(3, 12)
    using OGRLayer::GetLayerDefn;
#endif

  private:
    OGRFeature *GetNextRawFeature();
    void List();

    std::shared_ptr<SGCHandle> handle_;
    OGRFeatureDefn *definition_;
    bool listed_ = false; // what the cube holds is looked up once, when somebody reads
    sgc_known_patches patches_{};
    size_t next_ = 0;
};

#endif
