#include "snapshot/manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/sha256.h"
#include "snapshot/stamp.h"

namespace gyrator {
namespace {

const std::string kDigest(64, 'a');

// The lines with the root line that they deserve.
std::string WithRoot(const std::string& lines) {
  return lines + "root " + HexText(Sha256Of(AsBytes(lines))) + "\n";
}

TEST(Manifest, IsSortedAndGoesBothWays) {
  const Manifest manifest = Manifest::FromEntries({{"b", 2, kDigest}, {"a/x.npy", 1, kDigest}});
  const std::string text = kDigest + " 1 a/x.npy\n" + kDigest + " 2 b\n";
  EXPECT_EQ(manifest.Serialize(), WithRoot(text));
  const auto parsed = Manifest::Parse(manifest.Serialize());
  ASSERT_TRUE(parsed.ok());
  EXPECT_EQ(parsed->root(), manifest.root());
  EXPECT_EQ(parsed->total_bytes(), 3u);
  EXPECT_EQ(parsed->Find("b")->bytes, 2u);
  EXPECT_EQ(parsed->Find("c"), nullptr);
}

TEST(Manifest, ThereIsOneTextForAList) {
  const std::string good = kDigest + " 1 a\n";
  ASSERT_TRUE(Manifest::Parse(WithRoot(good)).ok());
  for (const std::string& lines :
       {kDigest + " 01 a\n", kDigest + " +1 a\n", kDigest + "  1 a\n", kDigest + " 1 a \n",
        kDigest + " 18446744073709551616 a\n", kDigest + " 1 ../a\n", kDigest + " 1 /a\n",
        kDigest + " 1 a/./b\n", kDigest + " 1 a//b\n", kDigest + " 1 .hidden\n",
        kDigest + " 1 a\n" + kDigest + " 1 a\n", kDigest + " 1 b\n" + kDigest + " 1 a\n",
        std::string(64, 'A') + " 1 a\n", std::string(63, 'a') + " 1 a\n", kDigest + " 1\n",
        std::string("\n")}) {
    const auto parsed = Manifest::Parse(WithRoot(lines));
    EXPECT_EQ(parsed.status().name(), "manifest_mismatch") << lines;
  }
  for (const std::string& text :
       {std::string(), good, WithRoot(good) + "x", WithRoot(good) + "\n",
        good + "root " + kDigest + "\n", good + "root\n", "root " + kDigest + "\n"}) {
    EXPECT_EQ(Manifest::Parse(text).status().name(), "manifest_mismatch") << text;
  }
}

TEST(Stamp, FollowsThePatternOfTheSeeds) {
  EXPECT_EQ(StampName(1'763'708'585'123'456'789, 0), "m11d21x7x3x5");
  EXPECT_EQ(StampName(1'763'708'585'123'456'789, 12), "m11d21x7x3x5x12");
  for (const char* name : {"m7d5x17x24x52", "m30d2x15x23x48x10", "m1d1x0x0x0"}) {
    EXPECT_TRUE(IsStamp(name)) << name;
  }
  for (const char* name : {"", "m", "m1d1x0x0", "m1d1x0x0x0x", "m1d1x0x0x0/..", "n1d1x0x0x0",
                           "m1d1x0x0x-1", " m1d1x0x0x0", ".tmp-m1d1x0x0x0"}) {
    EXPECT_FALSE(IsStamp(name)) << name;
  }
  EXPECT_FALSE(IsStamp("m1d1x0x0x" + std::string(60, '1')));
}

TEST(Stamp, NaturalOrderComparesNumbers) {
  const char* ordered[] = {
      "a", "m9d1x0x0x0", "m10d1x0x0x0", "m10d1x0x0x0x2", "m10d1x0x0x0x10", "m010d2x0x0x0", "n"};
  for (size_t i = 0; i < std::size(ordered); ++i) {
    for (size_t j = 0; j < std::size(ordered); ++j) {
      EXPECT_EQ(NaturalLess(ordered[i], ordered[j]), i < j) << ordered[i] << " " << ordered[j];
    }
  }
}

}  // namespace
}  // namespace gyrator
