// The vector code: one table of functions per instruction level, chosen at run time.
#pragma once

#include <cstddef>
#include <cstdint>

namespace hpcdaas {

constexpr int max_width = 8;   // widest gridding kernel, grid points

// Degree of the polynomials that stand for a kernel of some width: their error is far below the kernel's own.
constexpr int degree_of(int width) { return width + 1; }

enum class Type : int { u8, u16, i16, u32, i32, f32 };

// Flat field and logarithm of one angle's rows; see Correction in backend/__init__.py.
struct RowCorrection {
    const float* dark = nullptr;  // [row][column]; null: the data are taken as they are
    const float* net = nullptr;   // [row][column] of the group of flats before
    const float* next = nullptr;  // the same of the group after
    float weight = 0;             // of `next`
    bool log = false;
    float floor = 0;
};

// Rows of one angle: [row][column], rows `row_stride` elements apart.
struct Rows {
    const void* data;
    Type type;
    std::ptrdiff_t row_stride;
    int count;
    int columns;
    RowCorrection correction;  // pointers at the first of these rows, rows `columns` apart
};

struct Tally {
    long nonpositive = 0;
    bool finite = true;
};

// What spreads samples onto a strip of grid rows (of either axis: a strip's rows lie along "x").
struct Spread {
    int grid;                // G, points along each axis
    int half;                // P/2: samples k = −P/2 … P/2 of each angle
    int from, to;            // angles: the first, and the one after the last
    const double* step_x;    // grid points per sample, for each angle
    const double* step_y;
    const float* samples;    // [angle][k + P/2][lane]
    const float* polynomial; // [degree + 1][max_width], highest power first
    int pad;                 // columns of the strip left and right of the grid
    std::ptrdiff_t row;      // columns from one row of the strip to the next
};

// Linear interpolation between columns: u = origin + x cos θ + y sin θ, clamped to [0, columns − 1).
struct Rays {
    int angles;
    const double* cosine;
    const double* sine;
    double origin;
    int columns;  // of each line of `lines`, [angle][column][lane]; the first and last are zero where rays may leave
};

constexpr int lines_at_once = 8;  // of a view's waves, on their way through the transforms

// One diffraction frame as it is stored, the direct beam at n/2 of both axes.
struct Frame {
    const void* data;
    Type type;
    std::ptrdiff_t row_stride;  // elements
    int n;
    int shift;             // frame index (i + shift) mod n belongs to place i of the transform
    bool turned;           // the lines of waves at the detector are columns of the frame
    float limit;           // counts at or above this aren't used
    const std::int8_t* bad;  // [line][pitch] in the order of the transform: −1, or 0 where a pixel is used
    std::ptrdiff_t pitch;  // numbers from one line of a wave to the next
};

// Φ ← (factor + keep)·scale·Φ, `factor` from the frame and Σ|Φ|²·power over waves; without scale nothing is written.
struct Change {
    float power, keep, scale;
};

// Rows of a view's window: those of the object lie `stride` complex numbers apart, those of the probe n.
struct Window {
    const float* object;
    std::ptrdiff_t stride;
    const float* probe;
    int n, rows;
};

// ψ ← (1 − a − b)ψ + a·PO + b·F[c·PO + (1 − c)ψ], F the modulus constraint.
struct Projection {
    float a, b, c;
};

// Where rows of χ add conj(P)·χ (rows `stride` complex numbers apart), conj(O)·χ and |O|² (rows n apart); null: not
// wanted.
struct RowSums {
    float* object;
    std::ptrdiff_t stride;
    float* probe;
    float* probe_weight;
    bool first_object = false, first_probe = false;  // nothing is there yet
};

enum class Noise : int { amplitude, gaussian, poisson };

// Sums over the used pixels of a view: (√I − |Ψ|)², I, and the likelihood of the noise model.
struct Misfit {
    double error = 0, counts = 0, likelihood = 0;
};

// A step of LSQ-ML from one view: squares and products of P ΔO ("o"), O ΔP ("p") and χ ("x").
struct Products {
    double oo = 0, pp = 0, op = 0, ox = 0, px = 0;
};

// Columns [column][rank] that the windows of some columns cover, in order, and where those columns' medians go.
struct ColumnTile {
    static constexpr int lanes = 16;
    const float* const* columns;  // tile + 2 margin
    float* const* out;            // tile; null: not wanted
    int tile, margin;             // tile is a power of two of at most margin + 1
};

struct Level {
    const char* name;
    // Corrects rows into out [row][columns].
    void (*correct)(const Rows&, float* out, Tally&);
    // [row][columns] to [column][lanes]; rows beyond `count` become zero.
    void (*interleave)(const float* rows, int count, int columns, int lanes, float* out);
    // [column][lanes] × factor to out[row][column] for the rows below `count`.
    void (*scatter)(const float* block, int columns, int lanes, int count, float factor, float* const* out);
    // First differences p[i] − p[i−1], i = 0 … columns (p is 0 outside), of rows 2j and 2j + 1 of rows [row][columns]
    // to pair j, complex (row 2j, row 2j + 1), pairs `stride` floats apart; sums[row] gets the rows' sums.
    void (*pair_up)(const float* rows, int count, int columns, std::ptrdiff_t stride, float* out, float* sums);
    // in[pair][P] to out[k + P/2][pair] × factor[k + P/2], complex, k = −P/2 … P/2.
    void (*weight_spectrum)(const float* in, std::ptrdiff_t stride, const float* factor, int half, int pairs, float* out);
    // out[c][r] = in[r][c], complex; strides in complex numbers.
    void (*transpose)(const float* in, std::ptrdiff_t in_stride, int rows, int columns, float* out,
                      std::ptrdiff_t out_stride);
    // The same, for an `out` that is not read again soon.
    void (*transpose_away)(const float* in, std::ptrdiff_t in_stride, int rows, int columns, float* out,
                           std::ptrdiff_t out_stride);
    // Tiles [tile][16][16], complex, to lines out[i][16 tile + …], `stride` floats apart.
    void (*gather)(const float* tiles, int count, int lines, std::ptrdiff_t stride, float* out);
    // out[i] = in[(i + first) mod grid] × factor[i], complex × real, i < columns.
    void (*crop)(const float* in, int grid, int first, int columns, const float* factor, float* out);
    // Real parts of in[(i + first) mod grid] × factor[i] to re[i], imaginary ones to im[i] (which may be null).
    void (*unload)(const float* in, int grid, int first, int columns, const float* factor, float* re, float* im);
    // Adds the samples that touch grid rows y0 … y1−1 to strip [y1 − y0][row][lanes]. width: 3 … 8.
    void (*spread)(const Spread&, int width, int lanes, int y0, int y1, float* strip);
    // Adds rays through a tile of pixels: tile [y][x][lanes], lines [angle][column][lanes].
    void (*backproject)(const Rays&, const float* lines, int lanes, double x0, double y0, int nx, int ny, float* tile);
    void (*project)(const Rays&, const float* tile, int lanes, double x0, double y0, int nx, int ny, float* lines);
    // For some ranks, at least `lanes`; room: (2 margin + 2 + 2 tile) lanes, aligned as one vector of them.
    void (*medians)(const ColumnTile&, int ranks, float* room);

    // Views; all complex arrays are interleaved.
    // out = P·O, its rows `pitch` complex numbers apart
    void (*exit_wave)(const Window&, float* out, std::ptrdiff_t pitch);
    // out = c·P·O + (1 − c)·ψ; rows of ψ lie n apart
    void (*mix)(const Window&, float c, const float* psi, float* out, std::ptrdiff_t pitch);
    // ψ = (1 − a − b)·ψ + a·P·O + b·F
    void (*renew)(const Window&, float a, float b, const float* f, std::ptrdiff_t pitch, float* psi);
    // Lines `first` … of waves and frame; counts: room for lines_at_once × pitch floats, zero at first.
    Misfit (*constrain)(const Frame&, int first, Noise, float* const* waves, int count, const Change&, float* counts);
    // w = w·t, or w·conj(t)
    void (*transfer)(float* wave, const float* t, bool conjugate, int count);
    // Rows of χ, `pitch` complex numbers apart, of one probe and one object mode.
    void (*add_back)(const float* chi, std::ptrdiff_t pitch, const Window&, const RowSums&);
    // out = |a|², out += |a|², out += a (real)
    void (*square)(const float* a, int n, float* out);
    void (*add_square)(const float* a, int n, float* out);
    void (*add)(const float* a, int n, float* out);
    // o += s·Δ/((1 − α)·w + αw_max), or with w = null o += s·Δ
    void (*step_by)(const float* delta, const float* weight, int n, float alpha, float largest, float s, float* o);
    // Δ = Δ/√(w² + d²)
    void (*damp)(const float* weight, float d, int n, float* delta);
    float (*largest)(const float* a, int n);
    // Adds to p for one pair of modes; the object's step has the window's stride.
    void (*products)(const float* chi, std::ptrdiff_t pitch, const Window&, const float* object_step,
                     const float* probe_step, Products& p);
};

// The best level of this machine, or the one named (throws std::invalid_argument if it isn't there).
const Level& choose_level(const char* name = nullptr);

}  // namespace hpcdaas
