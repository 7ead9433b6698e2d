// The extension module: it only lists.
#include <pybind11/pybind11.h>

void bind_tomo(pybind11::module_& m);
void bind_ptycho(pybind11::module_& m);
void bind_touched(pybind11::module_& m);

PYBIND11_MODULE(_core, m) {
    m.doc() = "C++ primitives of hpcdaas; use them through hpcdaas.backend.";
    bind_tomo(m);
    bind_ptycho(m);
    bind_touched(m);
}
