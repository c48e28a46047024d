// npy, safetensors and GGUF against the files of numpy and of the safetensors and gguf packages
// (tests/golden/formats, made by tools/golden/formats.py): their values are read, our writers give
// their bytes, a cut is always seen, and no flipped bit does harm.
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>

#include "base/json.h"
#include "base/mapped_file.h"
#include "base/source_path_testing.h"
#include "formats/format_testing.h"
#include "formats/npy.h"

namespace gyrator {
namespace {

const std::string kFolder = SourcePath("tests/golden/formats/");

std::string FileText(const std::string& path) {
  auto text = ReadSmallFile(path, 1 << 20);
  EXPECT_TRUE(text.ok()) << text.status().ToString();
  return text.ok() ? *std::move(text) : "";
}

Json Description(const std::string& format) {
  auto value = ParseJson(FileText(kFolder + format + ".json"));
  EXPECT_TRUE(value.ok());
  return *std::move(value);
}

std::string Hex(ByteSpan bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (std::byte b : bytes) {
    text += kDigits[std::to_integer<int>(b >> 4)];
    text += kDigits[std::to_integer<int>(b & std::byte{15})];
  }
  return text;
}

void ExpectTensors(const TensorIndex& index, const Json& described) {
  ASSERT_FALSE(described.empty());
  EXPECT_EQ(described.size(), index.entries().size());
  for (const Json& tensor : described) {
    const auto name = tensor["name"].get<std::string>();
    const auto view = index.Get(name);
    ASSERT_TRUE(view.ok()) << view.status().ToString();
    EXPECT_EQ(tensor["dtype"], DTypeName(view->dtype)) << name;
    EXPECT_EQ(tensor["shape"].get<Shape>(), view->shape) << name;
    EXPECT_EQ(tensor["hex"], Hex(view->bytes)) << name;
  }
}

// ---- npy ----

TEST(NpyGolden, NumpysFilesAreReadAndOurHeadersAreNumpys) {
  const Json described = Description("npy")["arrays"];
  ASSERT_GT(described.size(), 50u);
  for (const Json& entry : described) {
    const auto name = entry["file"].get<std::string>();
    const std::string text = FileText(kFolder + "npy/" + name);
    const auto array = ParseNpy(AsBytes(text));
    ASSERT_TRUE(array.ok()) << name << ": " << array.status().ToString();
    EXPECT_EQ(entry["dtype"], DTypeName(array->dtype)) << name;
    EXPECT_EQ(entry["shape"].get<Shape>(), array->shape) << name;
    EXPECT_EQ(entry["hex"], Hex(NativeCopy(*array))) << name;
    if (!entry["native"].get<bool>()) continue;
    EXPECT_TRUE(array->IsNative()) << name;
    const std::string ours = NpyHeader(array->dtype, array->shape);
    EXPECT_EQ(text, ours + std::string(AsText(array->data))) << name;
  }
}

// ---- safetensors ----

TEST(SafetensorsGolden, ThePackagesFileIsReadAndOursIsThePackages) {
  const Json described = Description("safetensors");
  const std::string path = kFolder + "safetensors/all.safetensors";
  const auto file = OpenSafetensors(path);
  ASSERT_TRUE(file.ok()) << file.status().ToString();
  ExpectTensors(file->tensors, described["tensors"]);
  EXPECT_EQ((described["metadata"].get<std::map<std::string, std::string>>()), file->metadata);
  SafetensorsWriter writer;
  for (const auto& [key, value] : file->metadata) writer.SetMetadata(key, value);
  CopyTensors(file->tensors, &writer);
  Status status;
  EXPECT_EQ(FileText(path), WrittenBy(writer, &status));
  EXPECT_TRUE(status.ok()) << status.ToString();
}

TEST(SafetensorsGolden, AShardedFolderIsRead) {
  const auto index = OpenSafetensorsFolder(kFolder + "safetensors/sharded");
  ASSERT_TRUE(index.ok()) << index.status().ToString();
  ExpectTensors(*index, Description("safetensors")["sharded"]);
  EXPECT_EQ(3u, index->owners().size());
}

// ---- GGUF ----

void ExpectValue(const GgufFile& file, const std::string& key, const Json& expected) {
  SCOPED_TRACE(key);
  if (expected.is_boolean()) {
    EXPECT_EQ(expected.get<bool>(), *file.Get<bool>(key));
  } else if (expected.is_string()) {
    EXPECT_EQ(expected.get<std::string>(), *file.Get<std::string_view>(key));
  } else if (expected.is_number_float()) {
    EXPECT_EQ(expected.get<double>(), *file.Get<double>(key));
  } else if (expected.is_number_unsigned()) {
    EXPECT_EQ(expected.get<uint64_t>(), *file.Get<uint64_t>(key));
  } else {
    EXPECT_EQ(expected.get<int64_t>(), *file.Get<int64_t>(key));
  }
}

void ExpectArray(const GgufFile& file, const std::string& key, const Json& expected) {
  SCOPED_TRACE(key);
  if (expected[0].is_string()) {
    const auto texts = *file.GetArray<std::string_view>(key);
    EXPECT_EQ(expected.get<std::vector<std::string>>(),
              (std::vector<std::string>(texts.begin(), texts.end())));
  } else if (expected[0].is_number_float()) {
    EXPECT_EQ(expected.get<std::vector<double>>(), *file.GetArray<double>(key));
  } else if (expected.size() == 1) {  // 2^64 - 1
    EXPECT_EQ(expected.get<std::vector<uint64_t>>(), *file.GetArray<uint64_t>(key));
  } else {
    EXPECT_EQ(expected.get<std::vector<int64_t>>(), *file.GetArray<int64_t>(key));
  }
}

TEST(GgufGolden, ThePackagesFileIsReadAndOursIsThePackages) {
  const Json described = Description("gguf");
  const std::string path = kFolder + "gguf/all.gguf";
  const auto file = GgufFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.status().ToString();
  ExpectTensors(file->tensors(), described["tensors"]);
  EXPECT_EQ(described["values"].size() + described["arrays"].size(), file->keys().size());
  for (const auto& [key, value] : described["values"].items()) ExpectValue(*file, key, value);
  for (const auto& [key, value] : described["arrays"].items()) ExpectArray(*file, key, value);
  GgufWriter writer;
  for (std::string_view key : file->keys()) EXPECT_TRUE(CopyValue(*file, key, &writer)) << key;
  CopyTensors(file->tensors(), &writer);
  Status status;
  EXPECT_EQ(FileText(path), WrittenBy(writer, &status));
  EXPECT_TRUE(status.ok()) << status.ToString();
}

// A model that the package wrote with all types of weights: tools/golden/weights.py.
TEST(GgufGolden, EveryTypeOfWeightsIsReadAndWritten) {
  const std::string path = SourcePath("tests/golden/weights/mixed.gguf");
  const auto file = GgufFile::Open(path);
  ASSERT_TRUE(file.ok()) << file.status().ToString();
  EXPECT_TRUE(WalkTensors(file->tensors()));
  std::set<DType> found;
  for (const auto& entry : file->tensors().entries()) found.insert(entry.view.dtype);
  EXPECT_EQ(16u, found.size());
  GgufWriter writer;
  for (std::string_view key : file->keys()) EXPECT_TRUE(CopyValue(*file, key, &writer)) << key;
  CopyTensors(file->tensors(), &writer);
  Status status;
  EXPECT_EQ(FileText(path), WrittenBy(writer, &status));
  EXPECT_TRUE(status.ok()) << status.ToString();
}

TEST(GgufGolden, ForeignTypesAndOtherAlignmentsAreRead) {
  const auto foreign = GgufFile::Open(kFolder + "gguf/foreign.gguf");
  ASSERT_TRUE(foreign.ok()) << foreign.status().ToString();
  EXPECT_EQ(Code::kUnsupported, foreign->tensors().Get("of.tq2_0").status().code());
  EXPECT_EQ((Shape{2, 256}), foreign->tensors().entries()[0].view.shape);
  EXPECT_EQ((Shape{8}), foreign->tensors().Get("last")->shape);
  const auto aligned = GgufFile::Open(kFolder + "gguf/aligned.gguf");
  ASSERT_TRUE(aligned.ok()) << aligned.status().ToString();
  EXPECT_EQ(256u, aligned->alignment());
  EXPECT_EQ((Shape{64}), aligned->tensors().Get("last")->shape);
}

// ---- Damage ----

// Whether `text` parses; if so, everything in it has been used.
bool UseNpy(ByteSpan bytes) {
  const auto array = ParseNpy(bytes);
  return array.ok() && NativeCopy(*array).size() == array->data.size();
}
bool UseSafetensors(ByteSpan bytes) {
  const auto file = ParseSafetensors(bytes, nullptr);
  if (file.ok()) WalkTensors(file->tensors);
  return file.ok();
}
bool UseGguf(ByteSpan bytes) {
  const auto file = GgufFile::Parse(bytes, nullptr);
  if (!file.ok()) return false;
  WalkTensors(file->tensors());
  WalkValues(*file);
  return true;
}

// Every cut is refused; no flip of a bit does more than change values. The bytes lie in memory of
// their exact size, so that a sanitizer sees a read past the end.
void ExpectDamageSeen(const std::string& path, const std::function<bool(ByteSpan)>& use) {
  const std::string text = FileText(path);
  ASSERT_TRUE(use(AsBytes(text))) << path;
  for (size_t size = 0; size < text.size(); ++size) {
    const std::vector<char> cut(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(size));
    ASSERT_FALSE(use(std::as_bytes(std::span(cut)))) << path << " cut at " << size;
  }
  std::vector<char> damaged(text.begin(), text.end());
  size_t refused = 0;
  for (char& c : damaged) {
    for (int bit = 0; bit < 8; ++bit) {
      c = static_cast<char>(c ^ (1 << bit));
      refused += use(std::as_bytes(std::span(damaged))) ? 0 : 1;
      c = static_cast<char>(c ^ (1 << bit));
    }
  }
  EXPECT_GT(refused, 100u) << path;
}

TEST(FormatsDamage, Npy) {
  for (const auto& entry : std::filesystem::directory_iterator(kFolder + "npy")) {
    ExpectDamageSeen(entry.path(), UseNpy);
  }
}

TEST(FormatsDamage, Safetensors) {
  ExpectDamageSeen(kFolder + "safetensors/all.safetensors", UseSafetensors);
  ExpectDamageSeen(kFolder + "safetensors/sharded/model-00001-of-00003.safetensors",
                   UseSafetensors);
}

TEST(FormatsDamage, Gguf) {
  for (const auto& entry : std::filesystem::directory_iterator(kFolder + "gguf")) {
    ExpectDamageSeen(entry.path(), UseGguf);
  }
}

}  // namespace
}  // namespace gyrator
