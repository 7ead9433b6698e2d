// Sinograms with their columns sorted: rank r of a column is the r-th smallest of its values.
#pragma once

#include <cstddef>
#include <cstdint>

#include "hpcdaas/level.hpp"

namespace hpcdaas {

// A sinogram [angle][column]; columns lie side by side, angles `stride` elements apart.
struct Sinogram {
    float* data;
    std::ptrdiff_t stride;
    int angles, columns;
};

// Angles of each column by their values, [column][rank], and these; equal values keep the order of their angles.
void sort_columns(const Sinogram& sinogram, std::int32_t* order, float* ranked);

// Puts values [column][rank] where `order` says.
void unsort_columns(const std::int32_t* order, const float* ranked, const Sinogram& sinogram);

// The median over 2 margin + 1 columns of ranked[column][rank], mirrored at the edges; margin < columns.
void median_over_columns(const Level& level, const float* ranked, int columns, int ranks, int margin, float* out);

}  // namespace hpcdaas
