// gyrator show NAME|PATH: what a context holds. Reads, verifies nothing.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "gyrator/contexts.h"

namespace gyrator::cli {

namespace {

using KeyValues = std::vector<std::pair<std::string, std::string>>;

Json ObjectOf(const KeyValues& values) {
  Json object = Json::object();
  auto& fields = object.get_ref<Json::object_t&>();  // its keys are all different: no search
  for (const auto& [key, value] : values) fields.emplace_back(key, value);
  return object;
}

std::string SectionText(const char* title, const KeyValues& values, bool color) {
  if (values.empty()) return "";
  std::string text = "\n" + Styled(Style::kBold, title, color) + "\n";
  for (const auto& [key, value] : values)
    text += fmt::format("  {:22} {}\n", key, Printable(value));
  return text;
}

Json JsonOf(const ContextDetails& details) {
  const ContextEntry& e = details.entry;
  Json transcript = Json::array();
  for (const Message& message : details.transcript) {
    transcript.push_back({{"role", message.role}, {"content", message.content}});
    if (!message.extras.empty()) transcript.back()["extras"] = message.extras;
  }
  return {{"name", e.name},
          {"stamp", e.stamp},
          {"folder", e.folder},
          {"created", e.created},
          {"model", e.model},
          {"verification", details.verification},
          {"cp", e.tokens},
          {"turns", e.turns},
          {"bytes", e.bytes},
          {"config", ObjectOf(details.config)},
          {"session", ObjectOf(details.session)},
          {"protocol", ObjectOf(details.protocol)},
          {"keylog", ObjectOf(details.keylog)},
          {"transcript", transcript},
          {"tokens", details.tokens}};
}

std::string TextOf(const ContextDetails& details, bool color) {
  const ContextEntry& e = details.entry;
  std::string text = SectionText("context",
                                 {{"name", e.name.empty() ? "-" : e.name},
                                  {"folder", e.folder},
                                  {"created", e.created},
                                  {"model", e.model},
                                  {"verification", details.verification},
                                  {"cp", std::to_string(e.tokens)},
                                  {"turns", std::to_string(e.turns)},
                                  {"size", BytesText(e.bytes)}},
                                 color);
  text.erase(0, 1);  // no empty line at the top
  text += SectionText("config", details.config, color);
  text += SectionText("session", details.session, color);
  text += SectionText("protocol", details.protocol, color);
  text += SectionText("keylog", details.keylog, color);
  if (!details.transcript.empty()) text += "\n" + Styled(Style::kBold, "transcript", color) + "\n";
  for (const Message& message : details.transcript) {
    text += fmt::format("  {:10} {}\n", message.role, Printable(OneLine(message.content)));
  }
  return text;
}

}  // namespace

Status RunShow(const ShowArgs& args, const Context& context) {
  GYRATOR_ASSIGN_OR_RETURN(const Home home, FindHome());
  GYRATOR_ASSIGN_OR_RETURN(HeldContext held, HoldContext(home.contexts, args.context));
  GYRATOR_ASSIGN_OR_RETURN(ContextDetails details, ShowContext(held.folder));
  held.hold.reset();  // whoever reads the output may take his time
  // A name is not part of the folder that it points at.
  const bool by_name = args.context.find('/') == std::string::npos;
  if (by_name && args.context != details.entry.stamp) details.entry.name = args.context;
  if (context.json) {
    return PrintJson(JsonOf(details));
  }
  return PrintStyled(TextOf(details, context.terminals.out && context.terminals.color));
}

}  // namespace gyrator::cli
