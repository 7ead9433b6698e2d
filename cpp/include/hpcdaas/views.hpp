// Ptychography: the path of a view from object and probe to the detector and back, and the sums over views.
#pragma once

#include <cstddef>
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

// ψ ← (1 − a − b)ψ + a·PO + b·F[c·PO + (1 − c)ψ], F the modulus constraint.
struct Projection {
    float a, b, c;
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

struct LsqFound {
    Misfit misfit;
    double object_step = 0, probe_step = 0;  // means over views
};

// Exit waves ψ[view][probe mode][object mode] are made, sent to the detector and back.
//
// A block of views goes through the transforms, each view by itself in the cache. Then rows of the object take what
// the block's waves say of them: each row belongs to one thread, so nothing is locked and no copy of the object is
// made, and the order of sums is the order of the views.
class Views {
public:
    // good: [n][n], 1 where a detector pixel is used, in the order of the transform; near: what the spectrum of a wave
    // is multiplied with on the way to a near detector, [n][n] complex, or nothing where the detector is far.
    Views(FftLibrary& library, const Level& level, int n, int probes, int objects, std::vector<float> good, float limit,
          std::vector<float> near, int threads);
    ~Views();

    Misfit gradient(const FrameStack& frames, const Group& group, const Fields& fields, Noise noise, const Sums& sums);
    Misfit evaluate(const FrameStack& frames, const Group& group, const Fields& fields, Noise noise);
    Misfit project(const FrameStack& frames, const Group& group, const Fields& fields, const Projection& how,
                   float* waves, const Sums& sums);
    void exit_waves(const Group& group, const Fields& fields, float* waves);
    void overlap(const Group& group, const Fields& fields, float* waves, const Sums& sums);
    // Batches are views bounds[i] … bounds[i + 1] − 1 of the group.
    Misfit pie(const FrameStack& frames, const Group& group, const std::vector<int>& bounds, const Fields& fields,
               const PieStep& step);
    LsqFound lsq(const FrameStack& frames, const Group& group, const std::vector<int>& bounds, const Fields& fields,
                 const LsqStep& step, const Sums& sums);

    int n() const { return n_; }
    int probes() const { return probes_; }
    int objects() const { return objects_; }

private:
    struct Work;
    struct Block;
    class Team;

    void forward(float* wave) const;
    void backward(float* wave) const;
    Misfit path(const FrameStack& frames, const Group& group, int view, const Fields& fields, Noise noise, float scale,
                float* waves, Work& work) const;
    Misfit project_one(const FrameStack& frames, const Group& group, int view, const Fields& fields,
                       const Projection& how, float* psi, Work& work) const;
    template <class Take>
    void rows(const Block& block, const Fields& fields, bool object, bool weight, bool probe, int thread, Take&& take);
    template <class Each>
    Misfit all(const Group& group, const Fields& fields, int block_size, const Sums& sums, float* stored, Each&& each);
    void begin(const Fields& fields, int slots);
    void power_rows(const Fields& fields, int thread);
    void sum_probes(const Sums& sums, int thread);
    Frame frame(const FrameStack& frames, int index) const;
    float* probe_mode(const Fields& f, int m) const { return f.probe + 2 * static_cast<std::size_t>(m) * n_ * n_; }
    float* window(const Fields& f, const Group& g, int view, int k) const;
    float* slot(int view) const;
    int block_size() const;
    std::pair<int, int> share(int total, int thread) const;

    const Level& level_;
    int n_, probes_, objects_, modes_, threads_;
    int active_ = 1;  // threads of the call that is under way
    std::vector<float> good_;
    float limit_;
    std::vector<float> near_;
    Fft2 forward_, backward_;
    std::size_t stride_;  // floats from a wave in a slot to the next
    Buffer slots_, power_, step_, weight_, probe_step_;
    std::vector<Work> work_;
};

}  // namespace hpcdaas
