// disk: the last good state, on disk, so that a control starts from it whatever became of Redis.
// Purpose: DiskState in one file, replaced as a whole: written beside, synced, renamed; mode 0600.
// Format: "SLUICE01", length and CRC-32 of the message (little endian, 8 and 4 bytes), the message.
// Thread: any; blocking. Errors: a file that is damaged or of another major version is moved aside
// and said so, never half used.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "proto/result.h"
#include "store.pb.h"

namespace sluice::store {

struct LoadedState {
  std::optional<v1::DiskState> state;  // Nothing: no file yet, or it was damaged.
  std::string warning;                 // Not empty: what was wrong, and where the file went.
};

// What is to be written. Sources may stand in `state`, or beside it, where their objects are shared
// and so need not be copied: nobody changes an object.
struct DiskImage {
  DiskImage() = default;
  DiskImage(v1::DiskState of) : state(std::move(of)) {}  // NOLINT: implicit by intent

  struct Source {
    v1::DiskSource head;  // Without objects.
    std::vector<std::shared_ptr<const v1::Object>> objects;
  };
  v1::DiskState state;
  std::vector<Source> sources;
};

Status save_disk_state(const std::string& path, DiskImage image);
Result<LoadedState> load_disk_state(const std::string& path);

}  // namespace sluice::store
