// Ray sums over pixels: tiles over threads, lines wide enough that no ray leaves them.
#include <omp.h>

#include <algorithm>
#include <cmath>

#include "hpcdaas/tomo.hpp"

namespace hpcdaas {
namespace {

constexpr int tile = 128;  // pixels: with its lanes it should stay in a core's second cache

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
    const Fft forward(library, padded, lanes / 2, -1), back(library, padded, lanes / 2, +1);
    Found found;
#pragma omp parallel num_threads(rays.threads())
    {
        const std::size_t line = static_cast<std::size_t>(padded) * lanes;
        Buffer rows(static_cast<std::size_t>(n) * lanes), in(line), out(line);
#pragma omp for schedule(static)
        for (int a = 0; a < p.angles; ++a) {
            Tally tally;
            rays.level().correct(p.rows_of(a, first_row, count), rows.data(), tally);
            rays.level().interleave(rows.data(), count, n, lanes, in.data());
            std::fill(in.data() + static_cast<std::size_t>(n) * lanes, in.data() + line, 0.0f);
            forward(in.data(), out.data());
            const double scale = geometry.weights[a] * geometry.scale / padded;
            for (int k = 0; k < padded; ++k) {
                const float h = static_cast<float>(scale * geometry.response[std::min(k, padded - k)]);
                float* z = out.data() + static_cast<std::size_t>(k) * lanes;
                for (int i = 0; i < lanes; ++i) z[i] *= h;
            }
            back(out.data(), in.data());
            float* target = lines + static_cast<std::size_t>(a) * width * lanes;
            for (int c = 0; c < width; ++c) {
                const int from = ((c + rays.first_column()) % padded + padded) % padded;  // q is periodic
                std::copy_n(in.data() + static_cast<std::size_t>(from) * lanes, lanes, target + static_cast<std::size_t>(c) * lanes);
            }
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
