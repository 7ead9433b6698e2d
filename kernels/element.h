// The mathematics of one element, for host and device: the same lines in C++ and CUDA.
// No standard header is included (NVRTC has none): on the host, plain C++ is enough for what stands here.
#pragma once

#ifndef HPCDAAS_HD
#ifdef __CUDACC__
#define HPCDAAS_HD __host__ __device__ inline
#else
// Always inline: one copy for all vector levels might be one that a machine can't run.
#define HPCDAAS_HD __attribute__((always_inline)) inline
#endif
#endif

namespace hpcdaas {

// Transmission of one pixel; a pixel whose net flat field is not positive is dead and passes as 1.
HPCDAAS_HD float transmission(float counts, float dark, float net) {
    return net > 0.0f ? (counts - dark) / net : 1.0f;
}

// What the formulas below are made of, here for one float. Another class with the same names stands for vectors of them.
struct OneFloat {
    using Number = float;
    union Both {
        float number;
        int bits;
    };
    static HPCDAAS_HD int bits(float x) {
        Both both;
        both.number = x;
        return both.bits;
    }
    static HPCDAAS_HD float number(int bits) {
        Both both;
        both.bits = bits;
        return both.number;
    }
    static HPCDAAS_HD float real(int i) { return static_cast<float>(i); }
    static HPCDAAS_HD float larger(float a, float b) { return a > b ? a : b; }
    static HPCDAAS_HD float root(float x);
};

// Natural logarithm of a positive, normal float, within 2 ulp, without a branch, so that loops
// over it become vector code: x = m·2^e with m in [√½, √2), ln m = 2 artanh((m−1)/(m+1)), whose
// series up to the ninth power is good to 2e-9.
template <class Math = OneFloat, class Number = typename Math::Number>
HPCDAAS_HD Number log_positive(Number x) {
    const auto exponent = (Math::bits(x) - 0x3f3504f3) >> 23;  // 0x3f3504f3 is √½
    const Number m = Math::number(Math::bits(x) - exponent * (1 << 23));
    const Number s = (m - 1.0f) / (m + 1.0f);
    const Number z = s * s;
    const Number series = 1.0f + z * (1.0f / 3 + z * (1.0f / 5 + z * (1.0f / 7 + z * (1.0f / 9))));
    return Math::real(exponent) * 0.69314718f + 2.0f * s * series;
}

// 1/√x of a positive, normal float, within 2 ulp, from products alone: a first guess from the exponent's bits, three of
// Newton's steps (C. Lomont, Fast Inverse Square Root, 2003). Roots and divisions take several times as long as vectors.
template <class Math = OneFloat, class Number = typename Math::Number>
HPCDAAS_HD Number inverse_root(Number x) {
    Number r = Math::number(0x5f375a86 - (Math::bits(x) >> 1));
    const Number half = 0.5f * x;
    r = r * (1.5f - half * r * r);
    r = r * (1.5f - half * r * r);
    r = r * (1.5f - half * r * r);
    return r;
}

HPCDAAS_HD float OneFloat::root(float x) { return inverse_root(x); }

// −ln t; what isn't a positive, normal number (denormal ones count as zero) becomes `floor` first, and is `low`.
HPCDAAS_HD float line_integral(float t, float floor, bool& low) {
    low = !(t >= 1.17549435e-38f);
    return -log_positive(low ? floor : t);
}

// A finite number: its exponent's bits aren't all set.
HPCDAAS_HD bool is_number(float x) { return (OneFloat::bits(x) & 0x7f800000) != 0x7f800000; }

// What a detector pixel says of the wave there: `counts` I were measured, `intensity` y = |Ψ|² is the model's.
// factor · Ψ is the change that is asked for; `likelihood` is what falls when Ψ follows it.
template <class Number>
struct PullOf {
    Number factor, likelihood;
};
using Pull = PullOf<float>;

// Amplitudes: √I/|Ψ| − 1. The likelihood is the squared distance of the amplitudes, I where the model is dark.
template <class Math = OneFloat, class Number = typename Math::Number>
HPCDAAS_HD PullOf<Number> pull_amplitude(Number counts, Number intensity) {
    const Number y = Math::larger(intensity, Number{} + 1e-20f);
    const Number root = Math::root(Math::larger(counts * y, Number{} + 1e-30f));
    const Number factor = counts * root - 1.0f;
    return {factor, y * factor * factor};
}

// Gaussian noise of intensities, variance 1 + I: (y − I)²/(2 (1 + I)), P. Thibault, M. Guizar-Sicairos,
// New J. Phys. 14, 063004 (2012), eq. 11; minus its derivative by |Ψ|² is (I − y)/(1 + I).
template <class Math = OneFloat, class Number = typename Math::Number>
HPCDAAS_HD PullOf<Number> pull_gaussian(Number counts, Number intensity) {
    const Number difference = counts - intensity, factor = difference / (1.0f + counts);
    return {factor, 0.5f * factor * difference};
}

// Poisson noise, ibid. eq. 6, with a little light everywhere, so that a dark model isn't infinitely wrong:
// y + b − I ln(y + b), of which I/(y + b) − 1 is minus the derivative.
template <class Math = OneFloat, class Number = typename Math::Number>
HPCDAAS_HD PullOf<Number> pull_poisson(Number counts, Number intensity) {
    const Number model = intensity + 0.1f;
    return {counts / model - 1.0f, model - counts * log_positive<Math>(model)};
}

// (√I − √y)², of which `error` is made.
template <class Math = OneFloat, class Number = typename Math::Number>
HPCDAAS_HD Number amplitude_misfit(Number counts, Number intensity) {
    const Number product = counts * intensity;
    const Number both = product * Math::root(Math::larger(product, Number{} + 1e-30f));
    return Math::larger(counts + intensity - 2.0f * both, Number{});
}

// A complex number as it lies in memory.
struct alignas(8) Complex {
    float re, im;
};

HPCDAAS_HD Complex operator+(Complex a, Complex b) { return {a.re + b.re, a.im + b.im}; }
HPCDAAS_HD Complex operator*(float f, Complex a) { return {f * a.re, f * a.im}; }
HPCDAAS_HD Complex times(Complex a, Complex b) { return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re}; }
HPCDAAS_HD Complex conjugate(Complex a) { return {a.re, -a.im}; }
HPCDAAS_HD float square(Complex a) { return a.re * a.re + a.im * a.im; }
HPCDAAS_HD float scalar(Complex a, Complex b) { return a.re * b.re + a.im * b.im; }  // Re conj(a)·b

// What goes to the detector in a general projection: c·PO + (1 − c)ψ, and the ψ that it makes of what comes back.
HPCDAAS_HD Complex reflected(float c, Complex exit, Complex psi) { return c * exit + (1.0f - c) * psi; }
HPCDAAS_HD Complex renewed(float a, float b, Complex exit, Complex back, Complex psi) {
    return (1.0f - a - b) * psi + (a * exit + b * back);
}

// rPIE: what Σ P*χ is multiplied with, 1/((1 − α) S + α max S); 0 where nothing shines.
HPCDAAS_HD float pie_factor(float weight, float alpha, float largest) {
    const float light = (1.0f - alpha) * weight + alpha * largest;
    return light > 0.0f ? 1.0f / light : 0.0f;
}

// LSQ-ML: 1/√(S² + d²), d = δ max S; without squares of what may be large.
HPCDAAS_HD float damped_factor(float weight, float d) {
    const float ratio = weight / (d > 0.0f ? d : 1.0f);
    return d > 0.0f ? inverse_root(1.0f + ratio * ratio) / d : 0.0f;
}

// The best steps along two directions for one view of LSQ-ML: a 2×2 system, its diagonal enlarged. Of the products that
// it has, "o" is P ΔO, "p" is O ΔP, "x" is χ.
struct Steps {
    double object, probe;
};

template <class Products>
HPCDAAS_HD Steps best_steps(const Products& p, double regularization, bool object, bool probe) {
    const double a = p.oo * (1 + regularization), d = p.pp * (1 + regularization);
    if (!probe) return {a > 0 ? p.ox / a : 0, 0};
    if (!object) return {0, d > 0 ? p.px / d : 0};
    const double determinant = a * d - p.op * p.op;
    if (!(determinant > 0)) return {0, 0};
    return {(d * p.ox - p.op * p.px) / determinant, (a * p.px - p.op * p.ox) / determinant};
}

}  // namespace hpcdaas
