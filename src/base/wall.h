// The wall between what throws when the system has no memory or no thread left, and callers that
// expect a status.
#pragma once

#include <new>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>

#include "gyrator/status.h"

namespace gyrator {

// Gives what `make` gives, a Status or a Result. kExhausted, naming `what`, when the system refuses
// memory or a thread to it.
template <class Make>
auto BehindWall(std::string_view what, const Make& make) -> decltype(make()) {
  try {
    return make();
  } catch (const std::bad_alloc&) {
    return Status::Exhausted(std::string(what) + ": the system has no memory for it");
  } catch (const std::length_error&) {
    return Status::Exhausted(std::string(what) + ": larger than any memory");
  } catch (const std::system_error& error) {
    return Status::Exhausted(std::string(what) + ": the system refuses it: " + error.what());
  }
}

}  // namespace gyrator
