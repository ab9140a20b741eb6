// Running a function on several threads at once.
#pragma once
#include "team.h"

namespace pellucid {

// The entry points of a process's OpenMP library (GNU's interface, which LLVM's also has on Linux).
struct OpenMp {
    void (*parallel)(void (*body)(void*), void* data, unsigned threads, unsigned flags);
    int (*thread_number)();
    int (*thread_count)();
};

void share_openmp(const OpenMp& functions);
bool shares_openmp();

// How many threads a run should take now: `most`, or one while another process holds a core of ours.
int threads_to_use(int most);

// Runs `body` on `count` threads and returns when all are done. Each gets `own_bytes` of `own`. `work` names what is
// done: two runs of one name can be compared by the time they take.
void run_team(int count, uint64_t work, void (*body)(void*, const Worker&), void* data, uint8_t* shared,
              uint8_t* own, size_t own_bytes);

}  // namespace pellucid
