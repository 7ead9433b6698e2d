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

// 1/√x of a positive, normal float, within 2 ulp, from products alone: a first guess from the exponent's bits, three of
// Newton's steps (C. Lomont, Fast Inverse Square Root, 2003). Roots and divisions take several times as long as vectors.
HPCDAAS_HD float inverse_root(float x) {
    union {
        float f;
        int i;
    } bits;
    bits.f = x;
    bits.i = 0x5f375a86 - (bits.i >> 1);
    float r = bits.f;
    const float half = 0.5f * x;
    r = r * (1.5f - half * r * r);
    r = r * (1.5f - half * r * r);
    r = r * (1.5f - half * r * r);
    return r;
}

// What a detector pixel says of the wave there: `counts` I were measured, `intensity` y = |Ψ|² is the model's.
// factor · Ψ is the change that is asked for; `likelihood` is what falls when Ψ follows it.
struct Pull {
    float factor, likelihood;
};

// Amplitudes: √I/|Ψ| − 1. The likelihood is the squared distance of the amplitudes.
HPCDAAS_HD Pull pull_amplitude(float counts, float intensity) {
    const float product = counts * intensity;
    const float factor = counts * inverse_root(product > 1e-30f ? product : 1e-30f) - 1.0f;
    return {factor, intensity * factor * factor};
}

// Gaussian noise of intensities, variance 1 + I: (y − I)²/(2 (1 + I)), P. Thibault, M. Guizar-Sicairos,
// New J. Phys. 14, 063004 (2012), eq. 11; minus its derivative by |Ψ|² is (I − y)/(1 + I).
HPCDAAS_HD Pull pull_gaussian(float counts, float intensity) {
    const float root = inverse_root(1.0f + counts), difference = counts - intensity;
    const float factor = difference * root * root;
    return {factor, 0.5f * factor * difference};
}

// Poisson noise, ibid. eq. 6, with a little light everywhere, so that a dark model isn't infinitely wrong:
// y + b − I ln(y + b), of which I/(y + b) − 1 is minus the derivative.
HPCDAAS_HD Pull pull_poisson(float counts, float intensity) {
    const float background = 0.1f;
    const float model = intensity + background, root = inverse_root(model);
    return {counts * root * root - 1.0f, model - counts * log_positive(model)};
}

// (√I − √y)², of which `error` is made.
HPCDAAS_HD float amplitude_misfit(float counts, float intensity) {
    const float product = counts * intensity;
    const float both = product * inverse_root(product > 1e-30f ? product : 1e-30f);
    const float misfit = counts + intensity - 2.0f * both;
    return misfit > 0.0f ? misfit : 0.0f;
}

}  // namespace hpcdaas
