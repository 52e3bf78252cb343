// PlainFib: longest-prefix match by one binary search over sorted address ranges. For small tables
// and tests; takes bytes where rte_fib takes 64 MiB, and is as fast while its ranges stay in cache.
//
// Thread: one writer (insert, erase, publish); any number of readers (lookup). Readers see what was
// last
//   published. Ownership: the published table is replaced as a whole; publish() hands the old one
//   to the caller, to be kept for a grace period.
// Cost: lookup O(log n); publish O(n log n) of all prefixes, whatever changed: meant for thousands.
// Errors: insert beyond the capacity gives false.
#pragma once

#include <algorithm>
#include <atomic>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "dataplane/forward/routing.h"

namespace sluice {

template <typename Family>
class PlainFib final : public Fib<Family> {
 public:
  using Address = typename Family::Address;

  explicit PlainFib(std::size_t capacity = 65536)
      : capacity_(capacity), owned_(std::make_shared<const Table>()), published_(owned_.get()) {}

  void lookup(const Address* destinations, NextHopIndex* out, unsigned count) const override {
    const Table& table = *published_.load(std::memory_order_acquire);
    for (unsigned i = 0; i < count; ++i) {
      const auto after =
          std::upper_bound(table.starts.begin(), table.starts.end(), destinations[i]);
      out[i] = after == table.starts.begin()
                   ? kNoNextHop
                   : table.hops[static_cast<std::size_t>(after - table.starts.begin()) - 1];
    }
  }

  bool insert(const Address& address, unsigned prefix_length, NextHopIndex hop) override {
    const Prefix key{address, prefix_length};
    if (prefixes_.size() >= capacity_ && !prefixes_.contains(key)) return false;
    prefixes_[key] = hop;
    changed_ = true;
    return true;
  }

  void erase(const Address& address, unsigned prefix_length) override {
    if (prefixes_.erase({address, prefix_length}) != 0) changed_ = true;
  }

  [[nodiscard]] std::shared_ptr<const void> publish() override {
    if (!changed_) return nullptr;
    changed_ = false;
    auto next = std::make_shared<const Table>(build());
    published_.store(next.get(), std::memory_order_release);
    return std::exchange(owned_, std::move(next));
  }

 private:
  // A prefix sorts after those that contain it.
  using Prefix = std::pair<Address, unsigned>;
  struct Table {
    std::vector<Address> starts;  // Ascending; range i ends where range i + 1 starts.
    std::vector<NextHopIndex> hops;
  };

  static Address last_of(const Prefix& prefix) {
    Address last = prefix.first;
    for (unsigned bit = prefix.second; bit < Family::kAddressBytes * 8; ++bit) {
      last[bit / 8] = static_cast<std::uint8_t>(last[bit / 8] | (0x80u >> (bit % 8)));
    }
    return last;
  }
  // False: it wrapped around, there is no address after the last one.
  static bool advance(Address& address) {
    for (std::size_t i = address.size(); i-- > 0;) {
      if (++address[i] != 0) return true;
    }
    return false;
  }

  Table build() const {
    Table table;
    std::vector<std::pair<Address, NextHopIndex>>
        open;  // Last address and hop of the prefixes around.
    const auto start_range = [&](const Address& start, NextHopIndex hop) {
      if (!table.starts.empty() && table.starts.back() == start) {
        table.hops.back() = hop;
      } else {
        table.starts.push_back(start);
        table.hops.push_back(hop);
      }
    };
    const auto close_top = [&] {
      Address start = open.back().first;
      open.pop_back();
      if (advance(start)) start_range(start, open.empty() ? kNoNextHop : open.back().second);
    };
    for (const auto& [prefix, hop] : prefixes_) {
      while (!open.empty() && open.back().first < prefix.first) close_top();
      start_range(prefix.first, hop);
      open.emplace_back(last_of(prefix), hop);
    }
    while (!open.empty()) close_top();
    return table;
  }

  std::size_t capacity_;
  std::map<Prefix, NextHopIndex> prefixes_;
  bool changed_ = false;
  std::shared_ptr<const Table> owned_;
  std::atomic<const Table*> published_;
};

}  // namespace sluice
