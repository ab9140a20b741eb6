// exp, tanh, erf and the activations, W entries at a time. A value never depends on its neighbours in the vector.
#pragma once
#include "operations.h"

namespace PELLUCID_ISA {

using namespace pellucid;

constexpr int kVectors = 16 / W;  // vectors to a block of 16 outputs, slots or columns

// e^x within 2 ulp (Cephes' expf): x = n ln 2 + r, e^r by a polynomial. Exactly 0 below -87, so that a masked
// score adds nothing to a sum, not even a rounding.
static inline F exponential(F x) {
    const F low = set(-87.0f);
    const F clamped = min(max(x, low), set(87.0f));
    const F n = round(mul(clamped, set(1.44269504f)));
    F r = fma(n, set(-0.693359375f), clamped);
    r = fma(n, set(2.12194440e-4f), r);
    F p = set(1.9875691500e-4f);
    p = fma(p, r, set(1.3981999507e-3f));
    p = fma(p, r, set(8.3334519073e-3f));
    p = fma(p, r, set(4.1665795894e-2f));
    p = fma(p, r, set(1.6666665459e-1f));
    p = fma(p, r, set(5.0000001201e-1f));
    const F y = fma(p, mul(r, r), add(r, set(1.0f)));
    return if_less(x, low, set(0.0f), mul(y, power_of_two(n)));
}

static inline F sigmoid(F x) { return div(set(1.0f), add(set(1.0f), exponential(sub(set(0.0f), x)))); }

static inline F hyperbolic_tangent(F x) {
    return sub(set(1.0f), div(set(2.0f), add(set(1.0f), exponential(add(x, x)))));
}

// erf by the rational minimax approximation over [-4, 4] that Eigen and XLA use; relative error below 4e-7.
static inline F error_function(F x) {
    const F c = min(max(x, set(-4.0f)), set(4.0f)), s = mul(c, c);
    F p = set(-2.72614225801306e-10f);
    p = fma(p, s, set(2.77068142495902e-08f));
    p = fma(p, s, set(-2.10102402082508e-06f));
    p = fma(p, s, set(-5.69250639462346e-05f));
    p = fma(p, s, set(-7.34990630326855e-04f));
    p = fma(p, s, set(-2.95459980854025e-03f));
    p = fma(p, s, set(-1.60960333262415e-02f));
    F q = set(-1.45660718464996e-05f);
    q = fma(q, s, set(-2.13374055278905e-04f));
    q = fma(q, s, set(-1.68282697438203e-03f));
    q = fma(q, s, set(-7.37332916720468e-03f));
    q = fma(q, s, set(-1.42647390514189e-02f));
    return div(mul(c, p), q);
}

static inline F activate(F x, Activation activation) {
    switch (activation) {
        case Activation::kNone: return x;
        case Activation::kRelu: return max(x, set(0.0f));
        case Activation::kGelu:
            return mul(mul(set(0.5f), x), add(set(1.0f), error_function(mul(x, set(0.70710678f)))));
        case Activation::kGeluTanh: {
            const F inner = mul(set(0.79788456f), fma(mul(set(0.044715f), mul(x, x)), x, x));
            return mul(mul(set(0.5f), x), add(set(1.0f), hyperbolic_tangent(inner)));
        }
        case Activation::kQuickGelu: return mul(x, sigmoid(mul(set(1.702f), x)));
        case Activation::kSilu: return mul(x, sigmoid(x));
        case Activation::kTanh: return hyperbolic_tangent(x);
    }
    return x;
}

// The last n < W entries of a row.
static inline F load_some(const float* p, int64_t n) {
    float room[W] = {};
    for (int64_t i = 0; i < n; i++) room[i] = p[i];
    return load(room);
}
static inline void store_some(float* p, F x, int64_t n) {
    float room[W];
    store(room, x);
    for (int64_t i = 0; i < n; i++) p[i] = room[i];
}
static inline float sum(F x) {
    float four[4];
    const F zero = set(0.0f);
    sums(x, zero, zero, zero, four);
    return four[0];
}

// y[i] = f(i, x-vector loads...) over a row, tail included: `each(i, load, store)` is called with full or partial
// loaders, so that every element-wise kernel is written once.
template <class Each>
static inline void over_row(int64_t size, const Each& each) {
    int64_t i = 0;
    for (; i + W <= size; i += W)
        each(i, [](const float* p) { return load(p); }, [](float* p, F x) { store(p, x); });
    const int64_t left = size - i;
    if (left > 0)
        each(i, [left](const float* p) { return load_some(p, left); },
             [left](float* p, F x) { store_some(p, x, left); });
}

}  // namespace PELLUCID_ISA
