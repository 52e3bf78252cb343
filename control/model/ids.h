// Ids of VIPs (one per address and protocol) and backends: given here, stable across restarts of both
// processes, and not given again while an old flow could still name them.
// Thread: one. Ids begin at 1. Errors: no free id below the dataplane's capacity.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>

#include "dataplane.pb.h"
#include "proto/address.h"
#include "proto/result.h"
#include "store.pb.h"

namespace sluice {

class IdAllocator {
 public:
  struct Limits {
    std::uint32_t vips = 1u << 20;      // Highest id + 1: 20 and 22 bits in a flow entry.
    std::uint32_t backends = 1u << 22;
  };

  void load(const v1::Ids& ids);
  v1::Ids save() const;
  // Takes over what a dataplane reports, which is right where it disagrees with what was loaded.
  void adopt(const v1::Report& report);
  void set_limits(const Limits& limits) { limits_ = limits; }

  // The id it has, else a free one.
  Result<std::uint32_t> vip(const IpAddress& address, v1::Protocol protocol);
  Result<std::uint32_t> backend(const std::string& source, const IpAddress& address,
                                v1::Protocol protocol, std::uint32_t port);

  // Between begin_round() and end_round(generation), ids asked for are in use; the others are retired
  // with that generation.
  void begin_round();
  void end_round(std::uint64_t generation);
  // No worker's table holds an id retired in this generation or before.
  void swept(std::uint64_t generation);

 private:
  class Space {
   public:
    void insert(const std::string& key, std::uint32_t id);
    void retire(std::uint32_t id, std::uint64_t generation);
    std::uint32_t get(const std::string& key, std::uint32_t limit);  // 0: none is free.
    void begin_round() { seen_.clear(); }
    void end_round(std::uint64_t generation);
    void swept(std::uint64_t generation);

    const std::map<std::string, std::uint32_t>& ids() const { return ids_; }
    const std::map<std::uint32_t, std::uint64_t>& retired() const { return retired_; }
    void clear() { *this = Space(); }

   private:
    void take(std::uint32_t id);

    std::map<std::string, std::uint32_t> ids_;
    std::map<std::uint32_t, std::string> keys_;        // The other way round.
    std::map<std::uint32_t, std::uint64_t> retired_;   // Id -> generation.
    std::set<std::uint32_t> free_;                     // Below next_.
    std::uint32_t next_ = 1;
    std::set<std::uint32_t> seen_;
  };

  Limits limits_;
  Space vips_;
  Space backends_;
};

}  // namespace sluice
