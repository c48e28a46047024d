#include "formats/lfs_pointer.h"

#include <algorithm>

namespace gyrator {

namespace {

constexpr std::string_view kFirstLine = "version https://git-lfs.github.com/spec/";
constexpr size_t kPointerBytesMax = 1024;  // the specification's limit

// The digits after "size ", or nothing.
std::string_view SizeText(std::string_view pointer) {
  constexpr std::string_view kKey = "\nsize ";
  const size_t at = pointer.find(kKey);
  if (at == std::string_view::npos) return {};
  const std::string_view rest = pointer.substr(at + kKey.size());
  const auto end =
      std::find_if(rest.begin(), rest.end(), [](char c) { return c < '0' || c > '9'; });
  return rest.substr(0, static_cast<size_t>(end - rest.begin()));
}

}  // namespace

Status CheckIsNoLfsPointer(const std::string& path, std::string_view text) {
  if (text.size() > kPointerBytesMax || !text.starts_with(kFirstLine)) return {};
  const std::string_view size = SizeText(text);
  return Status::Corruption(path + ": a Git LFS pointer of " + std::to_string(text.size()) +
                            " bytes, expected the file that it stands for" +
                            (size.empty() ? "" : " (" + std::string(size) + " bytes)") +
                            "; fetch it with 'git lfs pull' in its repository, or download it");
}

}  // namespace gyrator
