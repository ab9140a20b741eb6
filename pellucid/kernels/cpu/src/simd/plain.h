// No instruction set in particular: 4 floats at a time in ordinary C++, which any compiler turns into something
// reasonable (SSE2 on x86-64). It is the path of processors we do not know, and the easiest to read.
#pragma once
#include <stdint.h>
#include <string.h>

namespace PELLUCID_ISA {

constexpr int W = 4;
constexpr int kDenseRows = 2;
constexpr int kPanelOutputs = 4;
constexpr int kGroupedRows = 2;
constexpr int kAttentionRows = 2;

struct F {
    float v[W];
};
struct I {
    int8_t b[4 * W];
};
struct Ints {
    int32_t v[W];
};

#define PELLUCID_EACH(expression)       \
    F r;                                \
    for (int i = 0; i < W; i++) r.v[i] = (expression); \
    return r

static inline F set(float x) { PELLUCID_EACH(x); }
static inline F load(const float* p) { PELLUCID_EACH(p[i]); }
static inline void store(float* p, F x) { memcpy(p, x.v, sizeof x.v); }
static inline F add(F a, F b) { PELLUCID_EACH(a.v[i] + b.v[i]); }
static inline F sub(F a, F b) { PELLUCID_EACH(a.v[i] - b.v[i]); }
static inline F mul(F a, F b) { PELLUCID_EACH(a.v[i] * b.v[i]); }
static inline F div(F a, F b) { PELLUCID_EACH(a.v[i] / b.v[i]); }
static inline F fma(F a, F b, F c) { PELLUCID_EACH(a.v[i] * b.v[i] + c.v[i]); }
static inline F max(F a, F b) { PELLUCID_EACH(a.v[i] > b.v[i] ? a.v[i] : b.v[i]); }
static inline F min(F a, F b) { PELLUCID_EACH(a.v[i] < b.v[i] ? a.v[i] : b.v[i]); }
static inline F abs(F a) { PELLUCID_EACH(__builtin_fabsf(a.v[i])); }
static inline F round(F a) {  // to the nearest, ties to even: adding 1.5 · 2²³ pushes the fraction out
    PELLUCID_EACH(__builtin_fabsf(a.v[i]) < 4194304.0f ? (a.v[i] + 12582912.0f) - 12582912.0f : a.v[i]);
}
static inline F if_less(F a, F b, F yes, F no) { PELLUCID_EACH(a.v[i] < b.v[i] ? yes.v[i] : no.v[i]); }

static inline float float_of_bits(uint32_t bits) {
    float x;
    memcpy(&x, &bits, 4);
    return x;
}
static inline uint32_t bits_of_float(float x) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    return bits;
}
static inline F power_of_two(F n) { PELLUCID_EACH(float_of_bits(static_cast<uint32_t>(static_cast<int32_t>(n.v[i]) + 127) << 23)); }

static inline float half_to_float(uint16_t h) {
    const uint32_t sign = static_cast<uint32_t>(h & 0x8000) << 16;
    const uint32_t exponent = (h >> 10) & 31, mantissa = h & 1023;
    if (exponent == 31) return float_of_bits(sign | 0x7f800000u | mantissa << 13);
    if (exponent == 0) return float_of_bits(sign | bits_of_float(static_cast<float>(mantissa) * 5.9604645e-8f));
    return float_of_bits(sign | (exponent + 112) << 23 | mantissa << 13);
}
static inline uint16_t float_to_half(float x) {
    const uint32_t bits = bits_of_float(x), sign = bits >> 16 & 0x8000, size = bits & 0x7fffffff;
    if (size > 0x7f800000) return static_cast<uint16_t>(sign | 0x7e00);
    if (size >= 0x477ff000) return static_cast<uint16_t>(sign | 0x7c00);
    if (size < 0x38800000)  // subnormal: adding 0.5 aligns the mantissa, rounding to even
        return static_cast<uint16_t>(sign | (bits_of_float(float_of_bits(size) + 0.5f) - 0x3f000000));
    return static_cast<uint16_t>(sign | ((size - 0x38000000 + 0xfff + (size >> 13 & 1)) >> 13));
}
static inline F load_bf16(const uint16_t* p) { PELLUCID_EACH(float_of_bits(static_cast<uint32_t>(p[i]) << 16)); }
static inline F load_f16(const uint16_t* p) { PELLUCID_EACH(half_to_float(p[i])); }
static inline void store_f16(uint16_t* p, F x) {
    for (int i = 0; i < W; i++) p[i] = float_to_half(x.v[i]);
}

static inline void sums(F a, F b, F c, F d, float* out) {
    const F all[4] = {a, b, c, d};
    for (int i = 0; i < 4; i++) out[i] = (all[i].v[0] + all[i].v[2]) + (all[i].v[1] + all[i].v[3]);
}
static inline void transpose(F (&t)[W]) {
    for (int i = 0; i < W; i++)
        for (int j = 0; j < i; j++) {
            const float x = t[i].v[j];
            t[i].v[j] = t[j].v[i];
            t[j].v[i] = x;
        }
}
static inline float largest(F x) {
    float m = x.v[0];
    for (int i = 1; i < W; i++) m = x.v[i] > m ? x.v[i] : m;
    return m;
}

// ---- int8: a vector holds 4 bytes for each of W outputs

static inline I load_bytes(const uint8_t* p) {
    I r;
    memcpy(r.b, p, sizeof r.b);
    return r;
}
static inline I low_nibbles(I x) {
    for (int i = 0; i < 4 * W; i++) x.b[i] &= 15;
    return x;
}
static inline I high_nibbles(I x) {
    for (int i = 0; i < 4 * W; i++) x.b[i] = static_cast<int8_t>(static_cast<uint8_t>(x.b[i]) >> 4);
    return x;
}
// Two bits of each byte, the pair with the given number, as its bits 4 and 5.
template <int kPair>
static inline I upper_bits(I x) {
    for (int i = 0; i < 4 * W; i++)
        x.b[i] = static_cast<int8_t>((static_cast<uint8_t>(x.b[i]) >> 2 * kPair & 3) << 4);
    return x;
}
static inline I either(I a, I b) {
    for (int i = 0; i < 4 * W; i++) a.b[i] = static_cast<int8_t>(a.b[i] | b.b[i]);
    return a;
}
static inline I four_bytes(const int8_t* p) {
    I r;
    for (int i = 0; i < W; i++) memcpy(r.b + 4 * i, p, 4);
    return r;
}
static inline F to_float(Ints x) { PELLUCID_EACH(static_cast<float>(x.v[i])); }
static inline void store_int8(int8_t* p, F x) {
    for (int i = 0; i < W; i++) p[i] = static_cast<int8_t>(static_cast<int32_t>(x.v[i]));
}
static inline F bytes_to_float(const uint8_t* p) { PELLUCID_EACH(static_cast<float>(p[i])); }
static inline F signed_bytes_to_float(const int8_t* p) { PELLUCID_EACH(static_cast<float>(p[i])); }

constexpr int kByteShift = 0;
struct Bytes {
    Ints sum;
    void start(int32_t) { sum = {}; }
    static I ready(I w) { return w; }
    void dot(I w, I x) {
        for (int i = 0; i < W; i++)
            for (int j = 0; j < 4; j++) sum.v[i] += static_cast<int32_t>(w.b[4 * i + j]) * x.b[4 * i + j];
    }
    Ints total(int32_t) const { return sum; }
};
struct Nibbles : Bytes {
    Ints total(int32_t correction) const {
        Ints r = sum;
        for (int i = 0; i < W; i++) r.v[i] += correction;
        return r;
    }
};
using SixBits = Nibbles;

#undef PELLUCID_EACH

}  // namespace PELLUCID_ISA
