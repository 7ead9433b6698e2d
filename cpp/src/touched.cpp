#include "hpcdaas/touched.hpp"

#include <algorithm>
#include <utility>

namespace hpcdaas {

std::vector<Run> touched(const Windows& w) {
    std::vector<std::pair<int, int>> corners(w.count);  // by columns
    for (int i = 0; i < w.count; ++i) corners[i] = {w.corners[2 * i + 1], w.corners[2 * i]};
    std::sort(corners.begin(), corners.end());
    std::vector<Run> runs;
    for (int y = w.top; y < w.bottom; ++y) {
        Run run{y, 0, 0};
        for (const auto& [left, top] : corners) {
            if (y < top || y >= top + w.n) continue;
            const int x0 = std::max(w.left, left), x1 = std::min(w.right, left + w.n);
            if (x0 >= x1) continue;
            if (x0 > run.x1 && run.x1 > run.x0) {
                runs.push_back(run);
                run.x0 = run.x1 = x0;
            }
            if (run.x1 == run.x0) run.x0 = x0;
            run.x1 = std::max(run.x1, x1);
        }
        if (run.x1 > run.x0) runs.push_back(run);
    }
    return runs;
}

std::size_t count(const std::vector<Run>& runs, int modes) {
    std::size_t pixels = 0;
    for (const Run& run : runs) pixels += run.x1 - run.x0;
    return pixels * modes;
}

namespace {

template <class Each>
void over(const std::vector<Run>& runs, int modes, int height, int width, Each&& each) {
    std::size_t at = 0;
    for (int k = 0; k < modes; ++k)
        for (const Run& run : runs) {
            const std::size_t here = (static_cast<std::size_t>(k) * height + run.y) * width + run.x0;
            const std::size_t floats = 2 * static_cast<std::size_t>(run.x1 - run.x0);
            each(2 * here, at, floats);
            at += floats;
        }
}

}  // namespace

void pack(const float* field, int modes, int height, int width, const std::vector<Run>& runs, float* packed) {
    over(runs, modes, height, width, [&](std::size_t here, std::size_t at, std::size_t floats) {
        std::copy_n(field + here, floats, packed + at);
    });
}

void add_packed(const float* packed, const std::vector<Run>& runs, float* field, int modes, int height, int width) {
    over(runs, modes, height, width, [&](std::size_t here, std::size_t at, std::size_t floats) {
        for (std::size_t i = 0; i < floats; ++i) field[here + i] += packed[at + i];
    });
}

}  // namespace hpcdaas
