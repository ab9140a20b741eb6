// Attention over keys and values in blocks, read in place through the block table: one algorithm for decodes and
// for chunks of prompts.
//
// The unit of work is a tile of query rows (queries × the heads that share one KV head) of one sequence. Keys are
// taken in spans that begin at fixed positions (0, 512, 1024, ...): scores, softmax and values of one span give a
// partial result, and the partial results are merged in the order of the spans. Which keys share a span depends
// on their positions alone, and a key that a query does not see adds an exact zero; so a query's result has the
// same bits in a decode and in a chunk, in any company, with spans shared among threads or not.
#pragma once
#include "attention_span.h"

namespace PELLUCID_ISA {

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
