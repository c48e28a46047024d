// Places of sequences in a pool, lowest free id first, so that a run is reproducible.
//
// Knows ids alone. Its memory grows with the slots that were ever held at once, not with the
// capacity. Engine thread only.
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

  int32_t capacity() const { return capacity_; }
  int32_t num_free() const {
    return capacity_ - static_cast<int32_t>(held_.size() - returned_.size());
  }
  bool IsHeld(SlotId slot) const {
    return slot >= 0 && slot < std::ssize(held_) && held_[static_cast<size_t>(slot)];
  }

 private:
  int32_t capacity_;
  std::vector<bool> held_;  // [slots that were ever handed out]
  // Slots below held_.size() that are free; they go first, so that the lowest free one is taken.
  std::priority_queue<SlotId, std::vector<SlotId>, std::greater<>> returned_;
};

}  // namespace gyrator
