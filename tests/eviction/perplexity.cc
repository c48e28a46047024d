// What each eviction policy costs in perplexity, and the promise about shifting.
//
//   eviction_perplexity [--svg FILE] MODEL DIALOGUES.jsonl CAPACITY...
//
// DIALOGUES is what `gyrator-dialogues --held-out --json` prints: text of the kind that the shipped
// model was trained on, with values that its training never saw. Each policy reads it in sessions
// of each capacity, once with what stays shifted and once recomputed at each eviction; the whole
// text in one window is measured where the model's context has room for it. Prints a Markdown
// table. Promised: with sinks ("sink" and "fifo" of 4) shifting costs at most 5 % of perplexity.
// Exit code 1 when it does not hold, or when the longest text is not 20 times the smallest
// capacity.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "tests/eviction/measure.h"
#include "tests/eviction/plot.h"

namespace gyrator {
namespace {

constexpr double kRatioMax = 1.05;
constexpr int64_t kTimesPast = 20;
constexpr int32_t kSinks = 4;

struct Arguments {
  std::string svg, model, dialogues;
  std::vector<int32_t> capacities;
};

struct Row {
  Policy policy;
  int32_t capacity = 0;
  Measured shift, recompute;
  // The greater one, of the replies and of all tokens (where they were scored).
  double ratio() const {
    return std::fmax(shift.reply_perplexity() / recompute.reply_perplexity(),
                     shift.perplexity() / recompute.perplexity());
  }
  bool promised() const {
    const bool drops = policy.overflow == Overflow::kFifo || policy.overflow == Overflow::kSink;
    return drops && policy.sinks > 0;
  }
};

[[noreturn]] void Die(const std::string& what) {
  std::fprintf(stderr, "eviction_perplexity: %s\n", what.c_str());
  std::exit(2);
}

template <class T>
T Must(Result<T> result, const std::string& what) {
  if (!result.ok()) Die(what + ": " + result.status().ToString());
  return *std::move(result);
}

std::vector<Policy> Policies() {
  return {{.name = "message", .overflow = Overflow::kMessage, .sinks = 0},
          {.name = "fifo, no sinks", .overflow = Overflow::kFifo, .sinks = 0},
          {.name = "fifo, 4 sinks", .overflow = Overflow::kFifo, .sinks = kSinks},
          {.name = "sink, 4 sinks", .overflow = Overflow::kSink, .sinks = kSinks},
          {.name = "score, 4 sinks", .overflow = Overflow::kScore, .sinks = kSinks}};
}

std::vector<Dialogue> ReadDialogues(const std::string& path) {
  std::ifstream file(path);
  std::vector<Dialogue> dialogues;
  for (std::string line; std::getline(file, line);) {
    const Json json = Must(ParseJson(line), path);
    Dialogue dialogue;
    if (json.contains("system") && json["system"].is_string()) {
      dialogue.push_back(
          {.role = "system", .content = json["system"].get<std::string>(), .extras = {}});
    }
    if (!json.contains("turns") || !json["turns"].is_array()) Die(path + ": no turns");
    for (const Json& turn : json["turns"]) {
      for (const auto& [field, role] : {std::pair("user", "user"), {"reply", "assistant"}}) {
        dialogue.push_back({.role = role, .content = turn.value(field, ""), .extras = {}});
      }
    }
    dialogues.push_back(std::move(dialogue));
  }
  if (dialogues.empty()) Die(path + ": no dialogues");
  return dialogues;
}

std::string Number(double value) {
  return std::isfinite(value) ? fmt::format("{:.4f}", value) : "-";
}

void Print(const std::string& name, int32_t capacity, const std::string& mode, const Measured& m,
           const Measured& against) {
  std::printf("%s\n",
              fmt::format("| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |", capacity, name,
                          mode, Number(m.reply_perplexity()),
                          Number(m.reply_perplexity() / against.reply_perplexity()),
                          Number(m.perplexity()), Number(m.perplexity() / against.perplexity()),
                          m.evictions, m.decoded, m.kv_bytes_max / 1024)
                  .c_str());
  std::fflush(stdout);
}

// Nothing when a turn does not fit: "message" drops whole ones.
std::optional<Row> MeasureBoth(const std::shared_ptr<const Model>& model,
                               const std::vector<Dialogue>& dialogues, int32_t capacity,
                               const Policy& policy) {
  const auto measure = [&](EvictMode mode) {
    return Measure({.model = model, .capacity = capacity, .policy = policy, .mode = mode},
                   dialogues);
  };
  const Result<Measured> shift = measure(EvictMode::kShift);
  if (policy.overflow == Overflow::kMessage && shift.status().name() == "capacity") {
    std::printf("| %d | %s | a turn does not fit |\n", capacity, policy.name.c_str());
    return std::nullopt;
  }
  Row row{.policy = policy,
          .capacity = capacity,
          .shift = Must(shift, policy.name),
          .recompute = Must(measure(EvictMode::kRecompute), policy.name)};
  Print(policy.name, capacity, "shift", row.shift, row.recompute);
  Print(policy.name, capacity, "recompute", row.recompute, row.recompute);
  return row;
}

void WritePlot(const std::string& path, const std::vector<Row>& rows, const Measured& whole) {
  static constexpr const char* kColours[] = {"#7a4fa3", "#c0562b", "#2f8f4e", "#1f5fa8", "#b8912b"};
  std::vector<PlotLine> lines;
  for (const Policy& policy : Policies()) {
    PlotLine shift{.name = policy.name, .colour = kColours[lines.size()], .points = {}};
    for (const Row& row : rows) {
      if (row.policy.name != policy.name) continue;
      shift.points.emplace_back(static_cast<double>(row.shift.kv_bytes_max) / 1024,
                                row.shift.reply_perplexity());
    }
    std::ranges::sort(shift.points);
    lines.push_back(std::move(shift));
  }
  if (whole.tokens > 0) {
    lines.push_back({.name = fmt::format("nothing evicted ({} KiB)", whole.kv_bytes_max / 1024),
                     .colour = "#555",
                     .dashed = true,
                     .points = {{0, whole.reply_perplexity()}}});
  }
  std::ofstream(path) << DrawPlot({.title = "Shift mode, shipped model",
                                   .x = "KiB of keys and values held at most",
                                   .y = "perplexity of replies"},
                                  lines);
}

Arguments Read(int argc, char** argv) {
  std::vector<std::string> words(argv + 1, argv + argc);
  Arguments args;
  if (words.size() > 2 && words[0] == "--svg") {
    args.svg = words[1];
    words.erase(words.begin(), words.begin() + 2);
  }
  if (words.size() < 3) Die("[--svg FILE] MODEL DIALOGUES.jsonl CAPACITY...");
  args.model = words[0];
  args.dialogues = words[1];
  for (size_t i = 2; i < words.size(); ++i) args.capacities.push_back(std::atoi(words[i].c_str()));
  return args;
}

bool Holds(const std::vector<Row>& rows, int64_t length, int64_t capacity_min) {
  const int64_t times = length / capacity_min;
  bool holds = times >= kTimesPast;
  if (!holds) std::printf("FAIL the text is %ld times the smallest capacity\n", times);
  for (const Row& row : rows) {
    if (!row.promised() || row.ratio() <= kRatioMax) continue;
    std::printf("FAIL %s at %d: shift is %.4f of recompute\n", row.policy.name.c_str(),
                row.capacity, row.ratio());
    holds = false;
  }
  return holds;
}

int Main(int argc, char** argv) {
  const Arguments args = Read(argc, argv);
  const auto model = Must(
      Model::Load(args.model,
                  {.compute = {}, .isa = "auto", .threads = 1, .digest_cache = {}, .progress = {}}),
      args.model);
  const std::vector<Dialogue> dialogues = ReadDialogues(args.dialogues);
  int64_t longest = 0;
  for (const Dialogue& dialogue : dialogues) {
    longest = std::max<int64_t>(longest, std::ssize(TokensOf(*model->text(), dialogue)));
  }
  std::printf(
      "| capacity | policy | mode | perplexity of replies | of recompute's | of all tokens | of "
      "recompute's | evictions | tokens decoded | KiB of K and V at most |\n"
      "|---|---|---|---|---|---|---|---|---|---|\n");
  Measured whole;
  if (longest <= model->info().context_max) {
    const MeasureOptions options{
        .model = model, .capacity = static_cast<int32_t>(longest), .policy = {.name = "none"}};
    whole = Must(Measure(options, dialogues), "nothing evicted");
    Print("nothing evicted", options.capacity, "-", whole, {});
  }
  std::vector<Row> rows;
  for (const int32_t capacity : args.capacities) {
    for (const Policy& policy : Policies()) {
      if (auto row = MeasureBoth(model, dialogues, capacity, policy)) rows.push_back(*row);
    }
  }
  std::printf("%zu conversations, %ld tokens, %ld of them replies'; the longest has %ld\n",
              dialogues.size(), rows[0].shift.length, rows[0].shift.reply_tokens, longest);
  if (!args.svg.empty()) WritePlot(args.svg, rows, whole);
  const bool holds = Holds(rows, longest, *std::ranges::min_element(args.capacities));
  std::printf("%s: with sinks, shifting costs at most 5 %% of perplexity\n",
              holds ? "ok  " : "FAIL");
  return holds ? 0 : 1;
}

}  // namespace
}  // namespace gyrator

int main(int argc, char** argv) { return gyrator::Main(argc, argv); }
