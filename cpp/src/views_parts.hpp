// What the files of Views share: their threads, their blocks, the way of a view and that over rows of the object.
#pragma once

#include <omp.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <initializer_list>
#include <numeric>
#include <utility>

#include "hpcdaas/views.hpp"

namespace hpcdaas {

inline Misfit& operator+=(Misfit& sum, const Misfit& m) {
    sum.error += m.error;
    sum.counts += m.counts;
    sum.likelihood += m.likelihood;
    return sum;
}

inline Misfit total(const std::vector<Misfit>& each) {
    Misfit sum;
    for (const Misfit& m : each) sum += m;
    return sum;
}

// A view's waves: rows `pitch` complex numbers apart, waves `stride` floats.
struct Views::Waves {
    float* data;
    std::size_t pitch, stride;

    float* row(int q, int y) const { return data + q * stride + 2 * y * pitch; }
};

// Rows of the object's sums: `data` is the first pixel of the first row, of the first mode. Null: not wanted.
struct Views::Rows {
    float* data;
    std::size_t plane;

    float* row(int k) const { return data + 2 * k * plane; }
};

// Rows and columns of the object.
struct Box {
    int top, bottom, left, right;

    void enclose(int y, int x, int n) {
        top = std::min(top, y), bottom = std::max(bottom, y + n);
        left = std::min(left, x), right = std::max(right, x + n);
    }
};

// Pieces of one large buffer, so that they share large pages.
struct Piece {
    std::size_t floats = 0, at = 0;
    float* start = nullptr;

    float* data() const { return start; }
    std::size_t size() const { return floats; }
};

// The views that touch a row of the object: it moves down over views in the order of their first rows.
class Touching {
public:
    void begin(const Group& group, int from, int count) {
        group_ = &group, from_ = from, next_ = gone_ = 0;
        by_y_.resize(count);
        std::iota(by_y_.begin(), by_y_.end(), 0);
        std::stable_sort(by_y_.begin(), by_y_.end(), [&](int i, int j) { return y(i) < y(j); });
        by_x.clear(), in_order.clear();
    }
    void move_to(int row, int n) {
        const auto left = [&](int i, int j) { return std::pair(x(i), i) < std::pair(x(j), j); };
        for (; next_ < by_y_.size() && y(by_y_[next_]) <= row; ++next_) {
            const int i = by_y_[next_];
            by_x.insert(std::lower_bound(by_x.begin(), by_x.end(), i, left), i);
            in_order.insert(std::lower_bound(in_order.begin(), in_order.end(), i), i);
        }
        for (; gone_ < next_ && y(by_y_[gone_]) + n <= row; ++gone_) {
            const int i = by_y_[gone_];
            by_x.erase(std::lower_bound(by_x.begin(), by_x.end(), i, left));
            in_order.erase(std::lower_bound(in_order.begin(), in_order.end(), i));
        }
    }

    std::vector<int> by_x, in_order;  // views of the row: the leftmost first; the first first
    const std::vector<int>& by_y() const { return by_y_; }

private:
    int y(int i) const { return group_->y[from_ + i]; }
    int x(int i) const { return group_->x[from_ + i]; }

    const Group* group_ = nullptr;
    int from_ = 0;
    std::size_t next_ = 0, gone_ = 0;
    std::vector<int> by_y_;
};

// What a thread works in.
struct Views::Work {
    Piece waves;         // of one view, a transform along rows behind them
    Piece turned;        // the same with rows and columns exchanged
    Piece lines;         // lines_at_once of each wave
    Piece counts;        // as many of a frame
    Piece line;          // lines_at_once of each mode of the object
    Piece probe;         // ΣO*χ of this thread
    Piece probe_weight;  // Σ|O|² likewise
    Buffer memory;       // of all these
    std::vector<float> weights;  // Σ|P|² of a row of the object
    std::vector<float> row;      // ΣP*χ of a row, [object mode][width]
    Buffer object;  // ΣP*χ of this thread, in its box
    Box box{};
    std::vector<float*> pointers;  // to the lines of each wave
    Touching touching;
    std::vector<int> order, place;  // of a batch's views by their rows: which is the first; where each is in it

    void allocate(std::initializer_list<std::pair<Piece*, std::size_t>> pieces) {
        std::size_t all = 0;
        for (const auto& [piece, floats] : pieces) {
            piece->floats = floats;
            piece->at = all;
            all += (floats + 15) / 16 * 16 + 16;
        }
        memory = Buffer(all);
        for (const auto& [piece, floats] : pieces) piece->start = memory.data() + piece->at;
    }

    float light = 0, largest = 0;  // most Σ|P|², most Σ|O|² of this thread's rows
};

// Some views of a group and where their waves are kept. Behind them may be views of other ranks, which have no waves here
// and touch the object, as far as it is here, all the same.
struct Views::Block {
    const Group& group;
    int from, count, all;
    Waves first;       // those of view `from`, or of slot 0
    std::size_t size;  // floats between views
    bool stored;       // in the group's slots
    const int* place = nullptr;  // else, in which of the block's slots each view is; null: in their order

    int y(int i) const { return group.y[from + i]; }
    int x(int i) const { return group.x[from + i]; }
    Waves waves(int i) const {
        const int slot = stored ? group.slot[from + i] : place ? place[i] : i;
        return {first.data + static_cast<std::size_t>(slot) * size, first.pitch, first.stride};
    }
};

// Threads that meet often: they look for each other a while before they sleep.
class Views::Team {
public:
    // By every thread, first of all. The system may give fewer threads than were asked for.
    void begin(int& threads) {
#pragma omp single
        {
            threads = threads_ = omp_get_num_threads();
            next_ = std::vector<Next>(threads_);
        }
    }
    void meet() {
        if (threads_ == 1) return forget();
        const unsigned round = round_.load(std::memory_order_acquire);
        if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == threads_) {
            arrived_.store(0, std::memory_order_relaxed);
            forget();
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
    // The next of `count` pieces of work, of which each thread begins with its share and then helps others; `count` if
    // none is left. From the beginning again after each meeting.
    int take(int count, int thread) {
        for (int t = thread; t < thread + threads_; ++t) {
            const int whose = t % threads_, first = count * whose / threads_;
            const int i = first + next_[whose].piece.fetch_add(1, std::memory_order_relaxed);
            if (i < count * (whose + 1) / threads_) return i;
        }
        return count;
    }

private:
    struct alignas(64) Next {
        std::atomic<int> piece{0};
    };

    void forget() {
        for (Next& next : next_) next.piece.store(0, std::memory_order_relaxed);
    }

    int threads_ = 1;
    std::vector<Next> next_ = std::vector<Next>(1);
    std::atomic<int> arrived_{0};
    std::atomic<unsigned> round_{0};
};

inline std::size_t size_of(Type type) {
    return type == Type::u8 ? 1 : type == Type::u16 || type == Type::i16 ? 2 : 4;
}

// Asks for `rows` × `bytes` of memory that is needed soon. Rows far from each other are not foreseen by the machine.
inline void prefetch(const void* from, std::size_t bytes, std::ptrdiff_t pitch, int rows) {
    const char* p = static_cast<const char*>(from);
    for (int r = 0; r < rows; ++r, p += pitch)
        for (std::size_t i = 0; i < bytes; i += 64) __builtin_prefetch(p + i, 0, 2);
}

// fill(q, y, rows, out) makes some rows of wave q; then they are transformed. Meanwhile the frame comes to the cache.
template <class Fill>
void Views::depart(Work& work, const Frame& frame, Fill&& fill) const {
    const std::size_t size = size_of(frame.type);
    const char* counts = static_cast<const char*>(frame.data);
    for (int q = 0; q < modes_; ++q)
        for (int y = 0; y < n_; y += lines_at_once) {
            const int rows = std::min(lines_at_once, n_ - y);
            if (q == 0) prefetch(counts + size * y * frame.row_stride, size * n_, size * frame.row_stride, rows);
            fill(q, y, rows, work.pointers[q]);
            rows_forward_(work.pointers[q], work.waves.data() + q * stride_ + 2 * y * pitch_);
        }
}

// The last transform: some rows of all waves to place(q, y), then take(y, rows).
template <class Place, class Take>
void Views::arrive(Work& work, Place&& place, Take&& take) const {
    for (int y = 0; y < n_; y += lines_at_once) {
        for (int q = 0; q < modes_; ++q) columns_backward_(work.turned.data() + q * stride_ + 2 * y, place(q, y));
        take(y, std::min(lines_at_once, n_ - y));
    }
}

// The change of a view's waves that the detector asks for, row by row: take(y, rows, χ). It is kept where the block has
// room for it.
template <class Take>
Misfit Views::change(const FrameStack& frames, const Block& block, int i, const Fields& fields, Noise noise, Work& work,
                     Take&& take) const {
    const int view = block.from + i;
    const Frame measured = frame(frames, block.group.frame[view]);
    depart(work, measured, [&](int q, int y, int rows, float* out) {
        const Window w = window(fields, block.group, view, q, y, rows);
        if (scattered_) ask_for_next(w.object, w.stride);
        level_.exit_wave(w, out, pitch_);
    });
    const float unit = far_ ? 1.0f / (static_cast<float>(n_) * n_) : 1.0f;
    const Misfit found = detect(measured, noise, {unit, 0.0f, unit}, work);
    const std::size_t lines = 2 * lines_at_once * pitch_;
    const bool kept = block.first.data != nullptr;
    const Waves waves = block.waves(kept ? i : 0);
    arrive(
        work, [&](int q, int y) { return kept ? waves.row(q, y) : work.pointers[q]; },
        [&](int y, int rows) {
            take(y, rows, kept ? Waves{waves.row(0, y), pitch_, stride_} : Waves{work.lines.data(), pitch_, lines});
        });
    return found;
}

// Goes over this thread's rows of the object, as far as the block's views touch them: each(row, x0, x1) for each run of
// touched pixels. Rows are shared out so that each thread has as many rows of views.
template <class Each>
void Views::runs(const Block& b, const Fields& f, int thread, Each&& each) {
    Touching& touching = work_[thread].touching;
    touching.begin(b.group, b.from, b.all);
    int low = f.height, high = 0;
    std::int64_t total = 0;
    for (int i = 0; i < b.all; ++i) {
        const int top = std::max(0, b.y(i)), bottom = std::min(f.height, b.y(i) + n_);
        low = std::min(low, top), high = std::max(high, bottom);
        total += bottom - top;
    }
    const std::int64_t begin = total * thread / active_, end = total * (thread + 1) / active_;
    std::int64_t before = 0;
    for (int y = low; y < high; ++y) {
        touching.move_to(y, n_);
        const auto here = static_cast<std::int64_t>(touching.by_x.size());
        const bool mine = before >= begin && before < end;
        before += here;
        if (!mine || here == 0) continue;
        int start = -1, stop = -1;
        for (const int i : touching.by_x) {
            const int x = std::max(0, b.x(i));
            if (x > stop) {
                if (start >= 0) each(y, start, stop);
                start = x;
            }
            stop = std::min(f.width, b.x(i) + n_);
        }
        each(y, start, stop);
    }
}

// Views of a block by their rows; their waves lie in that order, so that a thread has the same slots in each batch.
inline void Views::arrange(Block& block, int thread) {
    Work& work = work_[thread];
    work.touching.begin(block.group, block.from, block.all);
    work.order.clear();
    work.place.resize(block.count);
    for (const int i : work.touching.by_y()) {
        if (i >= block.count) continue;
        work.place[i] = static_cast<int>(work.order.size());
        work.order.push_back(i);
    }
    block.place = work.place.data();
}

// Each view of a batch once, by one of the threads. A thread takes views whose rows of the object are mostly its own: what
// one has in its cache, waves, object and sums, is far from the others.
template <class Each>
void Views::share_out(const Block& block, int thread, Team& team, Each&& each) {
    if (active_ == 1) {  // sums are made on the way, in the order of the views
        for (int i = 0; i < block.count; ++i) each(i);
        return;
    }
    const std::vector<int>& order = work_[thread].order;
    for (int k = team.take(block.count, thread); k < block.count; k = team.take(block.count, thread)) each(order[k]);
}

// All views of a batch whose fields move after it: each(i, work, take), where take(y, rows, χ) is to be called for their
// rows. The largest weight is found first: work.light, for each thread's rows.
template <class Each>
void Views::visit(const Block& block, const Fields& fields, const Sums& sums, int thread, Team& team, Each&& each) {
    Work& work = work_[thread];
    const bool at_once = active_ == 1;
    if (sums.object) work.light = most_weight(block, fields, thread);
    if (at_once && sums.object)
        runs(block, fields, thread, [&](int y, int x0, int x1) { clear(rows_of(sums.object, fields, y), x0, x1); });
    share_out(block, thread, team, [&](int i) {
        each(i, work, [&](int y, int rows, const Waves& chi) {
            if (at_once) add(block, i, y, rows, chi, fields, rows_of(sums.object, fields, block.y(i) + y), sums, work);
        });
    });
    team.meet();
}

// Then what they say, by this thread's rows of the object: done(y, x0, x1, sum) where a run of it is summed up. Several
// threads sum where `kept` says: on the grid, or in a row of their own.
template <class Done>
void Views::collect(const Block& block, const Fields& fields, const Sums& sums, bool kept, int thread, Done&& done) {
    Work& work = work_[thread];
    const bool at_once = active_ == 1;
    runs(block, fields, thread, [&](int y, int x0, int x1) {
        const bool on_grid = kept || at_once || !sums.object;
        const Rows sum = on_grid ? rows_of(sums.object, fields, y) : Rows{work.row.data(), static_cast<std::size_t>(fields.width)};
        if (!at_once) {
            if (sums.object) clear(sum, x0, x1);
            for (const int i : work.touching.in_order) {
                if (i >= block.count || block.x(i) < x0 || block.x(i) >= x1) continue;
                const int r = y - block.y(i);
                const Waves waves = block.waves(i);
                add(block, i, r, 1, {waves.row(0, r), waves.pitch, waves.stride}, fields, sum, sums, work);
            }
        }
        done(y, x0, x1, sum);
    });
}

}  // namespace hpcdaas
