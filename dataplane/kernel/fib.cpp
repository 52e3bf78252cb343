#include "dataplane/kernel/fib.h"

#include <rte_errno.h>
#include <rte_fib.h>
#include <rte_fib6.h>

#include <algorithm>
#include <atomic>
#include <cstring>

#include "dataplane/kernel/plain_fib.h"

namespace sluice {
namespace {

constexpr unsigned kBulk = 64;
// In rte_fib: no route but the default one. (kNoNextHop says that there is one, and it leads
// nowhere.)
constexpr std::uint64_t kDefaultRoute = 0x3fffffff;

// What differs between rte_fib and rte_fib6: names, and that the first takes addresses in host
// order.
template <typename Family>
struct RteFib;

template <>
struct RteFib<Ipv4> {
  using Table = rte_fib;
  using Key = std::uint32_t;
  static Key key(const Ipv4::Address& address) {
    return std::uint32_t{address[0]} << 24 | std::uint32_t{address[1]} << 16 |
           std::uint32_t{address[2]} << 8 | address[3];
  }
  static Table* create(const char* name, int socket, int routes, std::uint32_t groups) {
    rte_fib_conf config{};
    config.type = RTE_FIB_DIR24_8;
    config.default_nh = kDefaultRoute;
    config.max_routes = routes;
    config.dir24_8.nh_sz = RTE_FIB_DIR24_8_4B;
    config.dir24_8.num_tbl8 = groups;
    return rte_fib_create(name, socket, &config);
  }
  static void free(Table* table) { rte_fib_free(table); }
  static int add(Table* table, Key key, std::uint8_t length, std::uint64_t hop) {
    return rte_fib_add(table, key, length, hop);
  }
  static int remove(Table* table, Key key, std::uint8_t length) {
    return rte_fib_delete(table, key, length);
  }
  static void lookup(Table* table, Key* keys, std::uint64_t* hops, unsigned count) {
    (void)rte_fib_lookup_bulk(table, keys, hops, static_cast<int>(count));
  }
};

template <>
struct RteFib<Ipv6> {
  using Table = rte_fib6;
  struct Key {
    std::uint8_t bytes[RTE_FIB6_IPV6_ADDR_SIZE];
  };
  static Key key(const Ipv6::Address& address) {
    Key key;
    std::memcpy(key.bytes, address.data(), sizeof key.bytes);
    return key;
  }
  static Table* create(const char* name, int socket, int routes, std::uint32_t groups) {
    rte_fib6_conf config{};
    config.type = RTE_FIB6_TRIE;
    config.default_nh = kDefaultRoute;
    config.max_routes = routes;
    config.trie.nh_sz = RTE_FIB6_TRIE_4B;
    config.trie.num_tbl8 = groups;
    return rte_fib6_create(name, socket, &config);
  }
  static void free(Table* table) { rte_fib6_free(table); }
  static int add(Table* table, const Key& key, std::uint8_t length, std::uint64_t hop) {
    return rte_fib6_add(table, key.bytes, length, hop);
  }
  static int remove(Table* table, const Key& key, std::uint8_t length) {
    return rte_fib6_delete(table, key.bytes, length);
  }
  static void lookup(Table* table, Key* keys, std::uint64_t* hops, unsigned count) {
    static_assert(sizeof(Key) == RTE_FIB6_IPV6_ADDR_SIZE);
    (void)rte_fib6_lookup_bulk(table, &keys[0].bytes, hops, static_cast<int>(count));
  }
};

template <typename Family>
class LargeFib final : public Fib<Family> {
 public:
  using Address = typename Family::Address;
  using Rte = RteFib<Family>;

  explicit LargeFib(typename Rte::Table* table) : table_(table) {}
  ~LargeFib() override { Rte::free(table_); }

  void lookup(const Address* destinations, NextHopIndex* out, unsigned count) const override {
    typename Rte::Key keys[kBulk];
    std::uint64_t hops[kBulk];
    for (unsigned from = 0; from < count; from += kBulk) {
      const unsigned some = std::min(kBulk, count - from);
      for (unsigned i = 0; i < some; ++i) keys[i] = Rte::key(destinations[from + i]);
      Rte::lookup(table_, keys, hops, some);
      const NextHopIndex otherwise = default_.load(std::memory_order_acquire);
      for (unsigned i = 0; i < some; ++i) {
        out[from + i] = hops[i] == kDefaultRoute ? otherwise : static_cast<NextHopIndex>(hops[i]);
      }
    }
  }
  // The default route is kept beside the table: DPDK 22.11 lets one that comes later overwrite
  // every more specific route, and it would write 16 million entries each time.
  bool insert(const Address& address, unsigned prefix_length, NextHopIndex hop) override {
    if (prefix_length == 0) {
      default_.store(hop, std::memory_order_release);
      return true;
    }
    return Rte::add(table_, Rte::key(address), static_cast<std::uint8_t>(prefix_length), hop) == 0;
  }
  void erase(const Address& address, unsigned prefix_length) override {
    if (prefix_length == 0) return default_.store(kNoNextHop, std::memory_order_release);
    (void)Rte::remove(table_, Rte::key(address), static_cast<std::uint8_t>(prefix_length));
  }

 private:
  typename Rte::Table* table_;
  std::atomic<NextHopIndex> default_{kNoNextHop};
};

// Groups of 256 next hops (tbl8) for prefixes beyond 24 bits. In a BGP table few IPv4 ones are, and
// neighbours share groups; IPv6 ones need about one group a route, since most share their upper
// bits.
template <typename Family>
std::uint32_t groups_for(std::uint32_t routes) {
  constexpr bool kV4 = std::is_same_v<Family, Ipv4>;
  return std::clamp<std::uint32_t>(kV4 ? routes / 8 : routes, 4096, 1u << 20);
}

}  // namespace

template <typename Family>
Result<std::unique_ptr<Fib<Family>>> make_fib(const std::string& name, std::uint32_t routes,
                                              int socket) {
  if (routes <= kPlainFibRoutes) {
    return std::unique_ptr<Fib<Family>>(std::make_unique<PlainFib<Family>>(routes));
  }
  const std::uint32_t groups = groups_for<Family>(routes);
  auto* table = RteFib<Family>::create(name.c_str(), socket, static_cast<int>(routes), groups);
  if (table == nullptr) {
    return Error{
        "no memory for a table of " + std::to_string(routes) + " routes (" + name +
        "): " + rte_strerror(rte_errno) + "; it takes " + std::to_string(64 + groups / 1024) +
        " MiB: raise dataplane.memory.megabytes or the huge pages, or lower dataplane.tables."
        "routesIPv4 or routesIPv6"};
  }
  return std::unique_ptr<Fib<Family>>(std::make_unique<LargeFib<Family>>(table));
}

template Result<std::unique_ptr<Fib<Ipv4>>> make_fib<Ipv4>(const std::string&, std::uint32_t, int);
template Result<std::unique_ptr<Fib<Ipv6>>> make_fib<Ipv6>(const std::string&, std::uint32_t, int);

}  // namespace sluice
