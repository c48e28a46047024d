#include "engine/digest_cache.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/failing_calls_testing.h"
#include "engine/weights_testing.h"

namespace gyrator {
namespace {

const std::string kKey(64, '1'), kOtherKey(64, '2'), kDigest(64, 'a'), kOtherDigest(64, 'b');

class DigestCache : public testing::Test {
 protected:
  std::string folder_ = FreshFolder();
  std::string cache_ = folder_ + "/cache/digests";
};

TEST_F(DigestCache, GivesBackWhatWasStoredUnderTheKey) {
  EXPECT_FALSE(FindDigest(cache_, kKey).has_value());
  ASSERT_TRUE(StoreDigest(cache_, kKey, kDigest).ok());
  ASSERT_TRUE(StoreDigest(cache_, kOtherKey, kOtherDigest).ok());
  EXPECT_EQ(kDigest, FindDigest(cache_, kKey));
  EXPECT_EQ(kOtherDigest, FindDigest(cache_, kOtherKey));
  EXPECT_FALSE(FindDigest(cache_, std::string(64, '3')).has_value());
  ASSERT_TRUE(StoreDigest(cache_, kKey, kOtherDigest).ok());  // replaces
  EXPECT_EQ(kOtherDigest, FindDigest(cache_, kKey));
}

TEST_F(DigestCache, KeepsTheNewestHundred) {
  const auto key = [](int i) { return std::string(61, 'c') + std::to_string(100 + i); };
  for (int i = 0; i < 103; ++i) ASSERT_TRUE(StoreDigest(cache_, key(i), kDigest).ok());
  for (int i = 0; i < 103; ++i) {
    EXPECT_EQ(i >= 3, FindDigest(cache_, key(i)).has_value()) << i;
  }
}

// A byte that rotted gives another digest or another key: neither may be believed.
TEST_F(DigestCache, ADamagedLineIsNotTaken) {
  ASSERT_TRUE(StoreDigest(cache_, kKey, kDigest).ok());
  const std::string text = *ReadSmallFile(cache_, 1 << 20);
  for (size_t at = 0; at + 1 < text.size(); ++at) {
    std::string damaged = text;
    damaged[at] = damaged[at] == '0' ? '1' : '0';
    WriteAllOf(cache_, damaged);
    EXPECT_FALSE(FindDigest(cache_, kKey).has_value()) << at;
  }
  WriteAllOf(cache_, text.substr(0, text.size() - 2));
  EXPECT_FALSE(FindDigest(cache_, kKey).has_value());
  WriteAllOf(cache_, "noise\n\n" + text + "more noise");
  EXPECT_EQ(kDigest, FindDigest(cache_, kKey));
}

// Lines of the version whose keys were of the path, and might be of another file.
TEST_F(DigestCache, LinesWithoutACheckAreNotTaken) {
  WriteAllOf(folder_ + "/digests", kKey + " " + kDigest + "\n");
  EXPECT_FALSE(FindDigest(folder_ + "/digests", kKey).has_value());
}

TEST_F(DigestCache, EntriesThatCannotBeReadStay) {
  ASSERT_TRUE(StoreDigest(cache_, kKey, kDigest).ok());
  EXPECT_EQ(0, WithoutCall(SYS_pread64, [&] {
              const bool none = !FindDigest(cache_, kKey).has_value();
              return none && StoreDigest(cache_, kOtherKey, kDigest).code() == Code::kIo ? 0 : 1;
            }));
  EXPECT_EQ(kDigest, FindDigest(cache_, kKey));
}

class DigestKey : public testing::Test {
 protected:
  DigestKey() {
    WriteAllOf(folder_ + "/a", std::string(64, 'x'));
    WriteAllOf(folder_ + "/b", std::string(64, 'y'));
    for (const char* name : {"/a", "/b"}) {
      files_.push_back(std::make_shared<const MappedFile>(*MappedFile::Open(folder_ + name)));
      stamps_.push_back(files_.back()->stamp());
    }
  }

  struct Tensor {
    std::string name;
    size_t file, begin, count;  // bytes
  };
  std::string KeyOf(const std::vector<Tensor>& tensors, const std::vector<FileStamp>& stamps) {
    TensorIndex index;
    for (const auto& file : files_) index.AddFile(file);
    for (const Tensor& tensor : tensors) {
      TensorIndex::Entry entry{tensor.name, {}, {}};
      entry.view.dtype = DType::kU8;
      entry.view.shape = {static_cast<int64_t>(tensor.count)};
      entry.view.bytes = files_[tensor.file]->bytes().subspan(tensor.begin, tensor.count);
      EXPECT_TRUE(index.Add(std::move(entry)).ok());
    }
    return DigestCacheKey(index, stamps);
  }

  std::string folder_ = FreshFolder();
  std::vector<std::shared_ptr<const MappedFile>> files_;
  std::vector<FileStamp> stamps_;
  const std::vector<Tensor> tensors_ = {{"one", 0, 0, 32}, {"two", 1, 8, 16}};
};

TEST_F(DigestKey, DependsOnEachFieldOfEachStamp) {
  const std::string key = KeyOf(tensors_, stamps_);
  EXPECT_EQ(64u, key.size());
  EXPECT_EQ(key, KeyOf(tensors_, stamps_));
  void (*const changes[])(FileStamp*) = {
      [](FileStamp* s) { ++s->device; },     [](FileStamp* s) { ++s->inode; },
      [](FileStamp* s) { ++s->bytes; },      [](FileStamp* s) { ++s->modified_ns; },
      [](FileStamp* s) { ++s->changed_ns; },
  };
  for (size_t file = 0; file < stamps_.size(); ++file) {
    for (const auto& change : changes) {
      std::vector<FileStamp> stamps = stamps_;
      change(&stamps[file]);
      EXPECT_NE(key, KeyOf(tensors_, stamps)) << file;
    }
  }
  EXPECT_NE(key, KeyOf(tensors_, {stamps_[1], stamps_[0]}));
}

// An index of shards may say that the same files hold other tensors.
TEST_F(DigestKey, DependsOnWhereTheTensorsLie) {
  const std::string key = KeyOf(tensors_, stamps_);
  const std::vector<Tensor> others[] = {
      {{"one", 0, 0, 32}},                     // one less
      {{"one", 0, 0, 32}, {"2", 1, 8, 16}},    // another name
      {{"one", 0, 0, 32}, {"two", 0, 8, 16}},  // in the other file
      {{"one", 0, 0, 32}, {"two", 1, 9, 16}},  // a byte on
      {{"one", 0, 0, 32}, {"two", 1, 8, 17}},  // a byte more
  };
  for (const auto& tensors : others) EXPECT_NE(key, KeyOf(tensors, stamps_));
}

}  // namespace
}  // namespace gyrator
