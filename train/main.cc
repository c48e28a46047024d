// gyrator-train: makes the shipped model. One subcommand a step: data, tokenizer, train.
#include <fcntl.h>
#include <sys/stat.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/mapped_file.h"
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
  GYRATOR_ASSIGN_OR_RETURN(const BpeVocab vocab, BpeVocab::Train(VocabText(seed ^ 0x766f6361u, 4000), size,
                                                                 {std::begin(kSpecials), std::end(kSpecials)}));
  return WriteText(VocabPath(out), DumpJson(vocab.ToJson(), 1));
}

void PrintData(uint64_t seed, int count, int turns, bool held_out) {
  for (int i = 0; i < count; ++i) {
    Conversation conversation(seed, static_cast<uint64_t>(i), held_out ? Split::kHeldOut : Split::kTrain);
    if (!conversation.system().empty()) std::printf("system: %s\n", conversation.system().c_str());
    for (int t = 0; t < turns; ++t) {
      const Turn turn = conversation.Next();
      std::printf("user: %s\nassistant: %s\n", turn.user.c_str(), turn.reply.c_str());
      for (const std::string& value : turn.expected) std::printf("  expects: %s\n", value.c_str());
    }
    std::printf("\n");
  }
}

Status Train(const TrainOptions& options) {
  GYRATOR_ASSIGN_OR_RETURN(BpeVocab vocab, LoadVocab(options.out));
  GYRATOR_ASSIGN_OR_RETURN(const auto trainer, Trainer::Create(options, std::move(vocab)));
  std::fprintf(stderr, "%.2f M parameters, from step %lld\n", static_cast<double>(NumParameters(options.config)) * 1e-6,
               static_cast<long long>(trainer->progress().step));
  std::signal(SIGINT, [](int) { g_stop = true; });
  std::signal(SIGTERM, [](int) { g_stop = true; });
  return trainer->Run(g_stop);
}

Status Export(const std::string& out, const std::string& gguf, const std::string& folder) {
  GYRATOR_ASSIGN_OR_RETURN(const BpeVocab vocab, LoadVocab(out));
  GYRATOR_ASSIGN_OR_RETURN(const CheckpointFile checkpoint, OpenCheckpoint(CheckpointPath(out)));
  if (!gguf.empty()) GYRATOR_RETURN_IF_ERROR(ExportGguf(checkpoint, vocab, gguf));
  if (!folder.empty()) GYRATOR_RETURN_IF_ERROR(ExportHuggingFace(checkpoint, vocab, folder));
  std::fprintf(stderr, "exported step %lld\n", static_cast<long long>(checkpoint.progress.step));
  return {};
}

int Main(int argc, char** argv) {
  CLI::App app{"Makes the chat model that Gyrator ships."};
  app.require_subcommand(1);
  TrainOptions options;
  options.out = "build/train";
  int count = 3, turns = 20;
  bool held_out = false;
  std::string precision = "auto", gguf, folder;

  auto* data = app.add_subcommand("data", "Print conversations of the stream");
  data->add_option("-n", count, "conversations");
  data->add_option("--turns", turns, "turns of each");
  data->add_flag("--held-out", held_out, "with the values of evaluation");
  auto* tokenizer = app.add_subcommand("tokenizer", "Learn the vocabulary: OUT/tokenizer.json");
  tokenizer->add_option("--vocab", options.config.vocab, "tokens, specials among them");
  auto* train = app.add_subcommand("train", "Train, or resume: OUT/checkpoint.safetensors, OUT/log.jsonl");
  train->add_flag("--resume", options.resume, "go on from the checkpoint, if there is one");
  train->add_option("--steps", options.schedule.steps, "of the whole run");
  train->add_option("--decay-steps", options.schedule.decay_steps, "the last steps, over which the rate falls to zero");
  train->add_option("--finish", options.finish_steps, "decay over N steps from here, then end");
  train->add_option("--warmup", options.schedule.warmup_steps, "steps");
  train->add_option("--rate", options.schedule.peak, "learning rate");
  train->add_option("--layers", options.config.num_layers);
  train->add_option("--hidden", options.config.hidden);
  train->add_option("--heads", options.config.num_heads);
  train->add_option("--kv-heads", options.config.num_kv_heads);
  train->add_option("--ffn", options.config.ffn);
  train->add_option("--checkpoint-minutes", options.checkpoint_minutes);
  train->add_option("--eval-steps", options.eval_steps, "between measurements of recall; 0: none");
  train->add_option("-t,--threads", options.threads);
  train->add_option("--precision", precision)->check(CLI::IsMember({"auto", "f32", "bf16"}));
  auto* exporter = app.add_subcommand("export", "Write the model of OUT/checkpoint.safetensors");
  exporter->add_option("--gguf", gguf, "file, in Q8_0");
  exporter->add_option("--folder", folder, "Hugging Face folder, in F32");
  for (auto* command : {data, tokenizer, train, exporter}) {
    command->add_option("--seed", options.seed, "of data and weights");
    command->add_option("--out", options.out, "folder of the run");
  }
  CLI11_PARSE(app, argc, argv);
  options.precision = precision == "f32" ? Precision::kF32 : precision == "bf16" ? Precision::kBF16 : Precision::kAuto;

  if (data->parsed()) {
    PrintData(options.seed, count, turns, held_out);
    return 0;
  }
  if (tokenizer->parsed()) return Finish(MakeVocab(options.out, options.seed, options.config.vocab));
  if (exporter->parsed()) return Finish(Export(options.out, gguf, folder));
  return Finish(Train(options));
}

}  // namespace
}  // namespace gyrator::train

int main(int argc, char** argv) { return gyrator::train::Main(argc, argv); }
