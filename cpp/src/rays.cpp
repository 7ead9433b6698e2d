// Ray sums over pixels: tiles over threads, lines wide enough that no ray leaves them.
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "hpcdaas/tomo.hpp"

namespace hpcdaas {
namespace {

constexpr int tile = 128;  // pixels: with its lanes it should stay in a core's second cache

// H / (1 − exp(−2πik/P)) / P for k = 0 … P − 1 as complex pairs: the filter for first differences (see fbp.cpp).
std::vector<float> difference_filter(const FbpGeometry& g, int padded) {
    std::vector<float> factor(2 * static_cast<std::size_t>(padded));
    factor[0] = static_cast<float>(g.response[0] / padded);
    for (int k = 1; k < padded; ++k) {
        const double alpha = 2 * std::numbers::pi * k / padded;
        // 1/(1 − e^{−iα}) = 1/2 − i/2 · cot(α/2)
        const double h = g.response[std::min(k, padded - k)] / padded;
        factor[2 * k] = static_cast<float>(0.5 * h);
        factor[2 * k + 1] = static_cast<float>(-0.5 * h / std::tan(0.5 * alpha));
    }
    return factor;
}

}  // namespace

RaySum::RaySum(const Level& level, std::vector<double> angles, double center, int size, int threads)
    : level_(level), angles_(angles.size()), size_(size), threads_(threads), center_(center) {
    double reach = 0;
    for (double angle : angles) {
        cosine_.push_back(std::cos(angle));
        sine_.push_back(std::sin(angle));
        reach = std::max(reach, std::abs(cosine_.back()) + std::abs(sine_.back()));
    }
    reach *= 0.5 * (size - 1);
    // One column more at each end for float32 steps inside a tile, one for the right neighbour.
    first_ = static_cast<int>(std::floor(center - reach)) - 1;
    columns_ = static_cast<int>(std::ceil(center + reach)) + 3 - first_;
}

Rays RaySum::rays(int from, int count) const {
    return {count, cosine_.data() + from, sine_.data() + from, center_ - first_, columns_};
}

void RaySum::backproject(const float* lines, int lanes, int count, float factor, float* const* out) const {
    const int across = (size_ + tile - 1) / tile;
    const double corner = -0.5 * (size_ - 1);
#pragma omp parallel num_threads(threads_)
    {
        Buffer pixels(static_cast<std::size_t>(tile) * tile * lanes);
#pragma omp for schedule(dynamic, 1)
        for (int t = 0; t < across * across; ++t) {
            const int x = t % across * tile, y = t / across * tile;
            const int nx = std::min(tile, size_ - x), ny = std::min(tile, size_ - y);
            std::fill(pixels.data(), pixels.data() + static_cast<std::size_t>(nx) * ny * lanes, 0.0f);
            level_.backproject(rays(0, angles()), lines, lanes, corner + x, corner + y, nx, ny, pixels.data());
            float* rows[16];
            for (int j = 0; j < ny; ++j) {
                for (int r = 0; r < count; ++r) rows[r] = out[r] + static_cast<std::ptrdiff_t>(y + j) * size_ + x;
                level_.scatter(pixels.data() + static_cast<std::size_t>(j) * nx * lanes, nx, lanes, count, factor, rows);
            }
        }
    }
}

void RaySum::project(const float* const* slices, int lanes, int count, float* lines) const {
    const int across = (size_ + tile - 1) / tile;
    const double corner = -0.5 * (size_ - 1);
    const int share = std::clamp(angles() / (4 * threads_), 1, 64);  // lines of one thread at a time
#pragma omp parallel num_threads(threads_)
    {
        Buffer pixels(static_cast<std::size_t>(tile) * tile * lanes), rows(static_cast<std::size_t>(tile) * lanes);
#pragma omp for schedule(dynamic, 1)
        for (int from = 0; from < angles(); from += share) {
            const int some = std::min(share, angles() - from);
            float* mine = lines + static_cast<std::size_t>(from) * columns_ * lanes;
            std::fill(mine, mine + static_cast<std::size_t>(some) * columns_ * lanes, 0.0f);
            for (int t = 0; t < across * across; ++t) {
                const int x = t % across * tile, y = t / across * tile;
                const int nx = std::min(tile, size_ - x), ny = std::min(tile, size_ - y);
                for (int j = 0; j < ny; ++j) {
                    for (int r = 0; r < count; ++r)
                        std::copy_n(slices[r] + static_cast<std::ptrdiff_t>(y + j) * size_ + x, nx, rows.data() + r * nx);
                    level_.interleave(rows.data(), count, nx, lanes, pixels.data() + static_cast<std::size_t>(j) * nx * lanes);
                }
                level_.project(rays(from, some), pixels.data(), lanes, corner + x, corner + y, nx, ny, mine);
            }
        }
    }
}

Found filtered_lines(FftLibrary& library, const Projections& p, int first_row, int count, const FbpGeometry& geometry,
                     const RaySum& rays, int lanes, float* lines) {
    const int n = p.columns, padded = 2 * (static_cast<int>(geometry.response.size()) - 1), width = rays.columns();
    const int pairs = lanes / 2;
    const std::ptrdiff_t stride = (2 * std::max(padded, width) + 31) / 16 * 16;
    const Fft forward(library, padded, -1), back(library, padded, +1);
    const std::vector<float> factor = difference_filter(geometry, padded);
    Found found;
#pragma omp parallel num_threads(rays.threads())
    {
        Buffer rows(static_cast<std::size_t>(n) * lanes), work(pairs * stride + 2 * stride);
        float* spectrum = work.data() + pairs * stride;
        float* filtered = spectrum + stride;
#pragma omp for schedule(static)
        for (int a = 0; a < p.angles; ++a) {
            Tally tally;
            rays.level().correct(p.rows_of(a, first_row, count), rows.data(), tally);
            float sums[2 * 8] = {};
            rays.level().pair_up(rows.data(), count, n, stride, work.data(), sums);
            const float scale = static_cast<float>(geometry.weights[a] * geometry.scale);
            for (int j = 0; j < (count + 1) / 2; ++j) {
                float* pair = work.data() + j * stride;
                std::fill(pair + 2 * (n + 1), pair + 2 * padded, 0.0f);
                forward(pair, spectrum);
                std::copy_n(sums + 2 * j, 2, spectrum);
                for (int k = 0; k < padded; ++k) {
                    const float re = spectrum[2 * k], im = spectrum[2 * k + 1];
                    spectrum[2 * k] = re * factor[2 * k] - im * factor[2 * k + 1];
                    spectrum[2 * k + 1] = re * factor[2 * k + 1] + im * factor[2 * k];
                }
                back(spectrum, filtered);
                for (int c = 0; c < width; ++c) {
                    const int from = ((c + rays.first_column()) % padded + padded) % padded;  // q is periodic
                    pair[2 * c] = filtered[2 * from] * scale;
                    pair[2 * c + 1] = filtered[2 * from + 1] * scale;
                }
            }
            rays.level().transpose(work.data(), stride / 2, pairs, width,
                                   lines + static_cast<std::size_t>(a) * width * lanes, pairs);
#pragma omp critical
            {
                found.nonpositive += tally.nonpositive;
                if (!tally.finite && (found.not_finite < 0 || a < found.not_finite)) found.not_finite = a;
            }
        }
    }
    return found;
}

}  // namespace hpcdaas
