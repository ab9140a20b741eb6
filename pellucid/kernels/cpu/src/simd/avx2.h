// AVX2 with FMA and F16C: 8 floats at a time. With PELLUCID_VNNI (AVX-VNNI), int8 products take one instruction.
#pragma once
#include <immintrin.h>
#include <stdint.h>

namespace PELLUCID_ISA {

constexpr int W = 8;
constexpr int kDenseRows = 3;  // 12 accumulators of the 16 registers
constexpr int kPanelOutputs = 4;  // 12 again
constexpr int kGroupedRows = 4;
constexpr int kAttentionRows = 4;

using F = __m256;
using I = __m256i;

static inline F set(float x) { return _mm256_set1_ps(x); }
static inline F load(const float* p) { return _mm256_loadu_ps(p); }
static inline void store(float* p, F x) { _mm256_storeu_ps(p, x); }
static inline F add(F a, F b) { return _mm256_add_ps(a, b); }
static inline F sub(F a, F b) { return _mm256_sub_ps(a, b); }
static inline F mul(F a, F b) { return _mm256_mul_ps(a, b); }
static inline F div(F a, F b) { return _mm256_div_ps(a, b); }
static inline F fma(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }
static inline F max(F a, F b) { return _mm256_max_ps(a, b); }
static inline F min(F a, F b) { return _mm256_min_ps(a, b); }
static inline F abs(F a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
static inline F round(F a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
static inline F if_less(F a, F b, F yes, F no) { return _mm256_blendv_ps(no, yes, _mm256_cmp_ps(a, b, _CMP_LT_OQ)); }
static inline F power_of_two(F n) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23));
}

static inline __m128i eight_halves(const uint16_t* p) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); }
static inline F load_bf16(const uint16_t* p) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(eight_halves(p)), 16));
}
static inline F load_f16(const uint16_t* p) { return _mm256_cvtph_ps(eight_halves(p)); }
static inline void store_f16(uint16_t* p, F x) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
}

static inline void sums(F a, F b, F c, F d, float* out) {
    const F abcd = _mm256_hadd_ps(_mm256_hadd_ps(a, b), _mm256_hadd_ps(c, d));
    _mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(abcd), _mm256_extractf128_ps(abcd, 1)));
}
// Rows become columns.
static inline void transpose(F (&t)[W]) {
    F u[W];
    for (int i = 0; i < W; i += 2) {
        u[i] = _mm256_unpacklo_ps(t[i], t[i + 1]);
        u[i + 1] = _mm256_unpackhi_ps(t[i], t[i + 1]);
    }
    for (int i = 0; i < W; i += 4)
        for (int j = 0; j < 2; j++) {
            const __m256d a = _mm256_castps_pd(u[i + j]), b = _mm256_castps_pd(u[i + j + 2]);
            t[i + 2 * j] = _mm256_castpd_ps(_mm256_unpacklo_pd(a, b));
            t[i + 2 * j + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(a, b));
        }
    for (int i = 0; i < 4; i++) {
        u[i] = _mm256_permute2f128_ps(t[i], t[i + 4], 0x20);
        u[i + 4] = _mm256_permute2f128_ps(t[i], t[i + 4], 0x31);
    }
    for (int i = 0; i < W; i++) t[i] = u[i];
}
static inline float largest(F x) {
    __m128 a = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    a = _mm_max_ps(a, _mm_movehl_ps(a, a));
    return _mm_cvtss_f32(_mm_max_ss(a, _mm_movehdup_ps(a)));
}

// ---- int8: a vector holds 4 bytes for each of W outputs

static inline I load_bytes(const uint8_t* p) { return _mm256_loadu_si256(reinterpret_cast<const I*>(p)); }
static inline I low_nibbles(I x) { return _mm256_and_si256(x, _mm256_set1_epi8(15)); }
static inline I high_nibbles(I x) { return _mm256_and_si256(_mm256_srli_epi16(x, 4), _mm256_set1_epi8(15)); }
// Two bits of each byte, the pair with the given number, as its bits 4 and 5.
template <int kPair>
static inline I upper_bits(I x) {
    if constexpr (kPair < 2) x = _mm256_slli_epi16(x, 4 - 2 * kPair);
    if constexpr (kPair > 2) x = _mm256_srli_epi16(x, 2);
    return _mm256_and_si256(x, _mm256_set1_epi8(0x30));
}
static inline I either(I a, I b) { return _mm256_or_si256(a, b); }
static inline I four_bytes(const int8_t* p) { return _mm256_set1_epi32(*reinterpret_cast<const int32_t*>(p)); }
static inline F to_float(I x) { return _mm256_cvtepi32_ps(x); }
static inline I set_int(int32_t x) { return _mm256_set1_epi32(x); }
static inline void store_int8(int8_t* p, F x) {
    const I i = _mm256_cvtps_epi32(x);
    const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(i), _mm256_extracti128_si256(i, 1));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(p), _mm_packs_epi16(words, words));
}
static inline F bytes_to_float(const uint8_t* p) {
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
}
static inline F signed_bytes_to_float(const int8_t* p) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
}

#ifdef PELLUCID_VNNI
constexpr int kByteShift = 128;  // see avx512.h
struct Bytes {
    I sum;
    void start(int32_t correction) { sum = _mm256_set1_epi32(correction); }
    static I ready(I w) { return _mm256_xor_si256(w, _mm256_set1_epi8(static_cast<char>(0x80))); }
    void dot(I w, I x) { sum = _mm256_dpbusd_avx_epi32(sum, w, x); }
    I total(int32_t) const { return sum; }
};
struct Nibbles : Bytes {};
struct SixBits : Bytes {};
#else
constexpr int kByteShift = 0;
struct Bytes {
    I sum;
    void start(int32_t) { sum = _mm256_setzero_si256(); }
    static I ready(I w) { return w; }
    void dot(I w, I x) {  // |w| · sign(w) x, since the instruction wants one unsigned factor
        const I words = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(words, _mm256_set1_epi16(1)));
    }
    I total(int32_t) const { return sum; }
};
struct Nibbles {  // 8 times 2 · 15 · 127 fits 16 bits
    I sum;
    void start(int32_t) { sum = _mm256_setzero_si256(); }
    void dot(I w, I x) { sum = _mm256_add_epi16(sum, _mm256_maddubs_epi16(w, x)); }
    I total(int32_t correction) const {
        return _mm256_add_epi32(_mm256_madd_epi16(sum, _mm256_set1_epi16(1)), _mm256_set1_epi32(correction));
    }
};
struct SixBits {
    I sum;
    void start(int32_t correction) { sum = _mm256_set1_epi32(correction); }
    void dot(I w, I x) {
        const I words = _mm256_maddubs_epi16(w, x);
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(words, _mm256_set1_epi16(1)));
    }
    I total(int32_t) const { return sum; }
};
#endif

}  // namespace PELLUCID_ISA
