// Rotation of queries and keys by position, and the writing of keys and values into their blocks.
#pragma once
#include "products_dense.h"

namespace PELLUCID_ISA {

static inline int64_t to_16(int64_t n) { return (n + 15) / 16 * 16; }

static inline uint16_t to_bf16(float x) {  // to the nearest, ties to even
    uint32_t bits;
    __builtin_memcpy(&bits, &x, 4);
    if ((bits & 0x7fffffff) > 0x7f800000) return static_cast<uint16_t>(bits >> 16 | 64);
    return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

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

static inline void put_cached(void* base, CacheType type, int64_t at, float x) {
    switch (type) {
        case CacheType::kFloat32: static_cast<float*>(base)[at] = x; break;
        case CacheType::kBfloat16: static_cast<uint16_t*>(base)[at] = to_bf16(x); break;
        case CacheType::kFloat16: {
            uint16_t room[W];
            store_f16(room, set(x));
            static_cast<uint16_t*>(base)[at] = room[0];
        }
    }
}

// Key and value of one head of one token into their slot. A slot below 0 is nobody's: nothing is written.
static inline void store_head(const Cache& cache, int64_t slot, int64_t head, const float* k, const float* v) {
    if (slot < 0) return;
    const int64_t size = cache.head_size, slots = to_16(cache.block_size), width = to_16(size);
    const int64_t block = slot / cache.block_size, offset = slot % cache.block_size;
    const int64_t keys = (block * cache.kv_heads + head) * size * slots + offset;
    const int64_t values = ((block * cache.kv_heads + head) * cache.block_size + offset) * width;
    for (int64_t i = 0; i < size; i++) {
        put_cached(cache.keys, cache.type, keys + i * slots, k[i]);
        put_cached(cache.values, cache.type, values + i, v[i]);
    }
}

static void store_rows(const void* arguments, const Step&, int64_t rows, const Worker& worker) {
    const Store& a = *static_cast<const Store*>(arguments);
    const Share share(rows * a.k.count, worker);
    for (int64_t u = share.begin; u < share.end; u++) {
        const int64_t token = u / a.k.count, head = u % a.k.count;
        store_head(a.cache, a.slots[token], head, a.k.data + token * a.k.stride + head * a.k.head_stride,
                   a.v.data + token * a.v.stride + head * a.v.head_stride);
    }
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
