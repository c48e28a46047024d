// gyrator ls: the contexts, in order of creation.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "gyrator/contexts.h"

namespace gyrator::cli {

Status RunLs(const LsArgs&, const Context& context) {
  GYRATOR_ASSIGN_OR_RETURN(const Home home, FindHome());
  GYRATOR_ASSIGN_OR_RETURN(const std::vector<ContextEntry> entries, ListContexts(home.contexts));
  if (context.json) {
    Json list = Json::array();
    for (const ContextEntry& e : entries) {
      list.push_back({{"name", e.name},
                      {"stamp", e.stamp},
                      {"folder", e.folder},
                      {"created", e.created},
                      {"model", e.model},
                      {"tokens", e.tokens},
                      {"turns", e.turns},
                      {"bytes", e.bytes},
                      {"problem", e.problem}});
    }
    return PrintJson(list);
  }
  size_t width = 4;
  for (const ContextEntry& e : entries) width = std::max(width, e.name.size());
  std::string text = fmt::format("{:{}}  {:>7}  {:>5}  {:>9}  {:20}  {}\n", "NAME", width, "TOKENS",
                                 "TURNS", "SIZE", "STAMP", "CREATED");
  for (const ContextEntry& e : entries) {
    text += fmt::format("{:{}}  {:>7}  {:>5}  {:>9}  {:20}  {}\n", e.name.empty() ? "-" : e.name,
                        width, e.tokens, e.turns, BytesText(e.bytes), e.stamp,
                        e.problem.empty() ? e.created : "unreadable: " + e.problem);
  }
  return PrintText(Printable(text));
}

}  // namespace gyrator::cli
