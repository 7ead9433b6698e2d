// Chooses the vector level at run time.
#include <cstring>
#include <stdexcept>
#include <string>

#include "hpcdaas/level.hpp"

namespace hpcdaas {

namespace baseline {
extern const Level level;
}
#if defined(__x86_64__)
namespace avx2 {
extern const Level level;
}
namespace avx512 {
extern const Level level;
}
#endif

const Level& choose_level(const char* name) {
    const bool any = name == nullptr || *name == '\0';
#if defined(__x86_64__)
    const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    const bool has_avx512 = has_avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                            __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
    if (has_avx512 && (any || std::strcmp(name, "avx512") == 0)) return avx512::level;
    if (has_avx2 && (any || std::strcmp(name, "avx2") == 0)) return avx2::level;
#endif
    if (any || std::strcmp(name, "baseline") == 0) return baseline::level;
    throw std::invalid_argument("this machine has no vector level '" + std::string(name) + "'");
}

}  // namespace hpcdaas
