// Products with float weights for passes over whole texts. Rows of x are turned over into panels [inputs, rows], and
// the vector runs along the rows, so that nothing is added across a register.
//
// Every output is one chain from the first input to the last. That is not the order of products_dense.h, and a row or
// two leave most of a vector empty: this is for models that never read a token at a time.
#pragma once
#include "products_dense.h"

namespace PELLUCID_ISA {

constexpr int kPanelVectors = 3;
constexpr int64_t kPanelRows = kPanelVectors * W;
// So much of x is multiplied by 16 outputs before the next 16 come: it stays in the second cache.
constexpr int64_t kPanelFloats = 96 * 1024;
// Rows of a weight that a thread may have to keep as float32: 16, and the gate's other 16.
constexpr int64_t kBlockRows = 32;

static inline int64_t rows_at_once(int64_t inputs) {
    const int64_t rows = kPanelFloats / inputs;
    return rows >= kPanelRows ? rows / kPanelRows * kPanelRows : rows >= W ? rows / W * W : W;
}

static inline size_t panel_bytes(int64_t inputs) {
    return 4 * static_cast<size_t>(inputs * (kBlockRows + rows_at_once(inputs)));
}

// What one thread does of a product. Where there are rows enough each thread keeps to its own: what it made lies in its
// cache when the next operation reads it. Else all threads take all rows and share the outputs.
struct PanelShare {
    int64_t row = 0, end_row, output = 0, end_output;

    PanelShare(int64_t rows, int64_t outputs, const Worker& worker) : end_row(rows), end_output(outputs) {
        const bool apart = rows >= 2 * kPanelRows * worker.count;
        const int64_t unit = apart ? W : 16;
        int64_t &begin = apart ? row : output, &end = apart ? end_row : end_output;
        const Share share((end + unit - 1) / unit, worker);
        begin = share.begin * unit;
        end = share.end * unit < end ? share.end * unit : end;
    }
};

// each(row, count, width) for the rows of every panel, and how wide it is: whole vectors.
template <class Each>
static inline void over_panels(int64_t row, int64_t end, const Each& each) {
    for (; row < end; row += kPanelRows) {
        const int64_t count = end - row < kPanelRows ? end - row : kPanelRows;
        each(row, count, (count + W - 1) / W * W);
    }
}

// panel[i][0..width]: entry i of `count` rows of x, and zeros.
static void turn_over(const float* x, int64_t x_stride, int64_t count, int64_t inputs, float* panel, int64_t width) {
    for (int64_t first = 0; first < width; first += W)
        for (int64_t i = 0; i < inputs; i += W) {
            const int64_t left = inputs - i;
            F turned[W];
#pragma GCC unroll 16
            for (int64_t r = 0; r < W; r++) {
                const float* row = x + (first + r) * x_stride + i;
                turned[r] = first + r >= count ? set(0.0f) : left < W ? load_some(row, left) : load(row);
            }
            transpose(turned);
#pragma GCC unroll 16
            for (int64_t r = 0; r < W; r++)
                if (r < left) store(panel + (i + r) * width + first, turned[r]);
        }
}

// sums[n][0..V W] = w[n] · panel for N rows of the weight; those of the next tile, `next` entries on, are asked for.
template <int V, int N>
static inline void panel_tile(const float* panel, const float* const* w, int64_t inputs, int64_t next, float* sums) {
    F acc[N][V];
#pragma GCC unroll 8
    for (int n = 0; n < N; n++)
#pragma GCC unroll 4
        for (int v = 0; v < V; v++) acc[n][v] = set(0.0f);
    for (int64_t i = 0; i < inputs;) {
#pragma GCC unroll 8
        for (int n = 0; n < N; n++) __builtin_prefetch(w[n] + i + next, 0, 2);
        for (const int64_t end = i + 16 < inputs ? i + 16 : inputs; i < end; i++, panel += V * W) {
            F x[V];
#pragma GCC unroll 4
            for (int v = 0; v < V; v++) x[v] = load(panel + v * W);
#pragma GCC unroll 8
            for (int n = 0; n < N; n++) {
                const F wn = set(w[n][i]);
#pragma GCC unroll 4
                for (int v = 0; v < V; v++) acc[n][v] = fma(x[v], wn, acc[n][v]);
            }
        }
    }
#pragma GCC unroll 8
    for (int n = 0; n < N; n++)
#pragma GCC unroll 4
        for (int v = 0; v < V; v++) store(sums + n * V * W + v * W, acc[n][v]);
}

// 16 outputs of a weight, as far as there are so many, as float32: where they lie, or in `room`.
struct Outputs {
    const float* w[16];
    int64_t count, inputs, next;

    Outputs(const Weight& weight, int64_t first, float* room)
        : count(weight.outputs - first < 16 ? weight.outputs - first : 16), inputs(weight.inputs),
          next(kPanelOutputs * weight.stride) {
        for (int64_t n = 0; n < 16; n++) {  // beyond the last: any row will do, nobody reads the result
            const int64_t o = first + (n < count ? n : count - 1);
            if (weight.format == Format::kFloat32) {
                w[n] = static_cast<const float*>(weight.values) + o * weight.stride;
            } else {
                if (n < count) float_row(weight, o, room + n * inputs);
                w[n] = room + (n < count ? n : count - 1) * inputs;
            }
        }
    }
};

// tile[r][0..16]: these outputs for the rows of a panel.
template <int V>
static void panel_block(const float* panel, const Outputs& outputs, float* tile) {
    alignas(64) float sums[16 * V * W];
    for (int64_t n = 0; n < outputs.count; n += kPanelOutputs)
        panel_tile<V, kPanelOutputs>(panel, outputs.w + n, outputs.inputs, outputs.next, sums + n * V * W);
    for (int64_t r = 0; r < V * W; r += W)
        for (int64_t n = 0; n < 16; n += W) {
            F turned[W];
#pragma GCC unroll 16
            for (int64_t k = 0; k < W; k++) turned[k] = load(sums + (n + k) * V * W + r);
            transpose(turned);
#pragma GCC unroll 16
            for (int64_t k = 0; k < W; k++) store(tile + (r + k) * 16 + n, turned[k]);
        }
}

// The same for a panel of `width` rows.
template <int V>
static inline void multiply_panel(const float* panel, int64_t width, const Outputs& outputs, float* tile) {
    if constexpr (V > 1)
        if (width < V * W) return multiply_panel<V - 1>(panel, width, outputs, tile);
    panel_block<V>(panel, outputs, tile);
}

}  // namespace PELLUCID_ISA
