// Tiles of a product with llama.cpp's K-quants, packed as ../../packing.py says: numbers in the runs of
// products_grouped.h, scales that are whole numbers themselves, scaled by a float16 for every 8 groups.
#pragma once
#include "products_grouped.h"

namespace PELLUCID_ISA {

constexpr int64_t kSuper = 8;  // groups that share a float16

// A place among the scales of one block: those of group g, and the float16 above them.
struct KScales {
    const uint8_t* whole;
    const uint16_t* above;

    KScales(const Weight& w, int64_t block, int64_t groups, int64_t kinds_above)
        : whole(static_cast<const uint8_t*>(w.scales) + block * groups * 32),
          above(static_cast<const uint16_t*>(w.supers) + block * ((groups + kSuper - 1) / kSuper) * kinds_above * 16) {}
};

// w = d scale q - dmin minimum, q of 4 bits.
template <int M>
static inline void q4k_block(const Quantised& x, int64_t row, const Weight& weight, int64_t block, float* tile) {
    const uint8_t* w = static_cast<const uint8_t*>(weight.values) + block * x.groups * Int4Weights::kBytes;
    const KScales scales(weight, block, x.groups, 2);
    F acc[M][kVectors];
    for (int m = 0; m < M; m++)
        for (int v = 0; v < kVectors; v++) acc[m][v] = set(0.0f);
    const int8_t* q[M];
    for (int m = 0; m < M; m++) q[m] = x.values + (row + m) * x.groups * 32;
    for (int64_t g = 0; g < x.groups; g++, w += Int4Weights::kBytes) {
        ask_ahead<Int4Weights::kBytes>(w, scales.whole + g * 32, 32);
        Nibbles sum[M][kVectors];
        for (int m = 0; m < M; m++)
            for (int v = 0; v < kVectors; v++) sum[m][v].start(0);
        Int4Weights::dot<M>(w, q, sum);
        for (int v = 0; v < kVectors; v++) {
            const uint8_t* whole = scales.whole + g * 32 + W * v;
            const uint16_t* above = scales.above + g / kSuper * 32 + W * v;
            const F scale = mul(bytes_to_float(whole), load_f16(above));
            const F minimum = mul(bytes_to_float(whole + 16), load_f16(above + 16));
            for (int m = 0; m < M; m++) {
                const int64_t at = (row + m) * x.groups + g;
                const float x_scale = x.scales[at];
                const float x_sum = x_scale * static_cast<float>(x.sums[2 * at] + x.sums[2 * at + 1]);
                acc[m][v] = fma(to_float(sum[m][v].total(0)), mul(scale, set(x_scale)), acc[m][v]);
                acc[m][v] = fma(minimum, set(-x_sum), acc[m][v]);
            }
        }
        for (int m = 0; m < M; m++) q[m] += 32;
    }
    for (int m = 0; m < M; m++)
        for (int v = 0; v < kVectors; v++) store(tile + 16 * m + W * v, acc[m][v]);
}

constexpr int64_t kSixBytes = 384;

// Half a group: the runs of nibbles with the upper bits of `pairs`, low nibbles for the first half.
template <int M, bool kHigh, int kRun>
static inline void six_bits_run(const uint8_t* w, const int8_t* const* x, SixBits (*sum)[kVectors]) {
    for (int v = 0; v < kVectors; v++) {
        const I both = load_bytes(w + 64 * kRun + 4 * W * v);
        const I upper = upper_bits<kRun>(load_bytes(w + 256 + (kHigh ? 64 : 0) + 4 * W * v));
        const I number = either(kHigh ? high_nibbles(both) : low_nibbles(both), upper);
        for (int m = 0; m < M; m++) sum[m][v].dot(number, four_bytes(x[m] + (kHigh ? 16 : 0) + 4 * kRun));
    }
}

template <int M, bool kHigh>
static inline void q6k_half(const Quantised& x, int64_t row, int64_t g, const uint8_t* w, const int8_t* const* q,
                            const KScales& scales, F (*acc)[kVectors]) {
    SixBits sum[M][kVectors];
    int32_t correction[M];
    for (int m = 0; m < M; m++) {
        correction[m] = -32 * x.sums[2 * ((row + m) * x.groups + g) + (kHigh ? 1 : 0)];
        for (int v = 0; v < kVectors; v++) sum[m][v].start(correction[m]);
    }
    six_bits_run<M, kHigh, 0>(w, q, sum);
    six_bits_run<M, kHigh, 1>(w, q, sum);
    six_bits_run<M, kHigh, 2>(w, q, sum);
    six_bits_run<M, kHigh, 3>(w, q, sum);
    for (int v = 0; v < kVectors; v++) {
        const int8_t* whole = reinterpret_cast<const int8_t*>(scales.whole) + g * 32 + (kHigh ? 16 : 0) + W * v;
        const F scale = mul(signed_bytes_to_float(whole), load_f16(scales.above + g / kSuper * 16 + W * v));
        for (int m = 0; m < M; m++) {
            const F both = mul(scale, set(x.scales[(row + m) * x.groups + g]));
            acc[m][v] = fma(to_float(sum[m][v].total(correction[m])), both, acc[m][v]);
        }
    }
}

// w = d scale q, q of 6 bits, a scale for each half of a group.
template <int M>
static inline void q6k_block(const Quantised& x, int64_t row, const Weight& weight, int64_t block, float* tile) {
    const uint8_t* w = static_cast<const uint8_t*>(weight.values) + block * x.groups * kSixBytes;
    const KScales scales(weight, block, x.groups, 1);
    F acc[M][kVectors];
    for (int m = 0; m < M; m++)
        for (int v = 0; v < kVectors; v++) acc[m][v] = set(0.0f);
    const int8_t* q[M];
    for (int m = 0; m < M; m++) q[m] = x.values + (row + m) * x.groups * 32;
    for (int64_t g = 0; g < x.groups; g++, w += kSixBytes) {
        ask_ahead<kSixBytes>(w, scales.whole + g * 32, 32);
        q6k_half<M, false>(x, row, g, w, q, scales, acc);
        q6k_half<M, true>(x, row, g, w, q, scales, acc);
        for (int m = 0; m < M; m++) q[m] += 32;
    }
    for (int m = 0; m < M; m++)
        for (int v = 0; v < kVectors; v++) store(tile + 16 * m + W * v, acc[m][v]);
}

}  // namespace PELLUCID_ISA
