// Files made for others (models, logits, curves): each appears under its name whole, or not at all.
//
// Unlike base/fs.h, which writes private state (mode 0600) of a size known before, this streams,
// and leaves the mode to the umask.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/bytes.h"
#include "gyrator/status.h"

namespace gyrator {

// Takes bytes in order, in pieces of any size.
using ByteSink = std::function<Status(ByteSpan)>;

// Gives the bytes of one tensor, in order, to the sink; what the sink returns is returned at once.
using TensorSource = std::function<Status(const ByteSink& sink)>;

// Lets `source` give to `sink`. kInvalidArgument, naming `tensor`, unless it gives exactly `bytes`.
Status WriteTensor(std::string_view tensor, uint64_t bytes, const TensorSource& source,
                   const ByteSink& sink);

// Lets `write` fill `path`.partial (unbuffered: pieces should be large), syncs it and renames it,
// so that a file that is mapped somewhere is never truncated and a kill leaves the old one. A
// second writer of the path is refused (kIo "busy"); what a killed one left, or a link in its
// place of `path`.partial, is replaced and never followed. A link at `path` itself is followed; a
// pipe or a device is written into, piece by piece. What `write` returns, kIo, kExhausted (no space
// left), kNotFound (no such folder, a link to nothing); a file at `path` is then as it was.
Status WriteWholeFile(const std::string& path, const std::function<Status(const ByteSink&)>& write);

}  // namespace gyrator
