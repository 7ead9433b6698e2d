// Filtered back-projection by gridding: the three passes and their constants.
#include <omp.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <complex>
#include <numbers>

#include "hpcdaas/tomo.hpp"

namespace hpcdaas {
namespace {

constexpr int pad = max_width;       // columns of a strip beside the grid
constexpr double pi = std::numbers::pi;

// Between the passes the half-transformed grid lies in tiles [tile of image rows][pair][tile of grid columns]
// [tile_edge][tile_edge], complex, so that both passes move runs of memory and few pages.
constexpr int tile_edge = 16;
constexpr int tile_size = 2 * tile_edge * tile_edge;  // floats

constexpr int crowded = 64;        // grid columns beside the middle that most lines cross
constexpr int summed_angles = 40;  // that are added up before they are added to the others

int divide_up(int a, int b) { return (a + b - 1) / b; }

double bessel_i0(double x) {
    double term = 1, sum = 1;
    for (int k = 1; term > 1e-18 * sum; ++k) sum += term *= x * x / (4.0 * k * k);
    return sum;
}

// Kaiser-Bessel kernel of a width in grid points; β after Beatty, Nishimura and Pauly (2005), eq. 5.
struct Kernel {
    double width, beta;
    Kernel(int w, double oversampling)
        : width(w), beta(pi * std::sqrt(std::pow(w / oversampling * (oversampling - 0.5), 2) - 0.8)) {}
    double operator()(double t) const {
        const double v = 1 - 4 * t * t / (width * width);
        return v < 0 ? 0 : bessel_i0(beta * std::sqrt(v)) / bessel_i0(beta);
    }
    // Fourier transform at x cycles per grid point.
    double transform(double x) const {
        const double v = beta * beta - std::pow(pi * width * x, 2), root = std::sqrt(std::abs(v));
        return width / bessel_i0(beta) * (root < 1e-9 ? 1 : (v > 0 ? std::sinh(root) : std::sin(root)) / root);
    }
};

// The kernel at each of the grid points around a sample as a polynomial in the sample's offset
// z ∈ [−1, 1], interpolated at Chebyshev nodes. [degree + 1][max_width], highest power first.
std::vector<float> fit_polynomial(const Kernel& kernel, int width, int degree) {
    const int n = degree + 1;
    std::vector<float> coefficients(static_cast<std::size_t>(n) * max_width, 0.0f);
    std::vector<double> node(n), value(n);
    for (int i = 0; i < n; ++i) node[i] = std::cos(pi * (i + 0.5) / n);
    for (int point = 0; point < width; ++point) {
        for (int i = 0; i < n; ++i) value[i] = kernel((node[i] + 1) / 2 - 0.5 * width + point);
        // Newton's divided differences, then expanded into powers of z.
        for (int order = 1; order < n; ++order)
            for (int i = n - 1; i >= order; --i) value[i] = (value[i] - value[i - 1]) / (node[i] - node[i - order]);
        std::vector<double> power(n, 0.0);  // lowest first
        for (int i = n - 1; i >= 0; --i) {
            for (int d = n - 1; d > 0; --d) power[d] = power[d - 1] - node[i] * power[d];
            power[0] = value[i] - node[i] * power[0];
        }
        for (int d = 0; d < n; ++d)
            coefficients[static_cast<std::size_t>(d) * max_width + point] = static_cast<float>(power[n - 1 - d]);
    }
    return coefficients;
}

// What the spectrum of the rows' first differences is multiplied with: w H/(1 − e^{−iα}) e^{iφk}, α = 2πk/P, for
// k = −P/2 … P/2 as complex pairs; the term P/2 is shared by both ends (a cosine). Differences, because the large low
// frequencies of a row, which the filter removes, would drown the high ones in their rounding. The term k = 0, for
// which a difference knows nothing, belongs to the row's sum.
void spectrum_factor(const FbpGeometry& g, int angle, double shift, int padded, float* factor) {
    using Complex = std::complex<double>;
    const int half = padded / 2;
    // 1/(1 − e^{−iα}) = −i e^{iα/2} / (2 sin α/2): half a pixel of shift and a quarter turn
    const double phase = 2 * pi * (shift + 0.5) / padded, scale = g.weights[angle] * g.scale / padded;
    // Products of two short tables: exact to a few ulp for every k, and cheap.
    constexpr int run = 64;
    Complex fine[run];
    for (int i = 0; i < run; ++i) fine[i] = std::polar(1.0, phase * i);
    factor[2 * half] = static_cast<float>(scale * g.response[0]);
    factor[2 * half + 1] = 0.0f;
    for (int start = 0; start <= half; start += run) {
        const Complex coarse = std::polar(scale, phase * start - pi / 2);
        for (int k = std::max(1, start); k <= std::min(half, start + run - 1); ++k) {
            const double h = g.difference[k];
            const double re = h * (coarse.real() * fine[k - start].real() - coarse.imag() * fine[k - start].imag());
            const double im = h * (coarse.real() * fine[k - start].imag() + coarse.imag() * fine[k - start].real());
            factor[2 * (half + k)] = factor[2 * (half - k)] = static_cast<float>(re);
            factor[2 * (half + k) + 1] = static_cast<float>(im);
            factor[2 * (half - k) + 1] = static_cast<float>(-im);
        }
    }
}

// Division by the kernel's transform, and the sign that moves the grid's middle to index 0.
std::vector<float> roll_off(const Kernel& kernel, int grid, int columns) {
    std::vector<float> factor(columns);
    for (int i = 0; i < columns; ++i) {
        const int c = i - columns / 2;
        const double sign = grid % 2 == 0 && c % 2 != 0 ? -1 : 1;
        factor[i] = static_cast<float>(sign / kernel.transform(static_cast<double>(c) / grid));
    }
    return factor;
}

std::size_t aligned(std::size_t floats) { return (floats + 15) / 16 * 16; }

// Floats from one row of n complex numbers to the next: aligned, and no power of two.
std::ptrdiff_t spaced(int n) { return static_cast<std::ptrdiff_t>(aligned(2 * static_cast<std::size_t>(n)) + 16); }

}  // namespace

std::vector<double> difference_response(const std::vector<double>& response) {
    const std::size_t half = response.size() - 1;
    std::vector<double> difference(half + 1, 0.0);
    for (std::size_t k = 1; k <= half; ++k)
        difference[k] = response[k] / (2 * std::sin(pi * k / (2.0 * half))) * (k == half ? 0.5 : 1.0);
    return difference;
}

Rows Projections::rows_of(int angle, int first, int count) const {
    static constexpr std::size_t sizes[] = {1, 2, 2, 4, 4, 4};
    const std::ptrdiff_t offset = angle * angle_stride + first * row_stride;
    Rows r{static_cast<const char*>(data) + offset * static_cast<std::ptrdiff_t>(sizes[static_cast<int>(type)]), type,
           row_stride, count, columns, {}};
    if (corrected) return r;
    const std::ptrdiff_t frame = static_cast<std::ptrdiff_t>(rows) * columns, row = static_cast<std::ptrdiff_t>(first) * columns;
    const int k = group[angle];
    r.correction = {dark + row, net + k * frame + row, net + std::min(k + 1, groups - 1) * frame + row, weight[angle], log, floor};
    return r;
}

Found correct(const Projections& p, const Level& level, int threads, float* out) {
    Found found;
#pragma omp parallel for schedule(static) num_threads(threads)
    for (int a = 0; a < p.angles; ++a) {
        Tally tally;
        level.correct(p.rows_of(a, 0, p.rows), out + static_cast<std::ptrdiff_t>(a) * p.rows * p.columns, tally);
#pragma omp critical
        {
            found.nonpositive += tally.nonpositive;
            if (!tally.finite && (found.not_finite < 0 || a < found.not_finite)) found.not_finite = a;
        }
    }
    return found;
}

int lanes_for(int rows) { return rows > 8 ? 16 : rows > 4 ? 8 : rows > 2 ? 4 : 2; }

Fbp::Fbp(FftLibrary& library, const Level& level, FbpGeometry geometry, int width, int grid, int lanes, int threads)
    : level_(level),
      geometry_(std::move(geometry)),
      width_(width),
      grid_(grid),
      lanes_(lanes),
      threads_(threads),
      padded_(2 * (static_cast<int>(geometry_.response.size()) - 1)),
      row_fft_(library, padded_, -1),
      grid_fft_(library, grid, +1) {
    const int n = geometry_.columns;
    const Kernel kernel(width, static_cast<double>(grid) / n);
    polynomial_ = fit_polynomial(kernel, width, degree_of(width));
    roll_off_ = roll_off(kernel, grid, n);
    for (double angle : geometry_.angles) {
        step_x_.push_back(std::cos(angle) * grid / padded_);
        step_y_.push_back(std::sin(angle) * grid / padded_);
    }
    const std::size_t lane = lanes, pairs = lanes / 2;
    samples_ = Buffer(geometry_.angles.size() * (padded_ + 1) * lane);
    half_ = Buffer(static_cast<std::size_t>(divide_up(n, tile_edge)) * divide_up(grid, tile_edge) * tile_size * pairs);
    const std::size_t for_spectra = aligned(lane * n) + 2 * pairs * spaced(padded_) + aligned(2 * (padded_ + 1));
    const std::size_t for_strips = 2 * aligned((grid + 2 * pad) * lane) * tile_edge + (pairs + 1) * spaced(grid);
    const std::size_t for_rows = (tile_edge + 1) * spaced(divide_up(grid, tile_edge) * tile_edge);
    for (int t = 0; t < threads; ++t) work_.emplace_back(std::max({for_spectra, for_strips, for_rows}));
}

std::size_t Fbp::bytes() const {
    std::size_t floats = samples_.size() + half_.size();
    for (const Buffer& b : work_) floats += b.size();
    return floats * sizeof(float);
}

Found Fbp::run(const Projections& p, int first_row, int count, float* const* out) {
    Found found;
    spectra(p, first_row, count, found);
    if (found.not_finite >= 0) return found;
    strips();
    rows(count, out);
    return found;
}

// Rows of each angle: correct, Fourier transform, filter, shift to the centre.
void Fbp::spectra(const Projections& p, int first_row, int count, Found& found) {
    const int n = geometry_.columns, half = padded_ / 2, pairs = lanes_ / 2;
    const std::ptrdiff_t stride = spaced(padded_);
    // An even slice's axis lies half a pixel before its pixel n/2.
    const double offset = n % 2 ? 0.0 : 0.5;
#pragma omp parallel for schedule(static) num_threads(threads_)
    for (int a = 0; a < p.angles; ++a) {
        float* rows = work_[omp_get_thread_num()].data();
        float* in = rows + aligned(static_cast<std::size_t>(lanes_) * n);
        float* out = in + pairs * stride;
        float* factor = out + pairs * stride;
        Tally tally;
        level_.correct(p.rows_of(a, first_row, count), rows, tally);
        float sums[2 * 8] = {};
        level_.pair_up(rows, count, n, stride, in, sums);
        for (int j = 0; 2 * j < count; ++j) {
            float* pair = in + j * stride;
            std::fill(pair + 2 * (n + 1), pair + 2 * padded_, 0.0f);
            row_fft_(pair, out + j * stride);
            std::copy_n(sums + 2 * j, 2, out + j * stride);
        }
        const double theta = geometry_.angles[a];
        spectrum_factor(geometry_, a, geometry_.center + offset * (std::cos(theta) + std::sin(theta)), padded_, factor);
        level_.weight_spectrum(out, stride, factor, half, pairs,
                               samples_.data() + static_cast<std::size_t>(a) * (padded_ + 1) * lanes_);
        if (tally.nonpositive || !tally.finite) {
#pragma omp critical
            {
                found.nonpositive += tally.nonpositive;
                if (!tally.finite && (found.not_finite < 0 || a < found.not_finite)) found.not_finite = a;
            }
        }
    }
}

// Strips of grid columns: spread the samples, transform along y, keep the image's rows.
void Fbp::strips() {
    const int n = geometry_.columns, pairs = lanes_ / 2;
    const std::size_t line = aligned(static_cast<std::size_t>(grid_ + 2 * pad) * lanes_);
    const Spread job{grid_,
                     padded_ / 2,
                     0,
                     0,
                     step_y_.data(),
                     step_x_.data(),
                     samples_.data(),
                     polynomial_.data(),
                     pad,
                     static_cast<std::ptrdiff_t>(line / lanes_)};
    const std::ptrdiff_t stride = spaced(grid_);
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads_)
    for (int s = 0; s < divide_up(grid_, tile_edge); ++s) {
        const int first = s * tile_edge, width = std::min(tile_edge, grid_ - first);
        float* strip = work_[omp_get_thread_num()].data();
        float* lines = strip + line * tile_edge;
        float* done = lines + pairs * stride;
        fill_strip(job, first, width, strip, done + stride);
        for (int x = 0; x < width; ++x) {
            float* here = strip + line * x;  // first [y][pair], then the kept rows as [pair][y]
            level_.transpose(here + static_cast<std::ptrdiff_t>(pad) * lanes_, pairs, grid_, pairs, lines, stride / 2);
            for (int j = 0; j < pairs; ++j) {
                grid_fft_(lines + j * stride, done);
                level_.crop(done, grid_, -(n / 2), n, roll_off_.data(), here + 2 * static_cast<std::ptrdiff_t>(n) * j);
            }
        }
        for (int j = 0; j < pairs; ++j)
            for (int y = 0; y < n; y += tile_edge)
                level_.transpose_away(strip + 2 * (static_cast<std::ptrdiff_t>(n) * j + y),
                                      static_cast<std::ptrdiff_t>(line / 2), width, std::min(tile_edge, n - y),
                                      tiles(y / tile_edge, j) + s * tile_size, tile_edge);
    }
}

// Spreads all angles onto a strip. Near the grid's middle all lines cross: adding thousands of nearly equal numbers to a
// cell one by one costs 1e-5, and so, where less is asked for, some angles at a time are added up and then their sums.
void Fbp::fill_strip(Spread job, int first, int width, float* strip, float* some) const {
    const int angles = static_cast<int>(geometry_.angles.size());
    const bool careful = width_ > 5 && std::abs(first + width / 2 - grid_ / 2) < crowded;
    const int share = careful ? summed_angles : angles;
    const std::size_t floats = static_cast<std::size_t>(job.row) * lanes_ * width;
    for (job.from = 0; job.from < angles; job.from = job.to) {
        float* target = job.from == 0 ? strip : some;
        std::fill(target, target + floats, 0.0f);
        job.to = std::min(angles, job.from + share);
        level_.spread(job, width_, lanes_, first, first + width, target);
        if (target == some)
            for (std::size_t i = 0; i < floats; ++i) strip[i] += some[i];
    }
}

// Image rows: transform along x, keep the image's columns, hand both parts to their slices.
void Fbp::rows(int count, float* const* out) {
    const int n = geometry_.columns, across = divide_up(grid_, tile_edge), pairs = divide_up(count, 2);
    const std::ptrdiff_t stride = spaced(across * tile_edge);
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads_)
    for (int job = 0; job < divide_up(n, tile_edge) * pairs; ++job) {
        const int first = job / pairs * tile_edge, j = job % pairs, height = std::min(tile_edge, n - first);
        float* lines = work_[omp_get_thread_num()].data();
        float* done = lines + tile_edge * stride;
        level_.gather(tiles(job / pairs, j), across, height, stride, lines);
        for (int y = 0; y < height; ++y) {
            grid_fft_(lines + y * stride, done);
            const std::ptrdiff_t row = static_cast<std::ptrdiff_t>(first + y) * n;
            level_.unload(done, grid_, -(n / 2), n, roll_off_.data(), out[2 * j] + row,
                          2 * j + 1 < count ? out[2 * j + 1] + row : nullptr);
        }
    }
}

float* Fbp::tiles(int row_tile, int pair) {
    return half_.data() +
           (static_cast<std::size_t>(row_tile) * (lanes_ / 2) + pair) * divide_up(grid_, tile_edge) * tile_size;
}

}  // namespace hpcdaas
