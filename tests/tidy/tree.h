// The source tree as tidy sees it: text files by path.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace gyrator::tidy {

struct SourceFile {
  std::string path;  // relative to the root, '/' between folders
  std::string text;
};

struct Tree {
  std::vector<SourceFile> files;     // sorted by path; binary files have empty text
  std::vector<std::string> folders;  // relative, sorted

  const SourceFile* Find(std::string_view path) const;
  bool Exists(std::string_view path) const;  // a file or a folder
};

// Every file under `root` but build folders, virtual environments, caches and the like.
Tree LoadTree(const std::string& root);

// A tree of the given files alone: what a rule's own test plants a violation in.
Tree MakeTree(std::vector<SourceFile> files);

// One broken rule. `line` counts from 1; 0 means the whole file.
struct Finding {
  std::string rule;
  std::string path;
  int line = 0;
  std::string message;
};
using Findings = std::vector<Finding>;
std::string FindingsText(const Findings& findings);  // "path:line: rule: message" a line

std::vector<std::string_view> Lines(std::string_view text);
bool IsCpp(std::string_view path);  // .h or .cc
// "src/base/json.h" -> "src"; "README.md" -> "".
std::string_view TopFolder(std::string_view path);
std::string_view FileName(std::string_view path);
int LineOf(std::string_view text, size_t offset);

}  // namespace gyrator::tidy
