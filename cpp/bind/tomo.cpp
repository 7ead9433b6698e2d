// Checks the arrays, releases the GIL, calls.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "arrays.hpp"
#include "hpcdaas/outliers.hpp"
#include "hpcdaas/sorting.hpp"
#include "hpcdaas/tomo.hpp"

using namespace hpcdaas;

namespace {

using Floats = py::array_t<float, py::array::c_style>;
using Doubles = std::vector<double>;

// The arrays of a Correction (backend/__init__.py), or nothing.
struct CorrectionArrays {
    Floats dark, net;
    py::array_t<int, py::array::c_style> group;
    Floats weight;
    bool log;
    float floor;
};

Projections view(const py::array& data, const std::optional<CorrectionArrays>& c) {
    require(data.ndim() == 3, "projections are (angle, row, column)");
    require(data.strides(2) == data.itemsize(), "the columns of projections must lie side by side");
    Projections p;
    p.data = data.data();
    p.type = type_of(data.dtype());
    p.angles = static_cast<int>(data.shape(0));
    p.rows = static_cast<int>(data.shape(1));
    p.columns = static_cast<int>(data.shape(2));
    p.angle_stride = data.strides(0) / data.itemsize();
    p.row_stride = data.strides(1) / data.itemsize();
    if (!c) return p;
    require(c->dark.ndim() == 2 && c->dark.shape(0) == p.rows && c->dark.shape(1) == p.columns, "dark is (row, column)");
    require(c->net.ndim() == 3 && c->net.shape(0) > 0 && c->net.shape(1) == p.rows && c->net.shape(2) == p.columns,
            "net is (group, row, column)");
    require(c->group.size() == p.angles && c->weight.size() == p.angles, "group and weight are (angle,)");
    p.corrected = false;
    p.dark = c->dark.data();
    p.net = c->net.data();
    p.groups = static_cast<int>(c->net.shape(0));
    p.group = c->group.data();
    p.weight = c->weight.data();
    p.log = c->log;
    p.floor = c->floor;
    for (int a = 0; a < p.angles; ++a) require(p.group[a] >= 0 && p.group[a] < p.groups, "group is out of range");
    return p;
}

// Pointers to slices out[row] of N×N in an array (row, N, N).
std::vector<float*> slices(Floats& out, int size) {
    require(out.ndim() == 3 && out.shape(1) == size && out.shape(2) == size, "slices are (row, N, N)");
    std::vector<float*> pointers;
    for (py::ssize_t r = 0; r < out.shape(0); ++r) pointers.push_back(out.mutable_data(r, 0, 0));
    return pointers;
}

py::tuple answer(const Found& found) { return py::make_tuple(found.nonpositive, found.not_finite); }

void merge(Found& all, const Found& found) {
    all.nonpositive += found.nonpositive;
    if (all.not_finite < 0) all.not_finite = found.not_finite;
}

FbpGeometry geometry(int columns, Doubles angles, Doubles weights, Doubles response, double center, double scale) {
    require(angles.size() == weights.size() && !angles.empty(), "one weight for each angle");
    require(response.size() > 1 && 2 * (response.size() - 1) > static_cast<std::size_t>(columns), "P is more than N");
    Doubles difference = difference_response(response);
    return {columns, std::move(angles), std::move(weights), std::move(response), std::move(difference), center, scale};
}

py::tuple run_fbp(Fbp& fbp, int lanes, const py::array& data, const std::optional<CorrectionArrays>& c, Floats out) {
    const Projections p = view(data, c);
    const std::vector<float*> targets = slices(out, p.columns);
    require(static_cast<int>(targets.size()) == p.rows, "one slice for each row");
    Found found;
    {
        py::gil_scoped_release release;
        for (int row = 0; row < p.rows && found.not_finite < 0; row += lanes)
            merge(found, fbp.run(p, row, std::min(lanes, p.rows - row), targets.data() + row));
    }
    return answer(found);
}

py::tuple run_correct(const py::array& data, const std::optional<CorrectionArrays>& c, Floats out,
                      const std::string& level, int threads) {
    const Projections p = view(data, c);
    require(out.size() == data.size(), "out has the shape of the data");
    float* target = out.mutable_data();
    const Level& chosen = choose_level(level.c_str());
    Found found;
    {
        py::gil_scoped_release release;
        found = correct(p, chosen, threads, target);
    }
    return answer(found);
}

long run_outliers(py::array data, int size, float threshold, int first, int last, int threads) {
    require(data.ndim() == 3 && data.strides(2) == data.itemsize(), "frames are (frame, row, column), columns side by side");
    require(size > 0 && size % 2 == 1, "size is odd");
    const py::ssize_t each = data.itemsize();
    const Frames frames{data.mutable_data(), type_of(data.dtype()), static_cast<int>(data.shape(0)),
                        static_cast<int>(data.shape(1)), static_cast<int>(data.shape(2)), data.strides(0) / each,
                        data.strides(1) / each};
    py::gil_scoped_release release;
    return replace_outliers(frames, {size, threshold, first, last}, threads);
}

using Order = py::array_t<std::int32_t, py::array::c_style>;

Sinogram sinogram(py::array_t<float>& data) {
    require(data.ndim() == 2 && (data.shape(1) < 2 || data.size() == 0 || data.strides(1) == sizeof(float)),
            "a sinogram is (angle, column), columns side by side");
    return {data.mutable_data(), data.strides(0) / static_cast<std::ptrdiff_t>(sizeof(float)),
            static_cast<int>(data.shape(0)), static_cast<int>(data.shape(1))};
}

void require_ranks(const Sinogram& s, const Order& order, const Floats& ranked) {
    for (const py::array& given : {py::array(order), py::array(ranked)})
        require(given.ndim() == 2 && given.shape(0) == s.columns && given.shape(1) == s.angles,
                "ranks are (column, rank) of the sinogram");
}

void run_sort(py::array_t<float> data, Order order, Floats ranked) {
    const Sinogram s = sinogram(data);
    require_ranks(s, order, ranked);
    std::int32_t* const numbers = order.mutable_data();
    float* const values = ranked.mutable_data();
    py::gil_scoped_release release;
    sort_columns(s, numbers, values);
}

void run_unsort(const Order& order, const Floats& ranked, py::array_t<float> data) {
    const Sinogram s = sinogram(data);
    require_ranks(s, order, ranked);
    const std::int32_t* const numbers = order.data();
    std::uint32_t most = 0;  // of a number below zero, too
    for (py::ssize_t i = 0; i < order.size(); ++i) most = std::max(most, static_cast<std::uint32_t>(numbers[i]));
    require(order.size() == 0 || most < static_cast<std::uint32_t>(s.angles), "the order holds numbers of angles");
    const float* const values = ranked.data();
    py::gil_scoped_release release;
    unsort_columns(numbers, values, s);
}

void run_median(const Floats& ranked, int size, Floats out, const std::string& level) {
    require(ranked.ndim() == 2, "ranks are (column, rank)");
    require(out.ndim() == 2 && out.shape(0) == ranked.shape(0) && out.shape(1) == ranked.shape(1),
            "out has the shape of the ranks");
    require(out.data() != ranked.data(), "out is another array");
    require(size > 0 && size % 2 == 1, "size is odd");
    const int columns = static_cast<int>(ranked.shape(0)), ranks = static_cast<int>(ranked.shape(1));
    const Level& chosen = choose_level(level.c_str());
    const float* const values = ranked.data();
    float* const found = out.mutable_data();
    py::gil_scoped_release release;
    if (columns && ranks) median_over_columns(chosen, values, columns, ranks, std::min(size / 2, columns - 1), found);
}

py::tuple run_filtered(const RaySum& rays, FftLibrary& library, const py::array& data,
                       const std::optional<CorrectionArrays>& c, const FbpGeometry& g, Floats out) {
    const Projections p = view(data, c);
    const std::vector<float*> targets = slices(out, p.columns);
    require(static_cast<int>(targets.size()) == p.rows && rays.size() == p.columns, "one slice for each row");
    Found found;
    {
        py::gil_scoped_release release;
        const int most = lanes_for(p.rows);
        Buffer lines(static_cast<std::size_t>(p.angles) * rays.columns() * most);
        for (int row = 0; row < p.rows && found.not_finite < 0; row += most) {
            const int count = std::min(most, p.rows - row), lanes = lanes_for(count);
            merge(found, filtered_lines(library, p, row, count, g, rays, lanes, lines.data()));
            if (found.not_finite < 0) rays.backproject(lines.data(), lanes, count, 1.0f, targets.data() + row);
        }
    }
    return answer(found);
}

void run_backproject(const RaySum& rays, const Floats& data, Floats out) {
    require(data.ndim() == 3 && data.shape(0) == rays.angles() && data.shape(1) == out.shape(0),
            "projections are (angle, row, column)");
    const std::vector<float*> targets = slices(out, rays.size());
    const int rows = static_cast<int>(data.shape(1)), columns = static_cast<int>(data.shape(2));
    const float* source = data.data();
    py::gil_scoped_release release;
    const int most = lanes_for(rows), first = rays.first_column();
    const int from = std::max(0, first), to = std::min(columns, first + rays.columns());
    Buffer lines(static_cast<std::size_t>(rays.angles()) * rays.columns() * most);
    for (int row = 0; row < rows; row += most) {
        const int count = std::min(most, rows - row), lanes = lanes_for(count);
        std::fill(lines.data(), lines.data() + lines.size(), 0.0f);
#pragma omp parallel for num_threads(rays.threads())
        for (int a = 0; a < rays.angles(); ++a)
            for (int r = 0; r < count; ++r) {
                const float* p = source + (static_cast<std::size_t>(a) * rows + row + r) * columns;
                float* line = lines.data() + static_cast<std::size_t>(a) * rays.columns() * lanes + r;
                for (int u = from; u < to; ++u) line[static_cast<std::size_t>(u - first) * lanes] = p[u];
            }
        rays.backproject(lines.data(), lanes, count, 1.0f, targets.data() + row);
    }
}

void run_project(const RaySum& rays, Floats input, Floats out) {
    require(out.ndim() == 3 && out.shape(0) == rays.angles() && out.shape(1) == input.shape(0),
            "projections are (angle, row, column)");
    const std::vector<float*> sources = slices(input, rays.size());
    const int rows = static_cast<int>(out.shape(1)), columns = static_cast<int>(out.shape(2));
    float* target = out.mutable_data();
    py::gil_scoped_release release;
    const int most = lanes_for(rows), first = rays.first_column();
    const int from = std::max(0, first), to = std::min(columns, first + rays.columns());
    Buffer lines(static_cast<std::size_t>(rays.angles()) * rays.columns() * most);
    std::fill(target, target + static_cast<std::size_t>(rays.angles()) * rows * columns, 0.0f);
    for (int row = 0; row < rows; row += most) {
        const int count = std::min(most, rows - row), lanes = lanes_for(count);
        rays.project(sources.data() + row, lanes, count, lines.data());
#pragma omp parallel for num_threads(rays.threads())
        for (int a = 0; a < rays.angles(); ++a)
            for (int r = 0; r < count; ++r) {
                float* p = target + (static_cast<std::size_t>(a) * rows + row + r) * columns;
                const float* line = lines.data() + static_cast<std::size_t>(a) * rays.columns() * lanes + r;
                for (int u = from; u < to; ++u) p[u] = line[static_cast<std::size_t>(u - first) * lanes];
            }
    }
}

}  // namespace

void bind_tomo(py::module_& m) {
    m.def("vector_level", [](const std::string& name) { return choose_level(name.c_str()).name; }, py::arg("name") = "");
    m.def("lanes_for", &lanes_for, py::arg("rows"));

    py::class_<FftLibrary, std::shared_ptr<FftLibrary>>(m, "FftLibrary")
        .def(py::init<const std::string&>(), py::arg("path"))
        .def("wisdom", &FftLibrary::wisdom)
        .def("learn", &FftLibrary::learn, py::arg("wisdom"))
        .def(
            "time_transform",
            [](FftLibrary& library, int length, int sign, int repeat) {
                py::gil_scoped_release release;
                Buffer in(2 * static_cast<std::size_t>(length)), out(2 * static_cast<std::size_t>(length));
                const Fft fft(library, length, sign);
                for (int i = 0; i < repeat; ++i) fft(in.data(), out.data());
            },
            "Runs one transform many times: the floor that benchmarks compare with.");

    py::class_<CorrectionArrays>(m, "Correction")
        .def(py::init([](Floats dark, Floats net, py::array_t<int, py::array::c_style> group, Floats weight, bool log,
                         float floor) { return CorrectionArrays{dark, net, group, weight, log, floor}; }));

    m.def("correct", &run_correct, py::arg("data"), py::arg("correction"), py::arg("out").noconvert(), py::arg("level"),
          py::arg("threads"));

    m.def("outliers", &run_outliers, py::arg("data").noconvert(), py::arg("size"), py::arg("threshold"), py::arg("first"),
          py::arg("last"), py::arg("threads"));

    m.def("sort_columns", &run_sort, py::arg("sinogram").noconvert(), py::arg("order").noconvert(),
          py::arg("ranked").noconvert());
    m.def("unsort_columns", &run_unsort, py::arg("order").noconvert(), py::arg("ranked").noconvert(),
          py::arg("sinogram").noconvert());
    m.def("median_over_columns", &run_median, py::arg("ranked").noconvert(), py::arg("size"), py::arg("out").noconvert(),
          py::arg("level"));

    py::class_<FbpGeometry>(m, "FbpGeometry")
        .def(py::init(&geometry), py::arg("columns"), py::arg("angles"), py::arg("weights"), py::arg("response"),
             py::arg("center"), py::arg("scale"));

    py::class_<Fbp>(m, "Fbp")
        .def(py::init([](std::shared_ptr<FftLibrary> library, FbpGeometry g, int width, int grid, int lanes,
                         const std::string& level, int threads) {
                 require(width >= 3 && width <= max_width && grid >= g.columns + width, "the grid is too small");
                 const Level& chosen = choose_level(level.c_str());
                 py::gil_scoped_release release;
                 return std::make_unique<Fbp>(*library, chosen, std::move(g), width, grid, lanes, threads);
             }),
             py::keep_alive<1, 2>(), py::arg("library"), py::arg("geometry"), py::arg("width"), py::arg("grid"),
             py::arg("lanes"), py::arg("level"), py::arg("threads"))
        .def("run", &run_fbp, py::arg("lanes"), py::arg("data"), py::arg("correction"), py::arg("out").noconvert())
        .def_property_readonly("bytes", &Fbp::bytes);

    py::class_<RaySum>(m, "RaySum")
        .def(py::init([](Doubles angles, double center, int size, const std::string& level, int threads) {
                 require(!angles.empty() && size > 0, "there is nothing to project");
                 return std::make_unique<RaySum>(choose_level(level.c_str()), std::move(angles), center, size, threads);
             }),
             py::arg("angles"), py::arg("center"), py::arg("size"), py::arg("level"), py::arg("threads"))
        .def("filtered", &run_filtered, py::arg("library"), py::arg("data"), py::arg("correction"), py::arg("geometry"),
             py::arg("out").noconvert())
        .def("backproject", &run_backproject, py::arg("data").noconvert(), py::arg("out").noconvert())
        .def("project", &run_project, py::arg("slices").noconvert(), py::arg("out").noconvert());
}
