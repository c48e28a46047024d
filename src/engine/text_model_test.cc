// Which template renders, what it sees, and where a reply ends.
#include "engine/text_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/sha256.h"

namespace gyrator {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class TextModelFolder : public testing::Test {
 protected:
  TextModelFolder()
      : path_(testing::TempDir() + "/text_model_" +
              testing::UnitTest::GetInstance()->current_test_info()->name()) {
    std::filesystem::remove_all(path_);
    std::filesystem::create_directories(path_ + "/additional_chat_templates");
    Json added = Json::array();
    for (int id = 4; id < 8; ++id) {  // <4> to <7>
      added.push_back({{"id", id},
                       {"content", "<" + std::to_string(id) + ">"},
                       {"single_word", false},
                       {"lstrip", false},
                       {"rstrip", false},
                       {"normalized", false},
                       {"special", id != 7}});
    }
    const Json vocab = {{"a", 0}, {"b", 1}, {"g", 2}, {"\n", 3}};
    // Encoding puts <5> before a text where it is asked to.
    const Json post_processor = {
        {"type", "TemplateProcessing"},
        {"single",
         {{{"SpecialToken", {{"id", "<5>"}, {"type_id", 0}}}},
          {{"Sequence", {{"id", "A"}, {"type_id", 0}}}}}},
        {"pair", Json::array()},
        {"special_tokens", {{"<5>", {{"id", "<5>"}, {"ids", {5}}, {"tokens", {"<5>"}}}}}}};
    Write("tokenizer.json",
          DumpJson({{"added_tokens", added},
                    {"post_processor", post_processor},
                    {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", Json::array()}}}}));
  }
  ~TextModelFolder() override { std::filesystem::remove_all(path_); }

  void Write(const std::string& name, const std::string& text) {
    std::ofstream(path_ + "/" + name) << text;
  }
  void WriteConfig(const Json& config) { Write("tokenizer_config.json", DumpJson(config)); }

  std::shared_ptr<const TextModelImpl> Opened() {
    auto text = TextModelImpl::Open(path_, {});
    EXPECT_TRUE(text.ok()) << text.status().ToString();
    return text.ok() ? *std::move(text) : nullptr;
  }
  std::string Rendered(const RenderOptions& options) {
    const auto text =
        Opened()->Render({{{.role = "user", .content = "hi", .extras = {}}}}, options);
    return text.ok() ? *text : text.status().message();
  }
  std::vector<TokenId> Ends() {
    const auto text = Opened();
    const auto ends = text->end_of_generation();
    return {ends.begin(), ends.end()};
  }

  std::string path_;
};

const std::string kTools = R"([{"type":"function","function":{"name":"f"}}])";

TEST_F(TextModelFolder, WithToolsTheTemplateForToolsRenders) {
  WriteConfig({{"chat_template",
                {{{"name", "default"}, {"template", "plain"}},
                 {{"name", "tool_use"}, {"template", "tools {{ tools|length }}"}}}}});
  EXPECT_EQ(Rendered({}), "plain");
  EXPECT_EQ(Rendered({.tools = kTools}), "tools 1");
  EXPECT_EQ(Rendered({.tools = "[]"}), "tools 0");
  WriteConfig({{"chat_template", "one {{ tools is none }}"}});
  EXPECT_EQ(Rendered({.tools = kTools}), "one False");
  Write("additional_chat_templates/tool_use.jinja", "file {{ tools[0].function.name }}");
  EXPECT_EQ(Rendered({.tools = kTools}), "file f");
  EXPECT_THAT(Rendered({}), HasSubstr("'tool_use'"));
  Write("chat_template.jinja", "main");
  EXPECT_EQ(Rendered({}), "main");
  EXPECT_EQ(Rendered({.tools = kTools}), "file f");
}

TEST_F(TextModelFolder, WithoutADefaultTheNamesAreTold) {
  WriteConfig(
      {{"chat_template",
        {{{"name", "tool_use"}, {"template", "t"}}, {{"name", "rag"}, {"template", "r"}}}}});
  EXPECT_TRUE(Opened()->has_template());
  for (const char* part : {"'rag', 'tool_use'", "'default'", "--raw", "'tool_use' is for tools"}) {
    EXPECT_THAT(Rendered({}), HasSubstr(part));
  }
  EXPECT_EQ(Rendered({.tools = kTools}), "t");
  WriteConfig({{"chat_template", {{{"name", "rag"}, {"template", "r"}}}}});
  EXPECT_THAT(Rendered({.tools = kTools}), HasSubstr("'rag'"));
  WriteConfig(Json::object());
  EXPECT_FALSE(Opened()->has_template());
  EXPECT_THAT(Rendered({}), HasSubstr("no chat template"));
}

TEST_F(TextModelFolder, AToolTemplateThatIsWrongDoesNoHarmWithoutTools) {
  WriteConfig({{"chat_template",
                {{{"name", "default"}, {"template", "plain"}},
                 {{"name", "tool_use"}, {"template", "{% if %}"}}}}});
  EXPECT_EQ(Rendered({}), "plain");
  EXPECT_THAT(Rendered({.tools = kTools}), HasSubstr("'tool_use'"));
}

TEST_F(TextModelFolder, TemplatesSeeTheNamesOfTokens) {
  WriteConfig({{"chat_template",
                "{{ bos_token }},{{ pad_token }},{{ unk_token }},{{ image_token }},"
                "{{ sep_token is defined }}"},
               {"bos_token", "<4>"},
               {"pad_token", "<5>"},
               {"unk_token", "a"},
               {"image_token", "<6>"}});
  EXPECT_EQ(Rendered({}), "<4>,<5>,a,<6>,False");
  EXPECT_EQ(Rendered({.variables = R"({"pad_token":"mine","sep_token":1})"}),
            "<4>,mine,a,<6>,True");
}

// What a context records of its template: a token counts when the template names it.
TEST_F(TextModelFolder, TheDigestOfTheTemplateHoldsTheTokensThatItNames) {
  const auto digest = [this](const std::string& source, const Json& tokens) {
    Json config = {{"chat_template", source}};
    config.update(tokens);
    WriteConfig(config);
    return Opened()->template_digest();
  };
  const std::string plain = digest("{{ bos_token }}x", Json::object());
  EXPECT_EQ(plain, HexText(Sha256Of(AsBytes("{{ bos_token }}x"))));
  EXPECT_EQ(digest("{{ bos_token }}x", {{"bos_token", "<4>"}, {"pad_token", "<5>"}}), plain);
  const std::string pad = digest("{{ pad_token }}x", {{"pad_token", "<5>"}});
  EXPECT_NE(digest("{{ pad_token }}x", {{"pad_token", "<6>"}}), pad);
  EXPECT_NE(digest("{{ pad_token }}x", Json::object()), pad);
  EXPECT_NE(digest("{{ image_token }}x", {{"image_token", "<5>"}}),
            digest("{{ image_token }}x", {{"image_token", "<6>"}}));
  EXPECT_NE(digest("a", Json::object()), digest("b", Json::object()));
}

TEST_F(TextModelFolder, TheTokenBehindAReplyEndsIt) {
  const auto with = [this](const std::string& source) {
    WriteConfig({{"chat_template", source}, {"eos_token", "<4>"}});
    return Ends();
  };
  EXPECT_THAT(with("{% for m in messages %}<5>{{ m.content }}<6>\n{% endfor %}"),
              ElementsAre(4, 6));
  EXPECT_THAT(with("{% for m in messages %}{{ m.content }} \n <5>{% endfor %}"), ElementsAre(4, 5));
  EXPECT_THAT(with("{% for m in messages %}{{ m.content }}<4>{% endfor %}"), ElementsAre(4));
  // No special token, none at all, a refusal, words that are not there.
  EXPECT_THAT(with("{% for m in messages %}{{ m.content }}<7>{% endfor %}"), ElementsAre(4));
  EXPECT_THAT(with("{% for m in messages %}{{ m.content }}ab<6>{% endfor %}"), ElementsAre(4));
  EXPECT_THAT(with("{% for m in messages %}<5>{{ m.content }}{% endfor %}"), ElementsAre(4));
  EXPECT_THAT(with("{{ raise_exception('no') }}"), ElementsAre(4));
  EXPECT_THAT(with("<6>"), ElementsAre(4));
  EXPECT_THAT(with("{% for m in messages %}{{ m.content }}{% endfor %}"
                   "{% if add_generation_prompt %}<6>{% endif %}"),
              ElementsAre(4));
  // Not behind the last one, but before the next message, which has its own beginning.
  EXPECT_THAT(with("{% for m in messages %}<5>{{ m.role }}\n{{ m.content }}{% if not loop.last "
                   "%}<6>\n{% endif %}{% endfor %}"),
              ElementsAre(4, 6));
  EXPECT_THAT(with("<5>be kind<6>\n{% for m in messages %}<5>{{ m.content }}{% if not loop.last "
                   "%}<6>\n{% endif %}{% endfor %}"),
              ElementsAre(4, 6));
  EXPECT_THAT(with("{% if messages[-1].role != 'user' %}{{ raise_exception('no') }}{% endif %}"
                   "{% for m in messages %}<5>{{ m.content }}<6>{% endfor %}"),
              ElementsAre(4, 6));
  EXPECT_THAT(with("{% for m in messages %}<5>{{ m.content }}\n{% endfor %}"), ElementsAre(4));
  // Beside what generation_config.json says.
  Write("generation_config.json", R"({"eos_token_id":[0,5]})");
  EXPECT_THAT(with("{% for m in messages %}{{ m.content }}<6>{% endfor %}"),
              ElementsAre(0, 4, 5, 6));
}

TEST_F(TextModelFolder, OptionsOfAnotherFormatAreRefused) {
  const Status status = TextModelImpl::Open(path_, {.tokenizer_pre = "gpt-2"}).status();
  EXPECT_EQ(status.code(), Code::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("found a folder"));
}

}  // namespace
}  // namespace gyrator
