// What a snapshot may be at most. The writer refuses what is beyond before it touches anything, the
// reader refuses it before it reads, and an import and `verify` read as a load does: what can be
// written can be read.
//
// What grows with a conversation (tokens, messages, spans, draws, evictions) has no limit here: it
// is read into memory in proportion to the room that it takes on the disk, which is why a file with
// holes is refused.
#pragma once

#include <cstddef>
#include <cstdint>

namespace gyrator {

// Of one of the text files with keys. Own keys are those that a writer sets itself; the rest is
// carried from save to save, so what was read once always fits again.
inline constexpr size_t kForeignKeysMax = 100'000;
inline constexpr size_t kOwnKeysMax = 1'000;

inline constexpr int32_t kLayersMax = 4096;
inline constexpr int32_t kKvHeadsMax = 4096;
inline constexpr int32_t kHeadDimMax = 4096;

// Levels of chat.json, the array and the message included.
inline constexpr int kChatDepthMax = 200;
// A message of more bytes is read without building values of it; its content must be a string then.
inline constexpr size_t kParsedMessageBytesMax = 1u << 20;

inline constexpr size_t kFilesMax = 20'000;                     // of a folder
inline constexpr uint64_t kManifestBytesMax = kFilesMax * 288;  // of which 200 are the path

// Between the first byte of an .npy file and its data; numpy's own limit, and what is before it.
inline constexpr uint64_t kNpyHeaderBytesMax = 10'012;
// A tensor that is laid out in another way than this program writes it is read whole.
inline constexpr uint64_t kWholeTensorBytesMax = 1u << 30;

}  // namespace gyrator
