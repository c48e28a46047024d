#include "kv/slots.h"

#include <gtest/gtest.h>

namespace gyrator {
namespace {

TEST(Slots, LowestFreeIdFirst) {
  Slots slots(4);
  for (SlotId id = 0; id < 4; ++id) EXPECT_EQ(id, *slots.Acquire());
  const Status none = slots.Acquire().status();
  EXPECT_EQ(Code::kExhausted, none.code());
  EXPECT_EQ("slots", none.name());
  EXPECT_TRUE(slots.Release(2).ok());
  EXPECT_TRUE(slots.Release(1).ok());
  EXPECT_EQ(2, slots.num_free());
  EXPECT_EQ(1, *slots.Acquire());
  EXPECT_EQ(2, *slots.Acquire());
}

TEST(Slots, DoubleAndForeignReleasesAreTold) {
  Slots slots(2);
  ASSERT_EQ(0, *slots.Acquire());
  ASSERT_TRUE(slots.Release(0).ok());
  for (SlotId id : {0, 1, 2, -1}) {
    const Status status = slots.Release(id);
    EXPECT_EQ(Code::kInvalidArgument, status.code()) << id;
    EXPECT_NE(std::string::npos, status.message().find(std::to_string(id)));
  }
  EXPECT_EQ(2, slots.num_free());
}

TEST(Slots, ACapacityCostsNothingUntilItIsUsed) {
  Slots slots(INT32_MAX);
  EXPECT_EQ(INT32_MAX, slots.num_free());
  for (SlotId id = 0; id < 3; ++id) EXPECT_EQ(id, *slots.Acquire());
  EXPECT_TRUE(slots.Release(1).ok());
  EXPECT_EQ(INT32_MAX - 2, slots.num_free());
  EXPECT_FALSE(slots.IsHeld(1));
  EXPECT_FALSE(slots.IsHeld(INT32_MAX - 1));
  EXPECT_EQ(Code::kInvalidArgument, slots.Release(INT32_MAX - 1).code());
  EXPECT_EQ(1, *slots.Acquire());  // the lowest free one, not a fresh one
  EXPECT_EQ(3, *slots.Acquire());
}

}  // namespace
}  // namespace gyrator
