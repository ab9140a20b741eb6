// Tiles of a product with quantised weights, against activations quantised to int8 in groups of 32.
//
// A block is 16 outputs. For every group of 32 inputs it holds 16 scales (float16) in one stream and the numbers
// in another: 8 runs (int8) or 4 (4 bits) of 64 bytes, each 4 neighbouring inputs of each of the 16 outputs. A run
// of 4-bit numbers holds inputs 4j..4j+3 in its low nibbles and 16+4j..16+4j+3 in its high ones, offset by 8.
// Thus one vector instruction multiplies 4 inputs for W outputs, and no sum ever crosses a register.
//
// Every output is one chain over groups, each an exact integer sum times (weight scale · activation scale): the
// same bits whatever the tile.
#pragma once
#include "vector_math.h"

namespace PELLUCID_ISA {

static inline bool is_grouped(const Weight& w) { return w.format >= Format::kInt8; }

// Rows of x as int8 with a scale a group; `sums` holds the sums of the two halves of each group, what shifted
// weights are corrected by.
struct Quantised {
    int8_t* values;
    float* scales;
    int32_t* sums;
    int64_t groups;

    static size_t bytes_a_row(int64_t inputs) {
        const size_t groups = static_cast<size_t>((inputs + 31) / 32);
        return groups * 32 + groups * 12;
    }
    static Quantised in(uint8_t* room, int64_t rows, int64_t inputs) {
        const int64_t groups = (inputs + 31) / 32;
        int8_t* values = reinterpret_cast<int8_t*>(room);
        float* scales = reinterpret_cast<float*>(values + rows * groups * 32);
        return {values, scales, reinterpret_cast<int32_t*>(scales + rows * groups), groups};
    }
    void quantise(const float* x, int64_t row, int64_t inputs) const {
        int8_t* q = values + row * groups * 32;
        for (int64_t g = 0; g < groups; g++, q += 32) {
            const float* from = x + g * 32;
            float room[32] = {};
            if (g * 32 + 32 > inputs) {
                for (int64_t i = g * 32; i < inputs; i++) room[i - g * 32] = x[i];
                from = room;
            }
            F most = set(0.0f);
            for (int i = 0; i < 32; i += W) most = max(most, abs(load(from + i)));
            const float top = largest(most);
            const F inverse = set(top > 0.0f ? 127.0f / top : 0.0f);
            for (int i = 0; i < 32; i += W) store_int8(q + i, round(mul(load(from + i), inverse)));
            scales[row * groups + g] = top / 127.0f;
            for (int half = 0; half < 2; half++) {
                int32_t total = 0;
                for (int i = 16 * half; i < 16 * half + 16; i++) total += q[i];
                sums[2 * (row * groups + g) + half] = total;
            }
        }
    }
};

struct Int8Weights {
    static constexpr int64_t kBytes = 512;  // of numbers, a block and group
    static constexpr bool kAskAhead = false;
    static constexpr int kShift = kByteShift;
    using Sum = Bytes;
    template <int M>
    static inline void dot(const uint8_t* w, const int8_t* const* x, Sum (*sum)[kVectors]) {
#pragma GCC unroll 8
        for (int j = 0; j < 8; j++)
#pragma GCC unroll 4
            for (int v = 0; v < kVectors; v++) {
                const I wv = Bytes::ready(load_bytes(w + 64 * j + 4 * W * v));
#pragma GCC unroll 8
                for (int m = 0; m < M; m++) sum[m][v].dot(wv, four_bytes(x[m] + 4 * j));
            }
    }
};

struct Int4Weights {
    static constexpr int64_t kBytes = 256;
    static constexpr bool kAskAhead = true;
    static constexpr int kShift = 8;
    using Sum = Nibbles;
    template <int M>
    static inline void dot(const uint8_t* w, const int8_t* const* x, Sum (*sum)[kVectors]) {
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++)
#pragma GCC unroll 4
            for (int v = 0; v < kVectors; v++) {
                const I both = load_bytes(w + 64 * j + 4 * W * v);
                const I low = low_nibbles(both), high = high_nibbles(both);
#pragma GCC unroll 8
                for (int m = 0; m < M; m++) {
                    sum[m][v].dot(low, four_bytes(x[m] + 4 * j));
                    sum[m][v].dot(high, four_bytes(x[m] + 16 + 4 * j));
                }
            }
    }
};

// Asks for the numbers and scales of a group to come, before the processor would by itself: a group of 4-bit numbers
// takes as long as one of 8 bits, so with half the bytes in it too few would be on their way.
template <int64_t kBytes>
static inline void ask_ahead(const uint8_t* w, const void* scales, int64_t scale_bytes) {
    constexpr int64_t kGroups = 16;
    for (int64_t i = 0; i < kBytes; i += 64) __builtin_prefetch(w + kGroups * kBytes + i);
    __builtin_prefetch(static_cast<const uint8_t*>(scales) + kGroups * scale_bytes);
}

// tile[m][0..16] = x[row + m] · block, for M rows of x.
template <class Weights, int M>
static inline void grouped_block(const Quantised& x, int64_t row, const Weight& weight, int64_t block, float* tile) {
    const uint8_t* w = static_cast<const uint8_t*>(weight.values) + block * x.groups * Weights::kBytes;
    const uint16_t* w_scales = static_cast<const uint16_t*>(weight.scales) + block * x.groups * 16;
    F acc[M][kVectors];
    for (int m = 0; m < M; m++)
        for (int v = 0; v < kVectors; v++) acc[m][v] = set(0.0f);
    const int8_t* q[M];
    for (int m = 0; m < M; m++) q[m] = x.values + (row + m) * x.groups * 32;
    const float* x_scales = x.scales + row * x.groups;
    const int32_t* x_sums = x.sums + 2 * row * x.groups;
    for (int64_t g = 0; g < x.groups; g++, w += Weights::kBytes, w_scales += 16) {
        if constexpr (Weights::kAskAhead) ask_ahead<Weights::kBytes>(w, w_scales, 32);
        typename Weights::Sum sum[M][kVectors];
        int32_t correction[M];
#pragma GCC unroll 8
        for (int m = 0; m < M; m++) {
            const int32_t* halves = x_sums + 2 * (m * x.groups + g);
            correction[m] = -Weights::kShift * (halves[0] + halves[1]);
            for (int v = 0; v < kVectors; v++) sum[m][v].start(correction[m]);
        }
        Weights::template dot<M>(w, q, sum);
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; v++) {
            const F w_scale = load_f16(w_scales + W * v);
#pragma GCC unroll 8
            for (int m = 0; m < M; m++) {
                const F scale = mul(w_scale, set(x_scales[m * x.groups + g]));
                acc[m][v] = fma(to_float(sum[m][v].total(correction[m])), scale, acc[m][v]);
            }
        }
        for (int m = 0; m < M; m++) q[m] += 32;
    }
    for (int m = 0; m < M; m++)
        for (int v = 0; v < kVectors; v++) store(tile + 16 * m + W * v, acc[m][v]);
}

}  // namespace PELLUCID_ISA
