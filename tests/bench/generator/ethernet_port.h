// EthernetPort: a DPDK port of the generator, with as many queue pairs as the other end has
// workers.
//
// Thread: opened on the main thread; then one thread per queue and direction.
// Ownership: closes the port. Units: bytes.
// Errors: name the device and what DPDK said.
#pragma once

#include <rte_mempool.h>

#include <cstdint>
#include <memory>
#include <string>

#include "proto/result.h"

namespace sluice::generator {

class EthernetPort {
 public:
  // `device`: as given to EAL ("net_vhost0", "0000:01:00.0").
  static Result<std::unique_ptr<EthernetPort>> open(const std::string& device, unsigned queues,
                                                    unsigned descriptors, rte_mempool* receive);
  ~EthernetPort();
  EthernetPort(const EthernetPort&) = delete;
  EthernetPort& operator=(const EthernetPort&) = delete;

  std::uint16_t id() const { return id_; }
  std::uint16_t queues() const { return queues_; }
  bool up() const;

 private:
  EthernetPort(std::uint16_t id, std::uint16_t queues) : id_(id), queues_(queues) {}
  std::uint16_t id_, queues_;
};

}  // namespace sluice::generator
