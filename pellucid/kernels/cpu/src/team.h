// The threads of one run of a tape: who I am, how many we are, where we meet.
#pragma once
#include <stddef.h>
#include <stdint.h>

namespace pellucid {

class Barrier;

// One thread of a running tape. `shared` is room that all see, `own` this thread's; both were made large enough
// for every operation of the tape before it began.
struct Worker {
    int id, count;
    Barrier* barrier;
    uint8_t* shared;
    uint8_t* own;

    void meet() const;  // wait until every thread of the team is here
};

// Even shares of `total` units, as the range of one worker.
struct Share {
    int64_t begin, end;
    Share(int64_t total, const Worker& w)
        : begin(total * w.id / w.count), end(total * (w.id + 1) / w.count) {}
};

}  // namespace pellucid
