// How long a GGUF file takes from Model::Load to the first token, and the most memory that the
// process holds meanwhile and while it saves, beside what no loader can avoid: touching the mapped
// file, and as many fresh bytes as the packed weights take.
//   load_bench MODEL.gguf [--rounds=5] [--threads=2] [--no-huge-pages]
// Each measurement is a process of its own; the file is warm. Medians of the rounds.
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/mapped_file.h"
#include "base/thread_pool.h"
#include "gyrator/engine.h"
#include "gyrator/model.h"

namespace gyrator {
namespace {

constexpr int kTokens = 16;

struct Options {
  std::string model;
  int rounds = 5;
  int threads = 2;
  bool huge_pages = true;
};

struct Loaded {
  double first_token_ms = 0;  // from the beginning of the load on
  double token_ms = 0;        // a later one
  double operand_mib = 0;
  double peak_mib = 0;        // VmHWM, after the tokens
  double saved_peak_mib = 0;  // the same after a save, which hashes the weights
};

struct Touched {
  double file_ms = 0;
  double memory_ms = 0;
};

using Clock = std::chrono::steady_clock;
double MillisecondsSince(Clock::time_point begin) {
  return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}

[[noreturn]] void Fail(const std::string& why) {
  std::fprintf(stderr, "load_bench: %s\n", why.c_str());
  std::_Exit(1);
}

template <class T>
T Must(Result<T> result) {
  if (!result.ok()) Fail(result.status().ToString());
  return *std::move(result);
}

double PeakMib() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) return std::stod(line.substr(6)) / 1024;
  }
  return 0;
}

Loaded Load(const Options& options, const std::string& folder) {
  Loaded loaded;
  const auto begin = Clock::now();
  const auto model = Must(Model::Load(options.model, {.compute = {}, .threads = options.threads}));
  const auto engine = Must(Engine::Create(model, {.context = 512, .threads = options.threads}));
  const auto session = Must(engine->NewSession({}));
  std::vector<TokenId> tokens = {1};
  std::vector<double> each;
  for (int i = 0; i < kTokens; ++i) {
    const auto step = Clock::now();
    const Reply reply = Must(session->Complete(tokens, {.tokens_max = 1, .ignore_end = true}));
    each.push_back(MillisecondsSince(step));
    if (i == 0) loaded.first_token_ms = MillisecondsSince(begin);
    tokens.insert(tokens.end(), reply.tokens.begin(), reply.tokens.end());
  }
  std::nth_element(each.begin(), each.begin() + kTokens / 2, each.end());
  loaded.token_ms = each[kTokens / 2];
  loaded.operand_mib = static_cast<double>(model->info().operand_bytes) / (1 << 20);
  loaded.peak_mib = PeakMib();
  Must(session->Save({.root = folder}));
  loaded.saved_peak_mib = PeakMib();
  return loaded;
}

Touched Touch(const Options& options, uint64_t fresh_bytes) {
  constexpr uint64_t kPage = 4096;
  ThreadPool threads(options.threads);
  Touched touched;
  auto begin = Clock::now();
  const MappedFile file = Must(MappedFile::Open(options.model));
  const auto num_pages = static_cast<int64_t>(file.bytes().size() / kPage);
  threads.ParallelFor(num_pages, 1, [&](int64_t first, int64_t last) {
    for (int64_t i = first; i < last; ++i) {
      static_cast<void>(
          *static_cast<const volatile std::byte*>(&file.bytes()[static_cast<uint64_t>(i) * kPage]));
    }
  });
  touched.file_ms = MillisecondsSince(begin);
  begin = Clock::now();
  const AlignedBuffer fresh = Must(AllocateHuge(fresh_bytes, "fresh bytes"));
  threads.ParallelFor(static_cast<int64_t>(fresh_bytes), int64_t{2} << 20,
                      [&](int64_t first, int64_t last) {
                        std::memset(fresh.get() + first, 1, static_cast<size_t>(last - first));
                      });
  touched.memory_ms = MillisecondsSince(begin);
  return touched;
}

// What body() gives in a process of its own.
template <class Body>
auto InChild(const Options& options, const Body& body) {
  using T = decltype(body());
  int ends[2];
  if (::pipe(ends) != 0) Fail("no pipe");
  const pid_t child = ::fork();
  if (child == 0) {
    if (!options.huge_pages) ::prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
    const T result = body();
    std::_Exit(::write(ends[1], &result, sizeof(result)) == sizeof(result) ? 0 : 1);
  }
  ::close(ends[1]);
  T result;
  const bool whole = ::read(ends[0], &result, sizeof(result)) == sizeof(result);
  ::close(ends[0]);
  ::waitpid(child, nullptr, 0);
  if (!whole) Fail("a measurement ended early");
  return result;
}

template <class T>
double Median(const std::vector<T>& all, double T::* member) {
  std::vector<double> values;
  for (const T& one : all) values.push_back(one.*member);
  std::ranges::sort(values);
  return values[values.size() / 2];
}

void Print(const Options& options, const std::vector<Loaded>& loaded,
           const std::vector<Touched>& touched) {
  const double file = Median(touched, &Touched::file_ms);
  const double memory = Median(touched, &Touched::memory_ms);
  const double first = Median(loaded, &Loaded::first_token_ms);
  const double token = Median(loaded, &Loaded::token_ms);
  const double operand = Median(loaded, &Loaded::operand_mib);
  std::printf("%s, %d threads, %s, medians of %d\n", options.model.c_str(), options.threads,
              options.huge_pages ? "huge pages" : "no huge pages", options.rounds);
  std::printf("touch the file %.1f ms, touch %.0f MiB of fresh memory %.1f ms\n", file, operand,
              memory);
  std::printf("load to first token %.1f ms, a token %.1f ms: %.2f times (touching) + a token\n",
              first, token, (first - token) / (file + memory));
  std::printf("most memory %.0f MiB, a save included %.0f MiB: packed weights + %.0f MiB\n",
              Median(loaded, &Loaded::peak_mib), Median(loaded, &Loaded::saved_peak_mib),
              Median(loaded, &Loaded::saved_peak_mib) - operand);
}

Options Parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    const auto number = [&] { return std::atoi(argv[i] + word.find('=') + 1); };
    if (word.starts_with("--rounds=")) {
      options.rounds = number();
    } else if (word.starts_with("--threads=")) {
      options.threads = number();
    } else if (word == "--no-huge-pages") {
      options.huge_pages = false;
    } else {
      options.model = word;
    }
  }
  if (options.model.empty() || options.rounds < 1 || options.threads < 1) {
    Fail("usage: load_bench MODEL.gguf [--rounds=5] [--threads=2] [--no-huge-pages]");
  }
  return options;
}

void Run(const Options& options) {
  const std::filesystem::path folder =
      std::filesystem::temp_directory_path() / ("load_bench." + std::to_string(::getpid()));
  std::filesystem::create_directory(folder);
  std::vector<Loaded> loaded;
  std::vector<Touched> touched;
  for (int i = 0; i < options.rounds; ++i) {
    loaded.push_back(InChild(options, [&] { return Load(options, folder.string()); }));
    const auto fresh = static_cast<uint64_t>(loaded.back().operand_mib * (1 << 20));
    touched.push_back(InChild(options, [&] { return Touch(options, fresh); }));
  }
  std::filesystem::remove_all(folder);
  Print(options, loaded, touched);
}

}  // namespace
}  // namespace gyrator

int main(int argc, char** argv) { gyrator::Run(gyrator::Parse(argc, argv)); }
