#include "tests/tidy/tree.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>

namespace gyrator::tidy {

namespace {

namespace fs = std::filesystem;

bool IsSkippedFolder(const std::string& name) {
  return name == ".git" || name == ".venv" || name == ".cache" || name == "__pycache__" ||
         name == "build" || name.starts_with("build-") || name == ".ruff_cache";
}

std::string ReadText(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(file), {}};
  if (text.find('\0') != std::string::npos) text.clear();  // binary
  return text;
}

void Finish(Tree* tree) {
  std::sort(tree->files.begin(), tree->files.end(),
            [](const SourceFile& a, const SourceFile& b) { return a.path < b.path; });
  std::set<std::string> folders;
  for (const SourceFile& file : tree->files) {
    for (size_t at = file.path.find('/'); at != std::string::npos;
         at = file.path.find('/', at + 1)) {
      folders.insert(file.path.substr(0, at));
    }
  }
  tree->folders.assign(folders.begin(), folders.end());
}

}  // namespace

const SourceFile* Tree::Find(std::string_view path) const {
  const auto at = std::lower_bound(
      files.begin(), files.end(), path,
      [](const SourceFile& file, std::string_view wanted) { return file.path < wanted; });
  return at != files.end() && at->path == path ? &*at : nullptr;
}

bool Tree::Exists(std::string_view path) const {
  while (path.ends_with('/')) path.remove_suffix(1);
  return Find(path) != nullptr || std::binary_search(folders.begin(), folders.end(), path);
}

Tree LoadTree(const std::string& root) {
  Tree tree;
  auto it = fs::recursive_directory_iterator(root, fs::directory_options::skip_permission_denied);
  for (; it != fs::recursive_directory_iterator(); ++it) {
    if (it->is_directory()) {
      if (IsSkippedFolder(it->path().filename().string())) it.disable_recursion_pending();
      continue;
    }
    if (!it->is_regular_file()) continue;
    tree.files.push_back({it->path().lexically_relative(root).string(), ReadText(it->path())});
  }
  Finish(&tree);
  return tree;
}

Tree MakeTree(std::vector<SourceFile> files) {
  Tree tree;
  tree.files = std::move(files);
  Finish(&tree);
  return tree;
}

std::string FindingsText(const Findings& findings) {
  std::string text;
  for (const Finding& f : findings) {
    text += f.path + ":" + std::to_string(f.line) + ": " + f.rule + ": " + f.message + "\n";
  }
  return text;
}

std::vector<std::string_view> Lines(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    lines.push_back(text.substr(0, end));
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return lines;
}

bool IsCpp(std::string_view path) { return path.ends_with(".h") || path.ends_with(".cc"); }

std::string_view TopFolder(std::string_view path) {
  const size_t at = path.find('/');
  return at == std::string_view::npos ? std::string_view() : path.substr(0, at);
}

std::string_view FileName(std::string_view path) {
  const size_t at = path.rfind('/');
  return at == std::string_view::npos ? path : path.substr(at + 1);
}

int LineOf(std::string_view text, size_t offset) {
  return 1 + static_cast<int>(std::count(text.begin(),
                                         text.begin() + static_cast<std::ptrdiff_t>(offset), '\n'));
}

}  // namespace gyrator::tidy
