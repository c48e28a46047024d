#include "kv/block_pool.h"

#include <string>

#include "base/check.h"

namespace gyrator {

BlockPool::BlockPool(uint32_t num_blocks) : num_blocks_(num_blocks) {
  GYRATOR_CHECK(num_blocks > 0);
}

Status BlockPool::Allocate(uint32_t count, std::vector<uint32_t>* out) {
  if (count > num_free()) {
    return Status::Exhausted("kv pool: " + std::to_string(count) + " blocks wanted, " +
                             std::to_string(num_free()) + " of " + std::to_string(num_blocks()) +
                             " are free")
        .Named("kv_pool");
  }
  for (uint32_t i = 0; i < count; ++i) {
    auto block = static_cast<uint32_t>(num_refs_.size());
    if (returned_.empty()) {
      num_refs_.push_back(1);
    } else {
      block = returned_.top();
      returned_.pop();
      num_refs_[block] = 1;
    }
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
    if (--num_refs_[block] == 0) returned_.push(block);
  }
}

}  // namespace gyrator
