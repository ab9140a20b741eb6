// Operations that look at one entry, or one row, at a time: sums, activations, copies of chosen rows.
#pragma once
#include "products_k.h"
#include "products_dense.h"

namespace PELLUCID_ISA {

static void add_rows(const void* arguments, const Step&, int64_t rows, const Worker& worker) {
    const Add& a = *static_cast<const Add*>(arguments);
    const Share share(rows, worker);
    for (int64_t r = share.begin; r < share.end; r++)
        over_row(a.size, [&](int64_t i, auto get, auto put) {
            put(a.out.data + r * a.out.stride + i,
                add(get(a.a.data + r * a.a.stride + i), get(a.b.data + r * a.b.stride + i)));
        });
}

static void scale_rows(const void* arguments, const Step&, int64_t rows, const Worker& worker) {
    const Scale& a = *static_cast<const Scale*>(arguments);
    const Share share(rows, worker);
    const F factor = set(static_cast<float>(a.factor));
    for (int64_t r = share.begin; r < share.end; r++)
        over_row(a.size, [&](int64_t i, auto get, auto put) {
            put(a.out.data + r * a.out.stride + i, mul(get(a.x.data + r * a.x.stride + i), factor));
        });
}

static void activate_rows(const void* arguments, const Step&, int64_t rows, const Worker& worker) {
    const Activate& a = *static_cast<const Activate*>(arguments);
    const Share share(rows, worker);
    for (int64_t r = share.begin; r < share.end; r++)
        over_row(a.size, [&](int64_t i, auto get, auto put) {
            put(a.out.data + r * a.out.stride + i, activate(get(a.x.data + r * a.x.stride + i), a.activation));
        });
}

static void gate_rows(const void* arguments, const Step&, int64_t rows, const Worker& worker) {
    const Gate& a = *static_cast<const Gate*>(arguments);
    const Share share(rows, worker);
    for (int64_t r = share.begin; r < share.end; r++) {
        const float* x = a.x.data + r * a.x.stride;
        over_row(a.size, [&](int64_t i, auto get, auto put) {
            put(a.out.data + r * a.out.stride + i, mul(activate(get(x + i), a.activation), get(x + a.size + i)));
        });
    }
}

static void gather_rows(const void* arguments, const Step&, int64_t rows, const Worker& worker) {
    const Gather& a = *static_cast<const Gather*>(arguments);
    const Share share(rows, worker);
    for (int64_t r = share.begin; r < share.end; r++)
        __builtin_memcpy(a.out.data + r * a.out.stride, a.x.data + a.index[r] * a.x.stride,
                         4 * static_cast<size_t>(a.size));
}

static inline float float_of_half(uint16_t half) {
    const uint16_t room[16] = {half};
    float out[W];
    store(out, load_f16(room));
    return out[0];
}

// One row of a quantised weight: every 16th run of 4 bytes of its block (see products_grouped.h, products_k.h).
static void grouped_row(const Weight& w, int64_t id, float* out) {
    const int64_t groups = (w.inputs + 31) / 32, block = id / 16, lane = id % 16;
    const int64_t bytes = w.format == Format::kInt8 ? Int8Weights::kBytes
                          : w.format == Format::kQ6K ? kSixBytes : Int4Weights::kBytes;
    const uint8_t* numbers = static_cast<const uint8_t*>(w.values) + block * groups * bytes + 4 * lane;
    const uint16_t* halves = static_cast<const uint16_t*>(w.scales) + block * groups * 16 + lane;
    const KScales k(w, block, groups, w.format == Format::kQ4K ? 2 : 1);
    for (int64_t i = 0; i < w.inputs; i++) {
        const int64_t g = i / 32, in = i % 32, run = in / 4, above = g / kSuper;
        const uint8_t* group = numbers + g * bytes;
        const uint8_t both = group[run % 4 * 64 + in % 4];
        const int nibble = in < 16 ? both & 15 : both >> 4;
        const uint8_t* whole = k.whole + g * 32 + lane;
        if (w.format == Format::kInt8) {
            out[i] = static_cast<float>(static_cast<int8_t>(group[run * 64 + in % 4])) * float_of_half(halves[g * 16]);
        } else if (w.format == Format::kInt4) {
            out[i] = static_cast<float>(nibble - 8) * float_of_half(halves[g * 16]);
        } else if (w.format == Format::kQ4K) {
            const float scale = static_cast<float>(whole[0]) * float_of_half(k.above[above * 32 + lane]);
            const float minimum = static_cast<float>(whole[16]) * float_of_half(k.above[above * 32 + 16 + lane]);
            out[i] = scale * static_cast<float>(nibble) - minimum;
        } else {
            const int upper = group[256 + run / 4 * 64 + in % 4] >> 2 * (run % 4) & 3;
            const float scale = static_cast<float>(static_cast<int8_t>(whole[run / 4 * 16]));
            out[i] = static_cast<float>((nibble | upper << 4) - 32) * (scale * float_of_half(k.above[above * 16 + lane]));
        }
    }
}

static void embedding_rows(const void* arguments, const Step&, int64_t rows, const Worker& worker) {
    const Embedding& a = *static_cast<const Embedding*>(arguments);
    const Share share(rows, worker);
    for (int64_t r = share.begin; r < share.end; r++) {
        float* out = a.out.data + r * a.out.stride;
        if (is_grouped(a.weight)) grouped_row(a.weight, a.ids[r], out);
        else float_row(a.weight, a.ids[r], out);
    }
}

}  // namespace PELLUCID_ISA
