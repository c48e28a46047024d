#include "formats/gguf_parts.h"

#include <algorithm>
#include <cstdint>

namespace gyrator {

namespace {

constexpr uint64_t kPartsMax = 65535;  // split.count has 16 bits
constexpr size_t kDigits = 5;

struct PartNumber {
  uint64_t index = 0;  // from 0
  uint64_t count = 1;
};

std::string Padded(uint64_t number) {
  const std::string digits = std::to_string(number);
  return std::string(kDigits - std::min(kDigits, digits.size()), '0') + digits;
}

// "-00002-of-00003.gguf"
std::string EndingOf(const PartNumber& part) {
  return "-" + Padded(part.index + 1) + "-of-" + Padded(part.count) + ".gguf";
}

std::string Described(const PartNumber& part) {
  return "part " + std::to_string(part.index + 1) + " of a GGUF file that is split into " +
         std::to_string(part.count);
}

Result<PartNumber> ReadNumber(const GgufFile& file) {
  PartNumber part;
  GYRATOR_ASSIGN_OR_RETURN(part.count, file.GetOr<uint64_t>("split.count", 1));
  GYRATOR_ASSIGN_OR_RETURN(part.index, file.GetOr<uint64_t>("split.no", 0));
  part.count = std::max<uint64_t>(part.count, 1);
  if (part.count > kPartsMax || part.index >= part.count) {
    return Status::Corruption("split.no is " + std::to_string(part.index) + " and split.count " +
                              std::to_string(part.count) +
                              ", expected a number below a count of at most " +
                              std::to_string(kPartsMax));
  }
  return part;
}

Status CheckIsFirst(const PartNumber& part, const std::string& path) {
  if (part.index == 0) return {};
  const std::string first = EndingOf({.index = 0, .count = part.count});
  const std::string ending = EndingOf(part);
  const bool named = path.ends_with(ending);
  return Status::InvalidArgument(
      path + ": " + Described(part) + "; give the first part: " +
      (named ? path.substr(0, path.size() - ending.size()) : std::string("its name ends in ")) +
      first);
}

// Part `expected` of the file whose first part is `first`, with its tensors, into `whole`.
Status AddPart(const std::string& path, const PartNumber& expected, GgufFile* whole) {
  auto part = GgufFile::Open(path);
  if (!part.ok()) return std::move(part).status();
  for (const char* key : {"split.count", "split.no"}) {
    if (!part->Has(key)) {
      return Status::Corruption(path + ": gguf: metadata '" + key +
                                "': not in the file, expected " + Described(expected));
    }
  }
  auto found = ReadNumber(*part);
  if (!found.ok()) return std::move(found).status().Annotate(path + ": gguf");
  if (found->count != expected.count) {
    return Status::Corruption(path + ": gguf: split.count is " + std::to_string(found->count) +
                              ", expected " + std::to_string(expected.count) +
                              " as in the first part");
  }
  if (found->index != expected.index) {
    return Status::Corruption(path + ": gguf: split.no is " + std::to_string(found->index) +
                              ", expected " + std::to_string(expected.index) +
                              " for a part of this name");
  }
  return whole->AddPart(*part).Annotate(path + ": gguf");
}

// A file without the number has the tensors that it has; the model misses those that it lacks.
Status CheckNumTensors(const GgufFile& whole) {
  const uint64_t found = whole.tensors().entries().size();
  GYRATOR_ASSIGN_OR_RETURN(const auto total, whole.GetOr<uint64_t>("split.tensors.count", found));
  if (total == found) return {};
  return Status::Corruption("split.tensors.count is " + std::to_string(total) + ", found " +
                            std::to_string(found) + " tensors in " +
                            std::to_string(whole.num_parts()) + " parts");
}

}  // namespace

Status CheckIsFirstPart(const GgufFile& file, const std::string& path) {
  auto part = ReadNumber(file);
  if (!part.ok()) return std::move(part).status().Annotate(path + ": gguf");
  return CheckIsFirst(*part, path);
}

Result<GgufFile> OpenGguf(const std::string& path) {
  GYRATOR_ASSIGN_OR_RETURN(GgufFile file, GgufFile::Open(path));
  auto first = ReadNumber(file);
  if (!first.ok()) return std::move(first).status().Annotate(path + ": gguf");
  GYRATOR_RETURN_IF_ERROR(CheckIsFirst(*first, path));
  if (first->count == 1) return file;
  const std::string ending = EndingOf(*first);
  if (!path.ends_with(ending)) {
    return Status::InvalidArgument(path + ": " + Described(*first) +
                                   "; expected a name that ends in " + ending +
                                   ", beside the other parts: they are found by their names");
  }
  const std::string prefix = path.substr(0, path.size() - ending.size());
  for (uint64_t i = 1; i < first->count; ++i) {
    const PartNumber part = {.index = i, .count = first->count};
    GYRATOR_RETURN_IF_ERROR(
        AddPart(prefix + EndingOf(part), part, &file).Annotate(path + ": " + Described(part)));
  }
  GYRATOR_RETURN_IF_ERROR(CheckNumTensors(file).Annotate(path + ": gguf"));
  return file;
}

bool IsNameOfLaterPart(std::string_view name) {
  constexpr std::string_view kPattern = "-00000-of-00000.gguf";
  if (name.size() <= kPattern.size()) return false;
  const std::string_view ending = name.substr(name.size() - kPattern.size());
  for (size_t i = 0; i < ending.size(); ++i) {
    const bool digit = ending[i] >= '0' && ending[i] <= '9';
    if (kPattern[i] == '0' ? !digit : ending[i] != kPattern[i]) return false;
  }
  return ending.substr(1, kDigits) != "00001";
}

}  // namespace gyrator
