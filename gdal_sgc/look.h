// How long the reads of a handle may spend loading.
#ifndef SGC_LOOK_H
#define SGC_LOOK_H

#include <mutex>
#include <vector>

#include "gdal_sgc/cube.h"

// What the host reads of a dataset with one call.
struct SGCReadWindow {
    size_t level;
    sgc_rect rect;
    std::vector<sgc_slice> slices;
    bool isDecimated;
};

// What has one TIMEOUT: a read of the host's, whatever GDAL makes of it, and on a map the reads of
// one decimated window for one band after the other, so that no picture takes longer.
// Thread-safe, though reads of one handle are meant to follow each other.
class SGCLook
{
  public:
    // The TIMEOUT, 0: none.
    void Allow(uint64_t milliseconds, bool onMap);

    // Between both a read is under way. Begin() within a read changes nothing. A picture of a map
    // is made of so many reads that load chunks of their own: each gets an equal share.
    void Begin(const SGCReadWindow &window, size_t reads);
    void End();

    // When loading ends, by sgc_monotonic_ms(), in the read under way or else in one that begins
    // now; 0: never.
    uint64_t Deadline();
    // Something is missing because the deadline has passed.
    void SetLate();

  private:
    bool GoesOnWith(const SGCReadWindow &window, uint64_t now) const;

    std::mutex mutex_{};
    uint64_t timeout_ = 0;
    bool onMap_ = false;
    SGCReadWindow window_{};          // with the slices of all reads of this look
    uint64_t end_ = 0, deadline_ = 0; // of the look, of the read
    bool wasLate_ = false;
    unsigned depth_ = 0; // of reads under way
};

// A read of the host's, for as long as this lives.
class SGCRead
{
  public:
    SGCRead(SGCLook &look, const SGCReadWindow &window, size_t reads = 1) : look_(look)
    {
        look.Begin(window, reads);
    }
    ~SGCRead()
    {
        look_.End();
    }
    SGCRead(const SGCRead &) = delete;
    SGCRead &operator=(const SGCRead &) = delete;

  private:
    SGCLook &look_;
};

#endif
