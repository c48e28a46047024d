// gyrator-train: makes the shipped model. One subcommand a step: tokenizer, train, eval, export,
// card.
#include <fcntl.h>
#include <sys/stat.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/mapped_file.h"
#include "card.h"
#include "data_command.h"
#include "evaluate.h"
#include "export.h"
#include "formats/output_file.h"
#include "rows.h"
#include "trainer.h"

namespace gyrator::train {
namespace {

std::atomic<bool> g_stop{false};

int Finish(const Status& status) {
  if (!status.ok()) std::fprintf(stderr, "gyrator-train: %s\n", status.ToString().c_str());
  return static_cast<int>(status.code());
}

Status WriteText(const std::string& path, const std::string& text) {
  return WriteWholeFile(path, [&](const ByteSink& sink) { return sink(AsBytes(text)); });
}

std::string VocabPath(const std::string& out) { return out + "/tokenizer.json"; }

Result<BpeVocab> LoadVocab(const std::string& out) {
  constexpr uint64_t kBytesMax = 64 << 20;
  GYRATOR_ASSIGN_OR_RETURN(const std::string text, ReadSmallFile(VocabPath(out), kBytesMax));
  GYRATOR_ASSIGN_OR_RETURN(const Json json, ParseJson(text));
  return BpeVocab::FromJson(json);
}

Status MakeVocab(const std::string& out, uint64_t seed, int32_t size) {
  mkdir(out.c_str(), 0777);
  GYRATOR_ASSIGN_OR_RETURN(const BpeVocab vocab,
                           BpeVocab::Train(VocabText(seed ^ 0x766f6361u, 4000), size,
                                           {std::begin(kSpecials), std::end(kSpecials)}));
  return WriteText(VocabPath(out), DumpJson(vocab.ToJson(), 1));
}

Status Train(const TrainOptions& options) {
  GYRATOR_ASSIGN_OR_RETURN(BpeVocab vocab, LoadVocab(options.out));
  GYRATOR_ASSIGN_OR_RETURN(const auto trainer, Trainer::Create(options, std::move(vocab)));
  std::fprintf(stderr, "%.2f M parameters, from step %lld\n",
               static_cast<double>(NumParameters(options.config)) * 1e-6,
               static_cast<long long>(trainer->progress().step));
  std::signal(SIGINT, [](int) { g_stop = true; });
  std::signal(SIGTERM, [](int) { g_stop = true; });
  return trainer->Run(g_stop);
}

// Recall by length of conversation, up to the full context: a table, and OUT/recall.json for the
// card.
Status Eval(const std::string& out, uint64_t seed, int32_t tokens) {
  GYRATOR_ASSIGN_OR_RETURN(const BpeVocab vocab, LoadVocab(out));
  GYRATOR_ASSIGN_OR_RETURN(const CheckpointFile checkpoint, OpenCheckpoint(CheckpointPath(out)));
  GYRATOR_ASSIGN_OR_RETURN(const auto decoder, LoadDecoder(checkpoint));
  const auto pair = [](const Score& score) { return Json{score.right, score.asked}; };
  Json lengths = Json::array();
  for (int32_t row_tokens = 128; row_tokens <= checkpoint.config.context_max; row_tokens *= 2) {
    Recall recall;
    Evaluate(
        *decoder, vocab,
        {.seed = seed, .rows = tokens / row_tokens, .row_tokens = row_tokens, .samples_max = 3},
        recall);
    std::printf("%5d tokens: one fact %.3f of %d, several %.3f of %d, never told %.3f of %d\n",
                row_tokens, recall.facts.share(), recall.facts.asked, recall.many.share(),
                recall.many.asked, recall.unknown.share(), recall.unknown.asked);
    for (const std::string& sample : recall.samples) std::printf("  wrong %s\n", sample.c_str());
    lengths.push_back({{"row_tokens", row_tokens},
                       {"turns", recall.turns / recall.rows},
                       {"fact", pair(recall.facts)},
                       {"many", pair(recall.many)},
                       {"untold", pair(recall.unknown)}});
  }
  return WriteText(out + "/recall.json",
                   DumpJson({{"step", checkpoint.progress.step}, {"lengths", lengths}}, 1) + "\n");
}

Status Card(const CardOptions& options) {
  GYRATOR_ASSIGN_OR_RETURN(const CheckpointFile checkpoint,
                           OpenCheckpoint(CheckpointPath(options.out)));
  return WriteCard(checkpoint, options);
}

Status Export(const std::string& out, const std::string& gguf, const std::string& folder) {
  GYRATOR_ASSIGN_OR_RETURN(const BpeVocab vocab, LoadVocab(out));
  GYRATOR_ASSIGN_OR_RETURN(const CheckpointFile checkpoint, OpenCheckpoint(CheckpointPath(out)));
  if (!gguf.empty()) GYRATOR_RETURN_IF_ERROR(ExportGguf(checkpoint, vocab, gguf));
  if (!folder.empty()) {
    GYRATOR_RETURN_IF_ERROR(ExportHuggingFace(checkpoint, vocab, folder));
    GYRATOR_ASSIGN_OR_RETURN(const auto decoder, LoadDecoder(checkpoint));
    GYRATOR_RETURN_IF_ERROR(
        WriteLogits(*decoder, vocab, checkpoint.progress.seed, folder + "/check.safetensors"));
  }
  std::fprintf(stderr, "exported step %lld\n", static_cast<long long>(checkpoint.progress.step));
  return {};
}

struct Flags {
  TrainOptions train;
  DataOptions data;
  CardOptions card;
  bool held_out = false;
  int32_t eval_tokens = 32768;
  std::string precision = "auto", gguf, folder;
};

void AddTrainFlags(CLI::App& command, Flags& flags) {
  TrainOptions& train = flags.train;
  command.add_flag("--resume", train.resume, "go on from the checkpoint, if there is one");
  command.add_option("--steps", train.schedule.steps, "of the whole run");
  command.add_option("--decay-steps", train.schedule.decay_steps,
                     "the last steps, over which the rate falls to zero");
  command.add_option("--finish", train.finish_steps, "decay over N steps from here, then end");
  command.add_option("--warmup", train.schedule.warmup_steps, "steps");
  command.add_option("--rate", train.schedule.peak, "learning rate");
  command.add_option("--layers", train.config.num_layers);
  command.add_option("--hidden", train.config.hidden);
  command.add_option("--heads", train.config.num_heads);
  command.add_option("--kv-heads", train.config.num_kv_heads);
  command.add_option("--ffn", train.config.ffn);
  command.add_option("--checkpoint-minutes", train.checkpoint_minutes);
  command.add_option("--eval-steps", train.eval_steps, "between measurements of recall; 0: none");
  command.add_option("-t,--threads", train.threads);
  command.add_option("--precision", flags.precision)->check(CLI::IsMember({"auto", "f32", "bf16"}));
}

int Main(int argc, char** argv) {
  CLI::App app{"Makes the chat model that Gyrator ships."};
  app.require_subcommand(1);
  Flags flags;
  TrainOptions& options = flags.train;
  auto* data = app.add_subcommand("data", "Print conversations of the stream");
  data->add_option("-n", flags.data.count, "conversations");
  data->add_option("--turns", flags.data.turns, "turns of each");
  data->add_flag("--held-out", flags.held_out, "with the values of evaluation");
  data->add_flag("--json", flags.data.json, "one JSON object a line");
  auto* tokenizer = app.add_subcommand("tokenizer", "Learn the vocabulary: OUT/tokenizer.json");
  tokenizer->add_option("--vocab", options.config.vocab, "tokens, specials among them");
  auto* train =
      app.add_subcommand("train", "Train, or resume: OUT/checkpoint.safetensors, OUT/log.jsonl");
  AddTrainFlags(*train, flags);
  auto* eval = app.add_subcommand("eval", "Measure recall by length: OUT/recall.json");
  eval->add_option("--tokens", flags.eval_tokens, "of each length");
  auto* exporter = app.add_subcommand("export", "Write the model of OUT/checkpoint.safetensors");
  exporter->add_option("--gguf", flags.gguf, "file, in Q8_0");
  exporter->add_option("--folder", flags.folder,
                       "Hugging Face folder, in F32, with check.safetensors for check_export.py");
  auto* card = app.add_subcommand("card", "Write the model card from the files in OUT");
  card->add_option("--to", flags.card.folder, "folder of README.md and loss.svg");
  card->add_option("--note", flags.card.note, "a paragraph about this very run");
  card->add_option("--decay-steps", flags.card.decay_steps, "that the run was ended with");
  for (auto* command : {data, tokenizer, train, eval, exporter, card}) {
    command->add_option("--seed", options.seed, "of data and weights");
    command->add_option("--out", options.out, "folder of the run");
  }
  CLI11_PARSE(app, argc, argv);
  options.precision = flags.precision == "f32"    ? Precision::kF32
                      : flags.precision == "bf16" ? Precision::kBF16
                                                  : Precision::kAuto;
  flags.data.seed = options.seed;
  if (flags.held_out) flags.data.split = Split::kHeldOut;
  flags.card.out = options.out;

  if (data->parsed()) return Finish(PrintData(flags.data, stdout));
  if (tokenizer->parsed())
    return Finish(MakeVocab(options.out, options.seed, options.config.vocab));
  if (eval->parsed()) return Finish(Eval(options.out, options.seed + 2, flags.eval_tokens));
  if (exporter->parsed()) return Finish(Export(options.out, flags.gguf, flags.folder));
  if (card->parsed()) return Finish(Card(flags.card));
  return Finish(Train(options));
}

}  // namespace
}  // namespace gyrator::train

int main(int argc, char** argv) { return gyrator::train::Main(argc, argv); }
