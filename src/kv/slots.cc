#include "kv/slots.h"

#include <string>

#include "base/check.h"

namespace gyrator {

Slots::Slots(int32_t capacity) : held_(static_cast<size_t>(capacity), false) {
  GYRATOR_CHECK(capacity >= 0);
  for (SlotId slot = 0; slot < capacity; ++slot) free_.push(slot);
}

Result<SlotId> Slots::Acquire() {
  if (free_.empty()) {
    return Status::Exhausted("no free slot: all " + std::to_string(capacity()) +
                             " are held; release a session or make room for more")
        .Named("slots");
  }
  const SlotId slot = free_.top();
  free_.pop();
  held_[static_cast<size_t>(slot)] = true;
  return slot;
}

Status Slots::Release(SlotId slot) {
  if (slot < 0 || slot >= capacity()) {
    return Status::InvalidArgument("slot " + std::to_string(slot) + ": 0 to " +
                                   std::to_string(capacity() - 1) + " expected")
        .Named("slot");
  }
  if (!IsHeld(slot)) {
    return Status::InvalidArgument("slot " + std::to_string(slot) + ": released already")
        .Named("slot");
  }
  held_[static_cast<size_t>(slot)] = false;
  free_.push(slot);
  return {};
}

}  // namespace gyrator
