// What copy-on-write needs of whoever owns the bytes of the blocks.
#pragma once

#include <cstdint>

namespace gyrator {

class BlockBytes {
 public:
  virtual ~BlockBytes() = default;
  // Makes block `to` equal to block `from`, all layers. Engine thread only.
  virtual void Copy(uint32_t from, uint32_t to) = 0;
};

}  // namespace gyrator
