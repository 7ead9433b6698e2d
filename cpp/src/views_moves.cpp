// Algorithms that move object and probe after each group of views: rPIE and LSQ-ML.
#include <array>
#include <cmath>
#include <cstring>

#include "views_parts.hpp"

namespace hpcdaas {

// One team of threads goes over all batches. In each: waves; Σ|P|² and its maximum; then, row by row of the object,
// what the waves say, and the move. The probe's sums of a row are taken before that row of the object moves.
Misfit Views::pie(const FrameStack& frames, const Group& group, const std::vector<int>& bounds, const Fields& fields,
                  const PieStep& step) {
    const int batches = static_cast<int>(bounds.size()) - 1;
    int most = 0;
    for (int b = 0; b < batches; ++b) most = std::max(most, bounds[b + 1] - bounds[b]);
    begin(fields, most);
    const std::size_t plane = 2 * static_cast<std::size_t>(fields.height) * fields.width, pixels = power_.size();
    if (weight_.size() < plane / 2) weight_ = Buffer(plane / 2);
    std::vector<Misfit> misfits(group.count);
    const bool object = step.object_step > 0, probe = step.probe_step > 0;
    Team team;
#pragma omp parallel num_threads(most == 1 ? 1 : threads_)
    {
        const int thread = omp_get_thread_num();
        team.begin(active_);
        Work& work = work_[thread];
        const auto largest = [&] {
            float value = 0;
            for (const Work& w : work_) value = std::max(value, w.largest);
            return value;
        };
        const auto [first, last] = share(n_, thread);
        power_rows(fields, thread);
        team.meet();
        for (int b = 0; b < batches; ++b) {
            const Block block{group, bounds[b], bounds[b + 1] - bounds[b], slots_.data(), stride_ * modes_, stride_, false};
            for (int i = team.take(); i < block.count; i = team.take())
                misfits[block.from + i] =
                    path(frames, group, block.from + i, fields, Noise::amplitude, 1.0f, block.wave(i), work);
            work.largest = 0;
            rows(block, fields, false, true, false, thread,
                 [&](int y, int x0, int x1, const float*, std::size_t, const float* weight) {
                     std::copy(weight + x0, weight + x1, weight_.data() + static_cast<std::size_t>(y) * fields.width + x0);
                     work.largest = std::max(work.largest, level_.largest(weight + x0, x1 - x0));
                 });
            team.meet();
            const float most_light = largest();
            rows(block, fields, object, false, probe, thread,
                 [&](int y, int x0, int x1, const float* sum, std::size_t line, const float*) {
                     const std::size_t at = static_cast<std::size_t>(y) * fields.width + x0;
                     for (int k = 0; object && k < objects_; ++k)
                         level_.step_by(sum + k * line + 2 * x0, weight_.data() + at, x1 - x0, step.object_alpha,
                                        most_light, step.object_step, fields.object + k * plane + 2 * at);
                 });
            team.meet();
            if (!probe) continue;
            // The probe: the first thread's sums become everyone's.
            Work& all = work_[0];
            work.largest = 0;
            for (int r = first; r < last; ++r) {
                const std::size_t at = static_cast<std::size_t>(r) * n_;
                for (int t = 1; t < active_; ++t) {
                    level_.add(work_[t].probe_weight.data() + at, n_, all.probe_weight.data() + at);
                    for (int m = 0; m < probes_; ++m)
                        level_.add(work_[t].probe.data() + 2 * (m * pixels + at), 2 * n_, all.probe.data() + 2 * (m * pixels + at));
                }
                work.largest = std::max(work.largest, level_.largest(all.probe_weight.data() + at, n_));
            }
            team.meet();
            const float most_object = largest();
            for (int r = first; r < last; ++r) {
                const std::size_t at = static_cast<std::size_t>(r) * n_;
                for (int m = 0; m < probes_; ++m)
                    level_.step_by(all.probe.data() + 2 * (m * pixels + at), all.probe_weight.data() + at, n_,
                                   step.probe_alpha, most_object, step.probe_step, probe_mode(fields, m) + 2 * at);
                for (Work& w : work_) {
                    std::fill_n(w.probe_weight.data() + at, n_, 0.0f);
                    for (int m = 0; m < probes_; ++m) std::fill_n(w.probe.data() + 2 * (m * pixels + at), 2 * n_, 0.0f);
                }
            }
            power_rows(fields, thread);
            team.meet();
        }
    }
    return total(misfits);
}

namespace {

// The step along two directions for one view: a 2×2 system, its diagonal enlarged.
std::array<double, 2> solve(const Products& p, double regularization, bool object, bool probe) {
    const double a = p.oo * (1 + regularization), d = p.pp * (1 + regularization);
    if (!probe) return {a > 0 ? p.ox / a : 0, 0};
    if (!object) return {0, d > 0 ? p.px / d : 0};
    const double determinant = a * d - p.op * p.op;
    if (!(determinant > 0)) return {0, 0};
    return {(d * p.ox - p.op * p.px) / determinant, (a * p.px - p.op * p.ox) / determinant};
}

}  // namespace

// In each group: χ; its directions ΔO and ΔP; the steps of all views along them; the move by the steps' means.
LsqFound Views::lsq(const FrameStack& frames, const Group& group, const std::vector<int>& bounds, const Fields& fields,
                    const LsqStep& step, const Sums& sums) {
    const int groups = static_cast<int>(bounds.size()) - 1;
    int most = 0;
    for (int b = 0; b < groups; ++b) most = std::max(most, bounds[b + 1] - bounds[b]);
    begin(fields, most);
    const std::size_t plane = 2 * static_cast<std::size_t>(fields.height) * fields.width, pixels = power_.size();
    if (weight_.size() < plane / 2) weight_ = Buffer(plane / 2);
    if (step_.size() < plane * objects_) step_ = Buffer(plane * objects_);
    std::vector<Misfit> misfits(group.count);
    std::vector<std::array<double, 2>> steps(group.count);
    LsqFound found;
    Team team;
#pragma omp parallel num_threads(threads_)
    {
        const int thread = omp_get_thread_num();
        team.begin(active_);
        Work& work = work_[thread];
        const auto [first, last] = share(n_, thread);
        power_rows(fields, thread);
        team.meet();
        for (int b = 0; b < groups; ++b) {
            const Block block{group, bounds[b], bounds[b + 1] - bounds[b], slots_.data(), stride_ * modes_, stride_, false};
            for (int i = team.take(); i < block.count; i = team.take())
                misfits[block.from + i] =
                    path(frames, group, block.from + i, fields, Noise::amplitude, 1.0f, block.wave(i), work);
            team.meet();
            work.largest = 0;
            rows(block, fields, step.object, step.object, step.probe, thread,
                 [&](int y, int x0, int x1, const float* sum, std::size_t line, const float* weight) {
                     if (!step.object) return;
                     const std::size_t at = static_cast<std::size_t>(y) * fields.width + x0;
                     std::copy(weight + x0, weight + x1, weight_.data() + at);
                     work.largest = std::max(work.largest, level_.largest(weight + x0, x1 - x0));
                     if (step.compact) level_.add(weight + x0, x1 - x0, sums.weight + at);
                     for (int k = 0; k < objects_; ++k) {
                         const float* here = sum + k * line + 2 * x0;
                         std::copy(here, here + 2 * (x1 - x0), step_.data() + k * plane + 2 * at);
                         if (step.compact) level_.add(here, 2 * (x1 - x0), sums.object + k * plane + 2 * at);
                     }
                 });
            team.meet();
            float most_light = 0;
            for (const Work& w : work_) most_light = std::max(most_light, w.largest);
            const float mean = 1.0f / static_cast<float>(block.count);
            for (int r = first; step.probe && r < last; ++r)
                for (int m = 0; m < probes_; ++m) {
                    const std::size_t at = 2 * (m * pixels + static_cast<std::size_t>(r) * n_);
                    std::fill_n(probe_step_.data() + at, 2 * n_, 0.0f);
                    for (Work& w : work_) {
                        level_.step_by(w.probe.data() + at, nullptr, n_, 0, 0, mean, probe_step_.data() + at);
                        std::fill_n(w.probe.data() + at, 2 * n_, 0.0f);
                    }
                }
            if (step.object)
                rows(block, fields, false, false, false, thread,
                     [&](int y, int x0, int x1, const float*, std::size_t, const float*) {
                         const std::size_t at = static_cast<std::size_t>(y) * fields.width + x0;
                         for (int k = 0; k < objects_; ++k)
                             level_.damp(weight_.data() + at, step.damping * most_light, x1 - x0,
                                         step_.data() + k * plane + 2 * at);
                     });
            team.meet();
            for (int i = team.take(); i < block.count; i = team.take()) {
                Products p;
                const int view = block.from + i;
                for (int m = 0, q = 0; m < probes_; ++m)
                    for (int k = 0; k < objects_; ++k, ++q) {
                        const float* o = window(fields, group, view, k);
                        level_.products(block.wave(i) + q * stride_, probe_mode(fields, m), o, fields.width,
                                        step_.data() + (o - fields.object), fields.width,
                                        probe_step_.data() + 2 * m * pixels, n_, p);
                    }
                steps[view] = solve(p, step.regularization, step.object, step.probe);
            }
            team.meet();
            double object_step = 0, probe_step = 0;
            for (int i = 0; i < block.count; ++i) {
                object_step += steps[block.from + i][0] * mean;
                probe_step += steps[block.from + i][1] * mean;
            }
            if (step.object && !step.compact)
                rows(block, fields, false, false, false, thread,
                     [&](int y, int x0, int x1, const float*, std::size_t, const float*) {
                         const std::size_t at = static_cast<std::size_t>(y) * fields.width + x0;
                         for (int k = 0; k < objects_; ++k)
                             level_.step_by(step_.data() + k * plane + 2 * at, nullptr, x1 - x0, 0, 0,
                                            static_cast<float>(object_step), fields.object + k * plane + 2 * at);
                     });
            for (int r = first; step.probe && r < last; ++r)
                for (int m = 0; m < probes_; ++m) {
                    const std::size_t at = 2 * static_cast<std::size_t>(r) * n_;
                    level_.step_by(probe_step_.data() + 2 * m * pixels + at, nullptr, n_, 0, 0,
                                   static_cast<float>(probe_step), probe_mode(fields, m) + at);
                }
            if (step.probe) power_rows(fields, thread);
            team.meet();
        }
    }
    found.misfit = total(misfits);
    for (const auto& s : steps) found.object_step += s[0] / group.count, found.probe_step += s[1] / group.count;
    return found;
}

}  // namespace hpcdaas
