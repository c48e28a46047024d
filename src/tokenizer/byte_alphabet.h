// The byte alphabet of GPT-2: each byte has a printable character of its own, so that a vocabulary
// of text can hold any bytes. Source: openai/gpt-2, encoder.py, bytes_to_unicode.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace gyrator {

// The character of a byte, in UTF-8 (1 or 2 bytes).
std::string_view ByteCharacter(uint8_t byte);

// The byte of a character; nothing when it is not of the alphabet.
std::optional<uint8_t> CharacterByte(char32_t code_point);

// Each byte of `bytes` by its character.
std::string MapToAlphabet(std::string_view bytes);

// The bytes that `text` stands for; nothing when a character is not of the alphabet.
std::optional<std::string> MapFromAlphabet(std::string_view text);

}  // namespace gyrator
