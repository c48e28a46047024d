// What a saved session is besides its tokens: the variables of its template, its namespace, what it
// does when it is full. They survive a save, a load and a fork; a caller may want others.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "base/json.h"
#include "base/sha256.h"
#include "engine/engine_testing.h"
#include "engine/session_keys.h"
#include "gyrator/contexts.h"
#include "snapshot/manifest.h"

namespace gyrator {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::string_view kTemplate =
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{{ mood }}{% for t in tags %}{{ t }};"
    "{% endfor %}{% if think == false %}quietly {% endif %}{% endif %}";

class SessionStateTest : public testing::Test {
 protected:
  // The model's file stays until the end: a save asks whether it is still what was loaded.
  static void SetUpTestSuite() {
    const std::string file = ReadTree("models/gyrator-chat.gguf");
    std::ofstream(ModelPath(), std::ios::binary) << WithTemplate(file, std::string(kTemplate));
    ModelOptions options;
    options.compute = ComputeType::kInt8;
    options.threads = 1;
    auto model = Model::Load(ModelPath(), options);
    ASSERT_TRUE(model.ok()) << model.status().ToString();
    model_ = *std::move(model);
  }
  static void TearDownTestSuite() {
    model_.reset();
    std::filesystem::remove(ModelPath());
  }
  static std::string ModelPath() { return testing::TempDir() + "session_state_test.gguf"; }

  void SetUp() override {
    root_ = testing::TempDir() + "state_" +
            testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(root_);
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  static std::unique_ptr<Engine> Make(bool use_cache = true) {
    EngineOptions options;
    options.context = 128;
    options.sessions_max = 4;
    options.threads = 1;
    options.use_cache = use_cache;
    return MakeEngine(model_, options);
  }

  static std::unique_ptr<Session> New(Engine& engine, const SessionOptions& options) {
    auto session = engine.NewSession(options);
    EXPECT_TRUE(session.ok()) << session.status().ToString();
    return *std::move(session);
  }

  std::string Save(Session& session) const {
    const auto saved = session.Save({.root = root_, .name = {}});
    EXPECT_TRUE(saved.ok()) << saved.status().ToString();
    EXPECT_TRUE(VerifyContext(saved->folder, {}).ok());
    return saved->folder;
  }

  static std::unique_ptr<Session> Load(Engine& engine, const std::string& folder,
                                       LoadReport* report = nullptr,
                                       const LoadSessionOptions& options = {}) {
    auto session = engine.LoadSession(folder, report, options);
    EXPECT_TRUE(session.ok()) << session.status().ToString();
    return *std::move(session);
  }

  // What the session renders a question to.
  static std::vector<TokenId> Asks(Session& session) {
    EXPECT_TRUE(session.SetTranscript({{.role = "user", .content = "Hello.", .extras = {}}}).ok());
    EXPECT_TRUE(session.Prepare({}).ok());
    return session.tokens();
  }

  // Replaces a file of a saved folder, or removes it, and makes the manifest true again.
  static void Rewrite(const std::string& folder, const std::string& path,
                      const std::optional<std::string>& text) {
    if (text) {
      std::ofstream(folder + "/" + path, std::ios::binary) << *text;
    } else {
      std::filesystem::remove(folder + "/" + path);
    }
    std::vector<ManifestEntry> entries;
    for (const auto& file : std::filesystem::recursive_directory_iterator(folder)) {
      const std::string name = std::filesystem::relative(file.path(), folder).string();
      if (!file.is_regular_file() || name == "metadata/manifest.txt") continue;
      const std::string bytes = ReadAll(folder + "/" + name);
      entries.push_back({name, bytes.size(), HexText(Sha256Of(AsBytes(bytes)))});
    }
    std::ofstream(folder + "/metadata/manifest.txt", std::ios::binary)
        << Manifest::FromEntries(std::move(entries)).Serialize();
  }

  static std::string ReadAll(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  static inline std::shared_ptr<const Model> model_;  // of all tests
  std::string root_;
};

TEST_F(SessionStateTest, VariablesOfTheTemplateSurviveASaveAndAFork) {
  const auto engine = Make();
  const auto without = Asks(*New(*engine, {}));
  for (const std::string variables :
       {R"({"think":false})", R"({ "mood" : "calm\n\u007f\t",  "think": true })",
        R"({"tags":["a","b",{"c":[1.5,-3,null]}],"mood":"gr\u00fcn \u2713"})"}) {
    const auto session = New(*engine, {.template_variables = variables});
    const auto fork = *session->Fork({});
    const auto loaded = Load(*engine, Save(*fork));
    const auto again = Load(*engine, Save(*loaded));
    const std::vector<TokenId> asked = Asks(*session);
    EXPECT_NE(without, asked) << variables;
    for (Session* one : {fork.get(), loaded.get(), again.get()}) EXPECT_EQ(asked, Asks(*one));
  }
}

TEST_F(SessionStateTest, ACallersVariablesReplaceTheSavedOnesAndThatIsSaidOnce) {
  const auto engine = Make();
  const std::string saved = R"({"mood":"calm"})";
  for (const std::string wanted : {R"({"mood":"wild"})", R"({"think":false,"mood":"calm"})", ""}) {
    const std::string folder = Save(*New(*engine, {.template_variables = saved}));
    const LoadSessionOptions options = {.template_variables = wanted};
    LoadReport report;
    const auto loaded = Load(*engine, folder, &report, options);
    ASSERT_EQ(1u, report.notes.size());
    EXPECT_THAT(report.notes[0], HasSubstr("template variables: saved with '" + saved + "'"));
    EXPECT_THAT(report.notes[0], HasSubstr(wanted.empty() ? "none" : wanted));
    EXPECT_EQ(Asks(*New(*engine, {.template_variables = wanted})), Asks(*loaded));
    LoadReport second;
    (void)Load(*engine, Save(*loaded), &second, options);
    EXPECT_THAT(second.notes, IsEmpty());
  }
}

TEST_F(SessionStateTest, TheSameVariablesWrittenOtherwiseAreNoChange) {
  const auto engine = Make();
  const std::string folder =
      Save(*New(*engine, {.template_variables = "{\"mood\":\"calm\",\n \"think\" : false}"}));
  LoadReport report;
  (void)Load(*engine, folder, &report, {.template_variables = R"({"mood":"calm","think":false})"});
  EXPECT_THAT(report.notes, IsEmpty());
}

TEST_F(SessionStateTest, VariablesThatAreNoObjectAreRefused) {
  const auto engine = Make();
  const std::string folder = Save(*New(*engine, {}));
  for (const std::string wrong : {"[1]", "{", "no", "\"a\"", "{\"a\":1} x", "\xff"}) {
    for (const Status& status :
         {engine->NewSession({.template_variables = wrong}).status(),
          engine->LoadSession(folder, nullptr, {.template_variables = wrong}).status()}) {
      EXPECT_EQ(Code::kInvalidArgument, status.code()) << wrong;
      EXPECT_EQ("template_variables", status.name());
      EXPECT_THAT(status.message(), HasSubstr("a JSON object expected"));
    }
  }
  EXPECT_EQ(engine->stats().slots_total, engine->stats().slots_free) << "no slot is lost";
}

TEST_F(SessionStateTest, AFolderWithKeysThatDoNotReadIsDamaged) {
  const auto engine = Make();
  for (const std::string line : {"template_variables: [1]", "template_variables: {\"a\":",
                                 "cache_namespace: a%2", "cache_namespace: %zz"}) {
    const std::string folder = Save(*New(*engine, {}));
    const std::string text = ReadAll(folder + "/metadata/session.txt");
    Rewrite(folder, "metadata/session.txt", text + line + "\n");
    const Status status = engine->LoadSession(folder, nullptr).status();
    EXPECT_EQ("state_inconsistent", status.name()) << line << ": " << status.ToString();
    EXPECT_THAT(status.message(), HasSubstr("session.txt"));
    EXPECT_EQ("state_inconsistent", VerifyContext(folder, {}).name()) << line;
  }
}

// Whether a session of the engine's shares what another one of namespace "team" has computed.
bool SharesWith(Engine& engine, Session& session, const std::string& name_space) {
  static TokenId first = 1;
  const auto prompt = Numbers(60, ++first);
  EXPECT_TRUE(MakeSession(engine, 1, name_space)->Complete(prompt, Steps(0)).ok());
  return session.Complete(prompt, Steps(0))->tokens_shared > 0;
}

TEST_F(SessionStateTest, TheNamespaceSurvivesTheOwnersLoadAndFork) {
  for (const std::string name : {"team", "a b%\n\x7f", "\xff\x01 z ", "%41"}) {
    const auto engine = Make();
    const auto session = New(*engine, {.cache_namespace = name});
    ASSERT_TRUE(session->Complete(Numbers(5, 200), Steps(2)).ok());
    const auto loaded = Load(*engine, Save(*session));
    const auto fork = *loaded->Fork({});
    const auto again = Load(*engine, Save(*fork));
    for (Session* one : {loaded.get(), fork.get(), again.get()}) {
      EXPECT_TRUE(SharesWith(*engine, *one, name)) << name;
      EXPECT_FALSE(SharesWith(*engine, *one, "")) << name;
      EXPECT_FALSE(SharesWith(*engine, *one, name + "x")) << name;
    }
  }
}

TEST_F(SessionStateTest, ACallersNamespaceReplacesTheSavedOne) {
  const auto engine = Make();
  for (const std::string wanted : {"other", "", "a%b"}) {
    const std::string folder = Save(*New(*engine, {.cache_namespace = "team"}));
    LoadReport report, second;
    const auto loaded = Load(*engine, folder, &report, {.cache_namespace = wanted});
    EXPECT_THAT(report.notes, Contains(HasSubstr("cache namespace: saved with 'team'")));
    EXPECT_TRUE(SharesWith(*engine, *loaded, wanted));
    EXPECT_FALSE(SharesWith(*engine, *loaded, "team"));
    const auto again = Load(*engine, Save(*loaded), &second);
    EXPECT_THAT(second.notes, IsEmpty());
    EXPECT_TRUE(SharesWith(*engine, *again, wanted));
  }
}

TEST_F(SessionStateTest, AFolderThatIsTakenInHasNoNamespace) {
  const auto engine = Make();
  for (const std::string name : {"team", "b", "x y"}) {
    const auto session =
        New(*engine, {.cache_namespace = name, .template_variables = R"({"mood":"calm"})"});
    ASSERT_TRUE(session->Complete(Numbers(30, 9), Steps(2)).ok());
    const std::string folder = Save(*session);
    const auto taken = ImportContext(root_ + "/other", folder, "of_" + std::to_string(name.size()));
    ASSERT_TRUE(taken.ok()) << taken.status().ToString();
    ASSERT_TRUE(VerifyContext(taken->folder, {}).ok());
    EXPECT_EQ(std::string::npos,
              ReadAll(taken->folder + "/metadata/session.txt").find("cache_namespace"));
    const auto loaded = Load(*engine, taken->folder);
    EXPECT_EQ(session->tokens(), loaded->tokens());
    EXPECT_FALSE(SharesWith(*engine, *loaded, name));
    EXPECT_TRUE(SharesWith(*engine, *loaded, ""));
    EXPECT_EQ(Asks(*session), Asks(*loaded)) << "the rest of its state came along";
    EXPECT_THAT(ReadAll(folder + "/metadata/session.txt"), HasSubstr("cache_namespace"));
  }
}

// One without a namespace is copied to the byte.
TEST_F(SessionStateTest, AFolderWithoutANamespaceIsTakenInAsItIs) {
  const auto engine = Make();
  const auto session = New(*engine, {});
  ASSERT_TRUE(session->Complete(Numbers(30, 9), Steps(2)).ok());
  const auto saved = session->Save({.root = root_, .name = {}});
  const auto taken = ImportContext(root_ + "/other", saved->folder, "mine");
  ASSERT_TRUE(taken.ok()) << taken.status().ToString();
  EXPECT_EQ(saved->root_digest, taken->root_digest);
}

TEST_F(SessionStateTest, WhatASessionDoesWhenItIsFullSurvivesThoughNothingWasEvicted) {
  const auto engine = Make();
  for (const WindowOptions& window :
       {WindowOptions{}, WindowOptions{.overflow = Overflow::kMessage, .headroom = 7},
        WindowOptions{.overflow = Overflow::kFifo, .mode = EvictMode::kRecompute, .sinks = 0},
        WindowOptions{.overflow = Overflow::kScore, .sinks = 9, .headroom = 0}}) {
    const auto session = New(*engine, {.window = window});
    ASSERT_TRUE(session->Complete(Numbers(30, 9), Steps(2)).ok());
    LoadReport report;
    const auto loaded = Load(*engine, Save(*session), &report);
    EXPECT_TRUE(report.has_window);
    EXPECT_EQ(window, loaded->window());
    EXPECT_EQ(window, (*session->Fork({}))->window());
    EXPECT_EQ(window, Load(*engine, Save(**loaded->Fork({})))->window());
    // And it is what happens.
    const auto here = session->Complete(Numbers(120, 9), Steps(30));
    const auto there = loaded->Complete(Numbers(120, 9), Steps(30));
    ASSERT_EQ(here.ok(), there.ok());
    EXPECT_EQ(here.ok() ? here->tokens : std::vector<TokenId>(),
              there.ok() ? there->tokens : std::vector<TokenId>());
    EXPECT_EQ(session->info().evicted, loaded->info().evicted);
    const bool evicts =  // raw tokens have no turns that could go
        window.overflow != Overflow::kError && window.overflow != Overflow::kMessage;
    EXPECT_EQ(evicts, loaded->info().evicted > 0);
  }
}

TEST_F(SessionStateTest, WithoutACacheAPolicyIsGivenUpAndThatIsSaid) {
  const auto engine = Make(), without = Make(false);
  for (const Overflow overflow : {Overflow::kMessage, Overflow::kSink, Overflow::kError}) {
    const std::string folder = Save(*New(*engine, {.window = {.overflow = overflow}}));
    LoadReport report;
    const auto loaded = Load(*without, folder, &report);
    EXPECT_EQ(Overflow::kError, loaded->window().overflow);
    EXPECT_TRUE(loaded->SetWindow(loaded->window()).ok());
    EXPECT_EQ(overflow == Overflow::kError ? 0u : 1u, report.notes.size());
  }
}

// As a version before minor 4 wrote it.
TEST_F(SessionStateTest, AnOlderFolderDoesNotSayWhatHappensWhenItIsFull) {
  const auto engine = Make();
  const auto session = New(*engine, {.window = {.overflow = Overflow::kFifo}});
  ASSERT_TRUE(session->Complete(Numbers(30, 9), Steps(2)).ok());
  const std::string folder = Save(*session);
  Rewrite(folder, "metadata/window.txt", std::nullopt);
  LoadReport report;
  const auto loaded = Load(*engine, folder, &report);
  EXPECT_FALSE(report.has_window);
  EXPECT_EQ(WindowOptions(), loaded->window());
  EXPECT_EQ(session->tokens(), loaded->tokens());
}

TEST(SessionKeys, EveryNamespaceReadsBackAndEveryByteIsPrintable) {
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
  for (const std::string& name :
       {all, std::string(" "), std::string("%%41"), std::string("\0", 1)}) {
    KeyValues keys;
    WriteSessionKeys({.template_variables = {}, .cache_namespace = name}, &keys);
    EXPECT_TRUE(keys.Check().ok()) << keys.Check().ToString();
    const auto read = KeyValues::Parse(keys.Serialize());
    ASSERT_TRUE(read.ok());
    EXPECT_EQ(name, ReadSessionKeys(*read)->cache_namespace);
  }
}

TEST(SessionKeys, VariablesAreOneLineThatReadsBack) {
  for (const std::string& json : {std::string("{\"a\": \"line\\nline \x7f\"}"),
                                  std::string("{\"b\":1,\"a\":[true,null,18446744073709551615]}"),
                                  std::string("{\"\x7f\":{}}")}) {
    const auto line = OneLineVariables(json);
    ASSERT_TRUE(line.ok()) << line.status().ToString();
    KeyValues keys;
    WriteSessionKeys({.template_variables = *line, .cache_namespace = {}}, &keys);
    EXPECT_TRUE(keys.Check().ok()) << keys.Check().ToString();
    EXPECT_EQ(*line, ReadSessionKeys(keys)->template_variables);
    EXPECT_EQ(*line, *OneLineVariables(*line));
  }
  EXPECT_EQ("", *OneLineVariables("{}"));
  EXPECT_EQ("", *OneLineVariables(""));
}

}  // namespace
}  // namespace gyrator
