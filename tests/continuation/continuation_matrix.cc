// The promise "exact", as a matrix: every way of reaching a token must give the bits of the run
// that was never interrupted.
//
//   continuation_matrix [--table FILE.md] [--count FILE] [--int8-kv] MODEL...
//
// For each model and compute type the logits of every step and the sampled tokens of one plain run
// (one thread, whole prompt, alone, cached) are kept; each variation is compared with them bit for
// bit: saved and loaded in a new process, without the cache, prompt in chunks, beside other
// sequences, 1 and 2 threads, greedy and sampled; int8 also on every instruction set. The model
// behind --int8-kv runs a second time with keys and values in int8. Prints a line
// a cell and closes with "N passed, N failed"; --table writes the docs table, --count the two
// numbers.
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/sha256.h"
#include "gyrator/bench.h"
#include "gyrator/engine.h"
#include "kernels/cpu.h"

namespace gyrator {
namespace {

constexpr int kSteps = 12;
constexpr int kStepsBeforeSave = 5;

struct Setting {
  std::string model;
  ComputeType compute = ComputeType::kF32;
  std::optional<DType> kv_dtype;  // the default of the compute type
  std::string isa = "auto";
  int threads = 1;
  int batch_rows = 4096;
  bool use_cache = true;
  bool sampled = false;
  int32_t prompt_length = 0;
};

// Digests of the logits of each step, and the tokens.
struct Trace {
  std::vector<std::string> logits;
  std::vector<TokenId> tokens;
  bool operator==(const Trace&) const = default;
};

[[noreturn]] void Die(const std::string& what) {
  std::fprintf(stderr, "continuation_matrix: %s\n", what.c_str());
  std::exit(1);
}

template <class T>
T Must(Result<T> result, const std::string& what) {
  if (!result.ok()) Die(what + ": " + result.status().ToString());
  return *std::move(result);
}

std::string DigestOf(std::span<const float> row) {
  return HexText(
      Sha256Of({reinterpret_cast<const std::byte*>(row.data()), row.size() * sizeof(float)}));
}

std::unique_ptr<Engine> MakeEngine(const Setting& s, int32_t sessions) {
  auto model = Must(Model::Load(s.model, {.compute = s.compute,
                                          .isa = s.isa,
                                          .threads = s.threads,
                                          .digest_cache = {},
                                          .progress = {}}),
                    s.model);
  EngineOptions options;
  options.context = s.prompt_length + 64;
  options.sessions_max = sessions;
  options.batch_rows = s.batch_rows;
  options.use_cache = s.use_cache;
  options.kv_dtype = s.kv_dtype;
  options.threads = s.threads;
  return Must(Engine::Create(model, options), "engine");
}

SamplerOptions SamplerOf(const Setting& s) {
  SamplerOptions sampler;
  sampler.temperature = s.sampled ? 0.9f : 0.0f;
  sampler.repeat_penalty = s.sampled ? 1.1f : 1.0f;
  sampler.seed = 7;
  return sampler;
}

std::vector<TokenId> Prompt(const Setting& s, int32_t vocab, uint32_t seed) {
  std::vector<TokenId> tokens;
  uint32_t state = seed;
  for (int32_t i = 0; i < s.prompt_length; ++i) {
    state = state * 1664525u + 1013904223u;
    tokens.push_back(static_cast<TokenId>((state >> 8) % static_cast<uint32_t>(vocab)));
  }
  return tokens;
}

GenerateOptions Tracing(Trace* trace, int steps) {
  GenerateOptions options;
  options.tokens_max = steps;
  options.ignore_end = true;
  options.on_logits = [trace](std::span<const float> row) {
    trace->logits.push_back(DigestOf(row));
  };
  return options;
}

void Continue(Session& session, std::vector<TokenId> prefix, int steps, Trace* trace) {
  const Reply reply = Must(session.Complete(prefix, Tracing(trace, steps)), "complete");
  trace->tokens.insert(trace->tokens.end(), reply.tokens.begin(), reply.tokens.end());
}

Trace PlainRun(const Setting& s) {
  auto engine = MakeEngine(s, 1);
  auto session = Must(engine->NewSession({.sampler = SamplerOf(s)}), "session");
  Trace trace;
  Continue(*session, Prompt(s, engine->model().info().vocab, 1), kSteps, &trace);
  return trace;
}

// Three sequences of other lengths share every batch with the one that is traced.
Trace BesideOthers(const Setting& s) {
  auto engine = MakeEngine(s, 4);
  std::vector<std::unique_ptr<Session>> sessions;
  std::vector<BatchRequest> requests;
  Trace trace, ignored;
  for (int i = 0; i < 4; ++i) {
    sessions.push_back(Must(engine->NewSession({.sampler = SamplerOf(s)}), "session"));
    std::vector<TokenId> prompt =
        Prompt(s, engine->model().info().vocab, static_cast<uint32_t>(i == 2 ? 1 : 50 + i));
    if (i != 2) prompt.resize(prompt.size() / static_cast<size_t>(i + 2));
    requests.push_back(
        {sessions.back().get(), prompt, Tracing(i == 2 ? &trace : &ignored, kSteps)});
  }
  auto replies = engine->Run(requests);
  trace.tokens = Must(std::move(replies[2]), "batch").tokens;
  return trace;
}

std::string SelfPath() { return std::filesystem::read_symlink("/proc/self/exe").string(); }

void WriteTrace(const Trace& trace, const std::string& path) {
  std::ofstream file(path);
  for (const std::string& digest : trace.logits) file << "l " << digest << '\n';
  for (TokenId token : trace.tokens) file << "t " << token << '\n';
}

void ReadTrace(const std::string& path, Trace* trace) {
  std::ifstream file(path);
  std::string kind, value;
  while (file >> kind >> value) {
    if (kind == "l") trace->logits.push_back(value);
    if (kind == "t") trace->tokens.push_back(static_cast<TokenId>(std::stol(value)));
  }
}

// The other process: loads the folder and goes on from its tokens and `last`, the token that was
// sampled but not decoded yet (-1: none).
int ChildMain(char** argv) {
  Setting s;
  s.model = argv[2];
  s.compute = static_cast<ComputeType>(std::stoi(argv[3]));
  s.isa = argv[4];
  s.threads = std::stoi(argv[5]);
  s.prompt_length = std::stoi(argv[6]);
  const std::string folder = argv[7], out = argv[8];
  const TokenId last = std::stoi(argv[9]);
  const int steps = std::stoi(argv[10]);
  s.kv_dtype = CacheTypeFromName(argv[11]);
  auto engine = MakeEngine(s, 1);
  LoadReport report;
  auto session = Must(engine->LoadSession(folder, &report), "load");
  if (report.verification != "full") Die("verification: " + report.verification);
  std::vector<TokenId> prefix = session->tokens();
  if (last >= 0) prefix.push_back(last);
  Trace trace;
  Continue(*session, prefix, steps, &trace);
  WriteTrace(trace, out);
  return 0;
}

// Stops after `steps_before`, saves, and lets a new process do the rest.
Trace SavedAndLoaded(const Setting& s, int steps_before) {
  const std::filesystem::path temp =
      std::filesystem::temp_directory_path() / ("continuation_" + std::to_string(::getpid()));
  std::filesystem::remove_all(temp);
  Trace trace;
  std::string folder;
  TokenId last = -1;
  {
    auto engine = MakeEngine(s, 1);
    auto session = Must(engine->NewSession({.sampler = SamplerOf(s)}), "session");
    Continue(*session, Prompt(s, engine->model().info().vocab, 1), steps_before, &trace);
    if (!trace.tokens.empty()) last = trace.tokens.back();
    folder = Must(session->Save({.root = temp.string(), .name = {}}), "save").folder;
  }
  const std::string out = (temp / "trace.txt").string();
  const std::vector<std::string> words = {
      SelfPath(),
      "--child",
      s.model,
      std::to_string(static_cast<int>(s.compute)),
      s.isa,
      std::to_string(s.threads),
      std::to_string(s.prompt_length),
      folder,
      out,
      std::to_string(last),
      std::to_string(kSteps - steps_before),
      std::string(s.kv_dtype ? CacheTypeName(*s.kv_dtype) : "default")};
  std::vector<char*> argv;
  for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  const pid_t child = ::fork();
  if (child == 0) {
    ::execv(argv[0], argv.data());
    ::_exit(127);
  }
  int status = 0;
  if (::waitpid(child, &status, 0) != child || status != 0) Die("the child process failed");
  ReadTrace(out, &trace);
  std::filesystem::remove_all(temp);
  return trace;
}

struct Tally {
  int passed = 0;
  int failed = 0;
  // table[row][way][where]; rows in order of first use.
  std::vector<std::string> rows;
  std::map<std::string, std::map<std::string, std::map<std::string, bool>>> table;

  void Note(const std::string& row, const std::string& way, const std::string& where, bool equal) {
    equal ? ++passed : ++failed;
    std::printf("%s %s: %s, %s\n", equal ? "ok  " : "FAIL", row.c_str(), way.c_str(),
                where.c_str());
    if (!table.contains(row)) rows.push_back(row);
    table[row][way][where] = equal;
  }
};

std::vector<std::string> IsasFor(ComputeType compute) {
  std::vector<std::string> isas = {"auto"};
  if (compute == ComputeType::kInt8) {
    for (const char* isa : {"ref", "avx2", "avx512", "amx"}) isas.push_back(isa);
  }
  return isas;
}

bool IsaRuns(const std::string& isa, const std::string& model) {
  return Model::Load(model,
                     {.compute = {}, .isa = isa, .threads = 1, .digest_cache = {}, .progress = {}})
      .ok();
}

// All variations of one model, compute type and way of sampling.
void RunCells(Setting base, const std::string& row, Tally* tally) {
  const Trace expected = PlainRun(base);
  for (int threads : {1, 2}) {
    for (const std::string& isa : IsasFor(base.compute)) {
      if (!IsaRuns(isa, base.model)) continue;
      Setting s = base;
      s.threads = threads;
      s.isa = isa;
      const std::string where = std::to_string(threads) + (threads == 1 ? " thread" : " threads") +
                                (isa == "auto" ? "" : ", " + isa);
      const auto cell = [&](const std::string& name, const Trace& trace) {
        tally->Note(row, name, where, trace == expected);
      };
      cell("whole prompt", PlainRun(s));
      for (int chunk : {1, 7, 64}) {
        Setting chunked = s;
        chunked.batch_rows = chunk;
        cell("chunks of " + std::to_string(chunk), PlainRun(chunked));
      }
      cell("beside others", BesideOthers(s));
      cell("restored", SavedAndLoaded(s, kStepsBeforeSave));
      cell("restored at once", SavedAndLoaded(s, 0));
      Setting uncached = s;
      uncached.use_cache = false;
      cell("no cache", PlainRun(uncached));
    }
  }
}

void WriteTable(const Tally& tally, const std::string& path) {
  std::ofstream file(path);
  file << "# Continuation matrix\n\nMade by `continuation_matrix --table` (see CONTRIBUTING.md). "
          "Each cell: the "
          "logits of every step and the\nsampled tokens, compared bit for bit with the plain run "
          "(one thread, whole "
          "prompt, alone, cached, never stopped).\n\"Restored\": saved in the middle of a reply, "
          "loaded and continued "
          "by a new process; \"at once\": its first token\ncomes from the stored logits.\n\nRun on "
          "a CPU that calls itself "
       << CpuName() << ". AVX-512: " << (Cpu().avx512 ? "its own" : "not here")
       << "; AMX: " << (Cpu().amx ? "its tiles" : "the twin") << ".\n";
  for (const std::string& row : tally.rows) {
    const auto& ways = tally.table.at(row);
    file << "\n## " << row << "\n\n| way |";
    for (const auto& [where, equal] : ways.begin()->second) file << ' ' << where << " |";
    file << "\n|---|";
    for (size_t i = 0; i < ways.begin()->second.size(); ++i) file << "---|";
    file << '\n';
    for (const auto& [way, cells] : ways) {
      file << "| " << way << " |";
      for (const auto& [where, equal] : cells) file << (equal ? " equal |" : " **differs** |");
      file << '\n';
    }
  }
}

// All compute types and ways of sampling of one model.
void RunModel(const std::string& model, std::optional<DType> kv_dtype, Tally* tally) {
  for (ComputeType compute : {ComputeType::kF32, ComputeType::kBF16, ComputeType::kInt8}) {
    for (bool sampled : {false, true}) {
      const Setting base{.model = model,
                         .compute = compute,
                         .kv_dtype = kv_dtype,
                         .sampled = sampled,
                         .prompt_length = 150};
      const std::string row = std::filesystem::path(model).filename().string() + ", " +
                              std::string(ComputeTypeName(compute)) +
                              (kv_dtype ? ", kv " + std::string(CacheTypeName(*kv_dtype)) : "") +
                              (sampled ? ", sampled" : ", greedy");
      RunCells(base, row, tally);
    }
  }
}

int Main(int argc, char** argv) {
  std::string table, count, int8_kv;
  std::vector<std::string> models;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--table") == 0 && i + 1 < argc) {
      table = argv[++i];
    } else if (std::strcmp(argv[i], "--count") == 0 && i + 1 < argc) {
      count = argv[++i];
    } else if (std::strcmp(argv[i], "--int8-kv") == 0 && i + 1 < argc) {
      int8_kv = argv[++i];
      models.push_back(int8_kv);
    } else {
      models.push_back(argv[i]);
    }
  }
  Tally tally;
  for (const std::string& model : models) {
    RunModel(model, std::nullopt, &tally);
    if (model == int8_kv) RunModel(model, DType::kI8, &tally);
  }
  if (!table.empty()) WriteTable(tally, table);
  if (!count.empty()) std::ofstream(count) << tally.passed << ' ' << tally.failed << '\n';
  std::printf("%d passed, %d failed\n", tally.passed, tally.failed);
  return tally.failed == 0 && tally.passed > 0 ? 0 : 1;
}

}  // namespace
}  // namespace gyrator

int main(int argc, char** argv) {
  if (argc == 12 && std::strcmp(argv[1], "--child") == 0) return gyrator::ChildMain(argv);
  return gyrator::Main(argc, argv);
}
