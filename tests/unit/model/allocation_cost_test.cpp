// Which changes call for an allocation, and what one costs.
#include <gmock/gmock.h>

#include <ctime>
#include <iostream>

#include "control/model/allocation.h"
#include "control/model/maglev_size.h"
#include "world.h"

namespace sluice {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

TEST(Allocation, TellsWhetherARequestChangedForIt) {
  const IpAddress v4 = *IpAddress::parse("192.0.2.1"), v6 = *IpAddress::parse("2001:db8::1");
  AddressRequest a;
  a.service = {"manual", "default", "a"};
  a.ports.push_back({"TCP", 80, std::array<std::size_t, 2>{3, 0}});
  Ledger ledger;
  const auto hold = [&](const IpAddress& address, std::uint32_t size) {
    v1::Address& record = ledger[address] = v1::Address();
    for (const char* name : {"another", "a"}) {
      v1::AddressHolder* holder = record.add_holders();
      holder->set_source("manual");
      holder->set_namespace_("default");
      holder->set_name(name);
      v1::HeldPort* port = holder->add_ports();
      port->set_protocol("TCP");
      port->set_port(std::string_view(name) == "a" ? 80 : 81);
      port->set_maglev_size(size);
    }
  };
  const std::vector<IpAddress> both{v4, v6};
  const auto same = [&](const AddressRequest& b, std::span<const IpAddress> held) {
    return same_allocation(a, b, held, ledger);
  };
  AddressRequest b = a;
  b.sharing_key = "k";
  EXPECT_FALSE(same(b, {}));
  // Who holds nothing has no table.
  b = a;
  (*b.ports[0].active_members)[0] = 200;
  EXPECT_TRUE(same(b, {}));
  EXPECT_TRUE(same(b, both));
  // Any size it has, any two numbers: the same word means the same size.
  for (const std::uint32_t current : {1009u, 2003u, 4001u, 32003u}) {
    hold(v4, current);
    hold(v6, 1009);
    int changes = 0;
    for (std::size_t x = 0; x < 200; ++x) {
      (*a.ports[0].active_members)[0] = x;
      (*b.ports[0].active_members)[0] = x + 1;
      const bool equal = sticky_maglev_size(current, x) == sticky_maglev_size(current, x + 1);
      EXPECT_EQ(same(b, both), equal) << current << " slots, " << x;
      changes += equal ? 0 : 1;
    }
    EXPECT_GT(changes, 0);
  }
  // Of the other family; and unknown endpoints change nothing.
  b = a;
  (*b.ports[0].active_members)[1] = 11;
  EXPECT_FALSE(same(b, both));
  hold(v4, 65537);
  (*a.ports[0].active_members) = {600, 0};
  b.ports[0].active_members.reset();
  EXPECT_TRUE(same(b, both));
  (*a.ports[0].active_members)[0] = 3;  // For which the table shrinks.
  EXPECT_FALSE(same(b, both));
}

// 10,000 at once, and then with nothing to do: CPU time, with room for a slow machine.
TEST(Allocation, IsCheapForManyServices) {
  World world;
  std::string all =
      "{apiVersion: sluice.dev/v1, kind: AddressPool, metadata: {name: p}, spec: {addresses: "
      "[10.0.0.0/16]}}\n";
  world.apply(all);
  for (int batch = 0; batch < 10; ++batch) {
    all.clear();
    for (int i = 0; i < 1000; ++i) {
      const std::string name = "s" + std::to_string(batch * 1000 + i);
      all += "{apiVersion: v1, kind: Service, metadata: {name: " + name + ", uid: uid-" + name +
             "}, spec: {type: LoadBalancer, ports: [{port: 80}]}}\n---\n";
    }
    world.apply(all);
  }
  world.take_requests();
  const auto cpu_ms = [&](Allocation* result) {
    const std::clock_t begin = std::clock();
    *result = world.allocate_only();
    return 1000.0 * static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
  };
  const double first = cpu_ms(&world.allocation);
  EXPECT_THAT(world.allocation.writes, SizeIs(10'000));
  for (const v1::Address& record : world.allocation.writes) {
    world.ledger[*IpAddress::from_bytes(record.address())] = record;
  }
  const double again = cpu_ms(&world.allocation);
  EXPECT_THAT(world.allocation.writes, IsEmpty());
  EXPECT_THAT(world.allocation.conditions, SizeIs(10'000));
  RecordProperty("first_ms", std::to_string(first));
  RecordProperty("unchanged_ms", std::to_string(again));
  std::cout << "first grants " << first << " ms, nothing to do " << again << " ms\n";
  EXPECT_LT(first, 3000);
  EXPECT_LT(again, 300);
}

}  // namespace
}  // namespace sluice
