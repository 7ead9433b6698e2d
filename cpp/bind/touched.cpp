// What is packed for other ranks: checks the arrays, releases the GIL, calls.
#include "hpcdaas/touched.hpp"

#include <pybind11/complex.h>
#include <pybind11/stl.h>

#include <array>

#include "arrays.hpp"

namespace {

using namespace hpcdaas;
using Complex = py::array_t<std::complex<float>, py::array::c_style>;
using Corners = py::array_t<int, py::array::c_style>;

struct Touched {
    std::vector<Run> runs;
    std::array<int, 4> box;
    std::size_t pixels;

    void check(const Complex& field) const {
        require(field.ndim() == 3 && field.shape(1) >= box[1] && field.shape(2) >= box[3], "the box lies in the field");
    }
};

const float* floats(const Complex& a) { return reinterpret_cast<const float*>(a.data()); }
float* floats(Complex& a) { return reinterpret_cast<float*>(a.mutable_data()); }

}  // namespace

void bind_touched(py::module_& m) {
    py::class_<Touched>(m, "Touched")
        .def(py::init([](const Corners& corners, int n, std::array<int, 4> box) {
            require(corners.ndim() == 2 && corners.shape(1) == 2 && n > 0, "corners are (view, 2)");
            require(box[0] >= 0 && box[2] >= 0, "the box lies in the field");
            std::vector<Run> runs =
                touched({corners.data(), static_cast<int>(corners.shape(0)), n, box[0], box[1], box[2], box[3]});
            const std::size_t pixels = count(runs, 1);
            return Touched{std::move(runs), box, pixels};
        }))
        .def_readonly("pixels", &Touched::pixels)
        .def("pack",
             [](const Touched& t, const Complex& field) {
                 t.check(field);
                 const int modes = static_cast<int>(field.shape(0));
                 Complex packed({static_cast<py::ssize_t>(modes), static_cast<py::ssize_t>(t.pixels)});
                 pack(floats(field), modes, static_cast<int>(field.shape(1)), static_cast<int>(field.shape(2)), t.runs,
                      floats(packed));
                 return packed;
             })
        .def("add", [](const Touched& t, const Complex& packed, Complex field) {
            t.check(field);
            const int modes = static_cast<int>(field.shape(0));
            require(static_cast<std::size_t>(packed.size()) == t.pixels * modes, "as many pixels as were touched");
            add_packed(floats(packed), t.runs, floats(field), modes, static_cast<int>(field.shape(1)),
                       static_cast<int>(field.shape(2)));
        });
}
