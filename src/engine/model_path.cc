#include "engine/model_path.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <string_view>
#include <vector>

#include "formats/gguf_parts.h"

namespace gyrator {

namespace {

namespace fs = std::filesystem;

constexpr size_t kListedMax = 8;

// "organisation/model" of a hub: two parts of the letters that hubs allow.
bool LooksLikeHubName(std::string_view path) {
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
  };
  const size_t slash = path.find('/');
  if (slash == std::string_view::npos || slash == 0 || slash + 1 == path.size()) return false;
  const std::string_view first = path.substr(0, slash), second = path.substr(slash + 1);
  return first[0] != '.' && !second.ends_with(".gguf") && std::ranges::all_of(first, plain) &&
         std::ranges::all_of(second, plain);
}

Status NothingThere(const std::string& path) {
  if (!LooksLikeHubName(path)) return Status::NotFound(path + ": no such model file or folder");
  return Status::NotFound(
      path +
      ": no such file or folder; it looks like the name of a model on a hub, and "
      "nothing is downloaded here: download the model, then give the folder or "
      "the GGUF file that it lies in");
}

// Whether a file has the name of a file of a model folder, and is no GGUF file in spite of it.
bool IsPartOfAFolder(const fs::path& path) {
  constexpr std::array<std::string_view, 5> kEndings = {".json", ".safetensors", ".jinja", ".model",
                                                        ".txt"};
  const std::string extension = path.extension().string();
  if (std::ranges::find(kEndings, extension) == kEndings.end()) return false;
  std::array<char, 4> magic = {};
  std::ifstream file(path, std::ios::binary);
  if (!file) return false;  // which its reader says better
  file.read(magic.data(), magic.size());
  return std::string_view(magic.data(), magic.size()) != "GGUF";
}

Status Unreadable(const std::string& path, const std::error_code& error) {
  return Status::Io(path + ": " + error.message()).Named("io");
}

Status NotAModelFolder(const std::string& path) {
  std::vector<std::string> files;
  std::error_code error;
  for (fs::directory_iterator it(path, error), end; !error && it != end; it.increment(error)) {
    if (it->path().extension() != ".gguf" || IsNameOfLaterPart(it->path().filename().string())) {
      continue;  // no file that can be given
    }
    files.push_back(it->path().string());
  }
  if (error) return Unreadable(path, error);
  std::ranges::sort(files);
  const std::string what = path + ": expected a model folder with a config.json, found a folder ";
  if (files.empty()) return Status::NotFound(what + "without one and without a GGUF file");
  std::string list;
  for (size_t i = 0; i < std::min(files.size(), kListedMax); ++i) {
    list += (i == 0 ? "" : ", ") + files[i];
  }
  if (files.size() > kListedMax) list += ", ...";
  return Status::NotFound(what + "of GGUF files; give one of them: " + list);
}

}  // namespace

Result<ModelPath> ClassifyModelPath(const std::string& path) {
  std::error_code error;
  const fs::file_status found = fs::status(path, error);
  if (!fs::status_known(found)) return Unreadable(path, error);
  if (!fs::exists(found)) return NothingThere(path);
  if (fs::is_directory(found)) {
    // A folder with a tokenizer alone is a text model.
    for (const char* file : {"/config.json", "/tokenizer.json", "/tokenizer.model", "/vocab.json",
                             "/tekken.json", "/spiece.model", "/vocab.txt"}) {
      const fs::file_status status = fs::status(path + file, error);
      if (!fs::status_known(status)) return Unreadable(path + file, error);
      if (fs::exists(status)) return ModelPath::kFolder;
    }
    return NotAModelFolder(path);
  }
  if (fs::is_regular_file(found) && IsPartOfAFolder(path)) {
    const std::string folder = fs::path(path).parent_path().string();
    return Status::InvalidArgument(path +
                                   ": a file of a model folder, expected the folder itself or a "
                                   "GGUF file; give the folder: " +
                                   (folder.empty() ? "." : folder));
  }
  return ModelPath::kGguf;  // GgufFile says what else is wrong with it
}

}  // namespace gyrator
