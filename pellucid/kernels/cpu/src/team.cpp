// How a tape gets its threads.
//
// The threads are those of torch's own OpenMP pool where there is one (Python hands us its entry points, see
// ../library.py): two pools in one process would spin against each other, each waiting for cores that the other
// burns. A whole tape is one parallel region, and between operations the threads meet at a spinning barrier: waking
// a sleeping thread costs more than a small operation takes.
//
// When another process takes one of our cores, every meeting waits until the scheduler gives it back. We notice
// (the meetings take much of the time) and run alone for a while, then try again.
#include "team.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "threads.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace pellucid {

using Clock = std::chrono::steady_clock;

static inline void relax() {
#if defined(__x86_64__)
    _mm_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

class Barrier {
  public:
    void meet(int count) {
        const uint32_t round = round_.load(std::memory_order_relaxed);
        if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == count) {
            arrived_.store(0, std::memory_order_relaxed);
            round_.store(round + 1, std::memory_order_release);
            return;
        }
        for (int spins = 0; round_.load(std::memory_order_acquire) == round; spins++) {
            relax();
            if (spins == kPatience) {
                wait_long(round);
                return;
            }
        }
    }
    int64_t nanoseconds_waited() const { return waited_.load(std::memory_order_relaxed); }

  private:
    static constexpr int kPatience = 4000;  // some 50 to 200 µs

    void wait_long(uint32_t round) {
        const auto start = Clock::now();
        while (round_.load(std::memory_order_acquire) == round) {
            for (int i = 0; i < 64; i++) relax();
            std::this_thread::yield();
        }
        waited_.fetch_add(std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - start).count());
    }

    alignas(64) std::atomic<int> arrived_{0};
    alignas(64) std::atomic<uint32_t> round_{0};
    alignas(64) std::atomic<int64_t> waited_{0};
};

void Worker::meet() const {
    if (count > 1) barrier->meet(count);
}

namespace {

OpenMp open_mp{};

// Threads of our own, for a process whose torch brings no OpenMP that we can share. They sleep between tapes.
class Pool {
  public:
    void run(int count, void (*body)(void*, int, int), void* data) {
        std::lock_guard<std::mutex> one_at_a_time(busy_);
        {
            std::lock_guard<std::mutex> lock(mutex_);
            while (static_cast<int>(threads_.size()) < count - 1) {
                const int id = static_cast<int>(threads_.size()) + 1;
                threads_.emplace_back([this, id] { serve(id); });
                threads_.back().detach();
            }
            body_ = body, data_ = data, count_ = count, left_ = count - 1, round_++;
        }
        wake_.notify_all();
        body(data, 0, count);
        std::unique_lock<std::mutex> lock(mutex_);
        done_.wait(lock, [this] { return left_ == 0; });
    }

  private:
    void serve(int id) {
        uint64_t seen = 0;
        std::unique_lock<std::mutex> lock(mutex_);
        for (;;) {
            wake_.wait(lock, [&] { return round_ != seen; });
            seen = round_;
            if (id >= count_) continue;
            const auto body = body_;
            void* data = data_;
            const int count = count_;
            lock.unlock();
            body(data, id, count);
            lock.lock();
            if (--left_ == 0) done_.notify_one();
        }
    }

    std::mutex busy_, mutex_;
    std::condition_variable wake_, done_;
    std::vector<std::thread> threads_;
    void (*body_)(void*, int, int) = nullptr;
    void* data_ = nullptr;
    int count_ = 0, left_ = 0;
    uint64_t round_ = 0;
};

struct Region {
    void (*body)(void*, int, int);
    void* data;
};

void openmp_entry(void* pointer) {
    const Region& region = *static_cast<Region*>(pointer);
    region.body(region.data, open_mp.thread_number(), open_mp.thread_count());
}

// Whether to trust the other cores. Waits that make up a third of the time say that somebody else is on one of
// them: two threads that wait half of the time are as slow as one, and one leaves the core to whom it belongs. But if
// the same work then takes no less time alone, running together was right, and is not judged again for a while.
class Company {
  public:
    int wanted(int most) {
        if (most < 2 || Clock::now() >= alone_until_) return most;
        return 1;
    }
    void ran_together(uint64_t work, int64_t waited, int64_t took) {
        together_.add(work, took);
        waited_ += waited;
        if (together_.took < kWatched) return;
        const bool stalled = waited_ * 3 > together_.took && Clock::now() >= trusted_until_;
        waited_ = 0;
        if (!stalled) {
            together_ = {};
            patience_ = kShortest;
            return;
        }
        before_ = together_;
        together_ = alone_ = {};
        alone_until_ = Clock::now() + patience_;
        if (patience_ < kLongest) patience_ *= 2;
    }
    void ran_alone(uint64_t work, int64_t took) {
        if (Clock::now() >= alone_until_) return;
        alone_.add(work, took);
        if (alone_.took < kWatched || !before_.compares(alone_)) return;
        if (alone_.pace() > 0.9 * before_.pace()) {
            alone_until_ = {};
            trusted_until_ = Clock::now() + kLongest;
        }
        before_ = {};
    }

  private:
    // Runs of one and the same work; other work in between makes it no measure.
    struct Runs {
        uint64_t work = 0;
        int64_t runs = 0, took = 0;
        bool mixed = false;

        void add(uint64_t of, int64_t nanoseconds) {
            mixed = mixed || (runs && of != work);
            work = of, runs++, took += nanoseconds;
        }
        bool compares(const Runs& other) const { return runs && !mixed && !other.mixed && work == other.work; }
        double pace() const { return static_cast<double>(took) / static_cast<double>(runs); }
    };

    // ns of work that are judged together: long beside the few ms after a pause in which the system has both
    // threads on one core before it moves one of them
    static constexpr int64_t kWatched = 60'000'000;
    static constexpr std::chrono::milliseconds kShortest{100}, kLongest{3200};
    Clock::time_point alone_until_{}, trusted_until_{};
    std::chrono::milliseconds patience_ = kShortest;
    int64_t waited_ = 0;
    Runs together_, before_, alone_;
};

thread_local Company company;

}  // namespace

void share_openmp(const OpenMp& functions) { open_mp = functions; }

bool shares_openmp() { return open_mp.parallel != nullptr; }

int threads_to_use(int most) { return company.wanted(most); }

void run_team(int count, uint64_t work, void (*body)(void*, const Worker&), void* data, uint8_t* shared,
              uint8_t* own, size_t own_bytes) {
    struct Job {
        void (*body)(void*, const Worker&);
        void* data;
        uint8_t *shared, *own;
        size_t own_bytes;
        Barrier barrier;
    } job{body, data, shared, own, own_bytes, {}};
    const auto entry = [](void* pointer, int id, int workers) {
        Job& j = *static_cast<Job*>(pointer);
        j.body(j.data, Worker{id, workers, &j.barrier, j.shared, j.own + static_cast<size_t>(id) * j.own_bytes});
    };
    const auto start = Clock::now();
    const auto took = [start] {
        return std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - start).count();
    };
    if (count < 2) {
        entry(&job, 0, 1);
        return company.ran_alone(work, took());
    }
    if (open_mp.parallel) {
        Region region{entry, &job};
        open_mp.parallel(openmp_entry, &region, static_cast<unsigned>(count), 0);
    } else {
        static Pool& pool = *new Pool;  // never destroyed: its threads may outlive the library's statics
        pool.run(count, entry, &job);
    }
    company.ran_together(work, job.barrier.nanoseconds_waited() / (count - 1), took());
}

}  // namespace pellucid
