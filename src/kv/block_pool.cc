#include "kv/block_pool.h"

#include <string>

#include "base/check.h"

namespace gyrator {

BlockPool::BlockPool(uint32_t num_blocks) : num_refs_(num_blocks, 0) {
  GYRATOR_CHECK(num_blocks > 0);
  std::vector<uint32_t> ids(num_blocks);
  for (uint32_t i = 0; i < num_blocks; ++i) ids[i] = i;
  free_ = decltype(free_)(std::greater<>(), std::move(ids));
}

Status BlockPool::Allocate(uint32_t count, std::vector<uint32_t>* out) {
  if (count > num_free()) {
    return Status::Exhausted("kv pool: " + std::to_string(count) + " blocks wanted, " +
                             std::to_string(num_free()) + " of " + std::to_string(num_blocks()) +
                             " are free")
        .Named("kv_pool");
  }
  for (uint32_t i = 0; i < count; ++i) {
    const uint32_t block = free_.top();
    free_.pop();
    num_refs_[block] = 1;
    out->push_back(block);
  }
  return {};
}

void BlockPool::Share(std::span<const uint32_t> blocks) {
  for (uint32_t block : blocks) {
    GYRATOR_CHECK(block < num_refs_.size() && num_refs_[block] > 0);
    ++num_refs_[block];
  }
}

void BlockPool::Release(std::span<const uint32_t> blocks) {
  for (uint32_t block : blocks) {
    GYRATOR_CHECK(block < num_refs_.size() && num_refs_[block] > 0);
    if (--num_refs_[block] == 0) free_.push(block);
  }
}

}  // namespace gyrator
