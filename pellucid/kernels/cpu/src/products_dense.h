// Tiles of a product with float weights [O, I], row-major, used where they lie.
//
// The vector runs along I: every output is one chain of W partial sums over I in steps of W, then one sum across
// the vector. That order depends on nothing but I, so a row of x gives the same bits whatever the other rows and
// however the outputs are shared out.
#pragma once
#include "vector_math.h"

namespace PELLUCID_ISA {

struct Float32 {
    using type = float;
    static F get(const float* p) { return load(p); }
    static float one(float x) { return x; }
};
struct Bfloat16 {
    using type = uint16_t;
    static F get(const uint16_t* p) { return load_bf16(p); }
};
struct Float16 {
    using type = uint16_t;
    static F get(const uint16_t* p) { return load_f16(p); }
};

template <class Type>
static inline F get_some(const typename Type::type* p, int64_t n) {
    typename Type::type room[W] = {};
    for (int64_t i = 0; i < n; i++) room[i] = p[i];
    return Type::get(room);
}

template <class Type>
static void float_row(const typename Type::type* row, int64_t inputs, float* out) {
    int64_t i = 0;
    for (; i + W <= inputs; i += W) store(out + i, Type::get(row + i));
    if (i < inputs) store_some(out + i, get_some<Type>(row + i, inputs - i), inputs - i);
}

// One row of a float weight in float32.
static void float_row(const Weight& w, int64_t id, float* out) {
    const int64_t at = id * w.stride;
    if (w.format == Format::kFloat32) return float_row<Float32>(static_cast<const float*>(w.values) + at, w.inputs, out);
    const auto* row = static_cast<const uint16_t*>(w.values) + at;
    if (w.format == Format::kBfloat16) return float_row<Bfloat16>(row, w.inputs, out);
    float_row<Float16>(row, w.inputs, out);
}

// tile[m][n] = x[m] · w[n] for M rows of x and 4 of the weight; the tile's rows lie 16 apart. Four short rows at
// once are no stream that a processor would foresee, so the weights of the next tile, `next` entries on, are asked for.
template <class Type, int M>
static inline void dense_tile(const float* x, int64_t x_stride, const typename Type::type* const* w, int64_t inputs,
                              int64_t next, float* tile) {
    F acc[M][4];
    for (int m = 0; m < M; m++)
        for (int n = 0; n < 4; n++) acc[m][n] = set(0.0f);
    int64_t i = 0;
    for (; i + W <= inputs; i += W) {
        F xs[M];
        for (int m = 0; m < M; m++) xs[m] = load(x + m * x_stride + i);
#pragma GCC unroll 4
        for (int n = 0; n < 4; n++) {
            const F wn = Type::get(w[n] + i);
            __builtin_prefetch(w[n] + i + next, 0, 2);
#pragma GCC unroll 8
            for (int m = 0; m < M; m++) acc[m][n] = fma(wn, xs[m], acc[m][n]);
        }
    }
    if (i < inputs)
        for (int n = 0; n < 4; n++) {
            const F wn = get_some<Type>(w[n] + i, inputs - i);
            for (int m = 0; m < M; m++) acc[m][n] = fma(wn, load_some(x + m * x_stride + i, inputs - i), acc[m][n]);
        }
    for (int m = 0; m < M; m++) sums(acc[m][0], acc[m][1], acc[m][2], acc[m][3], tile + 16 * m);
}

template <class Type, int M>
static inline void dense_block(const float* x, int64_t x_stride, const Weight& weight, int64_t first, float* tile) {
    const auto* values = static_cast<const typename Type::type*>(weight.values);
    for (int part = 0; part < 16 && first + part < weight.outputs; part += 4) {
        const typename Type::type* w[4];
        for (int n = 0; n < 4; n++) {  // beyond the last output: any row will do, nobody reads the result
            const int64_t o = first + part + n;
            w[n] = values + (o < weight.outputs ? o : weight.outputs - 1) * weight.stride;
        }
        dense_tile<Type, M>(x, x_stride, w, weight.inputs, 4 * weight.stride, tile + part);
    }
}

}  // namespace PELLUCID_ISA
