// Places of sequences in a pool, lowest free id first, so that a run is reproducible.
//
// Knows ids alone. Engine thread only.
#pragma once

#include <cstdint>
#include <queue>
#include <vector>

#include "gyrator/status.h"

namespace gyrator {

using SlotId = int32_t;

class Slots {
 public:
  // REQUIRES: capacity >= 0.
  explicit Slots(int32_t capacity);

  // kExhausted "slots" names the capacity.
  Result<SlotId> Acquire();
  // kInvalidArgument "slot": never handed out (foreign) or not held any more (double release).
  Status Release(SlotId slot);

  int32_t capacity() const { return static_cast<int32_t>(held_.size()); }
  int32_t num_free() const { return static_cast<int32_t>(free_.size()); }
  bool IsHeld(SlotId slot) const {
    return slot >= 0 && slot < capacity() && held_[static_cast<size_t>(slot)];
  }

 private:
  std::vector<bool> held_;  // [capacity]
  std::priority_queue<SlotId, std::vector<SlotId>, std::greater<>> free_;
};

}  // namespace gyrator
