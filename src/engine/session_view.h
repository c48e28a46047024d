// How a session's cache stood when its last request ended: what the session says of itself until
// the next one ends.
//
// A value of its own. The engine thread goes on to change the cache during a request; the view
// keeps what it showed. Logits and window are shared with the cache until those change.
#pragma once

#include <memory>
#include <vector>

#include "engine/session_cache.h"
#include "engine/window.h"
#include "gyrator/types.h"

namespace gyrator {

struct SessionView {
  std::vector<TokenId> tokens = {};                                         // of the window
  std::shared_ptr<const Window> window = std::make_shared<const Window>();  // never null
  SharedLogits logits = std::make_shared<std::vector<float>>();  // [vocab], or empty; never null
};

}  // namespace gyrator
