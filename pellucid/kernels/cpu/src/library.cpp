// The library's face, plain C: choose an instruction set, run a tape.
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <new>

#include "table.h"
#include "threads.h"

#define PELLUCID_TABLE(isa)        \
    namespace isa {                \
    extern const pellucid::Table table; \
    }
PELLUCID_TABLE(isa_plain)
#if defined(__x86_64__)
PELLUCID_TABLE(isa_avx2)
PELLUCID_TABLE(isa_avx2_vnni)
PELLUCID_TABLE(isa_avx512)
PELLUCID_TABLE(isa_avx512_vnni)
#elif defined(__aarch64__)
PELLUCID_TABLE(isa_neon)
PELLUCID_TABLE(isa_neon_dotprod)
#if defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif
#endif

namespace pellucid {
namespace {

struct Path {
    const Table* table;
    bool runs;  // on this processor
};

#if defined(__x86_64__)
bool has_avx_vnni() {  // compilers that lack the name for it still know the question (leaf 7, subleaf 1, EAX bit 4)
    unsigned a = 7, b, c = 1, d;
    asm volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    return a >> 4 & 1;
}
#endif

// Best first.
const Path* paths() {
#if defined(__x86_64__)
    __builtin_cpu_init();
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
    const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    static const Path all[] = {
        {&isa_avx512_vnni::table, avx512 && __builtin_cpu_supports("avx512vnni")},
        {&isa_avx2_vnni::table, avx2 && has_avx_vnni()},
        {&isa_avx512::table, avx512},
        {&isa_avx2::table, avx2},
        {&isa_plain::table, true},
        {nullptr, false},
    };
#elif defined(__aarch64__)
#if defined(__linux__)
    const bool dotprod = (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0;
#else
    const bool dotprod = true;  // every Apple processor that runs AArch64 macOS
#endif
    static const Path all[] = {
        {&isa_neon_dotprod::table, dotprod},
        {&isa_neon::table, true},
        {&isa_plain::table, true},
        {nullptr, false},
    };
#else
    static const Path all[] = {{&isa_plain::table, true}, {nullptr, false}};
#endif
    return all;
}

const Table* choose() {
    for (const Path* p = paths(); p->table; p++)
        if (p->runs) return p->table;
    return nullptr;
}

const Table*& chosen() {
    static const Table* table = choose();
    return table;
}

// Room of one calling thread, kept from run to run.
class Scratch {
  public:
    ~Scratch() { std::free(room_); }
    uint8_t* at_least(size_t bytes) {
        if (bytes > size_) {
            std::free(room_);
            size_ = (bytes + bytes / 4 + 4095) / 4096 * 4096;
            room_ = static_cast<uint8_t*>(std::aligned_alloc(4096, size_));
            if (!room_) size_ = 0;
        }
        return room_;
    }

  private:
    uint8_t* room_ = nullptr;
    size_t size_ = 0;
};

struct Run {
    const Operation* operations;
    int64_t count;
    const Step* step;
    const Table* table;
    double* seconds;  // of each operation, or null
};

void play(void* data, const Worker& worker) {
    const Run& run = *static_cast<const Run*>(data);
    using Clock = std::chrono::steady_clock;
    auto before = Clock::now();
    for (int64_t i = 0; i < run.count; i++) {
        const Operation& o = run.operations[i];
        run.table->run[static_cast<int>(o.kind)](o.arguments, *run.step, run.step->rows[o.rows_of], worker);
        worker.meet();
        if (run.seconds && worker.id == 0) {
            const auto now = Clock::now();
            run.seconds[i] += std::chrono::duration<double>(now - before).count();
            before = now;
        }
    }
}

size_t line(size_t bytes) { return (bytes + 127) / 128 * 128; }

}  // namespace
}  // namespace pellucid

using namespace pellucid;

#pragma GCC visibility push(default)
extern "C" {

// Counts up when Python and this library must change together in a way that no size shows.
int64_t pellucid_version() { return 2; }

// The size of a struct of operations.h, by the number of its Kind, and of Step and Operation after them: so that
// Python can check its mirror of them.
size_t pellucid_size_of(int64_t kind) {
    static const size_t sizes[] = {sizeof(Product),   sizeof(NormRows), sizeof(Rotary), sizeof(Store),
                                   sizeof(RotaryStore), sizeof(Attention), sizeof(Embedding), sizeof(Add),
                                   sizeof(Scale),     sizeof(Activate), sizeof(Gate),   sizeof(Gather),
                                   sizeof(Top),       sizeof(Weigh),    sizeof(WeightSums),
                                   sizeof(Step),      sizeof(Operation)};
    return kind >= 0 && kind < static_cast<int64_t>(sizeof sizes / sizeof *sizes) ? sizes[kind] : 0;
}

// The name of the i-th path this library was built with, best first, or null; `runs`: whether this processor can.
const char* pellucid_path(int64_t i, int32_t* runs) {
    for (const Path* p = paths(); p->table; p++)
        if (i-- == 0) return *runs = p->runs, p->table->name;
    return nullptr;
}

const char* pellucid_chosen_path() { return chosen()->name; }

// For tests and measurements. False where there is no such path or the processor cannot run it.
bool pellucid_choose_path(const char* name) {
    for (const Path* p = paths(); p->table; p++)
        if (p->runs && !std::strcmp(p->table->name, name)) return chosen() = p->table, true;
    return false;
}

void pellucid_share_openmp(void* parallel, void* thread_number, void* thread_count) {
    OpenMp functions;
    std::memcpy(&functions.parallel, &parallel, sizeof parallel);
    std::memcpy(&functions.thread_number, &thread_number, sizeof parallel);
    std::memcpy(&functions.thread_count, &thread_count, sizeof parallel);
    share_openmp(functions);
}

// Runs the operations in order on up to `threads` threads; false when there was no memory to do it in.
bool pellucid_run(const Operation* operations, int64_t count, const Step* step, int64_t threads, double* seconds) {
    static thread_local Scratch scratch;
    const int workers = threads_to_use(static_cast<int>(threads));
    Run run{operations, count, step, chosen(), seconds};
    size_t shared = 0, own = 0;
    for (int64_t i = 0; i < count; i++) {
        const Operation& o = operations[i];
        const Need need = run.table->need[static_cast<int>(o.kind)](o.arguments, *step, step->rows[o.rows_of], workers);
        shared = need.shared > shared ? need.shared : shared;
        own = need.own > own ? need.own : own;
    }
    shared = line(shared), own = line(own);
    uint8_t* room = scratch.at_least(shared + own * static_cast<size_t>(workers) + 128);
    if (!room) return false;
    const uint64_t work = reinterpret_cast<uintptr_t>(operations) + static_cast<uint64_t>(step->rows[0]);
    run_team(workers, work, play, &run, room, room + shared, own);
    return true;
}

}  // extern "C"
#pragma GCC visibility pop
