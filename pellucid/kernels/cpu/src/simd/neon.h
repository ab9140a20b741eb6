// NEON (AArch64): 4 floats at a time. With PELLUCID_DOTPROD, int8 products take one instruction.
#pragma once
#include <arm_neon.h>
#include <stdint.h>
#include <string.h>

namespace PELLUCID_ISA {

constexpr int W = 4;
constexpr int kDenseRows = 5;  // 20 accumulators of the 32 registers
constexpr int kPanelOutputs = 8;  // 24
constexpr int kGroupedRows = 2;
constexpr int kAttentionRows = 4;

using F = float32x4_t;
using I = int8x16_t;

static inline F set(float x) { return vdupq_n_f32(x); }
static inline F load(const float* p) { return vld1q_f32(p); }
static inline void store(float* p, F x) { vst1q_f32(p, x); }
static inline F add(F a, F b) { return vaddq_f32(a, b); }
static inline F sub(F a, F b) { return vsubq_f32(a, b); }
static inline F mul(F a, F b) { return vmulq_f32(a, b); }
static inline F div(F a, F b) { return vdivq_f32(a, b); }
static inline F fma(F a, F b, F c) { return vfmaq_f32(c, a, b); }
static inline F max(F a, F b) { return vmaxq_f32(a, b); }
static inline F min(F a, F b) { return vminq_f32(a, b); }
static inline F abs(F a) { return vabsq_f32(a); }
static inline F round(F a) { return vrndnq_f32(a); }
static inline F if_less(F a, F b, F yes, F no) { return vbslq_f32(vcltq_f32(a, b), yes, no); }
static inline F power_of_two(F n) {
    return vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(vcvtnq_s32_f32(n), vdupq_n_s32(127)), 23));
}

static inline F load_bf16(const uint16_t* p) { return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p), 16)); }
static inline F load_f16(const uint16_t* p) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p))); }
static inline void store_f16(uint16_t* p, F x) { vst1_u16(p, vreinterpret_u16_f16(vcvt_f16_f32(x))); }

static inline void sums(F a, F b, F c, F d, float* out) {
    vst1q_f32(out, vpaddq_f32(vpaddq_f32(a, b), vpaddq_f32(c, d)));
}
static inline void transpose(F (&t)[W]) {
    const float32x4x2_t a = vzipq_f32(t[0], t[2]), b = vzipq_f32(t[1], t[3]);
    const float32x4x2_t low = vzipq_f32(a.val[0], b.val[0]), high = vzipq_f32(a.val[1], b.val[1]);
    t[0] = low.val[0], t[1] = low.val[1], t[2] = high.val[0], t[3] = high.val[1];
}
static inline float largest(F x) { return vmaxvq_f32(x); }

// ---- int8: a vector holds 4 bytes for each of W outputs

static inline I load_bytes(const uint8_t* p) { return vreinterpretq_s8_u8(vld1q_u8(p)); }
static inline I low_nibbles(I x) { return vandq_s8(x, vdupq_n_s8(15)); }
static inline I high_nibbles(I x) { return vreinterpretq_s8_u8(vshrq_n_u8(vreinterpretq_u8_s8(x), 4)); }
// Two bits of each byte, the pair with the given number, as its bits 4 and 5.
template <int kPair>
static inline I upper_bits(I x) {
    uint8x16_t u = vreinterpretq_u8_s8(x);
    if constexpr (kPair < 2) u = vshlq_n_u8(u, 4 - 2 * kPair);
    if constexpr (kPair > 2) u = vshrq_n_u8(u, 2);
    return vreinterpretq_s8_u8(vandq_u8(u, vdupq_n_u8(0x30)));
}
static inline I either(I a, I b) { return vorrq_s8(a, b); }
static inline I four_bytes(const int8_t* p) {
    int32_t four;
    memcpy(&four, p, 4);
    return vreinterpretq_s8_s32(vdupq_n_s32(four));
}
static inline F to_float(int32x4_t x) { return vcvtq_f32_s32(x); }
static inline void store_int8(int8_t* p, F x) {
    const int16x4_t words = vmovn_s32(vcvtnq_s32_f32(x));
    const int8x8_t bytes = vmovn_s16(vcombine_s16(words, words));
    vst1_lane_s32(reinterpret_cast<int32_t*>(p), vreinterpret_s32_s8(bytes), 0);
}
static inline F bytes_to_float(const uint8_t* p) {
    uint8_t eight[8] = {p[0], p[1], p[2], p[3]};
    return vcvtq_f32_u32(vmovl_u16(vget_low_u16(vmovl_u8(vld1_u8(eight)))));
}
static inline F signed_bytes_to_float(const int8_t* p) {
    int8_t eight[8] = {p[0], p[1], p[2], p[3]};
    return vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(vld1_s8(eight)))));
}

constexpr int kByteShift = 0;  // both factors are signed here
struct Bytes {
    int32x4_t sum;
    void start(int32_t) { sum = vdupq_n_s32(0); }
    static I ready(I w) { return w; }
    void dot(I w, I x) {
#ifdef PELLUCID_DOTPROD
        sum = vdotq_s32(sum, w, x);
#else
        const int16x8_t low = vmull_s8(vget_low_s8(w), vget_low_s8(x)), high = vmull_high_s8(w, x);
        sum = vaddq_s32(sum, vpaddq_s32(vpaddlq_s16(low), vpaddlq_s16(high)));
#endif
    }
    int32x4_t total(int32_t) const { return sum; }
};
struct Nibbles : Bytes {
    int32x4_t total(int32_t correction) const { return vaddq_s32(sum, vdupq_n_s32(correction)); }
};
using SixBits = Nibbles;

}  // namespace PELLUCID_ISA
