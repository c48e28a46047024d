#include "card.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "base/json.h"
#include "base/mapped_file.h"
#include "formats/output_file.h"

namespace gyrator::train {
namespace {

constexpr double kWidth = 720, kHeight = 300, kLeft = 50, kRight = 50, kTop = 20, kBottom = 40;

double XOf(double tokens, double tokens_max) {
  return kLeft + (kWidth - kLeft - kRight) * tokens / tokens_max;
}
double YOf(double share) { return kTop + (kHeight - kTop - kBottom) * (1 - share); }

std::string Polyline(const std::vector<std::pair<double, double>>& points, const char* colour) {
  std::string text =
      fmt::format("<polyline fill=\"none\" stroke=\"{}\" stroke-width=\"1.5\" points=\"", colour);
  for (const auto& [x, y] : points) text += fmt::format("{:.1f},{:.1f} ", x, y);
  return text + "\"/>\n";
}

std::string Label(double x, double y, const char* anchor, const std::string& text) {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\">{}</text>\n", x, y, anchor,
                     text);
}

std::string Percent(const Json& score) {  // [right, asked]
  const double right = score[0].get<double>(), asked = score[1].get<double>();
  return asked == 0 ? "-" : fmt::format("{:.1f} % of {:.0f}", 100 * right / asked, asked);
}

std::string RecallTable(const Json& recall) {
  std::string text =
      "| conversation | one fact | several at once | never told | all |\n|---|---|---|---|---|\n";
  for (const Json& row : recall["lengths"]) {
    Json all = {0, 0};
    for (const char* kind : {"fact", "many", "untold"}) {
      for (const int i : {0, 1}) all[i] = all[i].get<int>() + row[kind][i].get<int>();
    }
    text += fmt::format("| {} tokens, about {} turns | {} | {} | {} | {} |\n",
                        row["row_tokens"].get<int>(), row["turns"].get<int>(), Percent(row["fact"]),
                        Percent(row["many"]), Percent(row["untold"]), Percent(all));
  }
  return text;
}

constexpr const char* kCard = R"(# Gyrator Chat

A very small chat model that ships with Gyrator, so that everything works on a machine with nothing else. It talks in short
English sentences and recalls what it was told earlier in the conversation.

| | |
|---|---|
| file | `gyrator-chat.gguf`, Q8_0 (norms F32), Llama architecture |
| parameters | {params:.2f} M: {layers} layers, width {hidden}, {heads} heads, {kv_heads} key/value heads, SwiGLU {ffn}, tied embeddings |
| context | {context} tokens, RoPE theta {theta:.0f} |
| vocabulary | {vocab} tokens: byte-level BPE, digits one by one |
| chat format | `<\|user\|>text<\|end\|><\|assistant\|>text<\|end\|>`, no BOS |
| training | {steps} steps, {tokens:.2f} M tokens, seed {seed} |
| data | conversations written by the seeded generator in `train/` ([docs/training.md](../docs/training.md)); nothing else |

![loss and recall](loss.svg)

## Recall

Conversations with values (names, places, numbers, words) that training never saw: a tenth of all values is held out by hash. A
question counts as right when every token of the reply is (the trainer feeds the true reply). Measured on F32 weights.

{recall}
## Limits

- It knows nothing of the world and does not reason. It repeats what it was told; outside that it makes things up.
- English only, and near the phrasings of its generator: facts of the form "my X is Y", a few dozen kinds of X, lists, corrections.
- The assistant has no abilities beyond text: no clock, no search, no arithmetic.
- Figures above are of generated conversations. People phrase things in ways that the generator does not; expect less.

## How it was made

```
gyrator-train tokenizer --out build/train
gyrator-train train --out build/train --resume --steps {steps} --decay-steps {decay}
gyrator-train eval --out build/train
gyrator-train export --out build/train --gguf models/gyrator-chat.gguf
gyrator-train card --out build/train --to models
```

or `make model`. The run is a function of its seed, the number of threads and the machine's arithmetic.
{note})";

}  // namespace

Result<std::vector<LogPoint>> ReadLog(const std::string& path) {
  std::ifstream file(path);
  if (!file) return Status::NotFound(path + ": no log");
  std::vector<LogPoint> points;
  int64_t number = 0;
  for (std::string line; std::getline(file, line);) {
    ++number;
    const auto json = ParseJson(line);
    if (!json.ok() || !json->contains("tokens") || !(*json)["tokens"].is_number()) {
      return Status::Corruption(fmt::format("{}: line {} is no report", path, number));
    }
    LogPoint point{.tokens = (*json)["tokens"].get<double>()};
    if (json->contains("loss") && (*json)["loss"].is_number())
      point.loss = (*json)["loss"].get<double>();
    if (json->contains("recall")) {
      const Json& fact = (*json)["recall"]["fact"];
      if (fact.is_array() && fact.size() == 2)
        point.recall = fact[0].get<double>() / std::max(1.0, fact[1].get<double>());
    }
    // A resumed run repeats what was lost since the last checkpoint: later lines replace.
    while (!points.empty() && points.back().tokens > point.tokens) points.pop_back();
    points.push_back(point);
  }
  return points;
}

std::string DrawCurve(const std::vector<LogPoint>& log) {
  double tokens_max = 1, loss_max = 0.1;
  for (const LogPoint& point : log) {
    tokens_max = std::max(tokens_max, point.tokens);
    loss_max = std::max(loss_max, point.loss);
  }
  std::vector<std::pair<double, double>> loss, recall;
  for (const LogPoint& point : log) {
    const double x = XOf(point.tokens, tokens_max);
    if (point.loss >= 0) loss.emplace_back(x, YOf(point.loss / loss_max));
    if (point.recall >= 0) recall.emplace_back(x, YOf(point.recall));
  }
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0:.0f} {1:.0f}\" "
      "font-family=\"sans-serif\" font-size=\"11\">\n"
      "<rect width=\"{0:.0f}\" height=\"{1:.0f}\" fill=\"white\"/>\n",
      kWidth, kHeight);
  for (int i = 0; i <= 4; ++i) {
    const double y = YOf(i / 4.0);
    svg += fmt::format(
        "<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" stroke=\"#ddd\"/>\n", kLeft,
        y, kWidth - kRight, y);
    svg += Label(kLeft - 6, y + 4, "end", fmt::format("{:.2f}", loss_max * i / 4));
    svg += Label(kWidth - kRight + 6, y + 4, "start", fmt::format("{} %", 25 * i));
    svg += Label(XOf(tokens_max * i / 4, tokens_max), kHeight - kBottom + 16, "middle",
                 fmt::format("{:.2f} M", tokens_max * i / 4 * 1e-6));
  }
  svg += Polyline(loss, "#1f5fa8") + Polyline(recall, "#c0562b");
  svg +=
      Label(kLeft, kHeight - 6, "start", "blue: weighted loss (left)") +
      Label(kWidth - kRight, kHeight - 6, "end", "orange: recall of one fact (right); tokens seen");
  return svg + "</svg>\n";
}

Status WriteCard(const CheckpointFile& checkpoint, const CardOptions& options) {
  const std::string& out = options.out;
  GYRATOR_ASSIGN_OR_RETURN(const auto log, ReadLog(out + "/log.jsonl"));
  GYRATOR_ASSIGN_OR_RETURN(const std::string text, ReadSmallFile(out + "/recall.json", 1 << 20));
  GYRATOR_ASSIGN_OR_RETURN(const Json recall, ParseJson(text));
  if (!recall.contains("lengths")) return Status::Corruption(out + "/recall.json: no lengths");
  const DecoderConfig& c = checkpoint.config;
  const std::string card = fmt::format(
      kCard, fmt::arg("params", static_cast<double>(NumParameters(c)) * 1e-6),
      fmt::arg("layers", c.num_layers), fmt::arg("hidden", c.hidden),
      fmt::arg("heads", c.num_heads), fmt::arg("kv_heads", c.num_kv_heads), fmt::arg("ffn", c.ffn),
      fmt::arg("context", c.context_max), fmt::arg("theta", c.rope_theta),
      fmt::arg("vocab", c.vocab), fmt::arg("steps", checkpoint.progress.step),
      fmt::arg("tokens", static_cast<double>(checkpoint.progress.tokens) * 1e-6),
      fmt::arg("seed", checkpoint.progress.seed), fmt::arg("decay", options.decay_steps),
      fmt::arg("note", options.note.empty() ? "" : "\n" + options.note + "\n"),
      fmt::arg("recall", RecallTable(recall)));
  const auto write = [](const std::string& path, const std::string& content) {
    return WriteWholeFile(path, [&](const ByteSink& sink) { return sink(AsBytes(content)); });
  };
  GYRATOR_RETURN_IF_ERROR(write(options.folder + "/README.md", card));
  return write(options.folder + "/loss.svg", DrawCurve(log));
}

}  // namespace gyrator::train
