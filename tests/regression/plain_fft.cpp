// Plain discrete Fourier transforms behind FFTW's interface, for counting instructions: it plans nothing, and does the
// same on every machine. It also tells valgrind what is to be counted.
#include <valgrind/callgrind.h>

#include <cmath>
#include <complex>
#include <cstdlib>
#include <cstring>
#include <vector>

using Complex = std::complex<float>;

struct Plan {
    int length, count, in_stride, in_distance, out_stride, out_distance;
    std::vector<Complex> roots, line;
};

static long transformed = 0;

extern "C" {

void* fftwf_plan_many_dft(int rank, const int* n, int count, Complex*, const int*, int in_stride, int in_distance,
                          Complex*, const int*, int out_stride, int out_distance, int sign, unsigned) {
    if (rank != 1) return nullptr;
    auto* plan = new Plan{n[0], count, in_stride, in_distance, out_stride, out_distance, {}, {}};
    for (int k = 0; k < n[0]; ++k) plan->roots.emplace_back(std::polar(1.0, sign * 2 * M_PI * k / n[0]));
    plan->line.resize(n[0]);
    return plan;
}

void fftwf_execute_dft(void* which, Complex* in, Complex* out) {
    Plan& p = *static_cast<Plan*>(which);
    for (int i = 0; i < p.count; ++i) {
        for (int k = 0; k < p.length; ++k) p.line[k] = in[i * p.in_distance + k * p.in_stride];
        for (int f = 0; f < p.length; ++f) {
            Complex sum = 0;
            for (int k = 0, at = 0; k < p.length; ++k, at = (at + f) % p.length) {
                const Complex a = p.line[k], b = p.roots[at];
                sum += Complex(a.real() * b.real() - a.imag() * b.imag(), a.real() * b.imag() + a.imag() * b.real());
            }
            out[i * p.out_distance + f * p.out_stride] = sum;
        }
    }
    transformed += static_cast<long>(p.count) * p.length;
}

void fftwf_destroy_plan(void* plan) { delete static_cast<Plan*>(plan); }
char* fftwf_export_wisdom_to_string() { return strdup(""); }
int fftwf_import_wisdom_from_string(const char*) { return 1; }

void count_start() {
    transformed = 0;
    CALLGRIND_START_INSTRUMENTATION;
    CALLGRIND_ZERO_STATS;
}

// Ends counting; gives how many numbers were transformed.
long count_stop(const char* name) {
    CALLGRIND_DUMP_STATS_AT(name);
    CALLGRIND_STOP_INSTRUMENTATION;
    return transformed;
}
}
