#include <algorithm>
#include <cctype>
#include <regex>
#include <set>

#include "tests/tidy/rules.h"

namespace gyrator::tidy {

namespace {

// Written in halves, so that this file does not contain what it looks for.
struct Pattern {
  std::string text;
  std::string why;
};
std::vector<Pattern> PathPatterns() {
  const std::string slash = "/";
  std::vector<Pattern> patterns;
  for (const char* folder : {"work", "home", "root", "Users", "opt", "tmp", "mnt", "media"}) {
    patterns.push_back({slash + folder + slash, "path of a machine"});
  }
  return patterns;
}
std::vector<Pattern> HostPatterns() {
  const std::string dot = ".";
  const std::vector<std::vector<std::string>> hosts = {
      {"pypi", "org"},        {"pythonhosted", "org"}, {"deb", "debian", "org"},
      {"registry", "npmjs"},  {"download", "pytorch"}, {"archive", "ubuntu"},
      {"security", "debian"}, {"conda", "anaconda"}};
  std::vector<Pattern> patterns;
  for (const auto& parts : hosts) {
    std::string text = parts[0];
    for (size_t i = 1; i < parts.size(); ++i) text += dot + parts[i];
    patterns.push_back({text, "host of a package registry"});
  }
  for (const char* flag : {"index-url", "find-links"}) {
    patterns.push_back({std::string("-") + "-" + flag, "place of a package registry"});
    patterns.push_back({std::string("extra-") + flag, "place of a package registry"});
  }
  return patterns;
}

bool IsData(std::string_view path) {
  return path.starts_with("tests/golden/") || path.starts_with("fuzz/corpus/");
}

// A path may begin a word ("/x" but not "a/x").
bool BeginsWord(std::string_view text, size_t at) {
  if (at == 0) return true;
  const char before = text[at - 1];
  return !(std::isalnum(static_cast<unsigned char>(before)) || before == '_' || before == '.' ||
           before == '-' || before == '}' || before == ')' || before == '*' || before == '/');
}

void FindPattern(const SourceFile& file, const Pattern& pattern, bool whole_word,
                 Findings* findings) {
  for (size_t at = file.text.find(pattern.text); at != std::string::npos;
       at = file.text.find(pattern.text, at + 1)) {
    if (whole_word && !BeginsWord(file.text, at)) continue;
    findings->push_back(
        {"leak", file.path, LineOf(file.text, at), pattern.why + ": " + pattern.text});
  }
}

bool IsMarkdown(std::string_view path) { return path.ends_with(".md"); }

// "docs/a.md" and "../b.md" -> "b.md".
std::string Join(std::string_view from, std::string_view link) {
  std::vector<std::string> parts;
  std::string path;
  if (!link.starts_with("/")) path = std::string(from.substr(0, from.rfind('/') + 1));
  if (from.find('/') == std::string_view::npos) path.clear();
  path += link;
  std::string part;
  for (const char c : path + "/") {
    if (c != '/') {
      part += c;
      continue;
    }
    if (part == ".." && !parts.empty())
      parts.pop_back();
    else if (!part.empty() && part != ".")
      parts.push_back(part);
    part.clear();
  }
  std::string joined;
  for (const std::string& p : parts) joined += (joined.empty() ? "" : "/") + p;
  return joined;
}

// Links "[text](target)" of one document.
void CheckLinks(const Tree& tree, const SourceFile& file, Findings* findings) {
  static const std::regex link(R"(\]\(([^)\s#]+)(#[^)]*)?\))");
  for (std::sregex_iterator it(file.text.begin(), file.text.end(), link), end; it != end; ++it) {
    const std::string target = (*it)[1].str();
    if (target.find("://") != std::string::npos || target.starts_with("mailto:")) continue;
    if (!tree.Exists(Join(file.path, target))) {
      findings->push_back({"docs", file.path,
                           LineOf(file.text, static_cast<size_t>(it->position())),
                           "link to " + target + ", which does not exist"});
    }
  }
}

// `src/x/y.cc` in back quotes must exist, as must the targets of `make x`.
void CheckQuoted(const Tree& tree, const SourceFile& file, Findings* findings) {
  static const std::regex path(
      R"(`((?:src|include|cli|train|tests|fuzz|bench|docs|tools|models|examples|cmake)/[A-Za-z0-9_./-]*)`)");
  for (std::sregex_iterator it(file.text.begin(), file.text.end(), path), end; it != end; ++it) {
    if (!tree.Exists((*it)[1].str())) {
      findings->push_back({"docs", file.path,
                           LineOf(file.text, static_cast<size_t>(it->position())),
                           (*it)[1].str() + " does not exist"});
    }
  }
}

void CheckCommands(const Tree& tree, const SourceFile& file, Findings* findings) {
  static const std::regex make(R"((?:^|`|\n\s*\$?\s*)make ([a-z_]+))");
  static const std::regex command(R"((?:^|`|\n\s*\$?\s*|/)gyrator ([a-z]+)\b)");
  const SourceFile* makefile = tree.Find("Makefile");
  const auto line = [&](const std::sregex_iterator& it) {
    return LineOf(file.text, static_cast<size_t>(it->position(1)));
  };
  const std::sregex_iterator end;
  for (std::sregex_iterator it(file.text.begin(), file.text.end(), make); it != end; ++it) {
    const std::string target = (*it)[1].str();
    if (makefile == nullptr || makefile->text.find("\n" + target + ":") == std::string::npos) {
      findings->push_back({"docs", file.path, line(it), "make " + target + " does not exist"});
    }
  }
  for (std::sregex_iterator it(file.text.begin(), file.text.end(), command); it != end; ++it) {
    const std::string subcommand = (*it)[1].str();
    if (!tree.Exists("cli/cmd_" + subcommand + ".cc")) {
      findings->push_back(
          {"docs", file.path, line(it), "gyrator " + subcommand + " does not exist"});
    }
  }
}

// "Suite.Name" and "Suite.*" of every test.
std::set<std::string> AllTests(const Tree& tree) {
  static const std::regex test(R"(\bTEST(?:_F|_P)?\(\s*(\w+),\s*(\w+)\))");
  std::set<std::string> tests;
  for (const SourceFile& file : tree.files) {
    if (!file.path.ends_with("_test.cc")) continue;
    for (std::sregex_iterator it(file.text.begin(), file.text.end(), test), end; it != end; ++it) {
      tests.insert((*it)[1].str() + "." + (*it)[2].str());
      tests.insert((*it)[1].str() + ".*");
    }
  }
  return tests;
}

// A test in back quotes, `Suite.Name` or `Suite.*`, must exist.
void CheckTests(const std::set<std::string>& tests, const SourceFile& file, Findings* findings) {
  static const std::regex name(R"(`([A-Z]\w+\.(?:\*|[A-Z]\w+))`)");
  for (std::sregex_iterator it(file.text.begin(), file.text.end(), name), end; it != end; ++it) {
    if (tests.contains((*it)[1].str())) continue;
    findings->push_back({"docs", file.path, LineOf(file.text, static_cast<size_t>(it->position())),
                         "test " + (*it)[1].str() + " does not exist"});
  }
}

}  // namespace

Findings CheckLeaks(const Tree& tree) {
  Findings findings;
  for (const SourceFile& file : tree.files) {
    for (const Pattern& pattern : HostPatterns()) FindPattern(file, pattern, false, &findings);
    if (IsData(file.path)) continue;  // golden texts may speak of any folder
    for (const Pattern& pattern : PathPatterns()) FindPattern(file, pattern, true, &findings);
  }
  return findings;
}

Findings CheckDocs(const Tree& tree) {
  Findings findings;
  const std::set<std::string> tests = AllTests(tree);
  for (const SourceFile& file : tree.files) {
    if (!IsMarkdown(file.path)) continue;
    CheckTests(tests, file, &findings);
    CheckLinks(tree, file, &findings);
    CheckQuoted(tree, file, &findings);
    CheckCommands(tree, file, &findings);
  }
  return findings;
}

Findings CheckReadmes(const Tree& tree) {
  constexpr size_t kLinesMax = 20;
  std::set<std::string> folders;
  for (const SourceFile& file : tree.files) {
    if (!IsCpp(file.path)) continue;
    const std::string_view top = TopFolder(file.path);
    if (top == "src") {
      folders.insert("src/" + std::string(TopFolder(file.path.substr(4))));
    } else if (!top.empty()) {
      folders.insert(std::string(top));
    }
  }
  Findings findings;
  for (const std::string& folder : folders) {
    const SourceFile* readme = tree.Find(folder + "/README.md");
    if (readme == nullptr) {
      findings.push_back({"readme", folder, 0, "no README.md: what, what not, entry file"});
    } else if (Lines(readme->text).size() > kLinesMax) {
      findings.push_back({"readme", readme->path, 0, "more than 20 lines"});
    }
  }
  return findings;
}

std::vector<Allowance> ParseAllowances(std::string_view text) {
  std::vector<Allowance> allowances;
  for (const std::string_view line : Lines(text)) {
    if (line.empty() || line[0] == '#') continue;
    const size_t first = line.find(' ');
    const size_t second = first == std::string_view::npos ? first : line.find(' ', first + 1);
    Allowance allowance;
    allowance.rule = line.substr(0, first);
    if (first != std::string_view::npos)
      allowance.path = line.substr(first + 1, second - first - 1);
    if (second != std::string_view::npos) allowance.reason = line.substr(second + 1);
    allowances.push_back(std::move(allowance));
  }
  return allowances;
}

Findings ApplyAllowances(const Findings& findings, const std::vector<Allowance>& allowances) {
  Findings left;
  std::set<const Allowance*> used;
  for (const Finding& finding : findings) {
    const auto at = std::find_if(allowances.begin(), allowances.end(), [&](const Allowance& a) {
      const bool folder = a.path.ends_with('/') && finding.path.starts_with(a.path);
      return a.rule == finding.rule && (folder || a.path == finding.path);
    });
    if (at == allowances.end())
      left.push_back(finding);
    else
      used.insert(&*at);
  }
  for (const Allowance& allowance : allowances) {
    if (allowance.reason.empty()) {
      left.push_back({"allow", allowance.path, 0, "an allowance needs a reason"});
    }
    if (!used.contains(&allowance)) {
      left.push_back({"allow", allowance.path, 0, allowance.rule + " is allowed for nothing"});
    }
  }
  return left;
}

}  // namespace gyrator::tidy
