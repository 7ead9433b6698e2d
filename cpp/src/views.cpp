// Views: blocks of them through the transforms, rows of the object out of the blocks.
#include "views_parts.hpp"

namespace hpcdaas {

Views::Views(FftLibrary& library, const Level& level, int n, int probes, int objects, std::vector<float> good,
             float limit, std::vector<float> near, int threads)
    : level_(level),
      n_(n),
      probes_(probes),
      objects_(objects),
      modes_(probes * objects),
      threads_(threads),
      good_(std::move(good)),
      limit_(limit),
      near_(std::move(near)),
      forward_(library, n, -1),
      backward_(library, n, +1),
      stride_(padded(2 * static_cast<std::size_t>(n) * n)),
      work_(threads) {
    const std::size_t pixels = static_cast<std::size_t>(n) * n;
    for (float& t : near_) t /= static_cast<float>(pixels);  // both transforms of the way there are without factor
    power_ = Buffer(pixels);
    probe_step_ = Buffer(2 * pixels * probes);
    for (Work& w : work_) {
        w.waves = Buffer(stride_ * modes_);
        w.probe = Buffer(2 * pixels * probes);
        w.probe_weight = Buffer(pixels);
        w.scratch.resize(4 * n);
        w.pointers.resize(modes_);
    }
}

Views::~Views() = default;

void Views::forward(float* wave) const {
    forward_(wave);
    if (near_.empty()) return;
    level_.transfer(wave, near_.data(), false, n_ * n_);
    backward_(wave);
}

void Views::backward(float* wave) const {
    if (near_.empty()) return backward_(wave);
    forward_(wave);
    level_.transfer(wave, near_.data(), true, n_ * n_);
    backward_(wave);
}

Frame Views::frame(const FrameStack& frames, int index) const {
    const std::size_t size = frames.type == Type::u8 ? 1 : frames.type == Type::u16 || frames.type == Type::i16 ? 2 : 4;
    const char* data = static_cast<const char*>(frames.data) + size * index * frames.view_stride;
    return {data, frames.type, frames.row_stride, n_, near_.empty() ? n_ / 2 : 0, good_.data(), limit_};
}

float* Views::window(const Fields& f, const Group& g, int view, int k) const {
    return f.object + 2 * ((static_cast<std::size_t>(k) * f.height + g.y[view]) * f.width + g.x[view]);
}

float* Views::slot(int view) const { return slots_.data() + static_cast<std::size_t>(view) * modes_ * stride_; }

// Views whose waves go through the cache together: few for one thread, so that they stay in its own cache; more where
// threads have to wait for each other in between.
int Views::block_size() const {
    const std::size_t bytes = 4 * stride_ * modes_;
    return std::max<int>(4, static_cast<int>((threads_ == 1 ? 1u << 20 : 2u << 20) / bytes)) * threads_;
}

std::pair<int, int> Views::share(int total, int thread) const {
    return {total * thread / active_, total * (thread + 1) / active_};
}

// Makes room, and forgets the last sums.
void Views::begin(const Fields& fields, int slots) {
    const std::size_t needed = static_cast<std::size_t>(slots) * modes_ * stride_;
    if (slots_.size() < needed) slots_ = Buffer(needed);
    const std::size_t line = padded(2 * static_cast<std::size_t>(fields.width));
    for (Work& w : work_) {
        if (w.line.size() < line * (objects_ + 2)) w.line = Buffer(line * (objects_ + 2));
        std::fill_n(w.probe.data(), w.probe.size(), 0.0f);
        std::fill_n(w.probe_weight.data(), w.probe_weight.size(), 0.0f);
    }
}

// Σ|P|² over modes, this thread's rows.
void Views::power_rows(const Fields& fields, int thread) {
    const auto [from, to] = share(n_, thread);
    for (int row = from; row < to; ++row) {
        float* out = power_.data() + static_cast<std::size_t>(row) * n_;
        for (int m = 0; m < probes_; ++m) {
            const float* p = probe_mode(fields, m) + 2 * static_cast<std::size_t>(row) * n_;
            m == 0 ? level_.square(p, n_, out) : level_.add_square(p, n_, out);
        }
    }
}

// P·O to the detector, and where `scale` isn't 0 the change that is asked for back to the sample: χ in `waves`.
Misfit Views::path(const FrameStack& frames, const Group& group, int view, const Fields& fields, Noise noise,
                   float scale, float* waves, Work& work) const {
    for (int m = 0, q = 0; m < probes_; ++m)
        for (int k = 0; k < objects_; ++k, ++q) {
            float* wave = work.pointers[q] = waves + q * stride_;
            level_.exit_wave(window(fields, group, view, k), fields.width, probe_mode(fields, m), n_, wave);
            forward(wave);
        }
    const float unit = near_.empty() ? 1.0f / (static_cast<float>(n_) * n_) : 1.0f;
    const Misfit found = level_.constrain(frame(frames, group.frame[view]), noise, work.pointers.data(), modes_, unit,
                                          0.0f, scale * unit, work.scratch.data());
    if (scale != 0.0f)
        for (int q = 0; q < modes_; ++q) backward(work.pointers[q]);
    return found;
}

Misfit Views::project_one(const FrameStack& frames, const Group& group, int view, const Fields& fields,
                          const Projection& how, float* psi, Work& work) const {
    const std::size_t pixels = static_cast<std::size_t>(n_) * n_;
    for (int m = 0, q = 0; m < probes_; ++m)
        for (int k = 0; k < objects_; ++k, ++q) {
            float* wave = work.pointers[q] = work.waves.data() + q * stride_;
            level_.mix(window(fields, group, view, k), fields.width, probe_mode(fields, m), n_, how.c,
                       psi + 2 * q * pixels, wave);
            forward(wave);
        }
    const float unit = near_.empty() ? 1.0f / static_cast<float>(pixels) : 1.0f;
    const Misfit found = level_.constrain(frame(frames, group.frame[view]), Noise::amplitude, work.pointers.data(),
                                          modes_, unit, 1.0f, unit, work.scratch.data());
    for (int m = 0, q = 0; m < probes_; ++m)
        for (int k = 0; k < objects_; ++k, ++q) {
            backward(work.pointers[q]);
            level_.renew(window(fields, group, view, k), fields.width, probe_mode(fields, m), n_, how.a, how.b,
                         work.pointers[q], psi + 2 * q * pixels);
        }
    return found;
}

// Adds the threads' sums on the probe's grid, this thread's rows.
void Views::sum_probes(const Sums& sums, int thread) {
    const auto [from, to] = share(n_, thread);
    const std::size_t at = static_cast<std::size_t>(from) * n_, some = static_cast<std::size_t>(to - from) * n_;
    for (const Work& w : work_) {
        for (int m = 0; sums.probe && m < probes_; ++m) {
            const std::size_t here = 2 * (static_cast<std::size_t>(m) * n_ * n_ + at);
            level_.add(w.probe.data() + here, static_cast<int>(2 * some), sums.probe + here);
        }
        if (sums.probe_weight)
            level_.add(w.probe_weight.data() + at, static_cast<int>(some), sums.probe_weight + at);
    }
}

// All views of a group in blocks: each(view, waves, work) in any order, then the sums in theirs.
template <class Each>
Misfit Views::all(const Group& group, const Fields& fields, int size, const Sums& sums, float* stored, Each&& each) {
    const bool summed = sums.object || sums.weight || sums.probe || sums.probe_weight;
    begin(fields, stored || !summed ? 0 : size);
    std::vector<Misfit> misfits(group.count);
    const std::size_t pixels = static_cast<std::size_t>(n_) * n_;
    const std::size_t plane = 2 * static_cast<std::size_t>(fields.height) * fields.width;
    Team team;
#pragma omp parallel num_threads(threads_)
    {
        const int thread = omp_get_thread_num();
        team.begin(active_);
        Work& work = work_[thread];
        power_rows(fields, thread);
        for (int from = 0; from < group.count; from += size) {
            const int count = std::min(size, group.count - from);
            const Block block = stored ? Block{group, from, count, stored, 2 * pixels * modes_, 2 * pixels, true}
                                       : Block{group, from, count, slots_.data(), stride_ * modes_, stride_, false};
            for (int i = team.take(); i < count; i = team.take())
                misfits[from + i] = each(from + i, stored || summed ? block.wave(i) : nullptr, work);
            team.meet();
            if (!summed) continue;
            rows(block, fields, sums.object, sums.weight, sums.probe, thread,
                 [&](int y, int x0, int x1, const float* object, std::size_t line, const float* weight) {
                     const std::size_t at = static_cast<std::size_t>(y) * fields.width + x0;
                     for (int k = 0; sums.object && k < objects_; ++k)
                         level_.add(object + k * line + 2 * x0, 2 * (x1 - x0), sums.object + k * plane + 2 * at);
                     if (sums.weight) level_.add(weight + x0, x1 - x0, sums.weight + at);
                 });
            team.meet();
        }
        sum_probes(sums, thread);
    }
    return total(misfits);
}

Misfit Views::gradient(const FrameStack& frames, const Group& group, const Fields& fields, Noise noise,
                       const Sums& sums) {
    return all(group, fields, block_size(), sums, nullptr, [&](int view, float* waves, Work& work) {
        return path(frames, group, view, fields, noise, 1.0f, waves, work);
    });
}

Misfit Views::evaluate(const FrameStack& frames, const Group& group, const Fields& fields, Noise noise) {
    return all(group, fields, group.count, {}, nullptr, [&](int view, float*, Work& work) {
        return path(frames, group, view, fields, noise, 0.0f, work.waves.data(), work);
    });
}

Misfit Views::project(const FrameStack& frames, const Group& group, const Fields& fields, const Projection& how,
                      float* waves, const Sums& sums) {
    return all(group, fields, block_size(), sums, waves, [&](int view, float* psi, Work& work) {
        return project_one(frames, group, view, fields, how, psi, work);
    });
}

void Views::overlap(const Group& group, const Fields& fields, float* waves, const Sums& sums) {
    all(group, fields, block_size(), sums, waves, [](int, float*, Work&) { return Misfit{}; });
}

void Views::exit_waves(const Group& group, const Fields& fields, float* waves) {
    const std::size_t pixels = static_cast<std::size_t>(n_) * n_;
    all(group, fields, group.count, {}, waves, [&](int view, float* psi, Work&) {
        for (int m = 0; m < probes_; ++m)
            for (int k = 0; k < objects_; ++k, psi += 2 * pixels)
                level_.exit_wave(window(fields, group, view, k), fields.width, probe_mode(fields, m), n_, psi);
        return Misfit{};
    });
}

}  // namespace hpcdaas
