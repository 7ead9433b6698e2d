// What the files of Views share: their threads, their blocks, and the way over the rows of the object.
#pragma once

#include <omp.h>

#include <algorithm>
#include <atomic>
#include <numeric>
#include <utility>

#include "hpcdaas/views.hpp"

namespace hpcdaas {

inline std::size_t padded(std::size_t floats) { return (floats + 15) / 16 * 16 + 16; }

inline Misfit total(const std::vector<Misfit>& each) {
    Misfit sum;
    for (const Misfit& m : each) {
        sum.error += m.error;
        sum.counts += m.counts;
        sum.likelihood += m.likelihood;
    }
    return sum;
}

// What a thread works in.
struct Views::Work {
    Buffer waves;         // of one view, where they aren't kept in slots
    Buffer probe;         // ΣO*χ of this thread's rows
    Buffer probe_weight;  // Σ|O|² likewise
    Buffer line;          // a row of ΣP*χ for each object mode, of Σ|P|², of Σ|O|² of the object
    std::vector<float> scratch;
    std::vector<float*> pointers;
    std::vector<int> by_x;  // views of a block, the leftmost first
    float largest = 0;
};

// Some views of a group and their waves.
struct Views::Block {
    const Group& group;
    int from, count;
    float* waves;            // of view `from` + i at i·stride, or of slot s at s·stride where stored
    std::size_t stride;      // floats between views
    std::size_t wave_stride; // floats between the waves of a view
    bool stored;

    int y(int i) const { return group.y[from + i]; }
    int x(int i) const { return group.x[from + i]; }
    float* wave(int i) const { return waves + static_cast<std::size_t>(stored ? group.slot[from + i] : i) * stride; }
};

// Threads that meet often: they look for each other a while before they sleep.
class Views::Team {
public:
    // By every thread, first of all. The system may give fewer threads than were asked for.
    void begin(int& threads) {
#pragma omp single
        threads = threads_ = omp_get_num_threads();
    }
    void meet() {
        if (threads_ == 1) return next_.store(0, std::memory_order_relaxed);
        const unsigned round = round_.load(std::memory_order_acquire);
        if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == threads_) {
            arrived_.store(0, std::memory_order_relaxed);
            next_.store(0, std::memory_order_relaxed);
            round_.fetch_add(1, std::memory_order_release);
            round_.notify_all();
            return;
        }
        for (int i = 0; i < 20000; ++i) {
            if (round_.load(std::memory_order_acquire) != round) return;
#if defined(__x86_64__)
            __builtin_ia32_pause();
#endif
        }
        round_.wait(round, std::memory_order_acquire);
    }
    // The next piece of work; counted from 0 again after each meeting.
    int take() { return next_.fetch_add(1, std::memory_order_relaxed); }

private:
    int threads_ = 1;
    std::atomic<int> arrived_{0}, next_{0};
    std::atomic<unsigned> round_{0};
};

// Goes over this thread's rows of the object, as far as the block's views touch them, and adds up what is wanted:
// take(row, x0, x1, line) for each run of touched pixels, line.object(k) and line.weight from x0 on. The probe's sums
// stay with the thread.
template <class Take>
void Views::rows(const Block& b, const Fields& f, bool object, bool weight, bool probe, int thread, Take&& take) {
    Work& w = work_[thread];
    w.by_x.resize(b.count);
    std::iota(w.by_x.begin(), w.by_x.end(), 0);
    std::sort(w.by_x.begin(), w.by_x.end(), [&](int i, int j) { return std::pair(b.x(i), i) < std::pair(b.x(j), j); });
    int low = f.height, high = 0;
    for (int i = 0; i < b.count; ++i) low = std::min(low, b.y(i)), high = std::max(high, b.y(i) + n_);
    // Rows are shared out so that each thread has as many rows of views to add.
    std::vector<int> touched(high - low + 1, 0);
    for (int i = 0; i < b.count; ++i) ++touched[b.y(i) - low], --touched[b.y(i) + n_ - low];
    std::partial_sum(touched.begin(), touched.end(), touched.begin());
    const auto [begin, end] = share(b.count * n_, thread);
    const std::size_t line = padded(2 * static_cast<std::size_t>(f.width));
    float* const weights = w.line.data() + objects_ * line;
    float* const object_power = weights + line;
    int before = 0;
    for (int y = low; y < high; before += touched[y - low], ++y) {
        if (before < begin || before >= end || touched[y - low] == 0) continue;
        int start = -1, stop = -1;
        const float* row = f.object + 2 * static_cast<std::size_t>(y) * f.width;
        const std::size_t plane = 2 * static_cast<std::size_t>(f.height) * f.width;
        for (const int i : w.by_x) {
            const int r = y - b.y(i), x = b.x(i);
            if (r < 0 || r >= n_) continue;
            if (x > stop) {
                if (start >= 0) take(y, start, stop, w.line.data(), line, weights);
                start = stop = x;
            }
            const int fresh = std::max(stop, x), until = x + n_;
            for (int k = 0; object && k < objects_; ++k)
                std::fill(w.line.data() + k * line + 2 * fresh, w.line.data() + k * line + 2 * until, 0.0f);
            if (weight) std::fill(weights + fresh, weights + until, 0.0f);
            if (probe)
                for (int k = 0; k < objects_; ++k) {
                    const float* o = row + k * plane + 2 * fresh;
                    k == 0 ? level_.square(o, until - fresh, object_power + fresh)
                           : level_.add_square(o, until - fresh, object_power + fresh);
                }
            stop = until;
            const std::size_t at = static_cast<std::size_t>(r) * n_;
            if (weight) level_.add(power_.data() + at, n_, weights + x);
            if (probe) level_.add(object_power + x, n_, w.probe_weight.data() + at);
            if (!object && !probe) continue;
            const float* chi = b.wave(i) + 2 * at;
            for (int m = 0; m < probes_; ++m) {
                const std::size_t here = 2 * (static_cast<std::size_t>(m) * n_ * n_ + at);
                for (int k = 0; k < objects_; ++k, chi += b.wave_stride)
                    level_.add_back(chi, f.probe + here, row + k * plane + 2 * x, n_,
                                    object ? w.line.data() + k * line + 2 * x : nullptr,
                                    probe ? w.probe.data() + here : nullptr);
            }
        }
        if (start >= 0) take(y, start, stop, w.line.data(), line, weights);
    }
}

}  // namespace hpcdaas
