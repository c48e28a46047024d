#include "base/sha256.h"

#include <gtest/gtest.h>

namespace gyrator {
namespace {

// Vectors of FIPS 180-4.
TEST(Sha256, StandardVectors) {
  EXPECT_EQ("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            HexText(Sha256Of({})));
  EXPECT_EQ("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            HexText(Sha256Of(AsBytes("abc"))));
}

TEST(Sha256, PiecesGiveTheDigestOfTheWhole) {
  Sha256 hash;
  hash.Update(AsBytes("a"));
  hash.Update({});
  hash.Update(AsBytes("bc"));
  EXPECT_EQ(HexText(Sha256Of(AsBytes("abc"))), HexText(hash.Finish()));
}

}  // namespace
}  // namespace gyrator
