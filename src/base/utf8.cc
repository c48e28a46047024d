#include "base/utf8.h"

namespace gyrator {

namespace {

// Length that a leading byte announces, and the range that its second byte must lie in (RFC 3629).
struct Lead {
  uint8_t size;  // 0: not a leading byte
  uint8_t second_min;
  uint8_t second_max;
};

Lead LeadOf(uint8_t byte) {
  if (byte < 0x80) return {1, 0, 0};
  if (byte < 0xC2) return {0, 0, 0};
  if (byte < 0xE0) return {2, 0x80, 0xBF};
  if (byte == 0xE0) return {3, 0xA0, 0xBF};
  if (byte == 0xED) return {3, 0x80, 0x9F};
  if (byte < 0xF0) return {3, 0x80, 0xBF};
  if (byte == 0xF0) return {4, 0x90, 0xBF};
  if (byte < 0xF4) return {4, 0x80, 0xBF};
  if (byte == 0xF4) return {4, 0x80, 0x8F};
  return {0, 0, 0};
}

}  // namespace

Utf8Unit ReadUtf8(std::string_view bytes) {
  using Kind = Utf8Unit::Kind;
  const auto byte_at = [&](size_t i) { return static_cast<uint8_t>(bytes[i]); };
  const Lead lead = LeadOf(byte_at(0));
  if (lead.size == 0) return {Kind::kIllFormed, 1, 0};
  if (lead.size == 1) return {Kind::kCharacter, 1, byte_at(0)};
  char32_t code_point = byte_at(0) & (0xFFu >> (lead.size + 1));
  for (uint8_t i = 1; i < lead.size; ++i) {
    if (i == bytes.size()) return {Kind::kIncomplete, i, 0};
    const uint8_t byte = byte_at(i);
    const uint8_t low = i == 1 ? lead.second_min : 0x80;
    const uint8_t high = i == 1 ? lead.second_max : 0xBF;
    if (byte < low || byte > high) return {Kind::kIllFormed, i, 0};
    code_point = (code_point << 6) | (byte & 0x3F);
  }
  return {Kind::kCharacter, lead.size, code_point};
}

bool IsValidUtf8(std::string_view bytes) {
  for (size_t i = 0; i < bytes.size();) {
    if (static_cast<uint8_t>(bytes[i]) < 0x80) {
      ++i;
      continue;
    }
    const Utf8Unit unit = ReadUtf8(bytes.substr(i));
    if (unit.kind != Utf8Unit::Kind::kCharacter) return false;
    i += unit.size;
  }
  return true;
}

size_t CompletePrefix(std::string_view bytes) {
  for (size_t back = 1; back <= 3 && back <= bytes.size(); ++back) {
    const size_t at = bytes.size() - back;
    if ((static_cast<uint8_t>(bytes[at]) & 0xC0) == 0x80) continue;
    return ReadUtf8(bytes.substr(at)).kind == Utf8Unit::Kind::kIncomplete ? at : bytes.size();
  }
  return bytes.size();
}

void AppendLossy(std::string_view bytes, std::string* out) {
  for (size_t i = 0; i < bytes.size();) {
    const Utf8Unit unit = ReadUtf8(bytes.substr(i));
    if (unit.kind == Utf8Unit::Kind::kCharacter) {
      out->append(bytes.substr(i, unit.size));
    } else {
      out->append(kReplacementCharacter);
    }
    i += unit.size;
  }
}

void AppendUtf8(char32_t code_point, std::string* out) {
  const auto put = [&](char32_t byte) { out->push_back(static_cast<char>(byte)); };
  if (code_point < 0x80) {
    put(code_point);
  } else if (code_point < 0x800) {
    put(0xC0 | (code_point >> 6));
    put(0x80 | (code_point & 0x3F));
  } else if (code_point < 0x10000) {
    put(0xE0 | (code_point >> 12));
    put(0x80 | ((code_point >> 6) & 0x3F));
    put(0x80 | (code_point & 0x3F));
  } else {
    put(0xF0 | (code_point >> 18));
    put(0x80 | ((code_point >> 12) & 0x3F));
    put(0x80 | ((code_point >> 6) & 0x3F));
    put(0x80 | (code_point & 0x3F));
  }
}

}  // namespace gyrator
