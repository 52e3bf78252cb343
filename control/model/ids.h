// Ids of VIPs (one per address and protocol) and backends: given here, kept across a restart of
// control, and not given to another while an old flow could still name them. An id is in use
// from the first call that asks for it to its release; who returns before the tables were swept
// gets its old id back. Thread: one. Ids begin at 1. Errors: no free id below the dataplane's
// capacity.
#pragma once

#include <algorithm>
#include <boost/unordered/unordered_flat_map.hpp>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "control/model/bytes.h"
#include "dataplane.pb.h"
#include "proto/address.h"
#include "proto/result.h"
#include "store.pb.h"

namespace sluice {

struct DataplaneState;

class IdAllocator {
 public:
  struct Limits {
    // Highest id + 1. A flow entry has 20 bits for the first, of which the dataplane keeps the
    // upper half for itself, and 22 for the second.
    std::uint32_t vips = 1u << 19;
    std::uint32_t backends = 1u << 22;
  };

  void load(const v1::Ids& ids);
  // Retired ids alone: those in use a dataplane reports, and one that reports none has no flow that
  // could name them.
  v1::Ids save() const;
  // Takes over what a dataplane reports, which is right where it disagrees with what was loaded.
  void adopt(const DataplaneState& reported);
  // The same while none is in use here, from one that has adopted it and had nothing else.
  void adopt(IdAllocator fresh);
  bool in_use() const { return vips_.in_use() || backends_.in_use(); }
  // One of those it says flows may still carry, unless it is in use or known to wait: the disk's
  // copy is older than the last changes.
  void adopt_unswept(const v1::UnsweptId& unswept);
  void set_limits(const Limits& limits) { limits_ = limits; }

  // The id it has, else a free one.
  Result<std::uint32_t> vip(const IpAddress& address, v1::Protocol protocol);
  // One endpoint by several ways is several backends.
  Result<std::uint32_t> backend(const std::string& source, const IpAddress& address,
                                v1::Protocol protocol, std::uint32_t port,
                                const v1::Overlay& overlay = v1::Overlay());

  // Nobody wants it from that generation on.
  void release_vip(std::uint32_t id, std::uint64_t generation);
  void release_backend(std::uint32_t id, std::uint64_t generation);
  // Releases all that are not wanted: after a start, what the disk or a report had left.
  using Wanted = std::function<bool(std::uint32_t id)>;
  void release_others(const Wanted& vip, const Wanted& backend, std::uint64_t generation);
  // No worker's table holds an id retired in this generation or before. A dataplane that has just
  // started holds none: the highest number.
  void swept(std::uint64_t generation);

 private:
  struct Retired {
    std::uint64_t generation = 0;
    std::string key;
  };
  class Space {
   public:
    void reserve(std::size_t ids);
    void insert(std::string_view key, std::uint32_t id);
    void retire(std::uint32_t id, Retired retired);
    std::uint32_t get(std::string_view key, std::uint32_t limit);  // 0: none is free.
    void release(std::uint32_t id, std::uint64_t generation);
    void release_others(const Wanted& wanted, std::uint64_t generation);
    void swept(std::uint64_t generation);
    void adopt_unswept(std::uint32_t id, std::uint64_t generation);
    void adopt(Space fresh);
    bool in_use() const { return !keys_.empty(); }

    const std::map<std::uint32_t, Retired>& retired() const { return retired_; }

   private:
    void forget(std::uint32_t id);
    std::uint32_t retired_id(std::string_view key) const;  // 0: none of that owner waits.
    void take(std::uint32_t id);
    void free(std::uint32_t id);

    boost::unordered_flat_map<Bytes, std::uint32_t, BytesHash, BytesEqual> ids_;
    boost::unordered_flat_map<std::uint32_t, Bytes> keys_;  // The other way round.
    std::map<std::uint32_t, Retired> retired_;
    std::unordered_map<std::string, std::uint32_t> retired_keys_;
    std::vector<std::uint64_t> taken_;  // A bit for each id in use or retired.
    std::uint32_t lowest_ = 1;          // No id below is free.
  };

  static void save_space(const Space& space, bool backend, v1::Ids* ids);
  // Whose a backend is; until the next call.
  std::string_view backend_text(std::string_view source, const IpAddress& address,
                                v1::Protocol protocol, std::uint32_t port,
                                const v1::Overlay& overlay);

  Limits limits_;
  Space vips_;
  Space backends_;
  std::string text_;
};

}  // namespace sluice
