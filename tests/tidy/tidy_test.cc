// The rules of the tree, each on the tree as it is and on a planted violation: a check that cannot
// fail checks nothing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "base/source_path_testing.h"
#include "tests/tidy/cpp_scan.h"
#include "tests/tidy/rules.h"

namespace gyrator::tidy {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const Tree& RealTree() {
  static const Tree tree = LoadTree(SourcePath(""));
  return tree;
}

// What is wrong with the tree as it is, exceptions applied to the rule's own findings.
std::string Problems(const Findings& findings, std::initializer_list<const char*> rules) {
  std::vector<Allowance> allowances;
  for (Allowance& a : ParseAllowances(RealTree().Find("tests/tidy/allow.txt")->text)) {
    if (std::find(rules.begin(), rules.end(), a.rule) != rules.end()) {
      allowances.push_back(std::move(a));
    }
  }
  return FindingsText(ApplyAllowances(findings, allowances));
}

// The message of the only finding; fails when there is not exactly one.
std::string Only(const Findings& findings) {
  EXPECT_EQ(findings.size(), 1u) << FindingsText(findings);
  return findings.empty() ? "" : findings[0].path + ": " + findings[0].message;
}

std::string Times(const std::string& text, int count) {
  std::string all;
  for (int i = 0; i < count; ++i) all += text;
  return all;
}

TEST(Tidy, TreeIsTheRealOne) {
  EXPECT_TRUE(RealTree().Exists("CMakeLists.txt"));
  EXPECT_TRUE(RealTree().Exists("src/base"));
  EXPECT_GT(RealTree().files.size(), 50u);
}

TEST(Tidy, Includes) { EXPECT_EQ(Problems(CheckIncludes(RealTree()), {"include"}), ""); }
TEST(Tidy, Lengths) { EXPECT_EQ(Problems(CheckLengths(RealTree()), {"length", "parameters"}), ""); }
TEST(Tidy, Names) { EXPECT_EQ(Problems(CheckNames(RealTree()), {"name"}), ""); }
TEST(Tidy, Bans) { EXPECT_EQ(Problems(CheckBans(RealTree()), {"ban"}), ""); }
TEST(Tidy, EveryTestIsListed) { EXPECT_EQ(Problems(CheckListed(RealTree()), {"listed"}), ""); }
TEST(Tidy, PublicApi) { EXPECT_EQ(Problems(CheckPublicApi(RealTree()), {"api"}), ""); }
TEST(Tidy, NoLeaks) { EXPECT_EQ(Problems(CheckLeaks(RealTree()), {"leak"}), ""); }
TEST(Tidy, DocsNameWhatExists) { EXPECT_EQ(Problems(CheckDocs(RealTree()), {"docs"}), ""); }
TEST(Tidy, EveryFolderHasAReadme) { EXPECT_EQ(Problems(CheckReadmes(RealTree()), {"readme"}), ""); }

TEST(Tidy, AllowancesNameKnownRules) {
  for (const Allowance& a : ParseAllowances(RealTree().Find("tests/tidy/allow.txt")->text)) {
    EXPECT_THAT((std::vector<std::string>{"include", "length", "parameters", "name", "ban",
                                          "listed", "api", "leak", "docs", "readme"}),
                Contains(a.rule));
  }
}

// --- Planted violations.

TEST(TidyPlanted, LoadTreeReadsFoldersAndSkipsBuilds) {
  const std::string root = testing::TempDir() + "/tidy_tree";
  for (const char* path : {"/src/base/a.h", "/build/x.h", "/build-asan/y.h", "/.venv/z.h"}) {
    std::filesystem::create_directories(std::filesystem::path(root + path).parent_path());
    std::ofstream(root + path) << "#pragma once\n";
  }
  const Tree tree = LoadTree(root);
  std::filesystem::remove_all(root);
  ASSERT_EQ(tree.files.size(), 1u);
  EXPECT_EQ(tree.files[0].path, "src/base/a.h");
  EXPECT_THAT(tree.folders, ElementsAre("src", "src/base"));
}

struct IncludeCase {
  const char* path;
  const char* include;
  const char* message;  // empty: allowed
};

TEST(TidyPlanted, IncludeRules) {
  const IncludeCase cases[] = {
      {"src/base/a.h", "\"tensor/dtype.h\"", "base may not include tensor"},
      {"src/kv/a.cc", "\"model/config.h\"", "kv may not include model"},
      {"src/model/a.cc", "\"kv/block_pool.h\"", "model may not include kv"},
      {"src/model/a_test.cc", "\"kv/block_pool.h\"", "model may not include kv"},
      {"src/model/a.cc", "\"kernels/paged_kv.h\"", ""},
      {"src/engine/a.cc", "\"snapshot/reader.h\"", ""},
      {"src/snapshot/a.cc", "\"engine/session.h\"", "snapshot may not include engine"},
      {"src/kv/a.cc", "\"gyrator/engine.h\"", "kv may not include gyrator/engine.h"},
      {"src/kv/a.cc", "\"gyrator/status.h\"", ""},
      {"cli/a.cc", "\"engine/session.h\"", "cli includes include/gyrator and base only"},
      {"cli/a.cc", "\"src/engine/session.h\"", "cli includes include/gyrator and base only"},
      {"cli/a.cc", "\"base/json.h\"", ""},
      {"src/engine/a.cc", "\"train/trainer.h\"", "nobody includes train"},
      {"tests/a.cc", "\"train/trainer.h\"", "nobody includes train"},
      {"train/a.cc", "\"engine/session.h\"", "train may not include engine"},
      {"train/a.cc", "<torch/torch.h>", ""},
      {"src/engine/a.cc", "<torch/torch.h>", "walled off"},
      {"cli/cmd_run.cc", "<CLI/CLI.hpp>", "walled off"},
      {"src/engine/a.cc", "<Python.h>", "walled off"},
      {"src/engine/a.cc", "\"../kv/a.h\"", "from the root"},
      {"src/model/a.cc", "\"gyrator/model.h\"", ""},
      {"include/gyrator/a.h", "<vector>", ""},
      {"include/gyrator/a.h", "\"base/json.h\"", "public headers include public headers only"},
      {"src/attic/a.cc", "<vector>", "no module that tidy knows"},
  };
  for (const IncludeCase& c : cases) {
    const Tree tree = MakeTree({{c.path, std::string("#include ") + c.include + "\n"}});
    const Findings findings = CheckIncludes(tree);
    if (*c.message == '\0') {
      EXPECT_THAT(FindingsText(findings), IsEmpty());
    } else {
      EXPECT_THAT(Only(findings), HasSubstr(c.message)) << c.path << " includes " << c.include;
    }
  }
}

TEST(TidyPlanted, IncludeCycle) {
  const Tree tree = MakeTree({{"src/base/a.h", "#include \"base/b.h\"\n"},
                              {"src/base/b.h", "#include \"base/c.h\"\n"},
                              {"src/base/c.h", "#include \"base/a.h\"\n"}});
  EXPECT_THAT(Only(CheckIncludes(tree)), HasSubstr("cycle through src/base/a.h"));
}

TEST(TidyPlanted, FileAndHeaderLength) {
  EXPECT_THAT(CheckLengths(MakeTree({{"src/base/a.cc", Times("\n", 600)}})), IsEmpty());
  EXPECT_THAT(Only(CheckLengths(MakeTree({{"src/base/a.cc", Times("\n", 601)}}))),
              HasSubstr("file has 601 lines, at most 600"));
  EXPECT_THAT(Only(CheckLengths(MakeTree({{"src/base/a.h", Times("\n", 301)}}))),
              HasSubstr("at most 300"));
}

TEST(TidyPlanted, FunctionLength) {
  const auto function = [](const std::string& head, int body) {
    return "namespace a {\nclass B {\n " + head + " {\n" +
           Times("  if (x) { y(\"}\"); }  // }\n", body) + "}\n};\n}\n";
  };
  for (const char* head : {"int Long(int x)", "void Long() const noexcept", "auto Long() -> int",
                           "template <class T> T Long(T x)", "B() : a_(1)", "TEST(A, Long)"}) {
    EXPECT_THAT(CheckLengths(MakeTree({{"src/a.cc", function(head, 68)}})), IsEmpty()) << head;
    EXPECT_THAT(Only(CheckLengths(MakeTree({{"src/a.cc", function(head, 69)}}))),
                HasSubstr("71 lines, at most 70"))
        << head;
  }
  const std::string table = "const int kTable[] = {\n" + Times("  1,\n", 100) + "};\n";
  EXPECT_THAT(CheckLengths(MakeTree({{"src/a.cc", table}})), IsEmpty());
}

TEST(TidyPlanted, Parameters) {
  EXPECT_THAT(CheckLengths(MakeTree({{"src/a.cc",
                                      "int F(int a, std::map<int, int> b, int c, int d, "
                                      "std::function<void(int, int)> e) {}\n"}})),
              IsEmpty());
  EXPECT_THAT(Only(CheckLengths(MakeTree(
                  {{"src/a.cc", "int F(int a, int b, int c, int d, int e, int f) {}\n"}}))),
              HasSubstr("6 parameters"));
  EXPECT_THAT(Only(CheckLengths(MakeTree({{"src/a.cc", "int F(bool a, const bool b) {}\n"}}))),
              HasSubstr("two adjacent bools"));
}

TEST(TidyPlanted, Names) {
  EXPECT_THAT(Only(CheckNames(MakeTree({{"src/base/BadName.cc", ""}}))), HasSubstr("snake_case"));
  EXPECT_THAT(CheckNames(MakeTree({{"src/base/a.cpp", ""}, {"tests/good_name.cc", ""}})),
              testing::SizeIs(1));
  EXPECT_THAT(Only(CheckNames(MakeTree({{"src/base/a-b.h", "#pragma once"}}))),
              HasSubstr("snake_case"));
  EXPECT_THAT(CheckNames(MakeTree({{"src/base/a-inl.h", "#pragma once"}})), IsEmpty());
  EXPECT_THAT(Only(CheckNames(MakeTree({{"src/base/a.h", "int x;\n"}}))),
              HasSubstr("#pragma once"));
}

TEST(TidyPlanted, Bans) {
  const auto only = [](const char* path, const std::string& text) {
    return Only(CheckBans(MakeTree({{path, text}})));
  };
  EXPECT_THAT(only("src/a.cc", "int f() { throw 1; }\n"), HasSubstr("nothing is thrown"));
  EXPECT_THAT(only("cli/a.cc", "int f() { throw 1; }\n"), HasSubstr("nothing is thrown"));
  EXPECT_THAT(only("src/a.cc", "auto x = std::getenv(\"X\");\n"), HasSubstr("environment"));
  EXPECT_THAT(only("src/a.cc", "void f() { std::exit(1); }\n"),
              HasSubstr("neither prints nor ends"));
  EXPECT_THAT(only("src/a_test.cc", "void f() { GTEST_SKIP(); }\n"), HasSubstr("skipped"));
  EXPECT_THAT(only("src/a_test.cc", "TEST(A, DISABLED_B) {}\n"), HasSubstr("disabled"));
  EXPECT_THAT(only("src/a.cc",
                   "// TO"
                   "DO: later\n"),
              HasSubstr("without an issue"));
  EXPECT_THAT(CheckBans(MakeTree({{"src/a.cc",
                                   "// TO"
                                   "DO(#12): later; we throw nothing\n"
                                   "auto s = \"throw\";\n"},
                                  {"cli/b.cc", "auto x = std::getenv(\"X\");\n"},
                                  {"train/c.cc", "void f() { throw 1; }\n"}})),
              IsEmpty());
}

TEST(TidyPlanted, Listed) {
  const SourceFile lists = {"CMakeLists.txt", "gyrator_module(base x)\n"};
  EXPECT_THAT(CheckListed(MakeTree({lists, {"src/base/a_test.cc", ""}})), IsEmpty());
  EXPECT_THAT(Only(CheckListed(MakeTree({lists, {"src/attic/a_test.cc", ""}}))),
              HasSubstr("gyrator_module(attic"));
  EXPECT_THAT(Only(CheckListed(MakeTree({lists, {"cli/a_test.cc", ""}}))),
              HasSubstr("no test of it"));
  EXPECT_THAT(Only(CheckListed(MakeTree({lists, {"fuzz/npy_fuzz.cc", ""}}))),
              HasSubstr("fuzz/corpus/npy is empty"));
}

TEST(TidyPlanted, PublicApi) {
  std::vector<SourceFile> headers;
  for (int i = 0; i < 16; ++i) {
    headers.push_back({"include/gyrator/h" + std::to_string(i) + ".h", "// what\nint x;  // m\n"});
  }
  EXPECT_THAT(Only(CheckPublicApi(MakeTree(headers))), HasSubstr("16 public headers"));
  EXPECT_THAT(Only(CheckPublicApi(MakeTree({{"include/gyrator/a.h", "// a\nint b;\nint c;\n"}}))),
              HasSubstr("33 %, at least 35 %"));
}

TEST(TidyPlanted, Leaks) {
  const auto only = [](const std::string& text) {
    return Only(CheckLeaks(MakeTree({{"docs/a.md", text}})));
  };
  EXPECT_THAT(only("see /ho"
                   "me/me/x\n"),
              HasSubstr("path of a machine"));
  EXPECT_THAT(only("see \"/wo"
                   "rk/x\"\n"),
              HasSubstr("path of a machine"));
  EXPECT_THAT(only("from py"
                   "pi.org\n"),
              HasSubstr("host of a package registry"));
  EXPECT_THAT(only("pip install --index"
                   "-url x\n"),
              HasSubstr("place of a package registry"));
  EXPECT_THAT(CheckLeaks(MakeTree({{"docs/a.md",
                                    "net/wo"
                                    "rk/x and $TMP/tm"
                                    "p/x\n"}})),
              IsEmpty());
}

TEST(TidyPlanted, Docs) {
  const auto only = [](const std::string& text) {
    return Only(CheckDocs(MakeTree({{"README.md", text},
                                    {"Makefile", "chat:\n\nchat:\n"},
                                    {"cli/cmd_run.cc", ""},
                                    {"docs/a.md", ""},
                                    {"src/a_test.cc", "TEST_P(Suite,\n     ItWorks) {}\n"}})));
  };
  EXPECT_THAT(only("`Suite.ItFails`\n"), HasSubstr("test Suite.ItFails"));
  EXPECT_THAT(only("`Other.*`\n"), HasSubstr("test Other.*"));
  EXPECT_THAT(only("[a](docs/b.md)\n"), HasSubstr("link to docs/b.md"));
  EXPECT_THAT(only("see `src/none.cc`\n"), HasSubstr("src/none.cc does not exist"));
  EXPECT_THAT(only("run `make nothing`\n"), HasSubstr("make nothing"));
  EXPECT_THAT(only("x\n    gyrator dance\n"), HasSubstr("gyrator dance"));
  EXPECT_THAT(
      CheckDocs(MakeTree({{"README.md", "[a](docs/a.md#b) `make chat`\n    gyrator run x\n"},
                          {"docs/b.md", "`Suite.ItWorks` `Suite.*` `Other.field` `Engine`\n"},
                          {"src/a_test.cc", "TEST_P(Suite,\n     ItWorks) {}\n"},
                          {"Makefile", "\nchat:\n"},
                          {"cli/cmd_run.cc", ""},
                          {"docs/a.md", "[up](../README.md)\n"}})),
      IsEmpty());
}

TEST(TidyPlanted, Readmes) {
  EXPECT_THAT(Only(CheckReadmes(MakeTree({{"src/base/a.cc", ""}}))), HasSubstr("no README.md"));
  EXPECT_THAT(Only(CheckReadmes(MakeTree({{"cli/a.cc", ""}, {"cli/README.md", Times("x\n", 21)}}))),
              HasSubstr("more than 20 lines"));
}

TEST(TidyPlanted, Allowances) {
  const Findings findings = {{"length", "src/a.cc", 0, "file has 700 lines"}};
  EXPECT_THAT(
      ApplyAllowances(findings, ParseAllowances("# c\nlength src/a.cc a generated table\n")),
      IsEmpty());
  EXPECT_THAT(ApplyAllowances(findings, ParseAllowances("length src/ tables\n")), IsEmpty());
  EXPECT_THAT(Only(ApplyAllowances(findings, ParseAllowances("length src/a.cc\n"))),
              HasSubstr("needs a reason"));
  EXPECT_THAT(Only(ApplyAllowances({}, ParseAllowances("length src/a.cc why\n"))),
              HasSubstr("allowed for nothing"));
}

}  // namespace
}  // namespace gyrator::tidy
