// The loops that touch every number, compiled once per vector level. Vectors run over slices
// ("lanes"): every lane does the same with another detector row, so that positions and weights
// are computed once for up to 16 slices.
//
// No inline function of the standard library may be used here: the linker would keep one copy for
// all levels, possibly one that this machine can't run.
#include "hpcdaas/level.hpp"

#include "element.h"
#include "vec.hpp"

namespace hpcdaas::HPCDAAS_LEVEL {
namespace {

#include "level_rows.inc"
#include "level_complex.inc"
#include "level_spread.inc"
#include "level_rays.inc"
#include "level_medians.inc"
#include "level_pixels.inc"
#include "level_views.inc"
#include "level_detector.inc"

}  // namespace

#define HPCDAAS_STRING_(x) #x
#define HPCDAAS_STRING(x) HPCDAAS_STRING_(x)

extern const Level level;
const Level level = {HPCDAAS_STRING(HPCDAAS_LEVEL), correct, interleave, scatter, pair_up, weight_spectrum,
                     transpose, transpose_away, gather, crop, unload, spread, backproject, project,
                     medians, exit_wave, mix, renew, constrain, transfer, add_back, square, add_square, add, step_by, damp,
                     largest, products};

}  // namespace hpcdaas::HPCDAAS_LEVEL
