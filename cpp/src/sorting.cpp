// Columns are worked on some at once, so that each line of the cache that a sinogram's row takes is used whole.
#include "hpcdaas/sorting.hpp"

#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

namespace hpcdaas {
namespace {

constexpr int at_once = 16;  // columns, one line of the cache
constexpr int digits = 4, values = 256;

// A value and its angle. As whole numbers the bits of floats have their order, once those below zero are turned round.
struct Item {
    std::uint32_t key, angle;
};

std::uint32_t key_of(float value) {
    value += 0.0f;  // zeros of both signs are equal
    std::uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    return bits ^ ((bits & 0x80000000u) ? 0xffffffffu : 0x80000000u);
}

float value_of(std::uint32_t key) {
    const std::uint32_t bits = key ^ ((key & 0x80000000u) ? 0x80000000u : 0xffffffffu);
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

// Sorts by one digit of eight bits after the other, the lowest first; a digit that all share is passed over.
class Radix {
public:
    explicit Radix(int count) : items_(count), other_(count) {}

    const std::vector<Item>& sort(const float* column) {
        const int count = static_cast<int>(items_.size());
        std::uint32_t ends[digits][values] = {};
        for (int i = 0; i < count; ++i) {
            const std::uint32_t key = key_of(column[i]);
            items_[i] = {key, static_cast<std::uint32_t>(i)};
            for (int d = 0; d < digits; ++d) ++ends[d][key >> 8 * d & 255];
        }
        for (int d = 0; d < digits; ++d) {
            if (ends[d][items_[0].key >> 8 * d & 255] == static_cast<std::uint32_t>(count)) continue;
            std::uint32_t start = 0;
            for (std::uint32_t& end : ends[d]) start += std::exchange(end, start);
            for (const Item& item : items_) other_[ends[d][item.key >> 8 * d & 255]++] = item;
            items_.swap(other_);
        }
        return items_;
    }

private:
    std::vector<Item> items_, other_;
};

int mirrored(int column, int columns) {
    if (column < 0) column = -column;
    return column < columns ? column : 2 * (columns - 1) - column;
}

}  // namespace

void sort_columns(const Sinogram& s, std::int32_t* order, float* ranked) {
    if (s.angles < 1) return;
    Radix radix(s.angles);
    std::vector<float> some(static_cast<std::size_t>(at_once) * s.angles);
    for (int first = 0; first < s.columns; first += at_once) {
        const int count = std::min(at_once, s.columns - first);
        for (int angle = 0; angle < s.angles; ++angle) {
            const float* const row = s.data + angle * s.stride + first;
            for (int c = 0; c < count; ++c) some[static_cast<std::size_t>(c) * s.angles + angle] = row[c];
        }
        for (int c = 0; c < count; ++c) {
            for (const Item& item : radix.sort(some.data() + static_cast<std::size_t>(c) * s.angles)) {
                *order++ = static_cast<std::int32_t>(item.angle);
                *ranked++ = value_of(item.key);
            }
        }
    }
}

void unsort_columns(const std::int32_t* order, const float* ranked, const Sinogram& s) {
    std::vector<float> some(static_cast<std::size_t>(at_once) * s.angles);
    for (int first = 0; first < s.columns; first += at_once) {
        const int count = std::min(at_once, s.columns - first);
        for (int c = 0; c < count; ++c)
            for (int rank = 0; rank < s.angles; ++rank) some[static_cast<std::size_t>(*order++) * at_once + c] = *ranked++;
        for (int angle = 0; angle < s.angles; ++angle)
            std::copy_n(some.data() + static_cast<std::size_t>(angle) * at_once, count, s.data + angle * s.stride + first);
    }
}

void median_over_columns(const Level& level, const float* ranked, int columns, int ranks, int margin, float* out) {
    constexpr int lanes = ColumnTile::lanes;
    if (ranks < lanes) {  // too few for a vector: some that nobody asks for are added
        std::vector<float> wide(static_cast<std::size_t>(columns) * lanes), found(wide.size());
        for (int c = 0; c < columns; ++c) std::copy_n(ranked + c * ranks, ranks, wide.data() + c * lanes);
        median_over_columns(level, wide.data(), columns, lanes, margin, found.data());
        for (int c = 0; c < columns; ++c) std::copy_n(found.data() + c * lanes, ranks, out + c * ranks);
        return;
    }
    int tile = 1;
    while (2 * tile <= margin + 1) tile *= 2;
    std::vector<const float*> from(tile + 2 * margin);
    std::vector<float*> to(tile);
    const std::size_t numbers = static_cast<std::size_t>(lanes) * (2 * margin + 2 + 2 * tile);
    std::vector<float> room(numbers + lanes);
    void* aligned = room.data();
    std::size_t space = room.size() * sizeof(float);
    std::align(lanes * sizeof(float), numbers * sizeof(float), aligned, space);
    for (int first = 0; first < columns; first += tile) {
        for (int i = 0; i < tile + 2 * margin; ++i)  // beyond the last tile's end it doesn't matter which
            from[i] = ranked + static_cast<std::ptrdiff_t>(ranks) *
                                   mirrored(std::min(first + i - margin, columns - 1 + margin), columns);
        for (int i = 0; i < tile; ++i)
            to[i] = first + i < columns ? out + static_cast<std::ptrdiff_t>(ranks) * (first + i) : nullptr;
        level.medians({from.data(), to.data(), tile, margin}, ranks, static_cast<float*>(aligned));
    }
}

}  // namespace hpcdaas
