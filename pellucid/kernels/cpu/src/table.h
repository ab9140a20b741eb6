// One instruction set's reading of every operation.
#pragma once
#include "operations.h"
#include "team.h"

namespace pellucid {

struct Need {  // bytes of room
    size_t shared, own;
};

struct Table {
    const char* name;
    void (*run[static_cast<int>(Kind::kCount)])(const void* arguments, const Step& step, int64_t rows, const Worker& worker);
    Need (*need[static_cast<int>(Kind::kCount)])(const void* arguments, const Step& step, int64_t rows, int workers);
};

}  // namespace pellucid
