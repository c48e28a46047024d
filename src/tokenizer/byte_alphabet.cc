#include "tokenizer/byte_alphabet.h"

#include <array>

#include "base/utf8.h"

namespace gyrator {

namespace {

constexpr bool StandsForItself(uint32_t byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

struct Alphabet {
  std::array<char32_t, 256> character{};
  std::array<int16_t, 512> byte{};  // by code point; -1: none
};

constexpr Alphabet MakeAlphabet() {
  Alphabet out;
  out.byte.fill(-1);
  char32_t next = 256;
  for (uint32_t byte = 0; byte < 256; ++byte) {
    out.character[byte] = StandsForItself(byte) ? byte : next++;
    out.byte[out.character[byte]] = static_cast<int16_t>(byte);
  }
  return out;
}

constexpr Alphabet kAlphabet = MakeAlphabet();

struct Encoded {
  std::array<std::array<char, 2>, 256> text{};
  std::array<uint8_t, 256> size{};
};

constexpr Encoded EncodeAlphabet() {
  Encoded out;
  for (uint32_t byte = 0; byte < 256; ++byte) {
    const char32_t c = kAlphabet.character[byte];
    out.size[byte] = c < 0x80 ? 1 : 2;
    out.text[byte] = c < 0x80 ? std::array<char, 2>{static_cast<char>(c), 0}
                              : std::array<char, 2>{static_cast<char>(0xC0 | (c >> 6)),
                                                    static_cast<char>(0x80 | (c & 0x3F))};
  }
  return out;
}

constexpr Encoded kEncoded = EncodeAlphabet();

}  // namespace

std::string_view ByteCharacter(uint8_t byte) {
  return {kEncoded.text[byte].data(), kEncoded.size[byte]};
}

std::optional<uint8_t> CharacterByte(char32_t code_point) {
  if (code_point >= kAlphabet.byte.size() || kAlphabet.byte[code_point] < 0) return std::nullopt;
  return static_cast<uint8_t>(kAlphabet.byte[code_point]);
}

std::string MapToAlphabet(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size() + bytes.size() / 4);
  for (const char c : bytes) out.append(ByteCharacter(static_cast<uint8_t>(c)));
  return out;
}

std::optional<std::string> MapFromAlphabet(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const Utf8Unit unit = ReadUtf8(text);
    if (unit.kind != Utf8Unit::Kind::kCharacter) return std::nullopt;
    const std::optional<uint8_t> byte = CharacterByte(unit.code_point);
    if (!byte) return std::nullopt;
    out.push_back(static_cast<char>(*byte));
    text.remove_prefix(unit.size);
  }
  return out;
}

}  // namespace gyrator
