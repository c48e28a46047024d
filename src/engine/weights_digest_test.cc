// A digest names the bytes that are computed with, whatever becomes of the file and its path.
#include "engine/weights_digest.h"

#include <gtest/gtest.h>

#include "base/sha256.h"
#include "engine/digest_cache.h"
#include "engine/weights_testing.h"

namespace gyrator {
namespace {

constexpr int64_t kWeights = 5000;  // bytes

// A model of one file: what LoadedDigest needs of one, and how often it was hashed.
struct Loaded {
  explicit Loaded(const std::string& path, const std::string& cache = {}) {
    auto file = MappedFile::Open(path);
    EXPECT_TRUE(file.ok()) << file.status().ToString();
    mapped = std::make_shared<const MappedFile>(*std::move(file));
    tensors.AddFile(mapped);
    TensorIndex::Entry entry{"weights", {}, {}};
    entry.view.dtype = DType::kU8;
    entry.view.shape = {kWeights};
    entry.view.bytes = mapped->bytes().first(kWeights);
    EXPECT_TRUE(tensors.Add(std::move(entry)).ok());
    digest = std::make_unique<LoadedDigest>(&tensors, cache);
  }

  std::string HashNow() const { return HexText(Sha256Of(mapped->bytes().first(kWeights))); }
  LoadedDigest::HashFn Hash() {
    return [this] {
      ++hashed;
      return HashNow();
    };
  }
  Result<std::string> Get() { return digest->Get(Hash()); }

  std::shared_ptr<const MappedFile> mapped;
  TensorIndex tensors;
  std::unique_ptr<LoadedDigest> digest;
  int hashed = 0;
};

class WeightsDigestTest : public testing::Test {
 protected:
  WeightsDigestTest() {
    WriteAllOf(path_, old_);
    WriteAllOf(folder_ + "/other", new_);
    WaitForTick(folder_ + "/other");
  }

  static void ExpectChanged(const Result<std::string>& digest) {
    EXPECT_EQ(Code::kMismatch, digest.status().code());
    EXPECT_EQ("model_changed", digest.status().name()) << digest.status().ToString();
  }
  static std::string DigestOf(const std::string& bytes) {
    return HexText(Sha256Of(AsBytes(bytes)));
  }

  const std::string old_ = std::string(kWeights, 'o'), new_ = std::string(kWeights, 'n');
  const std::string folder_ = FreshFolder();
  const std::string path_ = folder_ + "/model";
  const std::string cache_ = folder_ + "/digests";
};

TEST_F(WeightsDigestTest, AModelObjectIsHashedOnceWithoutACache) {
  Loaded model(path_);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(DigestOf(old_), *model.Get());
  EXPECT_EQ(1, model.hashed);
}

TEST_F(WeightsDigestTest, IsKnownWhenItWasHashedOrCachedForTheseBytes) {
  Loaded alone(path_);
  EXPECT_EQ(std::nullopt, alone.digest->Known());
  ASSERT_TRUE(alone.Get().ok());
  EXPECT_EQ(DigestOf(old_), alone.digest->Known());
  EXPECT_EQ(std::nullopt, Loaded(path_, cache_).digest->Known());
  ASSERT_TRUE(Loaded(path_, cache_).Get().ok());
  Loaded cached(path_, cache_);
  EXPECT_EQ(DigestOf(old_), cached.digest->Known());
  EXPECT_EQ(0, cached.hashed);
  OverwriteInPlace(path_, 100, "changed");
  EXPECT_EQ(DigestOf(old_), cached.digest->Known());
  EXPECT_EQ(std::nullopt, Loaded(path_, cache_).digest->Known());
}

TEST_F(WeightsDigestTest, ACachedModelIsNotHashed) {
  Loaded first(path_, cache_);
  ASSERT_TRUE(first.Get().ok());
  Loaded second(path_, cache_);
  EXPECT_EQ(DigestOf(old_), *second.Get());
  EXPECT_EQ(0, second.hashed);
}

// Another file comes into the place of the mapped one, which lives on without a name.
TEST_F(WeightsDigestTest, AFileThatIsReplacedKeepsItsDigestAndGivesItToNoOther) {
  Loaded model(path_, cache_);
  ASSERT_TRUE(model.Get().ok());
  std::filesystem::rename(folder_ + "/other", path_);
  EXPECT_EQ(DigestOf(old_), *model.Get());
  EXPECT_EQ(DigestOf(old_), *model.Get());
  EXPECT_LE(model.hashed, 2);  // once more, since its stamp may differ
  Loaded other(path_, cache_);
  EXPECT_EQ(DigestOf(new_), *other.Get());
  EXPECT_EQ(DigestOf(old_), *model.Get());
}

TEST_F(WeightsDigestTest, AFileThatWasReplacedBeforeItWasHashedGivesItsDigestToNoOther) {
  Loaded model(path_, cache_);
  std::filesystem::rename(folder_ + "/other", path_);
  const Result<std::string> digest = model.Get();
  if (digest.ok()) {
    EXPECT_EQ(DigestOf(old_), *digest);
  } else {
    ExpectChanged(digest);
  }
  Loaded other(path_, cache_);
  EXPECT_EQ(DigestOf(new_), *other.Get());
}

TEST_F(WeightsDigestTest, AFileThatWasWrittenIsRefusedAndStaysSo) {
  Loaded model(path_, cache_);
  ASSERT_TRUE(model.Get().ok());
  OverwriteInPlace(path_, 100, "changed");
  ExpectChanged(model.Get());
  OverwriteInPlace(path_, 0, old_);  // K and V may be of both by now
  ExpectChanged(model.Get());
  EXPECT_EQ(DigestOf(old_), *Loaded(path_, cache_).Get());
}

TEST_F(WeightsDigestTest, ATimeThatWasSetBackHidesNoWrite) {
  Loaded model(path_, cache_);
  ASSERT_TRUE(model.Get().ok());
  OverwriteInPlace(path_, 100, "changed");
  RestoreModified(path_, model.mapped->stamp());
  ExpectChanged(model.Get());
  Loaded later(path_, cache_);
  EXPECT_EQ(later.HashNow(), *later.Get());
  EXPECT_NE(DigestOf(old_), *later.Get());
}

TEST_F(WeightsDigestTest, AFileThatWasWrittenBeforeItWasHashedHasNoName) {
  Loaded model(path_, cache_);
  OverwriteInPlace(path_, 100, "changed");
  ExpectChanged(model.Get());
  EXPECT_EQ(0, model.hashed);
  Loaded later(path_, cache_);
  EXPECT_EQ(later.HashNow(), *later.Get());
}

// The cache knows what the file was at the load, although this object never hashed it.
TEST_F(WeightsDigestTest, ADigestCachedAtTheLoadIsKnown) {
  ASSERT_TRUE(Loaded(path_, cache_).Get().ok());
  Loaded model(path_, cache_);
  WaitForTick(path_);
  std::filesystem::permissions(path_, std::filesystem::perms::owner_read);
  ASSERT_NE(model.mapped->stamp(), *model.mapped->StampNow());
  EXPECT_EQ(DigestOf(old_), *model.Get());
  EXPECT_EQ(1, model.hashed);
  EXPECT_EQ(DigestOf(old_), *model.Get());
  EXPECT_EQ(1, model.hashed);  // not at each save
}

TEST_F(WeightsDigestTest, ATruncatedFileIsRefusedAndNotRead) {
  for (const uintmax_t bytes : {4999, 4096, 0}) {
    WriteAllOf(path_, old_);
    Loaded model(path_);
    ASSERT_TRUE(model.Get().ok());
    std::filesystem::resize_file(path_, bytes);
    const int before = model.hashed;
    ExpectChanged(model.Get());
    EXPECT_EQ(before, model.hashed);
    EXPECT_EQ("model_changed", model.digest->Recompute(model.Hash()).status().name());
    EXPECT_EQ(before, model.hashed);
  }
}

TEST_F(WeightsDigestTest, AFileThatGrewIsStillTheOneThatWasMapped) {
  Loaded model(path_, cache_);
  ASSERT_TRUE(model.Get().ok());
  OverwriteInPlace(path_, old_.size(), "appended");
  EXPECT_EQ(DigestOf(old_), *model.Get());
  Loaded later(path_, cache_);  // maps more, and has the same weights
  EXPECT_EQ(DigestOf(old_), *later.Get());
  EXPECT_EQ(0, later.hashed);
}

TEST_F(WeightsDigestTest, ADigestThatWasTornIsNotKept) {
  Loaded model(path_, cache_);
  const auto torn = [&] {
    OverwriteInPlace(path_, 0, "torn");
    return model.HashNow();
  };
  ExpectChanged(model.digest->Get(torn));
  EXPECT_FALSE(std::filesystem::exists(cache_));
  ExpectChanged(model.Get());
}

TEST_F(WeightsDigestTest, RecomputeHashesWhatIsThere) {
  Loaded model(path_, cache_);
  ASSERT_TRUE(model.Get().ok());
  EXPECT_EQ(DigestOf(old_), *model.digest->Recompute(model.Hash()));
  EXPECT_EQ(2, model.hashed);
  // An entry that is wrong, for whatever reason, is put right.
  const FileStamp stamp = model.mapped->stamp();
  const std::string key = DigestCacheKey(model.tensors, {&stamp, 1});
  ASSERT_TRUE(StoreDigest(cache_, key, DigestOf("another")).ok());
  Loaded again(path_, cache_);
  EXPECT_EQ(DigestOf("another"), *again.Get());
  EXPECT_EQ(DigestOf(old_), *again.digest->Recompute(again.Hash()));
  EXPECT_EQ(DigestOf(old_), *Loaded(path_, cache_).Get());
}

}  // namespace
}  // namespace gyrator
