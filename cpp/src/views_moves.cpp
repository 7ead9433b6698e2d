// Algorithms that move object and probe after each group of views: rPIE and LSQ-ML.
#include <array>
#include <cmath>
#include <exception>

#include "element.h"
#include "views_parts.hpp"

namespace hpcdaas {
namespace {

// Bytes of an object and its sums that a core's own cache doesn't hold.
constexpr std::size_t large_object = 4 << 20;

int largest_of(const std::vector<int>& bounds) {
    int most = 0;
    for (std::size_t b = 1; b < bounds.size(); ++b) most = std::max(most, bounds[b] - bounds[b - 1]);
    return most;
}

// One thread has a word with the other ranks. What goes wrong there is kept until the threads have ended.
class Word {
public:
    explicit Word(Beside* beside) : beside_(beside) {}
    template <class Say>
    void have(int thread, Say&& say) {
        if (thread != 0) return;
        try {
            say(*beside_);
        } catch (...) {
            error_ = std::current_exception();
        }
    }
    bool failed() const { return error_ != nullptr; }
    void rethrow() const {
        if (error_) std::rethrow_exception(error_);
    }

private:
    Beside* beside_;
    std::exception_ptr error_;
};

}  // namespace

// Room for a batch's sums on the object's grid, even where this rank has nothing of it (null means not wanted), and for a
// row of them in each thread.
void Views::begin_moves(const Fields& fields) {
    const std::size_t plane = std::max<std::size_t>(1, static_cast<std::size_t>(fields.height) * fields.width);
    if (step_.size() < 2 * plane * objects_) step_ = Buffer(2 * plane * objects_);
    scattered_ = 2 * sizeof(float) * 2 * plane * objects_ > large_object;
    for (Work& w : work_) {
        w.weights.resize(fields.width);
        w.row.resize(2 * static_cast<std::size_t>(fields.width) * objects_);
    }
}

// Forgets what a thread says of the probe.
void Views::clear_probe(Work& work) const {
    std::fill_n(work.probe.data(), work.probe.size(), 0.0f);
    std::fill_n(work.probe_weight.data(), work.probe_weight.size(), 0.0f);
}

// Adds up what all threads say of this thread's rows of the probe. Each writes to rows of its own alone, which stay in
// its cache.
void Views::gather_probe(int thread) {
    const std::size_t pixels = static_cast<std::size_t>(n_) * n_;
    const auto [first, last] = share(n_, thread);
    const std::size_t at = static_cast<std::size_t>(first) * n_;
    const std::size_t some = static_cast<std::size_t>(last - first) * n_;
    const auto gather = [&](Piece Work::*of, std::size_t from, std::size_t count, float* to) {
        std::copy_n((work_[0].*of).data() + from, count, to);
        for (int t = 1; t < active_; ++t) level_.add((work_[t].*of).data() + from, static_cast<int>(count), to);
    };
    gather(&Work::probe_weight, at, some, probe_weight_.data() + at);
    for (int m = 0; m < probes_; ++m) {
        const std::size_t mode = 2 * (m * pixels + at);
        gather(&Work::probe, mode, 2 * some, probe_step_.data() + mode);
    }
}

// The largest Σ|O|² of this thread's rows.
float Views::most_light(const float* weight, int thread) const {
    const auto [first, last] = share(n_, thread);
    return level_.largest(weight + static_cast<std::size_t>(first) * n_, (last - first) * n_);
}

// Moves this thread's rows of the probe by the sums of all.
void Views::move_probe(const Fields& fields, const PieStep& step, const Sums& sums, float most, int thread) {
    const std::size_t pixels = static_cast<std::size_t>(n_) * n_;
    const auto [first, last] = share(n_, thread);
    const std::size_t at = static_cast<std::size_t>(first) * n_;
    const int some = (last - first) * n_;
    for (int m = 0; m < probes_; ++m)
        level_.step_by(sums.probe + 2 * (m * pixels + at), sums.probe_weight + at, some, step.probe_alpha, most,
                       step.probe_step, probe_mode(fields, m) + 2 * at);
}

// A batch of one view: what weighs the object's step is known before, so that each row moves as soon as its χ is there.
// work.light is the largest of `power_`, of now and then of the next batch.
Misfit Views::pie_one(const FrameStack& frames, const Block& block, const Fields& fields, const PieStep& step,
                      Work& work) {
    const std::size_t pixels = static_cast<std::size_t>(n_) * n_;
    const std::size_t plane = static_cast<std::size_t>(fields.height) * fields.width;
    const bool object = step.object_step > 0, probe = step.probe_step > 0;
    float* const line = work.line.data();  // [row][object mode]
    const std::size_t some = 2 * static_cast<std::size_t>(n_);
    float most = 0;
    const auto take = [&](int y, int rows, const Waves& chi) {
        const std::size_t here = static_cast<std::size_t>(y) * n_;
        const std::size_t there = static_cast<std::size_t>(block.y(0) + y) * fields.width + block.x(0);
        float* const weight = work.probe_weight.data() + here;
        for (int q = 0; q < modes_; ++q) {
            const int m = q / objects_, k = q % objects_;
            level_.add_back(chi.row(q, 0), static_cast<std::ptrdiff_t>(chi.pitch),
                            window(fields, block.group, block.from, q, y, rows),
                            {object ? line + k * some : nullptr, n_ * objects_,
                             probe ? work.probe.data() + 2 * (m * pixels + here) : nullptr,
                             probe && m == 0 ? weight : nullptr, m == 0, k == 0});
        }
        for (int r = 0; object && r < rows; ++r)
            for (int k = 0; k < objects_; ++k)
                level_.step_by(line + (r * objects_ + k) * some, power_.data() + here + static_cast<std::size_t>(r) * n_, n_,
                               step.object_alpha, work.light, step.object_step,
                               fields.object + 2 * (k * plane + there + static_cast<std::size_t>(r) * fields.width));
        if (probe) most = std::max(most, level_.largest(weight, n_ * rows));
    };
    const Misfit found = change(frames, block, 0, fields, Noise::amplitude, work, take);
    if (!probe) return found;
    work.light = 0;
    for (int y = 0; y < n_; y += lines_at_once) {
        const int rows = std::min(lines_at_once, n_ - y);
        const std::size_t here = static_cast<std::size_t>(y) * n_;
        for (int m = 0; m < probes_; ++m)
            level_.step_by(work.probe.data() + 2 * (m * pixels + here), work.probe_weight.data() + here, n_ * rows,
                           step.probe_alpha, most, step.probe_step, probe_mode(fields, m) + 2 * here);
        if (object) work.light = std::max(work.light, power(fields, y, rows));
    }
    return found;
}

// One team of threads goes over all batches: what the views say; the largest weight of the object's step; the step, and
// the same for the probe.
Misfit Views::pie(const FrameStack& frames, const Group& group, const std::vector<int>& bounds, const Fields& fields,
                  const PieStep& step, Beside* beside) {
    const int batches = static_cast<int>(bounds.size()) - 1, most = largest_of(bounds);
    const bool single = most == 1 && !beside;
    const int threads = single ? 1 : threads_;
    begin(threads == 1 ? 0 : most);
    begin_moves(fields);
    const std::size_t plane = static_cast<std::size_t>(fields.height) * fields.width;
    std::vector<Misfit> misfits(group.count);
    const bool object = step.object_step > 0, probe = step.probe_step > 0;
    const bool gathered = threads > 1;
    if (gathered && probe_weight_.size() == 0) probe_weight_ = Buffer(static_cast<std::size_t>(n_) * n_);
    const Sums sums{object ? step_.data() : nullptr, nullptr,
                    probe ? gathered ? probe_step_.data() : work_[0].probe.data() : nullptr,
                    probe ? gathered ? probe_weight_.data() : work_[0].probe_weight.data() : nullptr};
    Team team;
    Word word(beside);
    float shared_light = 0;
#pragma omp parallel num_threads(threads)
    {
        const int thread = omp_get_thread_num();
        team.begin(active_);
        Work& work = work_[thread];
        const auto largest = [&](float Work::*which) {
            float value = 0;
            for (int t = 0; t < active_; ++t) value = std::max(value, work_[t].*which);
            return value;
        };
        const auto [first, last] = share(n_, thread);
        work.light = power(fields, first, last - first);
        team.meet();
        for (int b = 0; b < batches; ++b) {
            Block block = slots(group, bounds, b, beside);
            if (threads == 1) block.first.data = nullptr;
            if (single) {
                misfits[block.from] = pie_one(frames, block, fields, step, work);
                continue;
            }
            if (active_ > 1) arrange(block, thread);
            if (probe && b > 0) clear_probe(work);
            visit(block, fields, sums, thread, team, [&](int i, Work& mine, auto&& take) {
                misfits[block.from + i] = change(frames, block, i, fields, Noise::amplitude, mine, take);
            });
            float light = largest(&Work::light);
            const auto move = [&](int y, int x0, int x1, const Rows& sum) {
                if (!object) return;
                const float* const weight = weights(block, fields, thread, y, x0, x1) + x0;
                const Rows here = rows_of(fields.object, fields, y);
                for (int k = 0; k < objects_; ++k)
                    level_.step_by(sum.row(k) + 2 * x0, weight, x1 - x0, step.object_alpha, light, step.object_step,
                                   here.row(k) + 2 * x0);
            };
            if (beside) {
                collect(block, fields, sums, true, thread, [](int, int, int, const Rows&) {});
                team.meet();
                if (probe && gathered) gather_probe(thread);
                team.meet();
                word.have(thread, [&](Beside& others) {
                    shared_light = light;
                    others.sums(b, sums.object, sums.probe, sums.probe_weight, shared_light);
                });
                team.meet();
                if (word.failed()) break;
                light = shared_light;
                runs(block, fields, thread, [&](int y, int x0, int x1) { move(y, x0, x1, rows_of(sums.object, fields, y)); });
            } else {
                collect(block, fields, sums, false, thread, move);
            }
            team.meet();
            if (probe) {
                if (gathered && !beside) gather_probe(thread);
                work.largest = most_light(sums.probe_weight, thread);
                team.meet();
                move_probe(fields, step, sums, largest(&Work::largest), thread);
                power(fields, first, last - first);
                team.meet();
            }
        }
    }
    word.rethrow();
    return total(misfits);
}

// A run of a group's sum for the object becomes its direction; for compact groups the sum is also added to that of all.
void Views::direct(const Fields& fields, const LsqStep& step, const Sums& sums, const float* weight, float most, int y, int x0,
                   int x1) {
    const std::size_t plane = static_cast<std::size_t>(fields.height) * fields.width;
    const std::size_t at = static_cast<std::size_t>(y) * fields.width + x0;
    if (step.compact) level_.add(weight, x1 - x0, sums.weight + at);
    for (int k = 0; k < objects_; ++k) {
        float* const sum = step_.data() + 2 * (k * plane + at);
        if (step.compact) level_.add(sum, 2 * (x1 - x0), sums.object + 2 * (k * plane + at));
        level_.damp(weight, step.damping * most, x1 - x0, sum);
    }
}

// The step that one view would take along the directions of its group.
std::array<double, 2> Views::best_step(const Block& block, int i, const Fields& fields, const LsqStep& step) const {
    Products p;
    const Waves chi = block.waves(i);
    for (int q = 0; q < modes_; ++q) {
        const Window w = window(fields, block.group, block.from + i, q, 0, n_);
        level_.products(chi.row(q, 0), static_cast<std::ptrdiff_t>(chi.pitch), w, step_.data() + (w.object - fields.object),
                        probe_step_.data() + (w.probe - fields.probe), p);
    }
    const Steps steps = best_steps(p, step.regularization, step.object, step.probe);
    return {steps.object, steps.probe};
}

// In each group: χ; its directions ΔO and ΔP; the steps of all views along them; the move by the steps' means.
LsqFound Views::lsq(const FrameStack& frames, const Group& group, const std::vector<int>& bounds, const Fields& fields,
                    const LsqStep& step, const Sums& sums, Beside* beside) {
    const int groups = static_cast<int>(bounds.size()) - 1;
    begin(largest_of(bounds));
    begin_moves(fields);
    const std::size_t plane = static_cast<std::size_t>(fields.height) * fields.width;
    const std::size_t pixels = static_cast<std::size_t>(n_) * n_;
    std::vector<Misfit> misfits(group.count);
    std::vector<std::array<double, 2>> steps(group.count);
    const Sums wanted{step.object ? step_.data() : nullptr, nullptr,
                      step.probe ? probe_step_.data() : nullptr, nullptr};
    Team team;
    Word word(beside);
    float shared_light = 0;
    std::array<double, 2> shared_steps{};
#pragma omp parallel num_threads(threads_)
    {
        const int thread = omp_get_thread_num();
        team.begin(active_);
        const auto [first, last] = share(n_, thread);
        const std::size_t start = 2 * static_cast<std::size_t>(first) * n_;
        const int some = (last - first) * n_;  // of the probe's pixels
        power(fields, first, last - first);
        team.meet();
        for (int b = 0; b < groups; ++b) {
            Block block = slots(group, bounds, b, beside);
            if (active_ > 1) arrange(block, thread);
            if (step.probe && b > 0) std::fill_n(work_[thread].probe.data(), work_[thread].probe.size(), 0.0f);
            visit(block, fields, wanted, thread, team, [&](int i, Work& mine, auto&& take) {
                misfits[block.from + i] = change(frames, block, i, fields, Noise::amplitude, mine, take);
            });
            float light = 0;
            for (int t = 0; t < active_; ++t) light = std::max(light, work_[t].light);
            const auto directed = [&](int y, int x0, int x1) {
                if (!step.object) return;
                direct(fields, step, sums, weights(block, fields, thread, y, x0, x1) + x0, light, y, x0, x1);
            };
            if (beside)
                collect(block, fields, wanted, true, thread, [](int, int, int, const Rows&) {});
            else
                collect(block, fields, wanted, true, thread, [&](int y, int x0, int x1, const Rows&) { directed(y, x0, x1); });
            team.meet();
            const float mean = 1.0f / static_cast<float>(beside ? beside->all[b] : block.count);
            for (int m = 0; step.probe && m < probes_; ++m) {
                const std::size_t at = 2 * m * pixels + start;
                std::fill_n(probe_step_.data() + at, 2 * some, 0.0f);
                for (int t = 0; t < active_; ++t)
                    level_.step_by(work_[t].probe.data() + at, nullptr, some, 0, 0, mean, probe_step_.data() + at);
            }
            team.meet();
            if (beside) {
                word.have(thread, [&](Beside& others) {
                    shared_light = light;
                    others.sums(b, wanted.object, wanted.probe, nullptr, shared_light);
                });
                team.meet();
                if (word.failed()) break;
                light = shared_light;
                runs(block, fields, thread, directed);
                team.meet();
            }
            share_out(block, thread, team, [&](int i) { steps[block.from + i] = best_step(block, i, fields, step); });
            team.meet();
            std::array<double, 2> along{};
            for (int i = 0; i < block.count; ++i)
                for (int k = 0; k < 2; ++k) along[k] += steps[block.from + i][k] * mean;
            if (beside) {
                word.have(thread, [&](Beside& others) {
                    shared_steps = along;
                    others.steps(b, shared_steps[0], shared_steps[1]);
                });
                team.meet();
                if (word.failed()) break;
                along = shared_steps;
            }
            if (step.object && !step.compact)
                runs(block, fields, thread, [&](int y, int x0, int x1) {
                    const std::size_t at = static_cast<std::size_t>(y) * fields.width + x0;
                    for (int k = 0; k < objects_; ++k)
                        level_.step_by(step_.data() + 2 * (k * plane + at), nullptr, x1 - x0, 0, 0,
                                       static_cast<float>(along[0]), fields.object + 2 * (k * plane + at));
                });
            for (int m = 0; step.probe && m < probes_; ++m)
                level_.step_by(probe_step_.data() + 2 * m * pixels + start, nullptr, some, 0, 0,
                               static_cast<float>(along[1]), probe_mode(fields, m) + start);
            power(fields, first, last - first);
            team.meet();
        }
    }
    word.rethrow();
    LsqFound found;
    found.misfit = total(misfits);
    int views = 0;
    for (int b = 0; b < groups; ++b) views += beside ? beside->own[b] : bounds[b + 1] - bounds[b];
    for (const auto& s : steps) found.object_step += s[0] / std::max(views, 1), found.probe_step += s[1] / std::max(views, 1);
    return found;
}

}  // namespace hpcdaas
