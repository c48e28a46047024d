// gyrator stats [--context NAME]: what contexts hold, from their files.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cli/commands.h"

namespace gyrator::cli {

namespace {

struct Figures {
  std::string name;
  int32_t tokens = 0, evicted = 0, turns = 0;
  uint64_t key_bytes = 0, other_bytes = 0;  // on disk: keys and values, all else
};

Result<Figures> FiguresOf(const std::string& name, const Home& home) {
  GYRATOR_ASSIGN_OR_RETURN(const HeldContext held, HoldContext(home.contexts, name));
  GYRATOR_ASSIGN_OR_RETURN(const ContextDetails details, ShowContext(held.folder));
  Figures figures{.name = name,
                  .tokens = details.entry.tokens,
                  .evicted = details.evicted,
                  .turns = details.entry.turns};
  figures.key_bytes = details.kv_bytes;
  figures.other_bytes = details.entry.bytes - std::min(details.kv_bytes, details.entry.bytes);
  return figures;
}

Json JsonOf(const Figures& f) {
  return {{"name", f.name},
          {"tokens", f.tokens},
          {"evicted", f.evicted},
          {"turns", f.turns},
          {"disk", {{"kv_bytes", f.key_bytes}, {"other_bytes", f.other_bytes}}}};
}

std::string LineOf(const Figures& f, size_t width) {
  return fmt::format("{:{}}  {:>7}  {:>7}  {:>5}  {:>9}  {:>9}\n", f.name, width, f.tokens,
                     f.evicted, f.turns, BytesText(f.key_bytes), BytesText(f.other_bytes));
}

}  // namespace

Status RunStats(const StatsArgs& args, const Context& context) {
  GYRATOR_ASSIGN_OR_RETURN(const Home home, FindHome());
  std::vector<Figures> all;
  if (!args.context.empty()) {
    GYRATOR_ASSIGN_OR_RETURN(all.emplace_back(), FiguresOf(args.context, home));
  } else {
    GYRATOR_ASSIGN_OR_RETURN(const std::vector<ContextEntry> entries, ListContexts(home.contexts));
    for (const ContextEntry& entry : entries) {
      const std::string& name = entry.name.empty() ? entry.stamp : entry.name;
      Result<Figures> figures = FiguresOf(name, home);
      if (figures.status().code() == Code::kNotFound) continue;  // removed since it was listed
      if (!figures.ok()) {
        PrintNote(name + ": " + figures.status().message());
        continue;
      }
      all.push_back(*std::move(figures));
    }
  }
  if (context.json) {
    Json list = Json::array();
    for (const Figures& figures : all) list.push_back(JsonOf(figures));
    return PrintJson(list);
  }
  size_t width = 4;
  for (const Figures& figures : all) width = std::max(width, figures.name.size());
  std::string text = fmt::format("{:{}}  {:>7}  {:>7}  {:>5}  {:>9}  {:>9}\n", "NAME", width,
                                 "TOKENS", "EVICTED", "TURNS", "K AND V", "REST");
  for (const Figures& figures : all) text += LineOf(figures, width);
  return PrintText(Printable(text));
}

}  // namespace gyrator::cli
