// Rotation of queries and keys by position, and of keys on their way into the cache.
#pragma once
#include "cache.h"

namespace PELLUCID_ISA {

// One head of one token: pairs (i, i + R/2) turn by the angle, the rest is copied. `out` may be `x`.
static inline void rotate_head(const float* x, float* out, const float* cos, const float* sin, int64_t rotated,
                               int64_t size) {
    const int64_t half = rotated / 2;
    over_row(half, [&](int64_t i, auto get, auto put) {
        const F a = get(x + i), b = get(x + half + i);
        const F first = sub(mul(a, get(cos + i)), mul(b, get(sin + i)));
        const F second = add(mul(b, get(cos + half + i)), mul(a, get(sin + half + i)));
        put(out + i, first);
        put(out + half + i, second);
    });
    for (int64_t i = rotated; i < size; i++) out[i] = x[i];
}

static inline void rotate(const Rotary& a, int64_t token, int64_t head, float* out) {
    rotate_head(a.x.data + token * a.x.stride + head * a.x.head_stride, out, a.cos + token * a.angle_stride,
                a.sin + token * a.angle_stride, a.rotated, a.x.size);
}

static inline void rotate_in_place(const Rotary& a, int64_t token, int64_t head) {
    rotate(a, token, head, a.out.data + token * a.out.stride + head * a.out.head_stride);
}

static void rotary(const void* arguments, const Step&, int64_t rows, const Worker& worker) {
    const Rotary& a = *static_cast<const Rotary*>(arguments);
    const Share share(rows * a.x.count, worker);
    for (int64_t u = share.begin; u < share.end; u++) rotate_in_place(a, u / a.x.count, u % a.x.count);
}

static void rotary_store(const void* arguments, const Step&, int64_t rows, const Worker& worker) {
    const RotaryStore& a = *static_cast<const RotaryStore*>(arguments);
    const int64_t heads = a.q.x.count + a.k.x.count;
    const Share share(rows * heads, worker);
    float* key = reinterpret_cast<float*>(worker.own);
    for (int64_t u = share.begin; u < share.end; u++) {
        const int64_t token = u / heads, head = u % heads, g = head - a.q.x.count;
        if (g < 0) {
            rotate_in_place(a.q, token, head);
        } else {
            rotate(a.k, token, g, key);
            store_head(a.store.cache, a.store.slots[token], g, key,
                       a.store.v.data + token * a.store.v.stride + g * a.store.v.head_stride);
        }
    }
}

static Need rotary_store_need(const void* arguments, const Step&, int64_t, int) {
    return {0, 4 * static_cast<size_t>(static_cast<const RotaryStore*>(arguments)->k.x.size)};
}

}  // namespace PELLUCID_ISA
