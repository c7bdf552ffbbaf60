#include "gdal_sgc/look.h"

#include <algorithm>

#include "datasets/condition.h"

void SGCLook::Allow(uint64_t milliseconds, bool onMap)
{
    timeout_ = milliseconds;
    onMap_ = onMap;
}

// The next band of a map, soon after. At native size, which may be an export, each band has a time
// of its own, unless one has shown that there is none.
bool SGCLook::GoesOnWith(const SGCReadWindow &window, uint64_t now) const
{
    constexpr uint64_t SOON = 10000;
    const auto &done = window_.slices;
    const auto isSame = [](const sgc_slice &a, const sgc_slice &b) {
        return a.step == b.step && a.band == b.band;
    };
    return onMap_ && (window.isDecimated || wasLate_) && now < end_ + SOON &&
           window.level == window_.level && sgc_rect_equal(window.rect, window_.rect) &&
           std::find_first_of(window.slices.begin(), window.slices.end(), done.begin(), done.end(),
                              isSame) == window.slices.end();
}

void SGCLook::Begin(const SGCReadWindow &window, size_t reads)
{
    const std::lock_guard<std::mutex> lock(mutex_);
    if (depth_++ > 0 || timeout_ == 0)
        return;
    const uint64_t now = sgc_monotonic_ms();
    if (!GoesOnWith(window, now)) {
        window_ = {window.level, window.rect, {}, window.isDecimated};
        end_ = now + timeout_;
        wasLate_ = false;
    }
    const size_t done = window_.slices.size();
    const uint64_t left = end_ - std::min(end_, now);
    deadline_ = now + (onMap_ && window.isDecimated && done < reads ? left / (reads - done) : left);
    window_.slices.insert(window_.slices.end(), window.slices.begin(), window.slices.end());
}

void SGCLook::End()
{
    const std::lock_guard<std::mutex> lock(mutex_);
    depth_--;
}

uint64_t SGCLook::Deadline()
{
    const std::lock_guard<std::mutex> lock(mutex_);
    if (timeout_ == 0)
        return 0;
    return depth_ > 0 ? deadline_ : sgc_monotonic_ms() + timeout_;
}

void SGCLook::SetLate()
{
    const std::lock_guard<std::mutex> lock(mutex_);
    wasLate_ = depth_ > 0;
}
