// A main() for fuzz targets without libFuzzer: runs every file of the corpus folder given, and
// small seeded mutations of each, through the target. A crash is the failure.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

uint64_t NextRandom(uint64_t* state) {  // splitmix64
  uint64_t z = (*state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

void Mutate(std::vector<uint8_t>* bytes, uint64_t* state) {
  if (bytes->empty()) return;
  const size_t at = NextRandom(state) % bytes->size();
  switch (NextRandom(state) % 4) {
    case 0:
      (*bytes)[at] ^= static_cast<uint8_t>(1u << (NextRandom(state) % 8));
      break;
    case 1:
      (*bytes)[at] = static_cast<uint8_t>(NextRandom(state));
      break;
    case 2:
      bytes->resize(at);
      break;
    default:
      bytes->insert(bytes->begin() + static_cast<std::ptrdiff_t>(at), (*bytes)[0]);
      break;
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2 || !std::filesystem::is_directory(argv[1])) {
    std::fprintf(stderr, "usage: %s CORPUS_FOLDER\n", argv[0]);
    return 2;
  }
  uint64_t state = 1;
  size_t runs = 0;
  for (const auto& entry : std::filesystem::directory_iterator(argv[1])) {
    std::ifstream file(entry.path(), std::ios::binary);
    const std::vector<uint8_t> bytes{std::istreambuf_iterator<char>(file), {}};
    LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
    for (int i = 0; i < 200; ++i, ++runs) {
      std::vector<uint8_t> mutant = bytes;
      const uint64_t changes = 1 + NextRandom(&state) % 4;
      for (uint64_t change = 0; change < changes; ++change) Mutate(&mutant, &state);
      LLVMFuzzerTestOneInput(mutant.data(), mutant.size());
    }
  }
  std::printf("%zu mutants replayed\n", runs);
  return runs == 0 ? 1 : 0;  // an empty corpus proves nothing
}
