// Ptychography: checks the arrays, releases the GIL, calls.
#include <pybind11/complex.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <memory>

#include "arrays.hpp"
#include "beside.hpp"
#include "hpcdaas/views.hpp"

namespace {

using namespace hpcdaas;
using Complex = py::array_t<std::complex<float>, py::array::c_style>;
using Ints = py::array_t<int, py::array::c_style>;

float* floats(Complex& a) { return reinterpret_cast<float*>(a.mutable_data()); }

FrameStack stack(const Views& v, const py::array& frames) {
    require(frames.ndim() == 3 && frames.shape(1) == v.n() && frames.shape(2) == v.n(), "frames are (frame, n, n)");
    require(frames.size() == 0 || frames.strides(2) == frames.itemsize(), "the columns of frames must lie side by side");
    return {frames.data(), type_of(frames.dtype()), frames.strides(0) / frames.itemsize(),
            frames.strides(1) / frames.itemsize()};
}

// index (view, 2 or 3): place of the frame, of the stored waves where there are any; corners (view, 2).
struct Selection {
    std::vector<int> frame, y, x, slot;
    Group group() const {
        return {static_cast<int>(frame.size()), frame.data(), y.data(), x.data(), slot.empty() ? nullptr : slot.data()};
    }
};

Fields fields(const Views& v, Complex& object, Complex& probe) {
    require(object.ndim() == 3 && object.shape(0) == v.objects(), "the object is (mode, y, x)");
    require(probe.ndim() == 3 && probe.shape(0) == v.probes() && probe.shape(1) == v.n() && probe.shape(2) == v.n(),
            "the probe is (mode, n, n)");
    return {floats(object), static_cast<int>(object.shape(1)), static_cast<int>(object.shape(2)), floats(probe)};
}

Selection selection(const Views& v, const Fields& f, const Ints& frame, const Ints& corners, py::ssize_t frames,
                    const std::optional<Ints>& slot = {}, py::ssize_t slots = 0) {
    const py::ssize_t count = frame.size();
    require(corners.ndim() == 2 && corners.shape(0) == count && corners.shape(1) == 2, "corners are (view, 2)");
    require(!slot || slot->size() == count, "one slot for each view");
    Selection s;
    for (py::ssize_t i = 0; i < count; ++i) {
        s.frame.push_back(frame.data()[i]);
        s.y.push_back(corners.at(i, 0));
        s.x.push_back(corners.at(i, 1));
        require(frames < 0 || (s.frame.back() >= 0 && s.frame.back() < frames), "a frame is out of range");
        require(s.y.back() >= 0 && s.y.back() + v.n() <= f.height && s.x.back() >= 0 && s.x.back() + v.n() <= f.width,
                "a view reaches beyond the object");
        if (slot) {
            s.slot.push_back(slot->data()[i]);
            require(s.slot.back() >= 0 && s.slot.back() < slots, "a slot is out of range");
        }
    }
    return s;
}

// The four sums (see Sums), or None for those that aren't wanted.
struct SumArrays {
    std::optional<Complex> object;
    std::optional<py::array_t<float, py::array::c_style>> weight;
    std::optional<Complex> probe;
    std::optional<py::array_t<float, py::array::c_style>> probe_weight;

    Sums pointers(const Views& v, const Fields& f) {
        const py::ssize_t grid = static_cast<py::ssize_t>(f.height) * f.width, square = static_cast<py::ssize_t>(v.n()) * v.n();
        require(!object || object->size() == v.objects() * grid, "the object's sum has its shape");
        require(!weight || weight->size() == grid, "the weight is (y, x)");
        require(!probe || probe->size() == v.probes() * square, "the probe's sum has its shape");
        require(!probe_weight || probe_weight->size() == square, "the probe's weight is (n, n)");
        return {object ? floats(*object) : nullptr, weight ? weight->mutable_data() : nullptr,
                probe ? floats(*probe) : nullptr, probe_weight ? probe_weight->mutable_data() : nullptr};
    }
};

py::tuple answer(const Misfit& m) { return py::make_tuple(m.error, m.counts, m.likelihood); }

// Groups of views: bounds[i] … bounds[i + 1] − 1 of the selection; with other ranks theirs follow this rank's in each.
struct Groups {
    Selection views;
    std::vector<int> bounds;
    std::unique_ptr<PyBeside> beside;

    Groups(const Views& v, const Fields& f, Selection selected, std::vector<int> own, const py::object& python)
        : views(std::move(selected)), bounds(std::move(own)) {
        const int count = static_cast<int>(views.frame.size());
        require(bounds.size() > 1 && bounds.front() == 0 && bounds.back() == count, "batches cover the views");
        for (std::size_t i = 1; i < bounds.size(); ++i)
            require(bounds[i] > bounds[i - 1] || (!python.is_none() && bounds[i] == bounds[i - 1]), "a batch is empty");
        if (python.is_none()) return;
        beside = std::make_unique<PyBeside>(python, bounds, v, f.height, f.width);
        insert(python.attr("near").cast<Ints>(), python.attr("bounds").cast<std::vector<int>>());
    }

private:
    void insert(const Ints& near, const std::vector<int>& others) {
        require(near.ndim() == 2 && near.shape(1) == 2, "corners are (view, 2)");
        require(others.size() == bounds.size() && others.back() <= near.shape(0), "the other ranks have as many groups");
        Selection merged;
        std::vector<int> edges{0};
        for (std::size_t b = 1; b < bounds.size(); ++b) {
            for (int i = bounds[b - 1]; i < bounds[b]; ++i) add(merged, views.frame[i], views.y[i], views.x[i]);
            for (int i = others[b - 1]; i < others[b]; ++i) add(merged, -1, near.at(i, 0), near.at(i, 1));
            edges.push_back(static_cast<int>(merged.y.size()));
        }
        views = std::move(merged), bounds = std::move(edges);
    }
    static void add(Selection& s, int frame, int y, int x) { s.frame.push_back(frame), s.y.push_back(y), s.x.push_back(x); }
};

std::vector<float> flat(const std::optional<Complex>& a) {
    if (!a) return {};
    const float* data = reinterpret_cast<const float*>(a->data());
    return {data, data + 2 * a->size()};
}

float* waves_of(const Views& v, Complex& waves) {
    require(waves.ndim() == 4 && waves.shape(1) == v.probes() * v.objects() && waves.shape(2) == v.n() &&
                waves.shape(3) == v.n(),
            "waves are (view, mode, n, n)");
    return floats(waves);
}

}  // namespace

void bind_ptycho(py::module_& m) {
    py::enum_<Noise>(m, "Noise")
        .value("amplitude", Noise::amplitude)
        .value("gaussian", Noise::gaussian)
        .value("poisson", Noise::poisson);

    py::class_<SumArrays>(m, "Sums").def(
        py::init([](std::optional<Complex> object, std::optional<py::array_t<float, py::array::c_style>> weight,
                    std::optional<Complex> probe, std::optional<py::array_t<float, py::array::c_style>> probe_weight) {
            return SumArrays{object, weight, probe, probe_weight};
        }),
        py::arg("object").noconvert() = py::none(), py::arg("weight").noconvert() = py::none(),
        py::arg("probe").noconvert() = py::none(), py::arg("probe_weight").noconvert() = py::none());

    py::class_<Views>(m, "Views")
        .def(py::init([](std::shared_ptr<FftLibrary> library, const std::string& level, int n, int probes, int objects,
                         py::array_t<float, py::array::c_style> good, float limit, const std::optional<Complex>& near,
                         int threads) {
                 require(n > 1 && probes > 0 && objects > 0 && threads > 0, "there is nothing to transform");
                 require(good.size() == static_cast<py::ssize_t>(n) * n, "good is (n, n)");
                 require(!near || near->size() == good.size(), "near is (n, n)");
                 std::vector<float> used(good.data(), good.data() + good.size()), spectrum = flat(near);
                 const Level& chosen = choose_level(level.c_str());
                 py::gil_scoped_release release;
                 return std::make_unique<Views>(*library, chosen, n, probes, objects, std::move(used), limit,
                                                std::move(spectrum), threads);
             }),
             py::keep_alive<1, 2>(), py::arg("library"), py::arg("level"), py::arg("n"), py::arg("probes"),
             py::arg("objects"), py::arg("good"), py::arg("limit"), py::arg("near"), py::arg("threads"))
        .def(
            "gradient",
            [](Views& v, const py::array& frames, const Ints& frame, const Ints& corners, Complex object, Complex probe,
               Noise noise, SumArrays sums) {
                const Fields f = fields(v, object, probe);
                const Selection s = selection(v, f, frame, corners, frames.shape(0));
                const FrameStack stored = stack(v, frames);
                const Sums wanted = sums.pointers(v, f);
                Misfit found;
                {
                    py::gil_scoped_release release;
                    found = v.gradient(stored, s.group(), f, noise, wanted);
                }
                return answer(found);
            })
        .def(
            "evaluate",
            [](Views& v, const py::array& frames, const Ints& frame, const Ints& corners, Complex object, Complex probe,
               Noise noise) {
                const Fields f = fields(v, object, probe);
                const Selection s = selection(v, f, frame, corners, frames.shape(0));
                const FrameStack stored = stack(v, frames);
                Misfit found;
                {
                    py::gil_scoped_release release;
                    found = v.evaluate(stored, s.group(), f, noise);
                }
                return answer(found);
            })
        .def(
            "project",
            [](Views& v, const py::array& frames, const Ints& frame, const Ints& corners, const Ints& slot,
               Complex object, Complex probe, Complex waves, float a, float b, float c, SumArrays sums) {
                const Fields f = fields(v, object, probe);
                const Selection s = selection(v, f, frame, corners, frames.shape(0), slot, waves.shape(0));
                const FrameStack stored = stack(v, frames);
                const Sums wanted = sums.pointers(v, f);
                float* psi = waves_of(v, waves);
                Misfit found;
                {
                    py::gil_scoped_release release;
                    found = v.project(stored, s.group(), f, {a, b, c}, psi, wanted);
                }
                return answer(found);
            })
        .def(
            "exit_waves",
            [](Views& v, const Ints& corners, const Ints& slot, Complex object, Complex probe, Complex waves) {
                const Fields f = fields(v, object, probe);
                const Selection s = selection(v, f, slot, corners, -1, slot, waves.shape(0));
                float* psi = waves_of(v, waves);
                py::gil_scoped_release release;
                v.exit_waves(s.group(), f, psi);
            })
        .def(
            "overlap",
            [](Views& v, const Ints& corners, const Ints& slot, Complex object, Complex probe, Complex waves,
               SumArrays sums) {
                const Fields f = fields(v, object, probe);
                const Selection s = selection(v, f, slot, corners, -1, slot, waves.shape(0));
                const Sums wanted = sums.pointers(v, f);
                float* psi = waves_of(v, waves);
                py::gil_scoped_release release;
                v.overlap(s.group(), f, psi, wanted);
            })
        .def(
            "pie",
            [](Views& v, const py::array& frames, const Ints& frame, const Ints& corners, const std::vector<int>& bounds,
               Complex object, Complex probe, float object_alpha, float probe_alpha, float object_step, float probe_step,
               const py::object& beside) {
                const Fields f = fields(v, object, probe);
                const Groups groups(v, f, selection(v, f, frame, corners, frames.shape(0)), bounds, beside);
                const FrameStack stored = stack(v, frames);
                Misfit found;
                {
                    py::gil_scoped_release release;
                    found = v.pie(stored, groups.views.group(), groups.bounds, f,
                                  {object_alpha, probe_alpha, object_step, probe_step}, groups.beside.get());
                }
                return answer(found);
            })
        .def(
            "lsq",
            [](Views& v, const py::array& frames, const Ints& frame, const Ints& corners, const std::vector<int>& bounds,
               Complex object, Complex probe, float damping, float regularization, bool move_object, bool move_probe,
               std::optional<SumArrays> sums, const py::object& beside) {
                const Fields f = fields(v, object, probe);
                const Groups groups(v, f, selection(v, f, frame, corners, frames.shape(0)), bounds, beside);
                const FrameStack stored = stack(v, frames);
                const Sums wanted = sums ? sums->pointers(v, f) : Sums{};
                require(!sums || (wanted.object && wanted.weight), "the object's sums are wanted");
                LsqFound found;
                {
                    py::gil_scoped_release release;
                    found = v.lsq(stored, groups.views.group(), groups.bounds, f,
                                  {damping, regularization, move_object, move_probe, sums.has_value()}, wanted,
                                  groups.beside.get());
                }
                return py::make_tuple(found.misfit.error, found.misfit.counts, found.misfit.likelihood,
                                      found.object_step, found.probe_step);
            });
}
