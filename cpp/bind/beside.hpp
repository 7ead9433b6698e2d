// The other ranks of a run, as a Python object: `hpcdaas.backend.views.Beside`.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <complex>
#include <string>
#include <vector>

#include "hpcdaas/views.hpp"

class PyBeside : public hpcdaas::Beside {
public:
    // Views of the groups bounds[i] … bounds[i + 1] − 1 are this rank's; `height` and `width` are of its part of the object.
    PyBeside(pybind11::object python, const std::vector<int>& bounds, const hpcdaas::Views& views, int height, int width)
        : python_(std::move(python)), objects_(views.objects()), probes_(views.probes()), n_(views.n()), height_(height),
          width_(width) {
        all = python_.attr("all").cast<std::vector<int>>();
        for (std::size_t b = 1; b < bounds.size(); ++b) own.push_back(bounds[b] - bounds[b - 1]);
        if (all.size() != own.size()) throw pybind11::value_error("the other ranks have as many groups");
    }

    void sums(int group, float* object, float* probe, float* probe_weight, float& light) override {
        pybind11::gil_scoped_acquire acquire;
        light = python_.attr("sums")(group, complex(object, objects_, height_, width_), complex(probe, probes_, n_, n_),
                                     reals(probe_weight), light)
                    .cast<float>();
    }

    void steps(int group, double& object, double& probe) override {
        pybind11::gil_scoped_acquire acquire;
        const auto both = python_.attr("steps")(group, object, probe).cast<std::pair<double, double>>();
        object = both.first, probe = both.second;
    }

private:
    // The memory as an array, not a copy of it; None where there is none.
    static pybind11::object complex(float* data, int modes, int height, int width) {
        if (!data) return pybind11::none();
        auto* numbers = reinterpret_cast<std::complex<float>*>(data);
        return pybind11::array_t<std::complex<float>>({modes, height, width}, numbers, pybind11::none());
    }
    pybind11::object reals(float* data) const {
        if (!data) return pybind11::none();
        return pybind11::array_t<float>({n_, n_}, data, pybind11::none());
    }

    pybind11::object python_;
    int objects_, probes_, n_, height_, width_;
};
