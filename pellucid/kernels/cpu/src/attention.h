// Attention over keys and values in blocks, read in place through the block table: one algorithm for decodes and
// for chunks of prompts.
//
// The unit of work is a tile of query rows (queries × the heads that share one KV head) of one sequence. Keys are
// taken in spans that begin at fixed positions (0, 512, 1024, ...): scores, softmax and values of one span give a
// partial result, and the partial results are merged in the order of the spans. Which keys share a span depends
// on their positions alone, and a key that a query does not see adds an exact zero; so a query's result has the
// same bits in a decode and in a chunk, in any company, with spans shared among threads or not.
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
template <class Type, int R>
static inline void weigh_16(const Attention& a, const int32_t* table, int64_t kv_head, const float* p, int64_t span,
                            int64_t low, int64_t high, int64_t column, float* values, int64_t width) {
    const Cache& c = a.cache;
    const int64_t slots = to_16(c.block_size);
    F acc[R][kVectors];
    for (int r = 0; r < R; r++)
        for (int v = 0; v < kVectors; v++) acc[r][v] = set(0.0f);
    const int64_t first_block = low / c.block_size;
    for (int64_t b = first_block; b * c.block_size < high; b++) {
        const auto* v0 = static_cast<const typename Type::type*>(c.values) +
                         (table[b] * c.kv_heads + kv_head) * c.block_size * width + column;
        const int64_t left = high - b * c.block_size, count = left < c.block_size ? left : c.block_size;
        const float* pb = p + (b - first_block) * slots;
        for (int64_t s = 0; s < count; s++)
#pragma GCC unroll 4
            for (int v = 0; v < kVectors; v++) {
                const F x = Type::get(v0 + s * width + W * v);
#pragma GCC unroll 8
                for (int r = 0; r < R; r++) acc[r][v] = fma(set(pb[r * span + s]), x, acc[r][v]);
            }
    }
    for (int r = 0; r < R; r++)
        for (int v = 0; v < kVectors; v++) store(values + r * width + column + W * v, acc[r][v]);
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
    for (int64_t b = first_block; b <= last_block; b++) {
        const auto* keys = static_cast<const typename Type::type*>(c.keys) +
                           (table[b] * c.kv_heads + t.kv_head) * c.head_size * slots;
        float* scores = room.scores + (b - first_block) * slots;
        for (int64_t i = 0; i < slots; i += 16)
            score_16<Type, R>(room.queries, room.width, keys + i, slots, c.head_size, scores + i, room.span);
        for (int r = 0; r < R; r++) {
            float* row = scores + r * room.span;
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
    }
    for (int64_t column = 0; column < room.width; column += 16)
        weigh_16<Type, R>(a, table, t.kv_head, room.scores, room.span, low, high, column, room.values, room.width);
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
    }
}

// Running softmax: what was merged so far, joined by one more span (Milakov & Gimelshein 2018).
struct Merged {
    float top, total;
    float* values;

    void join(float span_top, float span_total, const float* span_values, int64_t width) {
        if (span_top == -__builtin_inff()) return;
        const float both = span_top > top ? span_top : top;
        const float old = exponential_of(top - both), fresh = exponential_of(span_top - both);
        total = total * old + span_total * fresh;
        for (int64_t i = 0; i < width; i += W)
            store(values + i, fma(load(values + i), set(old), mul(load(span_values + i), set(fresh))));
        top = both;
    }
};

static void write_row(const Attention& a, const Tile& t, int64_t r, int64_t query_start, const Merged& m) {
    const int64_t token = query_start + (t.first_row + r) / t.group;
    float* out = a.out.data + token * a.out.stride + t.head(r) * a.out.head_stride;
    const F inverse = set(m.total > 0.0f ? 1.0f / m.total : 0.0f);
    over_row(a.out.size, [&](int64_t i, auto, auto put) { put(out + i, mul(load(m.values + i), inverse)); });
}

// The tiles of a step, in an order that every thread counts through alike.
template <class Each>
static void over_tiles(const Attention& a, const Step& step, const Each& each) {
    const int64_t group = a.q.count / a.cache.kv_heads;
    int64_t unit = 0;
    for (int64_t n = 0; n < step.sequences; n++) {
        const int64_t queries = a.query_starts[n + 1] - a.query_starts[n], context = a.context_lengths[n];
        const int64_t rows = queries * group;
        for (int64_t row = 0; row < rows; row += kAttentionRows)
            for (int64_t g = 0; g < a.cache.kv_heads; g++) {
                const int64_t count = rows - row < kAttentionRows ? rows - row : kAttentionRows;
                each(unit++, Tile{n, g, row, count, queries, context, group});
            }
    }
}

static int64_t count_tiles(const Attention& a, const Step& step) {
    const int64_t group = a.q.count / a.cache.kv_heads;
    int64_t total = 0;
    for (int64_t n = 0; n < step.sequences; n++) {
        const int64_t rows = (a.query_starts[n + 1] - a.query_starts[n]) * group;
        total += (rows + kAttentionRows - 1) / kAttentionRows * a.cache.kv_heads;
    }
    return total;
}

static int64_t most_spans(const Attention& a, const Step& step) {
    int64_t longest = 1;
    for (int64_t n = 0; n < step.sequences; n++)
        longest = a.context_lengths[n] > longest ? a.context_lengths[n] : longest;
    return (longest + keys_in_span(a.cache) - 1) / keys_in_span(a.cache);
}

// Spans are shared among threads where whole tiles would leave some thread without work.
static bool share_spans(int64_t tiles, int64_t spans, int workers) {
    return workers > 1 && spans > 1 && tiles < 4 * workers && tiles % workers != 0;
}

static Need attention_need(const void* arguments, const Step& step, int64_t, int workers) {
    const Attention& a = *static_cast<const Attention*>(arguments);
    const int64_t width = to_16(a.cache.head_size), tiles = count_tiles(a, step), spans = most_spans(a, step);
    const int64_t own = Room::floats(scores_in_span(a.cache), width) + Room::partial_floats(width);
    // fewer threads may come than were asked for, and share where all of them would not
    const bool may_share = workers > 1 && spans > 1 && tiles < 4 * workers;
    const int64_t shared = may_share ? tiles * spans * Room::partial_floats(width) : 0;
    return {4 * static_cast<size_t>(shared), 4 * static_cast<size_t>(own)};
}

// The keys that any row of the tile sees.
static inline void tile_range(const Attention& a, const Tile& t, int64_t& low, int64_t& high) {
    low = t.low(a, 0);
    high = t.high(a, t.rows - 1);
}

static void gather_queries(const Attention& a, const Tile& t, const Room& room) {
    for (int64_t r = 0; r < t.rows; r++) {
        const int64_t token = a.query_starts[t.sequence] + (t.first_row + r) / t.group;
        const float* q = a.q.data + token * a.q.stride + t.head(r) * a.q.head_stride;
        for (int64_t i = 0; i < a.cache.head_size; i++) room.queries[r * room.width + i] = q[i];
    }
}

static void attend_whole_tile(const Attention& a, const Tile& t, const Room& room, float* merged_values) {
    const int64_t keys = keys_in_span(a.cache), width = room.width;
    int64_t low, high;
    tile_range(a, t, low, high);
    gather_queries(a, t, room);
    Merged merged[kAttentionRows];
    for (int64_t r = 0; r < t.rows; r++) {
        merged[r] = {-__builtin_inff(), 0.0f, merged_values + r * width};
        for (int64_t i = 0; i < width; i++) merged[r].values[i] = 0.0f;
    }
    for (int64_t span = low / keys; span * keys < high; span++) {
        const int64_t from = low > span * keys ? low : span * keys;
        const int64_t to = high < (span + 1) * keys ? high : (span + 1) * keys;
        attend_any(a, t, room, from, to);
        for (int64_t r = 0; r < t.rows; r++) merged[r].join(room.top[r], room.total[r], room.values + r * width, width);
    }
    for (int64_t r = 0; r < t.rows; r++) write_row(a, t, r, a.query_starts[t.sequence], merged[r]);
}

static void attend_one_span(const Attention& a, const Tile& t, const Room& room, int64_t span, float* partial) {
    const int64_t keys = keys_in_span(a.cache), width = room.width;
    int64_t low, high;
    tile_range(a, t, low, high);
    const int64_t from = low > span * keys ? low : span * keys;
    const int64_t to = high < (span + 1) * keys ? high : (span + 1) * keys;
    if (from >= to) {
        for (int64_t r = 0; r < t.rows; r++) partial[r] = -__builtin_inff();
        return;
    }
    gather_queries(a, t, room);
    attend_any(a, t, room, from, to);
    for (int64_t r = 0; r < t.rows; r++) {
        partial[r] = room.top[r];
        partial[16 + r] = room.total[r];
        for (int64_t i = 0; i < width; i++) partial[32 + r * width + i] = room.values[r * width + i];
    }
}

static void merge_spans(const Attention& a, const Tile& t, const float* partials, int64_t spans, int64_t width,
                        float* values) {
    for (int64_t r = 0; r < t.rows; r++) {
        Merged merged{-__builtin_inff(), 0.0f, values};
        for (int64_t i = 0; i < width; i++) values[i] = 0.0f;
        for (int64_t s = 0; s < spans; s++) {
            const float* partial = partials + s * Room::partial_floats(width);
            merged.join(partial[r], partial[16 + r], partial + 32 + r * width, width);
        }
        write_row(a, t, r, a.query_starts[t.sequence], merged);
    }
}

static void attention(const void* arguments, const Step& step, int64_t, const Worker& worker) {
    const Attention& a = *static_cast<const Attention*>(arguments);
    const int64_t width = to_16(a.cache.head_size), span = scores_in_span(a.cache);
    const Room room = Room::in(reinterpret_cast<float*>(worker.own), span, width);
    float* merged = reinterpret_cast<float*>(worker.own) + Room::floats(span, width);
    const int64_t spans = most_spans(a, step);
    if (!share_spans(count_tiles(a, step), spans, worker.count)) {
        over_tiles(a, step, [&](int64_t unit, const Tile& t) {
            if (unit % worker.count == worker.id) attend_whole_tile(a, t, room, merged);
        });
        return;
    }
    float* partials = reinterpret_cast<float*>(worker.shared);
    const int64_t apart = Room::partial_floats(width);
    over_tiles(a, step, [&](int64_t unit, const Tile& t) {
        for (int64_t s = 0; s < spans; s++)
            if ((unit * spans + s) % worker.count == worker.id)
                attend_one_span(a, t, room, s, partials + (unit * spans + s) * apart);
    });
    worker.meet();
    over_tiles(a, step, [&](int64_t unit, const Tile& t) {
        if (unit % worker.count == worker.id)
            merge_spans(a, t, partials + unit * spans * apart, spans, width, merged);
    });
}

}  // namespace PELLUCID_ISA
