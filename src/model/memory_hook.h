// The one way in which learned memory enters a layer.
#pragma once

#include <cstdint>

namespace gyrator {

class MemoryHook {
 public:
  virtual ~MemoryHook() = default;
  // Called after the attention residual of each layer. `hidden` [num_rows, hidden] is changed in
  // place; a row may depend only on itself and on earlier positions of its sequence.
  virtual void OnLayer(int32_t layer, float* hidden, int64_t num_rows) = 0;
};

}  // namespace gyrator
