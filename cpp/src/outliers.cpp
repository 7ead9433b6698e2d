// A median is found only where a pixel stands out of the minimum around it, which is never above the median and costs a
// tenth: nearly all pixels don't.
#include "hpcdaas/outliers.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <vector>

namespace hpcdaas {
namespace {

// What holds all values of a type.
template <class T>
using Real = std::conditional_t<std::is_integral_v<T> && sizeof(T) == 4, double, float>;

// The smaller one; what is not a number stays to be seen.
template <class T>
inline T least(T a, T b) {
    if constexpr (std::is_floating_point_v<T>)
        return b < a || b != b ? b : a;
    else
        return b < a ? b : a;
}

// Works on one frame at a time.
template <class T>
class Cleaner {
public:
    Cleaner(const Frames& frames, const Outliers& outliers)
        : f_(frames), o_(outliers), reach_(outliers.size / 2), columns_(frames.columns),
          along_(frames.columns + 2 * reach_), low_(frames.columns), above_(frames.columns),
          around_(outliers.size * outliers.size) {}

    // All medians are of the frame as it was.
    long clean(T* frame) {
        frame_ = frame;
        found_.clear();
        for (int y = 0; y < f_.rows; ++y) {
            lowest_around(y);
            const T* const values = row(y);
            const Real<T> share = std::min(o_.threshold, 1.0f);  // m + t |m| grows with m for t up to 1
            for (int x = 0; x < columns_; ++x) {
                const Real<T> low = low_[x];
                above_[x] = values[x] > low + share * std::abs(low);
            }
            for (int x = next_above(0); x < columns_; x = next_above(x + 1)) judge(y, x);
        }
        long counted = 0;
        for (const Found& found : found_) {
            row(found.y)[found.x] = found.median;
            counted += found.y >= o_.first && found.y < o_.last;
        }
        return counted;
    }

private:
    struct Found {
        int y, x;
        T median;
    };

    int next_above(int x) const {
        const std::uint8_t* const start = above_.data();
        const void* const found = std::memchr(start + x, 1, columns_ - x);
        return found ? static_cast<int>(static_cast<const std::uint8_t*>(found) - start) : columns_;
    }

    T* row(int y) const { return frame_ + y * f_.row_stride; }

    // The minimum around each pixel of a row, first along columns, then along rows.
    void lowest_around(int y) {
        T* const down = along_.data() + reach_;
        const int top = std::max(0, y - reach_), bottom = std::min(f_.rows - 1, y + reach_);
        std::copy_n(row(top), columns_, down);
        for (int r = top + 1; r <= bottom; ++r) {
            const T* const other = row(r);
            for (int x = 0; x < columns_; ++x) down[x] = least(down[x], other[x]);
        }
        std::fill_n(along_.data(), reach_, down[0]);
        std::fill_n(down + columns_, reach_, down[columns_ - 1]);
        std::copy_n(along_.data(), columns_, low_.data());
        for (int shift = 1; shift < o_.size; ++shift) {
            const T* const other = along_.data() + shift;
            for (int x = 0; x < columns_; ++x) low_[x] = least(low_[x], other[x]);
        }
    }

    // Pixels at the edge are repeated beyond it.
    void judge(int y, int x) {
        T* next = around_.data();
        for (int dy = -reach_; dy <= reach_; ++dy) {
            const T* const values = row(std::clamp(y + dy, 0, f_.rows - 1));
            for (int dx = -reach_; dx <= reach_; ++dx) *next++ = values[std::clamp(x + dx, 0, columns_ - 1)];
        }
        const auto middle = around_.begin() + around_.size() / 2;
        std::nth_element(around_.begin(), middle, around_.end());
        const Real<T> value = row(y)[x], median = *middle;
        if (value - median > Real<T>(o_.threshold) * std::abs(median)) found_.push_back({y, x, *middle});
    }

    const Frames& f_;
    const Outliers& o_;
    int reach_, columns_;
    T* frame_ = nullptr;
    std::vector<T> along_, low_;
    std::vector<std::uint8_t> above_;
    std::vector<T> around_;
    std::vector<Found> found_;
};

template <class T>
long replace(const Frames& frames, const Outliers& outliers, int threads) {
    long counted = 0;
#pragma omp parallel num_threads(threads) reduction(+ : counted)
    {
        Cleaner<T> cleaner(frames, outliers);
#pragma omp for schedule(dynamic)
        for (int i = 0; i < frames.count; ++i)
            counted += cleaner.clean(static_cast<T*>(frames.data) + i * frames.frame_stride);
    }
    return counted;
}

}  // namespace

long replace_outliers(const Frames& frames, const Outliers& outliers, int threads) {
    if (frames.rows < 1 || frames.columns < 1) return 0;
    switch (frames.type) {
        case Type::u8: return replace<std::uint8_t>(frames, outliers, threads);
        case Type::u16: return replace<std::uint16_t>(frames, outliers, threads);
        case Type::i16: return replace<std::int16_t>(frames, outliers, threads);
        case Type::u32: return replace<std::uint32_t>(frames, outliers, threads);
        case Type::i32: return replace<std::int32_t>(frames, outliers, threads);
        case Type::f32: return replace<float>(frames, outliers, threads);
    }
    return 0;
}

}  // namespace hpcdaas
