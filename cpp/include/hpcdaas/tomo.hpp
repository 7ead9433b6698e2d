// Tomography: Fourier gridding, ray sums, and the data that they take.
#pragma once

#include <cstddef>
#include <vector>

#include "hpcdaas/fft.hpp"
#include "hpcdaas/level.hpp"

namespace hpcdaas {

// Projections [angle][row][column] in their stored type, with what is to be corrected on loading.
struct Projections {
    const void* data = nullptr;
    Type type = Type::f32;
    int angles = 0, rows = 0, columns = 0;
    std::ptrdiff_t angle_stride = 0, row_stride = 0;  // elements
    bool corrected = true;                            // true: nothing below is used
    const float* dark = nullptr;                      // [row][column]
    const float* net = nullptr;                       // [group][row][column]
    int groups = 1;
    const int* group = nullptr;    // of each angle
    const float* weight = nullptr; // of each angle
    bool log = false;
    float floor = 0;

    Rows rows_of(int angle, int first, int count) const;
};

// What was found in the data while they were loaded.
struct Found {
    long nonpositive = 0;
    int not_finite = -1;  // the first angle with a value that is not finite, or −1
};

// Corrects all rows into out [angle][row][column].
Found correct(const Projections& p, const Level& level, int threads, float* out);

// What filtered back-projection needs beside the data.
struct FbpGeometry {
    int columns = 0;                 // N; slices are N×N
    std::vector<double> angles;      // radians
    std::vector<double> weights;     // radians
    std::vector<double> response;    // H[k], k = 0 … P/2
    std::vector<double> difference;  // |H[k] / (1 − exp(−2πik/P))|, half of it at P/2
    double center = 0;
    double scale = 1;
};

// FbpGeometry::difference of a response.
std::vector<double> difference_response(const std::vector<double>& response);

// Filtered back-projection by gridding in Fourier space.
//
// The sum over angles and frequencies that defines the slice is a non-uniform discrete Fourier
// transform of type 1: samples on radial lines to a grid of pixels. Each sample is spread onto an
// oversampled grid with a Kaiser-Bessel kernel, the grid is transformed, and the kernel's transform
// is divided out (J. D. O'Sullivan, IEEE Trans. Med. Imaging 4 (1985) 200; P. J. Beatty,
// D. G. Nishimura, J. M. Pauly, IEEE Trans. Med. Imaging 24 (2005) 799). Two real slices make one
// complex transform, up to eight such pairs go through at once as vector lanes.
//
// The grid never lies in memory as a whole: a strip of columns is filled, transformed along y while it
// is in the cache, and only the rows that are kept are stored, in tiles from which the transforms
// along x then make whole rows of the slices.
class Fbp {
public:
    Fbp(FftLibrary& library, const Level& level, FbpGeometry geometry, int width, int grid, int lanes, int threads);

    // Rows of `p` (at most `lanes`) into slices out[row] of N×N.
    Found run(const Projections& p, int first_row, int count, float* const* out);
    std::size_t bytes() const;

private:
    void spectra(const Projections& p, int first_row, int count, Found& found);
    void strips();
    void fill_strip(Spread job, int first, int width, float* strip, float* some) const;
    void rows(int count, float* const* out);
    float* tiles(int row_tile, int pair);

    const Level& level_;
    FbpGeometry geometry_;
    int width_, grid_, lanes_, threads_, padded_;
    std::vector<double> step_x_, step_y_;
    std::vector<float> polynomial_, roll_off_;
    Fft row_fft_, grid_fft_;
    Buffer samples_, half_;
    std::vector<Buffer> work_;
};

// Ray sums over pixels of up to 16 lines of sight at once; see level_rays.inc.
class RaySum {
public:
    RaySum(const Level& level, std::vector<double> angles, double center, int size, int threads);

    // lines(angle, column, lane) for column `first_column()` … and the slices' rows out[row] of size×size.
    void backproject(const float* lines, int lanes, int count, float factor, float* const* out) const;
    void project(const float* const* slices, int lanes, int count, float* lines) const;

    int first_column() const { return first_; }
    int columns() const { return columns_; }
    int angles() const { return static_cast<int>(angles_); }
    int size() const { return size_; }
    int threads() const { return threads_; }
    const Level& level() const { return level_; }

private:
    Rays rays(int from, int count) const;

    const Level& level_;
    std::size_t angles_;
    std::vector<double> cosine_, sine_;
    int size_, threads_, first_, columns_;
    double center_;
};

// Filters rows [angle][row][column] and lays them out as lines for `rays`, weights and H included.
Found filtered_lines(FftLibrary& library, const Projections& p, int first_row, int count, const FbpGeometry& geometry,
                     const RaySum& rays, int lanes, float* lines);

int lanes_for(int rows);

}  // namespace hpcdaas
