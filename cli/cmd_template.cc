// gyrator template -m MODEL --messages FILE.json: the rendered prompt, byte for byte.
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/text_input.h"

namespace gyrator::cli {

namespace {

// A file or flag of the user that is no JSON is an error of usage.
Result<Json> UserJson(const std::string& text, const std::string& what) {
  Result<Json> value = ParseExactJson(text);
  if (value.ok()) return value;
  return Status::InvalidArgument(what + ": " + value.status().message());
}

}  // namespace

Status RunTemplate(const TemplateArgs& args, const Context& context) {
  GYRATOR_ASSIGN_OR_RETURN(const std::string path, ModelPath(args.model));
  GYRATOR_ASSIGN_OR_RETURN(const std::shared_ptr<const TextModel> text,
                           TextModel::Load(path, {.tokenizer_pre = args.tokenizer_pre}));
  GYRATOR_ASSIGN_OR_RETURN(const std::string messages, ReadInput(args.messages_file));
  RenderOptions options;
  if (!args.tools_file.empty()) {
    GYRATOR_ASSIGN_OR_RETURN(options.tools, ReadInput(args.tools_file));
  }
  Json variables = Json::object();
  for (const auto& [name, value] : args.variables) {
    GYRATOR_ASSIGN_OR_RETURN(const Json parsed, UserJson(value, "--set " + name));
    if (name == "add_generation_prompt" && parsed.is_boolean()) {
      options.add_generation_prompt = parsed.get<bool>();
    } else {
      variables[name] = parsed;
    }
  }
  if (!variables.empty()) options.variables = DumpJson(variables);
  GYRATOR_ASSIGN_OR_RETURN(const std::string prompt, text->RenderJson(messages, options));
  if (!context.json) return PrintText(prompt);
  return PrintJson({{"prompt", prompt}});
}

}  // namespace gyrator::cli
