// The command line, parsed: one struct for each subcommand.
//
// Names and most defaults follow llama.cpp where it has the flag. flags.cc is the one file that
// meets the parser library.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "gyrator/engine.h"
#include "gyrator/status.h"
#include "gyrator/types.h"

namespace gyrator::cli {

struct ModelFlags {
  std::string model;          // -m; empty: the shipped one
  std::string tokenizer_pre;  // empty: as the file says
  std::optional<ComputeType> compute;
  std::string isa = "auto";
  int threads = 0;  // -t; 0: one a core
  bool no_repack = false;
};

struct EngineFlags {
  int32_t context = 0;  // -c; 0: the saved one, else the model's own
  int32_t batch_rows = 512;
  std::optional<DType> kv_dtype;
  bool no_cache = false;
  uint64_t kv_budget = 0;     // bytes of the pool; 0: room for its sessions at full capacity
  uint64_t cache_budget = 0;  // bytes of the prefix cache; 0: as large as the pool
};

// Only what was given, as with the sampler.
struct WindowFlags {
  std::optional<Overflow> overflow;
  std::optional<EvictMode> mode;
  std::optional<int32_t> keep;  // sinks

  // `base` with what was given put over it.
  WindowOptions Over(WindowOptions base) const;
};

// Only what was given: on resume the rest keeps its saved value.
struct SamplerFlags {
  std::optional<float> temperature, top_p, min_p, typical_p, repeat_penalty, frequency_penalty,
      presence_penalty;
  std::optional<int32_t> top_k, repeat_last_n;
  std::optional<int64_t> seed;  // -1: a random one
  std::vector<std::pair<TokenId, float>> logit_bias;

  bool any() const;
  // `base` with what was given put over it.
  SamplerOptions Over(SamplerOptions base) const;
};

struct GenerateFlags {
  int32_t tokens_max = -1;
  bool ignore_eos = false;
  std::string system_prompt;
  std::string template_variables;  // a JSON object; empty: none
};

struct ChatArgs {
  ModelFlags model;
  EngineFlags engine;
  WindowFlags window;
  SamplerFlags sampler;
  GenerateFlags generate;
  std::string context;  // empty: nothing is saved
  bool drop_owed = false;
};

struct RunArgs {
  ModelFlags model;
  EngineFlags engine;
  WindowFlags window;
  SamplerFlags sampler;
  GenerateFlags generate;
  std::optional<std::string> prompt;
  std::vector<TokenId> tokens;
  bool raw = false;
  std::string dump_logits;
  bool logits_all = false;
};

struct BatchArgs {
  ModelFlags model;
  EngineFlags engine;
  WindowFlags window;
  SamplerFlags sampler;  // of requests that do not say
  int32_t tokens_max = -1;
  std::string in;   // "-": standard input
  std::string out;  // empty: standard output
  int parallel = 4;
  bool ordered = false;
  uint64_t swap_budget = 0;    // bytes on disk for sessions that do not fit
  std::string swap_directory;  // empty: none
};

// What of a saved context, or of nothing, a message would reuse.
struct ExplainArgs {
  ModelFlags model;
  EngineFlags engine;
  std::string context;
  std::optional<std::string> prompt;  // none: the message that awaits its reply
  bool raw = false;
};
struct ForkArgs {
  ModelFlags model;
  std::string name;
  std::string as;
  std::optional<int32_t> messages;  // that stay
  std::optional<int64_t> seed;
};
struct StatsArgs {
  std::string context;  // empty: all
};

struct SaveArgs {
  std::string name;
  std::string to;  // root for the copy; empty: among the contexts
};
struct LoadArgs {
  std::string folder;
  std::string as;
};
struct LsArgs {};
struct ShowArgs {
  std::string context;  // NAME or PATH, as below
};
struct VerifyArgs {
  std::string context;
};
struct RmArgs {
  std::vector<std::string> names;
};
struct TokenizeArgs {
  std::string model, tokenizer_pre;
  std::string text_file;  // "-": standard input
  bool add_special = false;
};
struct TemplateArgs {
  std::string model, tokenizer_pre;
  std::string messages_file;
  std::string tools_file;
  std::vector<std::pair<std::string, std::string>> variables;  // name, JSON text
};
struct ModelInfoArgs {
  ModelFlags model;
};
struct ModelVerifyArgs {
  ModelFlags model;
};
enum class BenchWhat { kModel, kLimits, kBatch };
struct BenchArgs {
  ModelFlags model;
  EngineFlags engine;
  BenchWhat what = BenchWhat::kModel;
  std::vector<int32_t> prefill;  // 512; of a batch 512 and 2,048
  int32_t decode_tokens = 32;
  std::vector<int32_t> depths;  // 0; of a batch the first counts: 256
  int repetitions = 3;
  double seconds = 2;          // and until a test took this long; not of a batch
  int parallel = 16;           // sessions of a batch
  int32_t prompt_long = 8192;  // beside which a session decodes
};
// Text to print and be done: --help, --version.
struct TextArgs {
  std::string text;
};

using Args = std::variant<TextArgs, ChatArgs, RunArgs, BatchArgs, ExplainArgs, ForkArgs, StatsArgs,
                          SaveArgs, LoadArgs, LsArgs, ShowArgs, VerifyArgs, RmArgs, TokenizeArgs,
                          TemplateArgs, ModelInfoArgs, ModelVerifyArgs, BenchArgs>;

struct Invocation {
  Args args;
  bool json = false;
};

// kInvalidArgument says what is wrong and how to ask for help.
Result<Invocation> ParseCommandLine(int argc, const char* const* argv);

// True when --json stands among the arguments: for errors of the command line itself.
bool AsksForJson(int argc, const char* const* argv);

}  // namespace gyrator::cli
