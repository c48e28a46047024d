#include "base/wall.h"

#include <gtest/gtest.h>

#include <exception>

namespace gyrator {
namespace {

// What comes through the wall when this is what is made.
template <class Exception>
Status Thrown(const Exception& exception) {
  return BehindWall("the list of all", [&]() -> Status {
    std::rethrow_exception(std::make_exception_ptr(exception));
  });
}

TEST(Wall, WhatIsMadeComesThrough) {
  const auto made = BehindWall("a list", [] { return Result<int>(7); });
  ASSERT_TRUE(made.ok());
  EXPECT_EQ(7, *made);
  const Status status = BehindWall("a list", [] { return Status::NotFound("nothing there"); });
  EXPECT_EQ(Code::kNotFound, status.code());
  EXPECT_EQ("nothing there", status.message());
}

TEST(Wall, ARefusalOfTheSystemIsExhaustedAndNamesWhatWasWanted) {
  const Status cases[] = {
      Thrown(std::bad_alloc()),
      Thrown(std::length_error("too long")),
      Thrown(std::system_error(std::make_error_code(std::errc::resource_unavailable_try_again))),
  };
  for (const Status& status : cases) {
    EXPECT_EQ(Code::kExhausted, status.code());
    EXPECT_TRUE(status.message().starts_with("the list of all: ")) << status.message();
  }
}

TEST(Wall, OtherExceptionsPass) {
  EXPECT_THROW((void)Thrown(std::runtime_error("not memory")), std::runtime_error);
}

}  // namespace
}  // namespace gyrator
