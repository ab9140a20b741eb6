// RMSNorm and LayerNorm of one row, and as an operation over rows and heads.
#pragma once
#include "vector_math.h"

namespace PELLUCID_ISA {

static inline float sum_over_row(const float* x, int64_t size, float mean, bool squared) {
    F total = set(0.0f);
    const F centre = set(mean);
    int64_t i = 0;
    for (; i + W <= size; i += W) {
        const F c = sub(load(x + i), centre);
        total = squared ? fma(c, c, total) : add(total, c);
    }
    float tail[W] = {};
    for (int64_t j = i; j < size; j++) tail[j - i] = x[j] - mean;
    const F c = load(tail);
    return sum(squared ? fma(c, c, total) : add(total, c));
}

static void norm_row(const Norm& norm, const float* x, float* out, int64_t size) {
    const float n = static_cast<float>(size), epsilon = static_cast<float>(norm.epsilon);
    const float mean = norm.kind == NormKind::kLayer ? sum_over_row(x, size, 0.0f, false) / n : 0.0f;
    const float variance = sum_over_row(x, size, mean, true) / n;
    const F scale = set(1.0f / __builtin_sqrtf(variance + epsilon)), centre = set(mean);
    over_row(size, [&](int64_t i, auto get, auto put) {
        const F y = mul(mul(sub(get(x + i), centre), scale), get(norm.weight + i));
        put(out + i, norm.bias ? add(y, get(norm.bias + i)) : y);
    });
}

static void norm_rows(const void* arguments, const Step&, int64_t rows, const Worker& worker) {
    const NormRows& a = *static_cast<const NormRows*>(arguments);
    const Share share(rows * a.x.count, worker);
    for (int64_t u = share.begin; u < share.end; u++) {
        const int64_t row = u / a.x.count, head = u % a.x.count;
        norm_row(a.norm, a.x.data + row * a.x.stride + head * a.x.head_stride,
                 a.out.data + row * a.out.stride + head * a.out.head_stride, a.x.size);
    }
}

}  // namespace PELLUCID_ISA
