// Scripts alone: each in a process of its own, in an engine that has room for it.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "gyrator/model.h"
#include "tests/schedules/script.h"

namespace gyrator {

// Which scripts: a model, a compute type, and what they are drawn from.
struct Cast {
  std::string model;
  ComputeType compute = ComputeType::kF32;
  uint64_t seed = 1;

  std::string name() const;  // "1/llama3/f32"
  std::vector<Script> Scripts() const;
};

using Lines = std::vector<std::string>;  // what Player says of each turn

// The child: plays one script and prints its lines. The exit code of the process.
int PlayAlone(const Cast& cast, int32_t number);

// The parent: has each of these scripts played in a new process of this program,
//   --alone MODEL COMPUTE NUMBER --seed=N
// and gives their lines. One that fails has none, and fails the test.
std::map<int32_t, Lines> PlayEachAlone(const Cast& cast, const std::set<int32_t>& numbers);

}  // namespace gyrator
