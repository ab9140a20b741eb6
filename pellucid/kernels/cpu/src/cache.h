// How a cache holds keys and values (see operations.h for where), and the writing of them into their slots.
#pragma once
#include "products_dense.h"

namespace PELLUCID_ISA {

static inline int64_t to_16(int64_t n) { return (n + 15) / 16 * 16; }

// Each head of each token is rounded with a scale of its own: x = scale q, q in -127..127.
struct Int8 {
    using type = int8_t;
    static F get(const int8_t* p) { return signed_bytes_to_float(p); }
};

template <class Type>
constexpr bool kHasScales = false;
template <>
constexpr bool kHasScales<Int8> = true;

// One scale a slot, of the keys of a block and head; those of the values lie behind them.
static inline float* key_scales(const Cache& c, int64_t block, int64_t head) {
    return c.scales + (block * c.kv_heads + head) * 2 * to_16(c.block_size);
}
static inline float* value_scales(const Cache& c, int64_t block, int64_t head) {
    return key_scales(c, block, head) + to_16(c.block_size);
}

static inline uint16_t to_bf16(float x) {  // to the nearest, ties to even
    uint32_t bits;
    __builtin_memcpy(&bits, &x, 4);
    if ((bits & 0x7fffffff) > 0x7f800000) return static_cast<uint16_t>(bits >> 16 | 64);
    return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static inline uint16_t to_f16(float x) {
    uint16_t room[W];
    store_f16(room, set(x));
    return room[0];
}

// Hands each number of a head to `put`, rounded; gives back their scale. It is nan where a number is no finite one, so
// that a damaged model is noticed.
template <class Put>
static inline float round_head(const float* x, int64_t size, const Put& put) {
    F top = set(0.0f), damage = set(0.0f);
    over_row(size, [&](int64_t i, auto get, auto) {
        const F a = get(x + i);
        top = max(top, abs(a));
        damage = fma(a, set(0.0f), damage);
    });
    const float scale = largest(top) / 127.0f + sum(damage);
    const F divisor = set(scale == 0.0f ? 1.0f : scale), most = set(127.0f), least = set(-127.0f);
    over_row(size, [&](int64_t i, auto get, auto) {
        int8_t q[W];
        store_int8(q, min(max(round(div(get(x + i), divisor)), least), most));
        for (int64_t j = 0; j < W && i + j < size; j++) put(i + j, q[j]);
    });
    return scale;
}

static inline void store_int8_head(const Cache& c, int64_t block, int64_t offset, int64_t head, const float* k,
                                   const float* v) {
    const int64_t size = c.head_size, slots = to_16(c.block_size), at = block * c.kv_heads + head;
    int8_t* keys = static_cast<int8_t*>(c.keys) + at * size * slots + offset;
    int8_t* values = static_cast<int8_t*>(c.values) + (at * c.block_size + offset) * to_16(size);
    key_scales(c, block, head)[offset] = round_head(k, size, [&](int64_t i, int8_t q) { keys[i * slots] = q; });
    value_scales(c, block, head)[offset] = round_head(v, size, [&](int64_t i, int8_t q) { values[i] = q; });
}

template <class Number, class Rounded>
static inline void store_float_head(const Cache& c, int64_t block, int64_t offset, int64_t head, const float* k,
                                    const float* v, const Rounded& rounded) {
    const int64_t size = c.head_size, slots = to_16(c.block_size), at = block * c.kv_heads + head;
    Number* keys = static_cast<Number*>(c.keys) + at * size * slots + offset;
    Number* values = static_cast<Number*>(c.values) + (at * c.block_size + offset) * to_16(size);
    for (int64_t i = 0; i < size; i++) {
        keys[i * slots] = rounded(k[i]);
        values[i] = rounded(v[i]);
    }
}

// Key and value of one head of one token into their slot. A slot below 0 is nobody's: nothing is written.
static inline void store_head(const Cache& c, int64_t slot, int64_t head, const float* k, const float* v) {
    if (slot < 0) return;
    const int64_t block = slot / c.block_size, offset = slot % c.block_size;
    switch (c.type) {
        case CacheType::kFloat32:
            return store_float_head<float>(c, block, offset, head, k, v, [](float x) { return x; });
        case CacheType::kBfloat16: return store_float_head<uint16_t>(c, block, offset, head, k, v, to_bf16);
        case CacheType::kFloat16: return store_float_head<uint16_t>(c, block, offset, head, k, v, to_f16);
        case CacheType::kInt8: return store_int8_head(c, block, offset, head, k, v);
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

}  // namespace PELLUCID_ISA
