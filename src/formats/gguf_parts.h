// GGUF files that were split into several, as llama.cpp and the gguf package split them.
//
// NAME-00001-of-00003.gguf has the metadata and some of the tensors; NAME-00002-of-00003.gguf and
// the others have the other tensors. In each part split.no counts from 0 and split.count is the
// number of parts; split.tensors.count, which some writers leave out, is the number of tensors of
// all parts.
#pragma once

#include <string>
#include <string_view>

#include "formats/gguf.h"
#include "gyrator/status.h"

namespace gyrator {

// Opens a GGUF file, and with the first part of a split one all parts, which lie beside it: the
// metadata is that of the first part, the tensors and mapped files are those of all, in order.
//
// The errors of GgufFile::Open, of any part. kInvalidArgument: another part than the first, or a
// first part whose name is not the pattern's, so that the others cannot be found; kNotFound: a part
// is missing; kCorruption: parts whose split.no or split.count are other than their names say, a
// tensor in two parts, or another number of tensors than split.tensors.count. All name the part.
Result<GgufFile> OpenGguf(const std::string& path);

// OK for a whole file and for a first part, of which `path` is only needed for the message.
// kInvalidArgument for another part: it names the first one. kCorruption: split.no or split.count
// is no number of a part.
Status CheckIsFirstPart(const GgufFile& file, const std::string& path);

// Whether a file name is that of a part behind the first.
bool IsNameOfLaterPart(std::string_view name);

}  // namespace gyrator
