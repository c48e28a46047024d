// LoadKv and VerifySnapshot: each tensor is hashed and copied in one pass.
#include <algorithm>
#include <vector>

#include "base/check.h"
#include "base/sha256.h"
#include "formats/npy.h"
#include "snapshot/bare.h"
#include "snapshot/errors.h"
#include "snapshot/folder_files.h"
#include "snapshot/kv_rows.h"
#include "snapshot/limits.h"
#include "snapshot/reader.h"
#include "snapshot/writer.h"

namespace gyrator {

namespace {

constexpr int64_t kBufferBytes = 256 << 10;

// One tensor of a full folder whose header is the canonical one.
class TensorPass {
 public:
  TensorPass(const Snapshot& snapshot, const KvTarget& target, const HeadPlace& place)
      : snapshot_(snapshot),
        target_(target),
        place_(place),
        path_(KvFile(place.layer, place.tensor)) {}

  Status Run(const ReadableFile& file, uint64_t data_offset) {
    offset_ = 0;
    std::vector<std::byte> header(data_offset);
    GYRATOR_RETURN_IF_ERROR(Take(file, header));
    const int64_t cp = snapshot_.cp();
    const int64_t row_bytes = KvRowBytes(snapshot_.kv, place_.tensor);
    const DType dtype = KvElementDType(snapshot_.kv.dtype, place_.tensor);
    const int64_t rows_max = std::max<int64_t>(1, kBufferBytes / row_bytes);
    std::vector<std::byte> buffer(static_cast<size_t>(std::min(rows_max, cp) * row_bytes));
    bool finite = true;
    for (place_.kv_head = 0; place_.kv_head < snapshot_.kv.num_kv_heads; ++place_.kv_head) {
      for (int64_t begin = 0; begin < cp; begin += rows_max) {
        const int64_t count = std::min(rows_max, cp - begin);
        const std::span<std::byte> rows(buffer.data(), static_cast<size_t>(count * row_bytes));
        GYRATOR_RETURN_IF_ERROR(Take(file, rows));
        if (target_.require_finite) finite &= AllFinite(dtype, rows);
        if (target_.kv == nullptr) continue;
        ScatterRows(*target_.kv, target_.blocks, place_, static_cast<int32_t>(begin), rows);
      }
    }
    // The digest first: of damaged bytes it is the damage that is worth telling.
    const std::string found = HexText(hash_.Finish());
    const ManifestEntry* entry = snapshot_.manifest.Find(path_);
    if (found != entry->sha256) {
      return ManifestMismatch(path_, "the manifest has sha256 " + entry->sha256.substr(0, 16) +
                                         "..., the file has " + found.substr(0, 16) + "...");
    }
    return finite ? Status() : StateInconsistent(path_, "a value is not finite");
  }

 private:
  Status Take(const ReadableFile& file, std::span<std::byte> out) {
    GYRATOR_RETURN_IF_ERROR(file.ReadAt(offset_, out).Annotate(path_));
    hash_.Update(out);
    offset_ += out.size();
    return {};
  }

  const Snapshot& snapshot_;
  const KvTarget& target_;
  HeadPlace place_;
  const std::string path_;
  Sha256 hash_;
  uint64_t offset_ = 0;
};

Status LoadTensor(FileSystem& fs, const Snapshot& snapshot, const KvTarget& target,
                  const HeadPlace& place) {
  const std::string path = KvFile(place.layer, place.tensor);
  GYRATOR_ASSIGN_OR_RETURN(const std::unique_ptr<ReadableFile> file,
                           OpenElement(fs, snapshot.folder, path));
  const ManifestEntry* entry = snapshot.manifest.Find(path);
  if (entry != nullptr) {
    if (file->size() != entry->bytes) return ManifestMismatch(path, "its size changed");
    const KvGeometry& kv = snapshot.kv;
    const std::string header =
        NpyHeader(KvStoredDType(KvElementDType(kv.dtype, place.tensor)),
                  {1, kv.num_kv_heads, snapshot.cp(), KvWidth(kv, place.tensor)});
    const uint64_t data = KvTensorBytes(kv, place.tensor, snapshot.cp());
    std::string start(header.size(), '\0');
    if (entry->bytes == header.size() + data) {
      GYRATOR_RETURN_IF_ERROR(
          file->ReadAt(0, std::as_writable_bytes(std::span(start))).Annotate(path));
    }
    if (start == header) {
      return TensorPass(snapshot, target, place).Run(*file, header.size());
    }
  }
  // Another header than ours (or a damaged one): any that the format allows, by way of memory.
  if (entry == nullptr) GYRATOR_RETURN_IF_ERROR(CheckTensorHeader(snapshot, place, *file));
  if (file->size() > kWholeTensorBytesMax) {
    return StateInconsistent(path, "a tensor in another layout than this program writes may have " +
                                       std::to_string(kWholeTensorBytesMax) + " bytes, found " +
                                       std::to_string(file->size()));
  }
  GYRATOR_ASSIGN_OR_RETURN(const std::string text,
                           entry == nullptr
                               ? ReadElement(fs, snapshot.folder, path)
                               : ReadVerified(fs, snapshot.folder, path, snapshot.manifest));
  return LoadWholeTensor(snapshot, place, AsBytes(text), target);
}

// K or V of another type than the target's, of a bare folder.
Status LoadConverted(FileSystem& fs, const Snapshot& snapshot, const KvTarget& target,
                     const HeadPlace& place) {
  WholeFiles files;
  GYRATOR_ASSIGN_OR_RETURN(
      files.elements,
      ReadElement(fs, snapshot.folder, KvFile(place.layer, place.tensor), kWholeTensorBytesMax));
  if (snapshot.kv.dtype == DType::kI8) {
    GYRATOR_ASSIGN_OR_RETURN(
        files.scales, ReadElement(fs, snapshot.folder, KvFile(place.layer, ScaleOf(place.tensor)),
                                  kWholeTensorBytesMax));
  }
  return ConvertWholeTensor(snapshot, place, files, target);
}

Status LoadAll(FileSystem& fs, const Snapshot& snapshot, const KvTarget& target,
               const LoadOptions& options) {
  const uint64_t total = KvBytes(snapshot.kv, snapshot.cp());
  const auto layers = static_cast<uint64_t>(snapshot.kv.num_layers);
  const bool converts = target.kv != nullptr && target.kv->dtype != snapshot.kv.dtype;
  for (int32_t layer = 0; layer < snapshot.kv.num_layers; ++layer) {
    for (const KvTensor tensor : KvTensorsOf(snapshot.kv.dtype)) {
      const HeadPlace place = {.layer = layer, .tensor = tensor};
      if (!converts) {
        GYRATOR_RETURN_IF_ERROR(LoadTensor(fs, snapshot, target, place));
      } else if (tensor == KvTensor::kKey || tensor == KvTensor::kValue) {
        GYRATOR_RETURN_IF_ERROR(LoadConverted(fs, snapshot, target, place));
      }
    }
    if (options.progress) {
      options.progress(total / layers * (static_cast<uint64_t>(layer) + 1), total);
    }
  }
  return {};
}

std::string GeometryText(const KvGeometry& kv) {
  return std::to_string(kv.num_layers) + " layers of " + std::to_string(kv.num_kv_heads) +
         " kv heads of " + std::to_string(kv.head_dim) + " " + std::string(CacheTypeName(kv.dtype));
}

}  // namespace

Status LoadKv(FileSystem& fs, const Snapshot& snapshot, const PagedKv& kv,
              const BlockTableView& blocks, const LoadOptions& options) {
  const KvGeometry live = GeometryOf(kv);
  KvGeometry stored = snapshot.kv;
  // Bare folders are converted; a full one is exact or refused.
  if (snapshot.verification == Verification::kBare) stored.dtype = live.dtype;
  if (live != stored) {
    return ShapeMismatch(kKvFolder, GeometryText(live), GeometryText(snapshot.kv));
  }
  const int64_t covered = int64_t{blocks.num_blocks} * kBlockPositions;
  if (snapshot.cp() > covered) return CapacityError(snapshot.cp(), covered);
  return LoadAll(fs, snapshot, {&kv, blocks, options.require_finite}, options);
}

Result<Snapshot> VerifySnapshot(FileSystem& fs, const std::string& folder,
                                const LoadOptions& options) {
  GYRATOR_ASSIGN_OR_RETURN(Snapshot snapshot, OpenSnapshot(fs, folder));
  GYRATOR_RETURN_IF_ERROR(
      LoadAll(fs, snapshot, {.require_finite = options.require_finite}, options));
  return snapshot;
}

}  // namespace gyrator
