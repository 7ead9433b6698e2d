// Views: their way through the transforms, and what is asked of all of them.
#include "views_parts.hpp"

namespace hpcdaas {
namespace {

std::size_t whole(std::size_t count, std::size_t of) { return (count + of - 1) / of * of; }

// Rows on whole vectors; not a power of two apart, for these share few places in the caches.
std::size_t pitch_of(int n) { return whole(n, 16) + 8; }

}  // namespace

Views::Views(FftLibrary& library, const Level& level, int n, int probes, int objects, const std::vector<float>& good,
             float limit, const std::vector<float>& near, int threads)
    : level_(level),
      n_(n),
      probes_(probes),
      objects_(objects),
      modes_(probes * objects),
      threads_(threads),
      pitch_(pitch_of(n)),
      stride_(2 * pitch_ * whole(n, lines_at_once) + 16),
      far_(near.empty()),
      limit_(limit),
      bad_(stride_ / 2, -1),
      near_(far_ ? 0 : stride_),
      rows_forward_(library, n, lines_at_once, {1, int(pitch_)}, {1, int(pitch_)}, -1),
      rows_backward_(library, n, lines_at_once, {1, int(pitch_)}, {1, int(pitch_)}, +1),
      columns_forward_(library, n, lines_at_once, {int(pitch_), 1}, {1, int(pitch_)}, -1),
      columns_backward_(library, n, lines_at_once, {int(pitch_), 1}, {1, int(pitch_)}, +1),
      work_(threads) {
    const std::size_t pixels = static_cast<std::size_t>(n) * n;
    for (int y = 0; y < n; ++y)
        for (int x = 0; x < n; ++x) {
            const std::size_t from = static_cast<std::size_t>(y) * n + x, turned = x * pitch_ + y;
            bad_[far_ ? turned : y * pitch_ + x] = good[from] > 0 ? 0 : -1;
            // Both transforms of the way to a near detector are without factor.
            for (int part = 0; part < 2 && !far_; ++part)
                near_.data()[2 * turned + part] = near[2 * from + part] / static_cast<float>(pixels);
        }
    power_ = Buffer(pixels);
    probe_step_ = Buffer(2 * pixels * probes);
    for (Work& w : work_) {
        w.allocate({{&w.waves, stride_ * modes_},
                    {&w.turned, stride_ * modes_},
                    {&w.lines, 2 * lines_at_once * pitch_ * modes_},
                    {&w.counts, lines_at_once * pitch_},
                    {&w.line, 2 * static_cast<std::size_t>(lines_at_once) * n * objects},
                    {&w.probe, 2 * pixels * probes},
                    {&w.probe_weight, pixels}});
        for (int q = 0; q < modes_; ++q) w.pointers.push_back(w.lines.data() + 2 * q * lines_at_once * pitch_);
    }
}

Views::~Views() = default;

Frame Views::frame(const FrameStack& frames, int index) const {
    const std::size_t size = size_of(frames.type);
    const char* data = static_cast<const char*>(frames.data) + size * index * frames.view_stride;
    return {data, frames.type, frames.row_stride, n_, far_ ? n_ / 2 : 0, far_, limit_, bad_.data(), std::ptrdiff_t(pitch_)};
}

Window Views::window(const Fields& f, const Group& g, int view, int q, int y, int rows) const {
    const int m = q / objects_, k = q % objects_;
    const std::size_t row = static_cast<std::size_t>(k) * f.height + g.y[view] + y;
    return {f.object + 2 * (row * f.width + g.x[view]), f.width, probe_mode(f, m) + 2 * static_cast<std::size_t>(y) * n_,
            n_, rows};
}

Views::Block Views::slots(const Group& group, const std::vector<int>& bounds, int b, const Beside* beside) const {
    const int all = bounds[b + 1] - bounds[b];
    return {group, bounds[b], beside ? beside->own[b] : all, all, {slots_.data(), pitch_, stride_}, stride_ * modes_, false};
}

std::pair<int, int> Views::share(int total, int thread) const {
    return {total * thread / active_, total * (thread + 1) / active_};
}

// Makes room, and forgets the last sums.
void Views::begin(int slots) {
    const std::size_t needed = static_cast<std::size_t>(slots) * modes_ * stride_;
    if (slots_.size() < needed) slots_ = Buffer(needed);
    for (Work& w : work_) clear_probe(w);
}

// F⁻¹HF, or with the conjugate of H, of waves behind their first transform, up to the last one.
void Views::through_spectrum(Work& work, bool conjugate) const {
    float* const some = work.pointers[0];
    for (int q = 0; q < modes_; ++q)
        for (int first = 0; first < n_; first += lines_at_once) {
            columns_forward_(work.waves.data() + q * stride_ + 2 * first, some);
            const std::size_t at = 2 * first * pitch_;
            level_.transfer(some, near_.data() + at, conjugate, static_cast<int>(lines_at_once * pitch_));
            rows_backward_(some, work.turned.data() + q * stride_ + at);
        }
}

// Waves behind their first transform meet the detector and, where something is to be written, go back up to the last.
Misfit Views::detect(const Frame& frame, Noise noise, const Change& change, Work& work) const {
    if (!far_) through_spectrum(work, false);
    Misfit sum;
    for (int first = 0; first < n_; first += lines_at_once) {
        for (int q = 0; q < modes_; ++q) {
            const std::size_t at = q * stride_ + 2 * first;
            far_ ? columns_forward_(work.waves.data() + at, work.pointers[q])
                 : columns_backward_(work.turned.data() + at, work.pointers[q]);
        }
        sum += level_.constrain(frame, first, noise, work.pointers.data(), modes_, change, work.counts.data());
        for (int q = 0; change.scale != 0.0f && q < modes_; ++q) {
            const std::size_t at = q * stride_ + 2 * first * pitch_;
            far_ ? rows_backward_(work.pointers[q], work.turned.data() + at)
                 : rows_forward_(work.pointers[q], work.waves.data() + at);
        }
    }
    if (!far_ && change.scale != 0.0f) through_spectrum(work, true);
    return sum;
}

Misfit Views::misfit(const FrameStack& frames, const Group& group, int view, const Fields& fields, Noise noise,
                     Work& work) const {
    const Frame measured = frame(frames, group.frame[view]);
    depart(work, measured, [&](int q, int y, int rows, float* out) {
        level_.exit_wave(window(fields, group, view, q, y, rows), out, pitch_);
    });
    const float unit = far_ ? 1.0f / (static_cast<float>(n_) * n_) : 1.0f;
    return detect(measured, noise, {unit, 0.0f, 0.0f}, work);
}

// All views of a group, each thread some that follow each other: each(block, i, work, take), then the threads' sums.
template <class Each>
Misfit Views::all(const Group& group, const Fields& fields, const Sums& sums, float* stored, Each&& each) {
    const std::size_t pixels = static_cast<std::size_t>(n_) * n_;
    begin(0);
    scattered_ = false;
    if (sums.probe_weight && light_.size() < static_cast<std::size_t>(fields.height) * fields.width)
        light_ = Buffer(static_cast<std::size_t>(fields.height) * fields.width);
    std::vector<Misfit> misfits(group.count);
    Team team;
#pragma omp parallel num_threads(threads_)
    {
        const int thread = omp_get_thread_num();
        team.begin(active_);
        Work& work = work_[thread];
        const auto [from, to] = share(group.count, thread);
        const Waves waves{stored, static_cast<std::size_t>(n_), 2 * pixels};
        const Block block{group, from, to - from, to - from, waves, 2 * pixels * modes_, stored != nullptr};
        if (sums.weight || sums.probe_weight)
            add_weights({group, 0, group.count, group.count, waves, block.size, false}, fields, sums, thread, team);
        const Sums own{sums.object && thread > 0 ? own_sum(block, fields, work) : sums.object, nullptr, sums.probe, nullptr};
        for (int i = 0; i < block.count; ++i)
            misfits[from + i] = each(block, i, work, [&](int y, int rows, const Waves& chi) {
                if (!own.object && !own.probe) return;
                add(block, i, y, rows, chi, fields, rows_of(own.object, fields, block.y(i) + y), own, work);
            });
        team.meet();
        sum_objects(fields, sums, thread);
        sum_probes(sums, thread);
    }
    return total(misfits);
}

Misfit Views::gradient(const FrameStack& frames, const Group& group, const Fields& fields, Noise noise,
                       const Sums& sums) {
    return all(group, fields, sums, nullptr, [&](const Block& block, int i, Work& work, auto&& take) {
        return change(frames, block, i, fields, noise, work, take);
    });
}

Misfit Views::evaluate(const FrameStack& frames, const Group& group, const Fields& fields, Noise noise) {
    return all(group, fields, {}, nullptr, [&](const Block& block, int i, Work& work, auto&&) {
        return misfit(frames, group, block.from + i, fields, noise, work);
    });
}

Misfit Views::project(const FrameStack& frames, const Group& group, const Fields& fields, const Projection& how,
                      float* stored, const Sums& sums) {
    const float unit = far_ ? 1.0f / (static_cast<float>(n_) * n_) : 1.0f;
    return all(group, fields, sums, stored, [&](const Block& block, int i, Work& work, auto&& take) {
        const int view = block.from + i;
        const Waves psi = block.waves(i);
        const Frame measured = frame(frames, group.frame[view]);
        depart(work, measured, [&](int q, int y, int rows, float* out) {
            prefetch(psi.row(q, y + 2 * lines_at_once), 8 * n_ * rows, 0, 1);
            level_.mix(window(fields, group, view, q, y, rows), how.c, psi.row(q, y), out, pitch_);
        });
        const Misfit found = detect(measured, Noise::amplitude, {unit, 1.0f, unit}, work);
        arrive(
            work, [&](int q, int) { return work.pointers[q]; },
            [&](int y, int rows) {
                for (int q = 0; q < modes_; ++q) {
                    prefetch(psi.row(q, y + 2 * lines_at_once), 8 * n_ * rows, 0, 1);
                    level_.renew(window(fields, group, view, q, y, rows), how.a, how.b, work.pointers[q], pitch_,
                                 psi.row(q, y));
                }
                take(y, rows, Waves{psi.row(0, y), psi.pitch, psi.stride});
            });
        return found;
    });
}

void Views::overlap(const Group& group, const Fields& fields, float* stored, const Sums& sums) {
    all(group, fields, sums, stored, [&](const Block& block, int i, Work&, auto&& take) {
        const Waves psi = block.waves(i);
        take(0, n_, psi);
        return Misfit{};
    });
}

void Views::exit_waves(const Group& group, const Fields& fields, float* stored) {
    all(group, fields, {}, stored, [&](const Block& block, int i, Work&, auto&&) {
        for (int q = 0; q < modes_; ++q)
            level_.exit_wave(window(fields, group, block.from + i, q, 0, n_), block.waves(i).row(q, 0), n_);
        return Misfit{};
    });
}

}  // namespace hpcdaas
