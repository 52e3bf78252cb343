// disk: the last good state, on disk, so that a control starts from it whatever became of Redis.
// Purpose: DiskState in one file, replaced as a whole: written beside, synced, renamed; mode 0600.
// Format: "SLUICE01", length and CRC-32 of the message (little endian, 8 and 4 bytes), the message.
// Thread: any; blocking. Errors: a file that is damaged or of another major version is moved aside
// and said so, never half used.
#pragma once

#include <optional>
#include <string>

#include "proto/result.h"
#include "store.pb.h"

namespace sluice::store {

struct LoadedState {
  std::optional<v1::DiskState> state;  // Nothing: no file yet, or it was damaged.
  std::string warning;                 // Not empty: what was wrong, and where the file went.
};

Status save_disk_state(const std::string& path, const v1::DiskState& state);
Result<LoadedState> load_disk_state(const std::string& path);

}  // namespace sluice::store
