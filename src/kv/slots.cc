#include "kv/slots.h"

#include <string>

#include "base/check.h"

namespace gyrator {

Slots::Slots(int32_t capacity) : capacity_(capacity) { GYRATOR_CHECK(capacity >= 0); }

Result<SlotId> Slots::Acquire() {
  if (returned_.empty() && std::ssize(held_) < capacity_) {
    held_.push_back(true);
    return static_cast<SlotId>(held_.size() - 1);
  }
  if (returned_.empty()) {
    return Status::Exhausted("no free slot: all " + std::to_string(capacity()) +
                             " are held; release a session or make room for more")
        .Named("slots");
  }
  const SlotId slot = returned_.top();
  returned_.pop();
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
  returned_.push(slot);
  return {};
}

}  // namespace gyrator
