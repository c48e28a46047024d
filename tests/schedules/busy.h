// One random schedule: scripts played on the sessions of a crowded pool, compared turn by turn with
// what they said alone.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "gyrator/engine.h"
#include "tests/schedules/alone.h"
#include "tests/schedules/script.h"

namespace gyrator {

// A script of a schedule. One may be there twice.
struct Part {
  const Script* script = nullptr;
  int32_t parent = -1;  // the part that it is a fork of
  int32_t client = 0;   // who plays it: that of its parent
};

struct Schedule {
  std::string name;  // "1/llama3/f32/schedule 7"
  EngineOptions options;
  int32_t clients = 1;  // threads; with one, the same schedule does the same again
  std::vector<Part> parts;
};

// Schedule `number` begins with script number % kScripts.
Schedule DrawSchedule(const Cast& cast, const std::vector<Script>& scripts, int32_t number);

struct Counts {
  uint64_t schedules = 0, sessions = 0, turns = 0, forks = 0, cancelled = 0, refused = 0;
  uint64_t swapped = 0;  // sessions that were parked, all of them to a swap file
  EngineStats engine;    // those of its counters that ToString tells
  void Add(const Counts& other);
  std::string ToString() const;
};

struct Played {
  Counts counts;
  std::vector<std::string> differences;
};

Played Play(const Schedule& schedule, const std::shared_ptr<const Model>& model,
            const std::map<int32_t, Lines>& alone);

}  // namespace gyrator
