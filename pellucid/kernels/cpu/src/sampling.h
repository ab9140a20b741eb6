// What the sampler asks of rows of logits: the likeliest tokens, weights, and the sums of weights (see
// pellucid/sampling, which has the same in torch). A row's results depend on that row alone.
#pragma once
#include "vector_math.h"

namespace PELLUCID_ISA {

constexpr int64_t kTopRun = 64;
constexpr int64_t kSumRun = 128;
constexpr float kWhole = 17179869184.0f;  // a weight of 1 as a whole number: 2^34

// Bits that count up with the number; the two zeros are one, nan is above all.
static inline uint32_t rising(float x) {
    x += 0.0f;
    uint32_t bits;
    __builtin_memcpy(&bits, &x, 4);
    if ((bits & 0x7fffffff) > 0x7f800000) return ~0u;
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

static inline float of_rising(uint32_t bits) {
    bits = bits & 0x80000000u ? bits & 0x7fffffff : ~bits;
    float x;
    __builtin_memcpy(&x, &bits, 4);
    return x;
}

// The count-th largest of n, found a byte at a time.
static uint32_t nth_largest(const uint32_t* numbers, int64_t n, int64_t count) {
    uint32_t found = 0, known = 0;
    for (int shift = 24; shift >= 0; shift -= 8) {
        int64_t with[256] = {};
        for (int64_t i = 0; i < n; i++)
            if ((numbers[i] & known) == found) with[numbers[i] >> shift & 255]++;
        uint32_t byte = 255;
        for (; count > with[byte] && byte > 0; byte--) count -= with[byte];
        found |= byte << shift;
        known |= 0xffu << shift;
    }
    return found;
}

struct Token {
    uint32_t rising, id;
};

// Sorts from the largest down, equal ones in the order in which they stand.
static void sort_falling(Token* tokens, Token* room, int64_t n) {
    for (int shift = 0; shift < 32; shift += 8) {
        int64_t place[257] = {};
        for (int64_t i = 0; i < n; i++) place[256 - (tokens[i].rising >> shift & 255)]++;
        for (int i = 1; i < 257; i++) place[i] += place[i - 1];
        for (int64_t i = 0; i < n; i++) room[place[255 - (tokens[i].rising >> shift & 255)]++] = tokens[i];
        Token* const swapped = tokens;
        tokens = room;
        room = swapped;
    }
}

static inline float largest_of_run(const float* x, int64_t n) {
    float most = -__builtin_inff();
    int64_t i = 0;
    if (n >= W) {
        F top = load(x);
        for (i = W; i + W <= n; i += W) top = max(top, load(x + i));
        most = largest(top);
    }
    for (; i < n; i++) most = x[i] > most ? x[i] : most;
    return most;
}

struct TopRoom {
    uint32_t* runs;
    uint32_t* numbers;
    Token* tokens;
    Token* others;

    static int64_t runs_in(int64_t size) { return (size + kTopRun - 1) / kTopRun; }
    static size_t bytes(int64_t size) { return 4 * static_cast<size_t>(runs_in(size) + size) + 16 * static_cast<size_t>(size) + 64; }
    static TopRoom in(uint8_t* at, int64_t size) {
        auto* tokens = reinterpret_cast<Token*>(at);
        auto* numbers = reinterpret_cast<uint32_t*>(tokens + 2 * size);
        return {numbers + size, numbers, tokens, tokens + size};
    }
};

// The `count` largest of a row, of equal ones the lowest ids: they are among those that reach the count-th largest of
// the runs' maxima, since as many runs hold one that does.
static void top_of_row(const float* x, int64_t size, int64_t count, const TopRoom& room, float* values, int64_t* ids) {
    const int64_t runs = TopRoom::runs_in(size);
    for (int64_t r = 0; r < runs; r++) {
        const int64_t first = r * kTopRun, n = size - first < kTopRun ? size - first : kTopRun;
        room.runs[r] = rising(largest_of_run(x + first, n));
    }
    const uint32_t reached = runs < count ? 0 : nth_largest(room.runs, runs, count);
    const float least = runs < count ? -__builtin_inff() : of_rising(reached);
    int64_t found = 0;
    for (int64_t r = 0; r < runs; r++) {
        if (room.runs[r] < reached) continue;
        const int64_t end = (r + 1) * kTopRun < size ? (r + 1) * kTopRun : size;
        for (int64_t i = r * kTopRun; i < end; i++)
            if (!(x[i] < least)) {
                room.numbers[found] = rising(x[i]);
                room.tokens[found++] = {rising(x[i]), static_cast<uint32_t>(i)};
            }
    }
    const uint32_t last = nth_largest(room.numbers, found, count);
    int64_t above = 0;
    for (int64_t i = 0; i < found; i++) above += room.numbers[i] > last;
    int64_t kept = 0, equal = count - above;
    for (int64_t i = 0; i < found && kept < count; i++)
        if (room.numbers[i] > last || (room.numbers[i] == last && equal-- > 0)) room.tokens[kept++] = room.tokens[i];
    sort_falling(room.tokens, room.others, kept);
    for (int64_t i = 0; i < kept; i++) {
        ids[i] = room.tokens[i].id;
        values[i] = x[ids[i]];
    }
}

static void top_rows(const void* arguments, const Step&, int64_t rows, const Worker& worker) {
    const Top& a = *static_cast<const Top*>(arguments);
    const Share share(rows, worker);
    const TopRoom room = TopRoom::in(worker.own, a.size);
    for (int64_t r = share.begin; r < share.end; r++)
        top_of_row(a.x.data + r * a.x.stride, a.size, a.count, room, a.values + r * a.count, a.ids + r * a.count);
}

static Need top_need(const void* arguments, const Step&, int64_t, int) {
    return {0, TopRoom::bytes(static_cast<const Top*>(arguments)->size)};
}

static inline F weight_of(F x, F best, F temperature) { return exponential(div(sub(x, best), temperature)); }

static void weigh_rows(const void* arguments, const Step&, int64_t rows, const Worker& worker) {
    const Weigh& a = *static_cast<const Weigh*>(arguments);
    const Share share(rows, worker);
    for (int64_t r = share.begin; r < share.end; r++) {
        const F best = set(a.best[r]), temperature = set(a.temperature[r]);
        over_row(a.size, [&](int64_t i, auto get, auto put) {
            put(a.out.data + r * a.out.stride + i, weight_of(get(a.x.data + r * a.x.stride + i), best, temperature));
        });
    }
}

// The sum of a run's weights as a whole number. Which numbers are added in which order is the same for every width of a
// vector: 16 sums side by side, then halves of those.
static inline double sum_of_run(const float* x, F best, F temperature) {
    F sums[kVectors];
    for (int v = 0; v < kVectors; v++) sums[v] = set(0.0f);
    for (int64_t i = 0; i < kSumRun; i += 16)
        for (int v = 0; v < kVectors; v++) sums[v] = add(sums[v], weight_of(load(x + i + W * v), best, temperature));
    float all[16];
    for (int v = 0; v < kVectors; v++) store(all + W * v, sums[v]);
    for (int half = 8; half > 0; half /= 2)
        for (int i = 0; i < half; i++) all[i] += all[i + half];
    constexpr double kRounds = 6755399441055744.0;  // 1.5 · 2^52 pushes the fraction out, ties to even
    return (static_cast<double>(all[0] * kWhole) + kRounds) - kRounds;
}

static void weight_sums(const void* arguments, const Step&, int64_t rows, const Worker& worker) {
    const WeightSums& a = *static_cast<const WeightSums*>(arguments);
    const int64_t runs = a.size / kSumRun + 1;
    const Share share(rows, worker);
    for (int64_t r = share.begin; r < share.end; r++) {
        const float* x = a.x.data + r * a.x.stride;
        const F best = set(a.best[r]), temperature = set(a.temperature[r]);
        double* sums = a.sums + r * runs;
        for (int64_t n = 0; n + 1 < runs; n++) sums[n] = sum_of_run(x + n * kSumRun, best, temperature);
        float rest[kSumRun];
        const int64_t first = (runs - 1) * kSumRun;
        for (int64_t i = 0; i < kSumRun; i++) rest[i] = first + i < a.size ? x[first + i] : -__builtin_inff();
        sums[runs - 1] = sum_of_run(rest, best, temperature);
    }
}

}  // namespace PELLUCID_ISA
