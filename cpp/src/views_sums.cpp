// Sums over views: on the grids of object and probe, by each thread for its rows.
#include "views_parts.hpp"

namespace hpcdaas {

// Asks for the rows behind those at `here`: a machine foresees none that is in another page.
void Views::ask_for_next(const float* here, std::ptrdiff_t width) const {
    prefetch(here + 2 * lines_at_once * width, 8 * n_, 8 * width, lines_at_once);
}

Views::Rows Views::rows_of(float* object, const Fields& f, int y) const {
    const std::size_t plane = static_cast<std::size_t>(f.height) * f.width;
    return {object ? object + 2 * static_cast<std::ptrdiff_t>(f.width) * y : nullptr, plane};
}

void Views::clear(const Rows& rows, int x0, int x1) const {
    for (int k = 0; k < objects_; ++k) std::fill_n(rows.row(k) + 2 * x0, 2 * (x1 - x0), 0.0f);
}

// Adds rows y … of a view's χ: to the object's sums in `onto`, whose first row is the view's row y, and to the thread's
// own of the probe.
void Views::add(const Block& block, int i, int y, int count, const Waves& chi, const Fields& f, const Rows& onto,
                const Sums& sums, Work& work) const {
    const std::size_t pixels = static_cast<std::size_t>(n_) * n_, here = static_cast<std::size_t>(y) * n_;
    for (int q = 0; q < modes_; ++q) {
        const int m = q / objects_, k = q % objects_;
        const Window w = window(f, block.group, block.from + i, q, y, count);
        float* const object = onto.data ? onto.row(k) + 2 * block.x(i) : nullptr;
        if (scattered_ && count > 1 && m == 0) {
            ask_for_next(w.object, w.stride);
            if (object) ask_for_next(object, w.stride);
        }
        level_.add_back(chi.row(q, 0), static_cast<std::ptrdiff_t>(chi.pitch), w,
                        {object, w.stride, sums.probe ? work.probe.data() + 2 * (m * pixels + here) : nullptr,
                         sums.probe_weight && m == 0 ? work.probe_weight.data() + here : nullptr, false, false});
    }
}

// Σ|P|² of rows y … into `power_`; gives its maximum.
float Views::power(const Fields& fields, int y, int rows) {
    const std::size_t at = static_cast<std::size_t>(y) * n_;
    for (int m = 0; m < probes_; ++m)
        (m == 0 ? level_.square : level_.add_square)(probe_mode(fields, m) + 2 * at, rows * n_, power_.data() + at);
    return level_.largest(power_.data() + at, rows * n_);
}

// Adds `power_` to a row of the object, at the views that lie from x0 to x1.
void Views::weigh(const Block& block, const Fields& f, float* row, int thread, int y, int x0, int x1) const {
    for (const int i : work_[thread].touching.in_order) {
        const int left = std::max(0, block.x(i)), right = std::min(f.width, block.x(i) + n_);
        if (left >= x0 && left < x1)
            level_.add(power_.data() + static_cast<std::size_t>(y - block.y(i)) * n_ + (left - block.x(i)), right - left,
                       row + left);
    }
}

// The same from 0, in the thread's own row: it is made again where it is needed, for a grid of them would go through the
// memory each time, and a row stays in the first cache.
const float* Views::weights(const Block& block, const Fields& f, int thread, int y, int x0, int x1) {
    float* const row = work_[thread].weights.data();
    std::fill_n(row + x0, x1 - x0, 0.0f);
    weigh(block, f, row, thread, y, x0, x1);
    return row;
}

// The largest of this thread's rows.
float Views::most_weight(const Block& block, const Fields& f, int thread) {
    float most = 0;
    runs(block, f, thread, [&](int y, int x0, int x1) {
        most = std::max(most, level_.largest(weights(block, f, thread, y, x0, x1) + x0, x1 - x0));
    });
    return most;
}

// Σ|O|² over modes, this thread's rows of it, where the block touches the object.
void Views::object_power(const Block& block, const Fields& f, int thread) {
    const std::size_t plane = static_cast<std::size_t>(f.height) * f.width;
    runs(block, f, thread, [&](int y, int x0, int x1) {
        const std::size_t at = static_cast<std::size_t>(y) * f.width + x0;
        for (int k = 0; k < objects_; ++k)
            (k == 0 ? level_.square : level_.add_square)(f.object + 2 * (k * plane + at), x1 - x0, light_.data() + at);
    });
}

// Both weights over all views of a group.
void Views::add_weights(const Block& block, const Fields& f, const Sums& sums, int thread, Team& team) {
    const auto [from, to] = share(n_, thread);
    if (sums.weight && to > from) power(f, from, to - from);
    if (sums.probe_weight) object_power(block, f, thread);
    team.meet();
    if (sums.weight)
        runs(block, f, thread, [&](int y, int x0, int x1) {
            weigh(block, f, sums.weight + static_cast<std::size_t>(y) * f.width, thread, y, x0, x1);
        });
    for (int r = from; sums.probe_weight && r < to; ++r)
        for (int i = 0; i < block.count; ++i)
            level_.add(light_.data() + static_cast<std::size_t>(block.y(i) + r) * f.width + block.x(i), n_,
                       sums.probe_weight + static_cast<std::size_t>(r) * n_);
}

// Adds the threads' sums on the probe's grid, this thread's rows.
void Views::sum_probes(const Sums& sums, int thread) {
    const auto [from, to] = share(n_, thread);
    for (const Work& w : work_)
        for (int m = 0; sums.probe && m < probes_; ++m) {
            const std::size_t here = 2 * (static_cast<std::size_t>(m) * n_ + from) * n_;
            level_.add(w.probe.data() + here, 2 * (to - from) * n_, sums.probe + here);
        }
}

// Where a thread after the first one sums: planes of its own as large as the object, of which it clears and touches what
// its views do; the rest takes no memory.
float* Views::own_sum(const Block& block, const Fields& f, Work& work) const {
    const std::size_t plane = static_cast<std::size_t>(f.height) * f.width;
    if (work.object.size() != 2 * plane * objects_) work.object = Buffer(2 * plane * objects_);
    work.box = {f.height, 0, f.width, 0};
    for (int i = 0; i < block.count; ++i) work.box.enclose(block.y(i), block.x(i), n_);
    const auto [top, bottom, left, right] = work.box;
    for (int k = 0; k < objects_; ++k)
        for (int y = top; y < bottom; ++y)
            std::fill_n(work.object.data() + 2 * (k * plane + static_cast<std::size_t>(y) * f.width + left),
                        2 * (right - left), 0.0f);
    return work.object.data();
}

// Adds what the other threads have to the object's sum, this thread's rows.
void Views::sum_objects(const Fields& f, const Sums& sums, int thread) {
    const std::size_t plane = static_cast<std::size_t>(f.height) * f.width;
    const auto [from, to] = share(f.height, thread);
    for (int t = 1; sums.object && t < active_; ++t) {
        const auto [top, bottom, left, right] = work_[t].box;
        for (int k = 0; k < objects_; ++k)
            for (int y = std::max(from, top); y < std::min(to, bottom); ++y) {
                const std::size_t at = 2 * (k * plane + static_cast<std::size_t>(y) * f.width + left);
                level_.add(work_[t].object.data() + at, 2 * (right - left), sums.object + at);
            }
    }
}

}  // namespace hpcdaas
