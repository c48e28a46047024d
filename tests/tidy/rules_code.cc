#include <algorithm>
#include <map>
#include <regex>
#include <set>

#include "tests/tidy/cpp_scan.h"
#include "tests/tidy/rules.h"

namespace gyrator::tidy {

namespace {

constexpr int kFileLinesMax = 600;
constexpr int kHeaderLinesMax = 300;
constexpr int kFunctionLinesMax = 70;
constexpr int kParametersMax = 5;
constexpr int kPublicHeadersMax = 15;
constexpr double kPublicCommentShareMin = 0.35;

using Names = std::set<std::string, std::less<>>;

// The modules of src/ that each may include, itself apart.
const std::map<std::string, Names, std::less<>>& ModuleRules() {
  static const std::map<std::string, Names, std::less<>> rules = {
      {"base", {}},
      {"tensor", {"base"}},
      {"formats", {"base", "tensor"}},
      {"kernels", {"base", "tensor"}},
      {"tokenizer", {"base", "tensor", "formats"}},
      {"model", {"base", "tensor", "formats", "kernels"}},
      {"kv", {"base", "tensor", "kernels"}},
      {"snapshot", {"base", "tensor", "formats", "kernels", "kv"}},
      {"engine", {"base", "tensor", "formats", "kernels", "tokenizer", "model", "kv", "snapshot"}},
  };
  return rules;
}

// Libraries that only some places may meet: prefix of the header, prefixes of those places.
struct Wall {
  std::string header;
  std::vector<std::string> places;
};
const std::vector<Wall>& Walls() {
  static const std::vector<Wall> walls = {
      {"torch/", {"train/"}},
      {"ATen/", {"train/"}},
      {"c10/", {"train/"}},
      {"Python.h", {}},
      {"CLI/", {"cli/flags", "train/"}},
      {"histedit.h", {"cli/line_editor.cc"}},
      {"openssl/", {"src/base/sha256.cc"}},
      {"pcre2.h", {"src/tokenizer/", "train/"}},
      {"utf8proc.h", {"src/tokenizer/"}},
      {"immintrin.h", {"src/kernels/", "src/base/", "tools/"}},
      {"iostream", {"tools/", "tests/"}},
      {"regex", {"tests/"}},
  };
  return walls;
}

// The module that "base/json.h" or "src/base/json.h" belongs to; empty for others.
std::string ModuleOfInclude(std::string_view target) {
  if (target.starts_with("src/")) target.remove_prefix(4);
  const std::string_view folder = TopFolder(target);
  return ModuleRules().contains(folder) ? std::string(folder) : std::string();
}

std::string ModuleOfFile(std::string_view path) {
  return path.starts_with("src/") ? std::string(TopFolder(path.substr(4))) : std::string();
}

// Why `path` may not include "target"; empty: it may.
std::string IncludeObjection(std::string_view path, const Include& include) {
  const std::string& target = include.target;
  const std::string_view top = TopFolder(path);
  const std::string to = ModuleOfInclude(target);
  if (target.starts_with("train/") && top != "train") return "nobody includes train";
  if (target.starts_with("..") || target.find("/../") != std::string::npos) {
    return "includes name paths from the root of src, include or the repository";
  }
  if (top == "include") {
    const bool fine = include.angled || target.starts_with("gyrator/");
    return fine ? "" : "public headers include public headers only";
  }
  if (top == "cli") {
    return to.empty() || to == "base" ? "" : "cli includes include/gyrator and base only";
  }
  if (top == "train") {
    static const Names allowed = {"base", "tensor", "formats", "tokenizer", "model"};
    return to.empty() || allowed.contains(to) ? "" : "train may not include " + to;
  }
  if (top != "src") return "";
  const std::string from = ModuleOfFile(path);
  const auto rule = ModuleRules().find(from);
  if (rule == ModuleRules().end()) return "src/" + from + " is no module that tidy knows";
  if (!to.empty() && to != from && !rule->second.contains(to)) {
    return from + " may not include " + to;
  }
  const bool shared = target == "gyrator/status.h" || target == "gyrator/types.h";
  const bool contract = target == "gyrator/model.h" && (from == "model" || from == "tokenizer");
  const bool upper = from == "snapshot" || from == "engine";
  if (target.starts_with("gyrator/") && !shared && !contract && !upper) {
    return from + " may not include " + target;
  }
  return "";
}

// The file of the tree that an include names; null for those of the system.
const SourceFile* Resolve(const Tree& tree, const std::string& target) {
  for (const char* root : {"src/", "include/", ""}) {
    if (const SourceFile* file = tree.Find(root + target)) return file;
  }
  return nullptr;
}

// Depth-first search for cycles among headers.
class CycleSearch {
 public:
  explicit CycleSearch(const Tree& tree) : tree_(tree) {}

  void Visit(const SourceFile& file, Findings* findings) {
    if (!seen_.insert(file.path).second) return;
    open_.insert(file.path);
    for (const Include& include : Includes(file.text)) {
      const SourceFile* next = Resolve(tree_, include.target);
      if (next == nullptr) continue;
      if (open_.contains(next->path)) {
        findings->push_back({"include", file.path, include.line, "cycle through " + next->path});
      } else {
        Visit(*next, findings);
      }
    }
    open_.erase(file.path);
  }

 private:
  const Tree& tree_;
  Names seen_, open_;
};

void CheckWalls(const SourceFile& file, const Include& include, Findings* findings) {
  for (const Wall& wall : Walls()) {
    const bool exact = wall.header.find('/') == std::string::npos;
    const bool hit =
        exact ? include.target == wall.header : include.target.starts_with(wall.header);
    if (!hit) continue;
    const bool allowed =
        std::any_of(wall.places.begin(), wall.places.end(),
                    [&](const std::string& place) { return file.path.starts_with(place); });
    if (!allowed) {
      findings->push_back(
          {"include", file.path, include.line, "<" + include.target + "> is walled off here"});
    }
  }
}

bool HoldsCode(std::string_view path) {
  static const Names tops = {"include", "src",   "cli",      "train", "tests",
                             "fuzz",    "bench", "examples", "tools", "server"};
  return tops.contains(TopFolder(path));
}

}  // namespace

Findings CheckIncludes(const Tree& tree) {
  Findings findings;
  CycleSearch cycles(tree);
  for (const SourceFile& file : tree.files) {
    if (!IsCpp(file.path)) continue;
    for (const Include& include : Includes(file.text)) {
      CheckWalls(file, include, &findings);
      const std::string objection = IncludeObjection(file.path, include);
      if (!objection.empty()) findings.push_back({"include", file.path, include.line, objection});
    }
    cycles.Visit(file, &findings);
  }
  return findings;
}

Findings CheckLengths(const Tree& tree) {
  Findings findings;
  const auto too_long = [&](const std::string& path, int line, const std::string& what, int lines,
                            int lines_max) {
    findings.push_back(
        {"length", path, line,
         what + " has " + std::to_string(lines) + " lines, at most " + std::to_string(lines_max)});
  };
  for (const SourceFile& file : tree.files) {
    if (!IsCpp(file.path)) continue;
    // An -inl.h is code that several instruction sets compile, not a contract.
    const bool header = file.path.ends_with(".h") && !file.path.ends_with("-inl.h");
    const int lines_max = header ? kHeaderLinesMax : kFileLinesMax;
    const int lines = static_cast<int>(Lines(file.text).size());
    if (lines > lines_max) too_long(file.path, 0, "file", lines, lines_max);
    for (const Function& f : Functions(file.text)) {
      if (f.num_lines() > kFunctionLinesMax) {
        too_long(file.path, f.first_line, f.name, f.num_lines(), kFunctionLinesMax);
      }
      if (f.num_parameters > kParametersMax) {
        findings.push_back({"parameters", file.path, f.first_line,
                            f.name + " has " + std::to_string(f.num_parameters) +
                                " parameters, at most 5: use a struct"});
      }
      if (f.adjacent_bools) {
        findings.push_back({"parameters", file.path, f.first_line,
                            f.name + " has two adjacent bools: use a struct"});
      }
    }
  }
  return findings;
}

Findings CheckNames(const Tree& tree) {
  static const std::regex good(R"([a-z0-9_]+(-inl\.h|(\.[a-z0-9_]+)*))");
  static const Names fixed = {"README.md", "CMakeLists.txt"};
  Findings findings;
  for (const SourceFile& file : tree.files) {
    if (!HoldsCode(file.path)) continue;
    const std::string_view name = FileName(file.path);
    for (const char* ending : {".cpp", ".cxx", ".hpp", ".c++", ".hh"}) {
      if (name.ends_with(ending)) {
        findings.push_back({"name", file.path, 0, "C++ files end in .h and .cc"});
      }
    }
    if (file.path.ends_with(".h") && file.text.find("#pragma once") == std::string::npos) {
      findings.push_back({"name", file.path, 0, "header without #pragma once"});
    }
    const bool data =
        file.path.starts_with("tests/golden/") || file.path.starts_with("fuzz/corpus/");
    if (data || fixed.contains(name)) continue;
    if (!std::regex_match(name.begin(), name.end(), good)) {
      findings.push_back({"name", file.path, 0, "file names are snake_case"});
    }
  }
  return findings;
}

namespace {

void Ban(const SourceFile& file, const std::string& code, const std::string& word,
         const std::string& message, Findings* findings) {
  for (const size_t at : FindWord(code, word)) {
    findings->push_back({"ban", file.path, LineOf(code, at), message});
  }
}

void CheckTodo(const SourceFile& file, Findings* findings) {
  static const std::regex issue(R"(^\(#\d+\))");
  const std::string mark = std::string("TO") + "DO";
  for (const std::string& word : {mark, std::string("FIX") + "ME", std::string("X") + "XX"}) {
    for (const size_t at : FindWord(file.text, word)) {
      const std::string after = file.text.substr(at + word.size(), 12);
      if (word == mark && std::regex_search(after, issue)) continue;
      findings->push_back({"ban", file.path, LineOf(file.text, at),
                           word + " without an issue: write " + mark + "(#N)"});
    }
  }
}

}  // namespace

Findings CheckBans(const Tree& tree) {
  Findings findings;
  for (const SourceFile& file : tree.files) {
    if (!IsCpp(file.path)) continue;
    CheckTodo(file, &findings);
    const std::string code = CodeOnly(file.text);
    Ban(file, code, "GTEST_SKIP", "no test is skipped", &findings);
    for (size_t at = code.find("DISABLED_"); at != std::string::npos;
         at = code.find("DISABLED_", at + 1)) {
      findings.push_back({"ban", file.path, LineOf(code, at), "no test is disabled"});
    }
    const std::string_view top = TopFolder(file.path);
    const bool core = top == "src" || top == "include";
    if (core || top == "cli") {
      Ban(file, code, "throw", "nothing is thrown here: return a Status", &findings);
    }
    if (core) {
      for (const char* word : {"getenv", "secure_getenv", "setenv"}) {
        Ban(file, code, word, "the environment is read by the command alone", &findings);
      }
      if (file.path.ends_with("_test.cc")) continue;
      for (const char* word : {"exit", "printf", "cout", "cerr"}) {
        Ban(file, code, word, "the core neither prints nor ends the program", &findings);
      }
    }
  }
  return findings;
}

Findings CheckListed(const Tree& tree) {
  Findings findings;
  const auto text_of = [&](const std::string& path) {
    const SourceFile* file = tree.Find(path);
    return file == nullptr ? std::string() : file->text;
  };
  const std::string root = text_of("CMakeLists.txt");
  const auto unlisted = [&](const SourceFile& file, const std::string& why) {
    findings.push_back({"listed", file.path, 0, why});
  };
  for (const SourceFile& file : tree.files) {
    const std::string_view name = FileName(file.path);
    const std::string top(TopFolder(file.path));
    if (top == "src" && IsCpp(file.path)) {
      const std::string module = ModuleOfFile(file.path);
      if (root.find("gyrator_module(" + module + " ") == std::string::npos &&
          root.find("gyrator_module(" + module + ")") == std::string::npos) {
        unlisted(file, "CMakeLists.txt has no gyrator_module(" + module + " ...)");
      }
    } else if (name.ends_with("_test.cc")) {
      const std::string lists = text_of(top + "/CMakeLists.txt");
      const size_t slash = file.path.rfind('/');
      const std::string parent = std::string(FileName(file.path.substr(0, slash)));
      const bool globbed = lists.find("_test") != std::string::npos ||
                           lists.find(parent + "/*.cc") != std::string::npos ||
                           lists.find("/*.cc") != std::string::npos;
      if (!globbed || lists.find("gyrator_test(") == std::string::npos) {
        unlisted(file, top + "/CMakeLists.txt builds no test of it");
      }
    } else if (top == "fuzz" && name.ends_with("_fuzz.cc")) {
      const std::string target(name.substr(0, name.size() - 8));
      if (!tree.Exists("fuzz/corpus/" + target))
        unlisted(file, "fuzz/corpus/" + target + " is empty");
    }
  }
  return findings;
}

Findings CheckPublicApi(const Tree& tree) {
  Findings findings;
  int headers = 0, commented = 0, lines = 0;
  for (const SourceFile& file : tree.files) {
    if (!file.path.starts_with("include/gyrator/")) continue;
    ++headers;
    const std::string code = CodeOnly(file.text);
    const auto code_lines = Lines(code);
    const auto text_lines = Lines(file.text);
    for (size_t i = 0; i < text_lines.size(); ++i) {
      if (text_lines[i].find_first_not_of(" \t") == std::string_view::npos) continue;
      ++lines;
      const size_t slashes = text_lines[i].find("//");
      if (slashes != std::string_view::npos && code_lines[i].substr(slashes, 2) == "  ")
        ++commented;
    }
  }
  if (headers > kPublicHeadersMax) {
    findings.push_back(
        {"api", "include/gyrator", 0, std::to_string(headers) + " public headers, at most 15"});
  }
  const double share = lines == 0 ? 1.0 : static_cast<double>(commented) / lines;
  if (share < kPublicCommentShareMin) {
    findings.push_back({"api", "include/gyrator", 0,
                        "lines with a comment: " + std::to_string(static_cast<int>(100 * share)) +
                            " %, at least 35 %"});
  }
  return findings;
}

}  // namespace gyrator::tidy
