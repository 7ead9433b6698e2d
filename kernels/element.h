// The mathematics of one element, for host and device: the same lines in C++ and CUDA.
// No standard header is included (NVRTC has none): on the host, plain C++ is enough for what stands here.
#pragma once

#ifndef HPCDAAS_HD
#ifdef __CUDACC__
#define HPCDAAS_HD __host__ __device__ inline
#else
#define HPCDAAS_HD inline
#endif
#endif

namespace hpcdaas {

// Transmission of one pixel; a pixel whose net flat field is not positive is dead and passes as 1.
HPCDAAS_HD float transmission(float counts, float dark, float net) {
    return net > 0.0f ? (counts - dark) / net : 1.0f;
}

// Natural logarithm of a positive, normal float, within 2 ulp, without a branch, so that loops
// over it become vector code: x = m·2^e with m in [√½, √2), ln m = 2 artanh((m−1)/(m+1)), whose
// series up to the ninth power is good to 2e-9.
HPCDAAS_HD float log_positive(float x) {
    union {
        float f;
        int i;
    } bits;
    bits.f = x;
    const int exponent = (bits.i - 0x3f3504f3) >> 23;  // 0x3f3504f3 is √½
    bits.i -= exponent << 23;
    const float s = (bits.f - 1.0f) / (bits.f + 1.0f);
    const float z = s * s;
    const float series = 1.0f + z * (1.0f / 3 + z * (1.0f / 5 + z * (1.0f / 7 + z * (1.0f / 9))));
    return static_cast<float>(exponent) * 0.69314718f + 2.0f * s * series;
}

}  // namespace hpcdaas
