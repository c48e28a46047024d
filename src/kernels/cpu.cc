#include "kernels/cpu.h"

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>

namespace gyrator {
namespace {

struct Leaf {
  uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
  Leaf(uint32_t leaf, uint32_t subleaf) {
    __get_cpuid_count(leaf, subleaf, &eax, &ebx, &ecx, &edx);
  }
};

// The register states that the system saves. Only where CPUID says OSXSAVE.
uint64_t ExtendedControlRegister() {
  uint32_t low = 0, high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (uint64_t{high} << 32) | low;
}

constexpr uint32_t Bit(int i) { return uint32_t{1} << i; }
bool Has(uint64_t bits, uint64_t wanted) { return (bits & wanted) == wanted; }

// Linux gives the 8 KiB of tile state only to processes that ask.
bool RequestTiles() {
  constexpr long kArchReqXcompPerm = 0x1023;
  constexpr long kXTileData = 18;
  return syscall(SYS_arch_prctl, kArchReqXcompPerm, kXTileData) == 0;
}

CpuFeatures Detect() {
  CpuFeatures cpu;
  const Leaf one(1, 0);
  constexpr uint32_t kFma = Bit(12), kOsXSave = Bit(27), kAvx = Bit(28), kF16c = Bit(29);
  if (!Has(one.ecx, kFma | kOsXSave | kAvx | kF16c)) return cpu;
  const uint64_t saved = ExtendedControlRegister();
  const Leaf seven(7, 0);
  const Leaf seven_one(7, 1);
  cpu.avx2 = Has(saved, 0x6) && Has(seven.ebx, Bit(5));
  constexpr uint32_t kF = Bit(16), kDq = Bit(17), kBw = Bit(30), kVl = Bit(31);
  cpu.avx512 = cpu.avx2 && Has(saved, 0xe6) && Has(seven.ebx, kF | kDq | kBw | kVl) &&
               Has(seven.ecx, Bit(11)) && Has(seven_one.eax, Bit(5));
  const Leaf vendor(0, 0);
  cpu.prefetch = vendor.ebx == 0x756e6547u;  // "Genu", of "GenuineIntel"
  constexpr uint32_t kAmxBf16 = Bit(22), kAmxTile = Bit(24), kAmxInt8 = Bit(25);
  cpu.amx = cpu.avx512 && Has(saved, 0x60000) && Has(seven.edx, kAmxBf16 | kAmxTile | kAmxInt8) &&
            RequestTiles();
  return cpu;
}

}  // namespace

const CpuFeatures& Cpu() {
  static const CpuFeatures kCpu = Detect();
  return kCpu;
}

}  // namespace gyrator
