// A session's place in the pool; given back at destruction. Must not outlive its engine.
#pragma once

#include <utility>

#include "kv/slots.h"

namespace gyrator {

class EngineImpl;

class SessionSlot {
 public:
  SessionSlot(EngineImpl* engine, SlotId id) : engine_(engine), id_(id) {}
  ~SessionSlot() { Close(); }
  SessionSlot(SessionSlot&& other) noexcept
      : engine_(std::exchange(other.engine_, nullptr)), id_(other.id_) {}
  SessionSlot& operator=(SessionSlot&&) = delete;

  SlotId id() const { return id_; }

 private:
  void Close();

  EngineImpl* engine_;
  SlotId id_;
};

}  // namespace gyrator
