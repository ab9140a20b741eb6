// AVX-512 (F, BW, DQ, VL): 16 floats at a time. With PELLUCID_VNNI, int8 products take one instruction.
#pragma once
#include <immintrin.h>
#include <stdint.h>

namespace PELLUCID_ISA {

constexpr int W = 16;             // floats in a vector
constexpr int kDenseRows = 6;     // rows of x in a tile of a float product (times 4 outputs: 24 of 32 registers)
constexpr int kPanelOutputs = 8;  // outputs in a tile of a product by panels (times 3 vectors: 24 again)
constexpr int kGroupedRows = 8;   // rows of x in a tile of a quantised product
constexpr int kAttentionRows = 8;

using F = __m512;
using I = __m512i;

static inline F set(float x) { return _mm512_set1_ps(x); }
static inline F load(const float* p) { return _mm512_loadu_ps(p); }
static inline void store(float* p, F x) { _mm512_storeu_ps(p, x); }
static inline F add(F a, F b) { return _mm512_add_ps(a, b); }
static inline F sub(F a, F b) { return _mm512_sub_ps(a, b); }
static inline F mul(F a, F b) { return _mm512_mul_ps(a, b); }
static inline F div(F a, F b) { return _mm512_div_ps(a, b); }
static inline F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
static inline F max(F a, F b) { return _mm512_max_ps(a, b); }
static inline F min(F a, F b) { return _mm512_min_ps(a, b); }
static inline F abs(F a) { return _mm512_abs_ps(a); }
static inline F round(F a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
static inline F if_less(F a, F b, F yes, F no) {
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), no, yes);
}
static inline F power_of_two(F n) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(_mm512_cvtps_epi32(n), _mm512_set1_epi32(127)), 23));
}

static inline F load_bf16(const uint16_t* p) {
    return _mm512_castsi512_ps(
        _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))), 16));
}
static inline F load_f16(const uint16_t* p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
static inline void store_f16(uint16_t* p, F x) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
}

static inline __m256 halves(F x) { return _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1)); }

// The sums of four vectors. Each sum is made in the same order whatever stands in the other three.
static inline void sums(F a, F b, F c, F d, float* out) {
    const __m256 ab = _mm256_hadd_ps(halves(a), halves(b)), cd = _mm256_hadd_ps(halves(c), halves(d));
    const __m256 abcd = _mm256_hadd_ps(ab, cd);
    _mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(abcd), _mm256_extractf128_ps(abcd, 1)));
}
static inline float largest(F x) { return _mm512_reduce_max_ps(x); }

// Rows become columns: pairs of rows, pairs of pairs, then whole quarters of the registers.
static inline void transpose(F (&t)[W]) {
    F u[W];
#pragma GCC unroll 8
    for (int i = 0; i < W; i += 2) {
        u[i] = _mm512_unpacklo_ps(t[i], t[i + 1]);
        u[i + 1] = _mm512_unpackhi_ps(t[i], t[i + 1]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < W; i += 4)
#pragma GCC unroll 2
        for (int j = 0; j < 2; j++) {
            const __m512d a = _mm512_castps_pd(u[i + j]), b = _mm512_castps_pd(u[i + j + 2]);
            t[i + 2 * j] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
            t[i + 2 * j + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
        }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        const F a = _mm512_shuffle_f32x4(t[i], t[i + 4], 0x88), b = _mm512_shuffle_f32x4(t[i], t[i + 4], 0xdd);
        const F c = _mm512_shuffle_f32x4(t[i + 8], t[i + 12], 0x88), d = _mm512_shuffle_f32x4(t[i + 8], t[i + 12], 0xdd);
        u[i] = _mm512_shuffle_f32x4(a, c, 0x88);
        u[i + 4] = _mm512_shuffle_f32x4(b, d, 0x88);
        u[i + 8] = _mm512_shuffle_f32x4(a, c, 0xdd);
        u[i + 12] = _mm512_shuffle_f32x4(b, d, 0xdd);
    }
#pragma GCC unroll 16
    for (int i = 0; i < W; i++) t[i] = u[i];
}

// ---- int8: a vector holds 4 bytes for each of W outputs

static inline I load_bytes(const uint8_t* p) { return _mm512_loadu_si512(p); }
static inline I low_nibbles(I x) { return _mm512_and_si512(x, _mm512_set1_epi8(15)); }
static inline I high_nibbles(I x) { return _mm512_and_si512(_mm512_srli_epi16(x, 4), _mm512_set1_epi8(15)); }
// Two bits of each byte, the pair with the given number, as its bits 4 and 5.
template <int kPair>
static inline I upper_bits(I x) {
    if constexpr (kPair < 2) x = _mm512_slli_epi16(x, 4 - 2 * kPair);
    if constexpr (kPair > 2) x = _mm512_srli_epi16(x, 2);
    return _mm512_and_si512(x, _mm512_set1_epi8(0x30));
}
static inline I either(I a, I b) { return _mm512_or_si512(a, b); }
static inline I four_bytes(const int8_t* p) { return _mm512_set1_epi32(*reinterpret_cast<const int32_t*>(p)); }
static inline F to_float(I x) { return _mm512_cvtepi32_ps(x); }
static inline I set_int(int32_t x) { return _mm512_set1_epi32(x); }
static inline void store_int8(int8_t* p, F x) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(x)));
}
static inline F bytes_to_float(const uint8_t* p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
}
static inline F signed_bytes_to_float(const int8_t* p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
}

#ifdef PELLUCID_VNNI
// The instruction multiplies unsigned by signed bytes: weights are shifted to be unsigned, and the shift times
// the sum of the activations is where the accumulator starts.
constexpr int kByteShift = 128;
struct Bytes {
    I sum;
    void start(int32_t correction) { sum = _mm512_set1_epi32(correction); }
    static I ready(I w) { return _mm512_xor_si512(w, _mm512_set1_epi8(static_cast<char>(0x80))); }
    void dot(I w, I x) { sum = _mm512_dpbusd_epi32(sum, w, x); }
    I total(int32_t) const { return sum; }
};
struct Nibbles : Bytes {};
struct SixBits : Bytes {};
#else
static inline I pairs(I u, I s) { return _mm512_maddubs_epi16(u, s); }
constexpr int kByteShift = 0;
struct Bytes {
    I sum;
    void start(int32_t) { sum = _mm512_setzero_si512(); }
    static I ready(I w) { return w; }
    void dot(I w, I x) {  // |w| · sign(w) x, since the instruction wants one unsigned factor
        const __mmask64 negative = _mm512_movepi8_mask(w);
        const I signed_x = _mm512_mask_sub_epi8(x, negative, _mm512_setzero_si512(), x);
        sum = _mm512_add_epi32(sum, _mm512_madd_epi16(pairs(_mm512_abs_epi8(w), signed_x), _mm512_set1_epi16(1)));
    }
    I total(int32_t) const { return sum; }
};
struct Nibbles {  // 8 times 2 · 15 · 127 fits 16 bits
    I sum;
    void start(int32_t) { sum = _mm512_setzero_si512(); }
    void dot(I w, I x) { sum = _mm512_add_epi16(sum, pairs(w, x)); }
    I total(int32_t correction) const {
        return _mm512_add_epi32(_mm512_madd_epi16(sum, _mm512_set1_epi16(1)), _mm512_set1_epi32(correction));
    }
};
struct SixBits {
    I sum;
    void start(int32_t correction) { sum = _mm512_set1_epi32(correction); }
    void dot(I w, I x) { sum = _mm512_add_epi32(sum, _mm512_madd_epi16(pairs(w, x), _mm512_set1_epi16(1))); }
    I total(int32_t) const { return sum; }
};
#endif

}  // namespace PELLUCID_ISA
