// Checks that the bindings share.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include "hpcdaas/level.hpp"

namespace py = pybind11;

inline void require(bool condition, const char* what) {
    if (!condition) throw py::value_error(what);
}

inline hpcdaas::Type type_of(const py::dtype& dtype) {
    using hpcdaas::Type;
    if (dtype.equal(py::dtype::of<std::uint8_t>())) return Type::u8;
    if (dtype.equal(py::dtype::of<std::uint16_t>())) return Type::u16;
    if (dtype.equal(py::dtype::of<std::int16_t>())) return Type::i16;
    if (dtype.equal(py::dtype::of<std::uint32_t>())) return Type::u32;
    if (dtype.equal(py::dtype::of<std::int32_t>())) return Type::i32;
    if (dtype.equal(py::dtype::of<float>())) return Type::f32;
    throw py::type_error("measured values are uint8, uint16, int16, uint32, int32 or float32");
}
