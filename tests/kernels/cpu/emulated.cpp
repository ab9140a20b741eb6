// Plays operations that arrive on standard input and answers with the memory they worked on: how the kernels of
// another processor are tested under its emulator (see emulated.py, which speaks to it).
//
// All numbers are int64. A request: kind, rows, sequences, threads, bytes of the arguments, pointers in them,
// stretches of memory; the arguments; for each pointer: its place in the arguments, which memory, how far into
// it; for each memory: its size and its bytes. The answer: the bytes of every memory.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <vector>

#include "operations.h"

using namespace pellucid;

extern "C" bool pellucid_run(const Operation*, int64_t, const Step*, int64_t, double*);
extern "C" bool pellucid_choose_path(const char*);

static bool read_all(void* to, size_t bytes) { return bytes == 0 || fread(to, 1, bytes, stdin) == bytes; }

int main(int, char** arguments) {
    if (!pellucid_choose_path(arguments[1])) return 2;
    int64_t header[7];
    while (read_all(header, sizeof header)) {
        const auto [kind, rows, sequences, threads, size, pointers, memories] = header;
        std::vector<int64_t> structure((size + 7) / 8), places(3 * pointers);
        std::vector<std::vector<int64_t>> memory(memories);
        read_all(structure.data(), size);
        read_all(places.data(), 8 * places.size());
        for (auto& m : memory) {
            int64_t bytes;
            read_all(&bytes, 8);
            m.resize((bytes + 7) / 8 + 1);
            m.back() = bytes;
            read_all(m.data(), bytes);
        }
        for (int64_t i = 0; i < pointers; i++) {
            char* address = reinterpret_cast<char*>(memory[places[3 * i + 1]].data()) + places[3 * i + 2];
            memcpy(reinterpret_cast<char*>(structure.data()) + places[3 * i], &address, 8);
        }
        const Operation operation{static_cast<Kind>(kind), 0, structure.data()};
        const Step step{{rows, rows}, sequences};
        if (!pellucid_run(&operation, 1, &step, threads, nullptr)) return 3;
        for (auto& m : memory) fwrite(m.data(), 1, m.back(), stdout);
        fflush(stdout);
    }
}
