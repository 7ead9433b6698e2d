// Ptychography: the path of a view from object and probe to the detector and back, and the sums over views.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "hpcdaas/fft.hpp"
#include "hpcdaas/level.hpp"

namespace hpcdaas {

// Diffraction frames in their stored type, [frame][n][n], direct beam at n/2.
struct FrameStack {
    const void* data = nullptr;
    Type type = Type::u16;
    std::ptrdiff_t view_stride = 0, row_stride = 0;  // elements
};

// Views that are worked on together; arrays of `count`.
struct Group {
    int count = 0;
    const int* frame = nullptr;  // where in the stack a view's frame is
    const int* y = nullptr;      // object pixel at the corner of its window
    const int* x = nullptr;
    const int* slot = nullptr;   // where its stored waves are; null where none are stored
};

// What is looked for: object [mode][height][width] and probe [mode][n][n], complex.
struct Fields {
    float* object = nullptr;
    int height = 0, width = 0;
    float* probe = nullptr;
};

// Sums over views, added to what is there; null: not wanted. ΣP*χ on the object's grid and Σ|P|² there (over probe
// modes), ΣO*χ on the probe's and Σ|O|² there (over object modes).
struct Sums {
    float* object = nullptr;
    float* weight = nullptr;
    float* probe = nullptr;
    float* probe_weight = nullptr;
};

// How a mini-batch moves object and probe; a step of 0 leaves one alone.
struct PieStep {
    float object_alpha, probe_alpha;
    float object_step, probe_step;
};

struct LsqStep {
    float damping;         // δ of ΔO's preconditioner
    float regularization;  // of the diagonal of the 2×2 systems
    bool object, probe;    // what is moved
    bool compact;          // the object is moved by the caller, after all groups
};

// The other ranks of a run: their views of a group that reach into this rank's part of the object, and a word with them.
// A group's own views come first, then the others', whose windows may reach beyond the part.
struct Beside {
    std::vector<int> own;  // views of each group that are this rank's
    std::vector<int> all;  // and those of all ranks, near or far
    virtual ~Beside() = default;
    // Completes a group's sums, of which those that aren't wanted are null, and the largest Σ|P|².
    virtual void sums(int group, float* object, float* probe, float* probe_weight, float& light) = 0;
    // Adds up what all ranks' views say of the group's steps.
    virtual void steps(int group, double& object, double& probe) = 0;
};

struct LsqFound {
    Misfit misfit;
    double object_step = 0, probe_step = 0;  // means over this rank's views
};

// Exit waves ψ[view][probe mode][object mode] are made, sent to the detector and back.
//
// A wave goes through the transforms some lines at a time, and what is done before, between and after them is done to
// these lines while they are in the first cache: four passes over the wave, none of them with a stride on its way out.
// What a view says is added while its last rows are in the cache. Threads have views of their own and sum apart; where
// object and probe move after some views (rPIE, LSQ-ML), several threads keep the waves of these, and then add by rows of
// the object: each row belongs to one thread, and takes the views in their order, as one thread would. Nothing is locked.
class Views {
public:
    // good: [n][n], 1 where a detector pixel is used, in the order of the transform; near: what the spectrum of a wave
    // is multiplied with on the way to a near detector, [n][n] complex, or nothing where the detector is far.
    Views(FftLibrary& library, const Level& level, int n, int probes, int objects, const std::vector<float>& good,
          float limit, const std::vector<float>& near, int threads);
    ~Views();

    Misfit gradient(const FrameStack& frames, const Group& group, const Fields& fields, Noise noise, const Sums& sums);
    Misfit evaluate(const FrameStack& frames, const Group& group, const Fields& fields, Noise noise);
    Misfit project(const FrameStack& frames, const Group& group, const Fields& fields, const Projection& how,
                   float* waves, const Sums& sums);
    void exit_waves(const Group& group, const Fields& fields, float* waves);
    void overlap(const Group& group, const Fields& fields, float* waves, const Sums& sums);
    // Batches are views bounds[i] … bounds[i + 1] − 1 of the group.
    Misfit pie(const FrameStack& frames, const Group& group, const std::vector<int>& bounds, const Fields& fields,
               const PieStep& step, Beside* beside = nullptr);
    LsqFound lsq(const FrameStack& frames, const Group& group, const std::vector<int>& bounds, const Fields& fields,
                 const LsqStep& step, const Sums& sums, Beside* beside = nullptr);

    int n() const { return n_; }
    int probes() const { return probes_; }
    int objects() const { return objects_; }

private:
    struct Work;
    struct Block;
    struct Waves;
    struct Rows;
    class Team;

    // The way of a view.
    template <class Fill>
    void depart(Work& work, const Frame& frame, Fill&& fill) const;
    void through_spectrum(Work& work, bool conjugate) const;
    Misfit detect(const Frame& frame, Noise noise, const Change& change, Work& work) const;
    template <class Place, class Take>
    void arrive(Work& work, Place&& place, Take&& take) const;
    template <class Take>
    Misfit change(const FrameStack& frames, const Block& block, int i, const Fields& fields, Noise noise, Work& work,
                  Take&& take) const;
    Misfit misfit(const FrameStack& frames, const Group& group, int view, const Fields& fields, Noise noise,
                  Work& work) const;

    void ask_for_next(const float* here, std::ptrdiff_t width) const;

    // Over rows of the object.
    template <class Each>
    void runs(const Block& block, const Fields& fields, int thread, Each&& each);
    Rows rows_of(float* object, const Fields& fields, int y) const;
    void clear(const Rows& rows, int x0, int x1) const;
    void weigh(const Block& block, const Fields& fields, float* row, int thread, int y, int x0, int x1) const;
    const float* weights(const Block& block, const Fields& fields, int thread, int y, int x0, int x1);
    float most_weight(const Block& block, const Fields& fields, int thread);
    void object_power(const Block& block, const Fields& fields, int thread);
    void add_weights(const Block& block, const Fields& fields, const Sums& sums, int thread, Team& team);
    void add(const Block& block, int i, int y, int count, const Waves& chi, const Fields& fields, const Rows& onto,
             const Sums& sums, Work& work) const;
    void arrange(Block& block, int thread);
    template <class Each>
    void share_out(const Block& block, int thread, Team& team, Each&& each);
    template <class Each>
    void visit(const Block& block, const Fields& fields, const Sums& sums, int thread, Team& team, Each&& each);
    template <class Done>
    void collect(const Block& block, const Fields& fields, const Sums& sums, bool kept, int thread, Done&& done);

    template <class Each>
    Misfit all(const Group& group, const Fields& fields, const Sums& sums, float* stored, Each&& each);
    Misfit pie_one(const FrameStack& frames, const Block& block, const Fields& fields, const PieStep& step, Work& work);
    void direct(const Fields& fields, const LsqStep& step, const Sums& sums, const float* weight, float most, int y, int x0,
                int x1);
    std::array<double, 2> best_step(const Block& block, int i, const Fields& fields, const LsqStep& step) const;
    void begin(int slots);
    void begin_moves(const Fields& fields);
    float power(const Fields& fields, int y, int rows);
    float* own_sum(const Block& block, const Fields& fields, Work& work) const;
    void sum_objects(const Fields& fields, const Sums& sums, int thread);
    void sum_probes(const Sums& sums, int thread);
    void clear_probe(Work& work) const;
    void gather_probe(int thread);
    float most_light(const float* weight, int thread) const;
    void move_probe(const Fields& fields, const PieStep& step, const Sums& sums, float most, int thread);
    Window window(const Fields& f, const Group& g, int view, int q, int y, int rows) const;
    float* probe_mode(const Fields& f, int m) const { return f.probe + 2 * static_cast<std::size_t>(m) * n_ * n_; }
    Frame frame(const FrameStack& frames, int index) const;
    Block slots(const Group& group, const std::vector<int>& bounds, int b, const Beside* beside) const;
    std::pair<int, int> share(int total, int thread) const;

    const Level& level_;
    int n_, probes_, objects_, modes_, threads_;
    int active_ = 1;      // threads of the call that is under way
    bool scattered_ = false;  // its views follow each other anywhere on an object that is larger than a core's cache
    std::size_t pitch_;   // complex numbers from one line of a wave to the next
    std::size_t stride_;  // floats from one wave to the next
    bool far_;
    float limit_;
    std::vector<std::int8_t> bad_;  // [line][pitch] at the detector
    Buffer near_;                   // [column][pitch] of spectra
    FftLines rows_forward_, rows_backward_, columns_forward_, columns_backward_;
    Buffer slots_, step_, probe_step_, probe_weight_;  // the last two: where threads add up
    Buffer power_, light_;  // Σ|P|² and Σ|O|² over modes
    std::vector<Work> work_;
};

}  // namespace hpcdaas
