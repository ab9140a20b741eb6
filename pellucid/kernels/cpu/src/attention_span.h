// Attention of a tile of query rows over one span of keys: scores, softmax, weighted values (see attention.h).
#pragma once
#include "rotary.h"

namespace PELLUCID_ISA {

constexpr int64_t kSpan = 512;

// A tile of query rows: row r is query `r / group` of the sequence and head `r % group` of the group.
struct Tile {
    int64_t sequence, kv_head, first_row, rows;
    int64_t queries, context, group;

    int64_t position(const Attention& a, int64_t r) const {
        const int64_t query = (first_row + r) / group;
        return a.causal ? context - queries + query : query;
    }
    int64_t head(int64_t r) const { return kv_head * group + (first_row + r) % group; }
    int64_t low(const Attention& a, int64_t r) const {  // first key that row r sees
        const int64_t low = position(a, r) - a.window + 1;
        return a.window && low > 0 ? low : 0;
    }
    int64_t high(const Attention& a, int64_t r) const {  // one past the last
        if (a.causal) return position(a, r) + 1;
        const int64_t high = position(a, r) + a.window;
        return a.window && high < context ? high : context;
    }
};

// What one thread needs for a tile, cut from its own room.
struct Room {
    float* queries;   // [rows, K]
    float* scores;    // [rows, span]
    float* top;       // [rows] largest score so far
    float* total;     // [rows] sum of the exponentials
    float* values;    // [rows, K'] weighted sum of the values
    int64_t span, width;

    static int64_t floats(int64_t span, int64_t width) { return kAttentionRows * (span + 2 * width + 32); }
    static Room in(float* at, int64_t span, int64_t width) {
        float* scores = at + kAttentionRows * width;
        float* top = scores + kAttentionRows * span;
        return {at, scores, top, top + 16, top + 32, span, width};
    }
    static int64_t partial_floats(int64_t width) { return 32 + kAttentionRows * width; }
};

static inline int64_t keys_in_span(const Cache& c) { return (kSpan + c.block_size - 1) / c.block_size * c.block_size; }
static inline int64_t scores_in_span(const Cache& c) { return keys_in_span(c) / c.block_size * to_16(c.block_size); }

// Asks for memory that will be read soon. Blocks lie anywhere: no processor foresees the next one.
template <class T>
static inline void fetch(const T* p, int64_t count) {
    const auto* bytes = reinterpret_cast<const uint8_t*>(p);
    for (int64_t i = 0; i < count * static_cast<int64_t>(sizeof(T)); i += 64) __builtin_prefetch(bytes + i, 0, 2);
}

// scores[r][slot] = q[r] · k[slot] for 16 slots of a block.
template <class Type, int R>
static inline void score_16(const float* q, int64_t width, const typename Type::type* keys, int64_t slots,
                            int64_t size, float* scores, int64_t span) {
    F acc[R][kVectors];
    for (int r = 0; r < R; r++)
        for (int v = 0; v < kVectors; v++) acc[r][v] = set(0.0f);
    for (int64_t i = 0; i < size; i++)
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; v++) {
            const F k = Type::get(keys + i * slots + W * v);
#pragma GCC unroll 8
            for (int r = 0; r < R; r++) acc[r][v] = fma(set(q[r * width + i]), k, acc[r][v]);
        }
    for (int r = 0; r < R; r++)
        for (int v = 0; v < kVectors; v++) store(scores + r * span + W * v, acc[r][v]);
}

// values[r][0..16 C] = sum over keys of p[r][key] · v[key], for the keys of the span that row tile may see.
template <class Type, int R, int C>
static inline void weigh(const Attention& a, const int32_t* table, int64_t kv_head, const float* p, int64_t span,
                         int64_t low, int64_t high, int64_t column, float* values, int64_t width) {
    const Cache& c = a.cache;
    const int64_t slots = to_16(c.block_size);
    constexpr int kAcross = C * kVectors;
    F acc[R][kAcross];
    for (int r = 0; r < R; r++)
        for (int v = 0; v < kAcross; v++) acc[r][v] = set(0.0f);
    const int64_t first_block = low / c.block_size;
    for (int64_t b = first_block; b * c.block_size < high; b++) {
        const auto* v0 = static_cast<const typename Type::type*>(c.values) +
                         (table[b] * c.kv_heads + kv_head) * c.block_size * width + column;
        const int64_t left = high - b * c.block_size, count = left < c.block_size ? left : c.block_size;
        const float* pb = p + (b - first_block) * slots;
        for (int64_t s = 0; s < count; s++)
#pragma GCC unroll 8
            for (int v = 0; v < kAcross; v++) {
                const F x = Type::get(v0 + s * width + W * v);
#pragma GCC unroll 8
                for (int r = 0; r < R; r++) acc[r][v] = fma(set(pb[r * span + s]), x, acc[r][v]);
            }
    }
    for (int r = 0; r < R; r++)
        for (int v = 0; v < kAcross; v++) store(values + r * width + column + W * v, acc[r][v]);
}

// scores[slot] *= scales[slot]: of a block's keys before the softmax, of its values after.
static inline void times_scales(float* scores, const float* scales, int64_t slots) {
    for (int64_t i = 0; i < slots; i += W) store(scores + i, mul(load(scores + i), load(scales + i)));
}

// How many times 16 columns go together: as many as registers hold.
template <int R>
constexpr int columns_together() {
    constexpr int most = W == 16 ? 16 : 8;
    return 4 * R * kVectors <= most ? 4 : 2 * R * kVectors <= most ? 2 : 1;
}

// Scale, cap, bias and mask the raw scores of one row of one block.
static inline void shape_scores(const Attention& a, const Tile& t, int64_t r, int64_t block, float* scores) {
    const int64_t slots = to_16(a.cache.block_size), first = block * a.cache.block_size;
    const F scale = set(static_cast<float>(a.scale));
    for (int64_t i = 0; i < slots; i += W) {
        F s = mul(load(scores + i), scale);
        if (a.soft_cap != 0.0) {
            const F cap = set(static_cast<float>(a.soft_cap));
            s = mul(cap, hyperbolic_tangent(div(s, cap)));
        }
        store(scores + i, s);
    }
    const int64_t low = t.low(a, r) - first, high = t.high(a, r) - first;
    if (a.bias) {
        const int64_t reach = a.bias_entries / 2, position = t.position(a, r);
        const float* bias = a.bias + t.head(r) * a.bias_entries + reach;
        for (int64_t i = 0; i < a.cache.block_size; i++) {
            const int64_t distance = first + i - position;
            scores[i] += bias[distance < -reach ? -reach : distance > reach ? reach : distance];
        }
    }
    const int64_t end = high < a.cache.block_size ? high : a.cache.block_size;
    for (int64_t i = 0; i < low && i < slots; i++) scores[i] = -__builtin_inff();
    for (int64_t i = end > 0 ? end : 0; i < slots; i++) scores[i] = -__builtin_inff();
}

// exp(score - top) in place over n entries; gives back the sum.
static inline float exponentials(float* scores, int64_t n, float top) {
    F total = set(0.0f);
    const F shift = set(top);
    for (int64_t i = 0; i < n; i += W) {
        const F p = exponential(sub(load(scores + i), shift));
        store(scores + i, p);
        total = add(total, p);
    }
    return sum(total);
}

static inline float exponential_of(float x) {
    float room[W];
    store(room, exponential(set(x)));
    return room[0];
}

// The partial result of rows `t` over one span into room.top, .total, .values.
template <class Type, int R>
static void attend_span(const Attention& a, const Tile& t, const Room& room, int64_t low, int64_t high) {
    const Cache& c = a.cache;
    const int32_t* table = a.block_tables + t.sequence * a.table_stride;
    const int64_t slots = to_16(c.block_size), first_block = low / c.block_size;
    const int64_t last_block = (high - 1) / c.block_size;
    float most[R];
    for (int r = 0; r < R; r++) most[r] = -__builtin_inff();
    const auto keys_of = [&](int64_t b) {
        return static_cast<const typename Type::type*>(c.keys) +
               (table[b] * c.kv_heads + t.kv_head) * c.head_size * slots;
    };
    const auto values_of = [&](int64_t b) {
        return static_cast<const typename Type::type*>(c.values) +
               (table[b] * c.kv_heads + t.kv_head) * c.block_size * room.width;
    };
    const auto fetch_keys = [&](int64_t b) {
        fetch(keys_of(b), c.head_size * slots);
        if constexpr (kHasScales<Type>) fetch(key_scales(c, table[b], t.kv_head), 2 * slots);
    };
    fetch_keys(first_block);
    for (int64_t b = first_block; b <= last_block; b++) {
        const auto* keys = keys_of(b);
        if (b < last_block) fetch_keys(b + 1);
        fetch(values_of(b), c.block_size * room.width);
        float* scores = room.scores + (b - first_block) * slots;
        for (int64_t i = 0; i < slots; i += 16)
            score_16<Type, R>(room.queries, room.width, keys + i, slots, c.head_size, scores + i, room.span);
        for (int r = 0; r < R; r++) {
            float* row = scores + r * room.span;
            if constexpr (kHasScales<Type>) times_scales(row, key_scales(c, table[b], t.kv_head), slots);
            shape_scores(a, t, r, b, row);
            F top = load(row);
            for (int64_t i = W; i < slots; i += W) top = max(top, load(row + i));
            const float best = largest(top);
            most[r] = best > most[r] ? best : most[r];
        }
    }
    const int64_t entries = (last_block - first_block + 1) * slots;
    for (int r = 0; r < R; r++) {
        float* row = room.scores + r * room.span;
        const bool blind = most[r] == -__builtin_inff();  // sees nothing of this span: all weights are zero
        room.top[r] = most[r];
        room.total[r] = exponentials(row, entries, blind ? 0.0f : most[r]);
        if constexpr (kHasScales<Type>)
            for (int64_t b = first_block; b <= last_block; b++)
                times_scales(row + (b - first_block) * slots, value_scales(c, table[b], t.kv_head), slots);
    }
    constexpr int C = columns_together<R>();
    int64_t column = 0;
    for (; column + 16 * C <= room.width; column += 16 * C)
        weigh<Type, R, C>(a, table, t.kv_head, room.scores, room.span, low, high, column, room.values, room.width);
    for (; column < room.width; column += 16)
        weigh<Type, R, 1>(a, table, t.kv_head, room.scores, room.span, low, high, column, room.values, room.width);
}

template <class Type, int R>
static void attend_typed(const Attention& a, const Tile& t, const Room& room, int64_t low, int64_t high) {
    if constexpr (R > 1)
        if (t.rows < R) return attend_typed<Type, R - 1>(a, t, room, low, high);
    attend_span<Type, R>(a, t, room, low, high);
}

static void attend_any(const Attention& a, const Tile& t, const Room& room, int64_t low, int64_t high) {
    switch (a.cache.type) {
        case CacheType::kFloat32: return attend_typed<Float32, kAttentionRows>(a, t, room, low, high);
        case CacheType::kBfloat16: return attend_typed<Bfloat16, kAttentionRows>(a, t, room, low, high);
        case CacheType::kFloat16: return attend_typed<Float16, kAttentionRows>(a, t, room, low, high);
        case CacheType::kInt8: return attend_typed<Int8, kAttentionRows>(a, t, room, low, high);
    }
}

}  // namespace PELLUCID_ISA
