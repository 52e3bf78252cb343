#include "control/model/ids.h"

#include <gmock/gmock.h>

#include "control/model/dataplane_state.h"

namespace sluice {
namespace {

using testing::HasSubstr;

IpAddress ip(const std::string& text) {
  return *IpAddress::parse(text);
}
std::uint32_t backend(IdAllocator& ids, const std::string& address, std::uint32_t port = 80) {
  const auto id = ids.backend("manual", ip(address), v1::PROTOCOL_TCP, port);
  EXPECT_TRUE(id) << id.error();
  return id ? *id : 0;
}

TEST(Ids, StayWithTheirOwners) {
  IdAllocator ids;
  EXPECT_EQ(backend(ids, "10.0.0.1"), 1u);
  EXPECT_EQ(backend(ids, "10.0.0.2"), 2u);
  EXPECT_EQ(backend(ids, "10.0.0.1"), 1u);
  EXPECT_EQ(*ids.vip(ip("192.0.2.1"), v1::PROTOCOL_TCP), 1u);
  EXPECT_EQ(*ids.vip(ip("192.0.2.1"), v1::PROTOCOL_UDP), 2u);
  EXPECT_EQ(backend(ids, "10.0.0.2"), 2u);
  EXPECT_EQ(*ids.vip(ip("192.0.2.1"), v1::PROTOCOL_UDP), 2u);
}

TEST(Ids, ARetiredIdWaitsForTheSweep) {
  IdAllocator ids;
  EXPECT_EQ(backend(ids, "10.0.0.1"), 1u);
  EXPECT_EQ(backend(ids, "10.0.0.2"), 2u);
  ids.release_backend(1, 2);
  ids.swept(1);
  EXPECT_EQ(backend(ids, "10.0.0.3"), 3u);
  IdAllocator restarted;  // Also after a restart.
  restarted.load(ids.save());
  EXPECT_EQ(backend(restarted, "10.0.0.4"), 2u);
  restarted.swept(2);
  EXPECT_EQ(backend(restarted, "10.0.0.5"), 1u);
}

TEST(Ids, WhoReturnsBeforeTheSweepGetsItsOldId) {
  IdAllocator ids;
  EXPECT_EQ(backend(ids, "10.0.0.1"), 1u);
  ids.release_backend(1, 2);
  IdAllocator restarted;
  restarted.load(ids.save());
  EXPECT_EQ(backend(restarted, "10.0.0.2"), 2u);
  EXPECT_EQ(backend(restarted, "10.0.0.1"), 1u);
  restarted.swept(9);  // It is in use again: nothing to free.
  EXPECT_EQ(backend(restarted, "10.0.0.3"), 3u);
}

TEST(Ids, TheDataplanesReportWins) {
  IdAllocator ids;
  EXPECT_EQ(backend(ids, "10.0.0.1"), 1u);
  EXPECT_EQ(backend(ids, "10.0.0.2"), 2u);
  v1::Report report;
  v1::Vip* vip = report.add_vips();
  *vip->mutable_key() = vip_key({ip("192.0.2.1"), v1::PROTOCOL_TCP, 443});
  vip->set_id(77);
  vip->set_service("manual/default/web");
  vip->add_members()->set_backend(2);
  vip->add_members()->set_backend(9);
  v1::Backend* two = report.add_backends();
  two->set_id(2);
  two->set_address(ip("10.0.0.1").bytes());
  two->set_port(80);
  v1::Backend* nine = report.add_backends();
  nine->set_id(9);
  nine->set_address(ip("10.0.0.9").bytes());
  nine->set_port(80);
  DataplaneState state;
  state.add(report);
  ids.adopt(state);
  EXPECT_EQ(*ids.vip(ip("192.0.2.1"), v1::PROTOCOL_TCP), 77u);
  EXPECT_EQ(backend(ids, "10.0.0.1"), 2u);
  EXPECT_EQ(backend(ids, "10.0.0.9"), 9u);
  EXPECT_EQ(backend(ids, "10.0.0.2"), 1u);  // Lost 2 to the reported one.
}

// Whether it learns of the disk's copy or of the report first makes no difference.
TEST(Ids, AReportAdoptedElsewhereIsAdoptedTheSame) {
  std::uint32_t random = 1;
  const auto next = [&random](std::uint32_t below) {
    random = random * 1664525u + 1013904223u;
    return (random >> 8) % below;
  };
  const auto address = [](std::uint32_t number) { return "10.0.0." + std::to_string(number); };
  for (int round = 0; round < 200; ++round) {
    // An owner or an id may be in both.
    v1::Ids saved;
    for (std::uint32_t id = 1; id <= 12; ++id) {
      if (next(3) > 0) continue;
      v1::RetiredId* retired = saved.add_retired();
      retired->set_backend(true);
      retired->set_id(id);
      retired->set_generation(1 + next(5));
      if (next(4) > 0) retired->set_key("manual/" + address(1 + (id * 5 + round) % 13) + "/TCP/80");
    }
    v1::Report report;
    v1::Vip* vip = report.add_vips();
    *vip->mutable_key() = vip_key({ip("192.0.2.1"), v1::PROTOCOL_TCP, 443});
    vip->set_id(5);
    vip->set_service("manual/default/web");
    for (std::uint32_t id = 1; id <= 12; ++id) {
      if (next(2) == 0) continue;
      vip->add_members()->set_backend(id);
      v1::Backend* made = report.add_backends();
      made->set_id(id);
      made->set_address(ip(address(id)).bytes());
      made->set_port(80);
    }
    DataplaneState state;
    state.add(report);

    IdAllocator here, there, fresh;
    here.load(saved);
    here.adopt(state);
    EXPECT_TRUE(here.in_use());
    fresh.adopt(state);
    there.load(saved);
    EXPECT_FALSE(there.in_use());
    there.adopt(std::move(fresh));
    const auto same = [&] {
      EXPECT_EQ(there.save().SerializeAsString(), here.save().SerializeAsString())
          << "round " << round;
      EXPECT_EQ(*there.vip(ip("192.0.2.1"), v1::PROTOCOL_TCP),
                *here.vip(ip("192.0.2.1"), v1::PROTOCOL_TCP));
      for (std::uint32_t i = 0; i < 6; ++i) {
        const std::string one = address(1 + next(16));
        EXPECT_EQ(backend(there, one), backend(here, one)) << one << ", round " << round;
      }
    };
    same();
    const std::uint64_t swept = 1 + next(5);
    here.swept(swept);
    there.swept(swept);
    same();
  }
}

// The disk's copy may be older than the last changes: the dataplane knows which ids still wait.
TEST(Ids, WhatADataplaneSaysIsUnsweptIsGivenToNobodyElse) {
  v1::Ids saved;
  v1::RetiredId* retired = saved.add_retired();
  retired->set_backend(true);
  retired->set_id(1);
  retired->set_generation(5);
  retired->set_key("manual/10.0.0.1/TCP/80");
  *saved.add_retired() = *retired;
  saved.mutable_retired(1)->set_id(2);
  saved.mutable_retired(1)->set_key("manual/10.0.0.2/TCP/80");
  IdAllocator ids;
  ids.load(saved);
  const auto unswept = [&](std::uint32_t id, std::uint64_t generation) {
    v1::UnsweptId one;
    one.set_backend(true);
    one.set_id(id);
    one.set_generation(generation);
    ids.adopt_unswept(one);
  };
  unswept(1, 5);
  unswept(2, 9);  // Given to another since, and retired again.
  unswept(3, 9);
  EXPECT_EQ(backend(ids, "10.0.0.1"), 1u);  // Its own.
  unswept(1, 5);                            // In use again.
  EXPECT_EQ(backend(ids, "10.0.0.1"), 1u);
  EXPECT_EQ(backend(ids, "10.0.0.2"), 4u);
  EXPECT_EQ(backend(ids, "10.0.0.3"), 5u);
  ids.swept(8);
  EXPECT_EQ(backend(ids, "10.0.0.4"), 6u);
  ids.swept(9);
  EXPECT_EQ(backend(ids, "10.0.0.5"), 2u);
  EXPECT_EQ(backend(ids, "10.0.0.6"), 3u);
}

// A flow's backend id says how its packets get there, so another way is another id; and ids that
// were saved before there were ways stay.
TEST(Ids, OneForEachWayToAnEndpoint) {
  v1::Ids saved;
  (*saved.mutable_backends())["manual/10.0.0.1/TCP/80"] = 41;
  IdAllocator ids;
  ids.load(saved);
  const auto by = [&](const v1::Overlay& overlay) {
    return *ids.backend("manual", ip("10.0.0.1"), v1::PROTOCOL_TCP, 80, overlay);
  };
  v1::Overlay ipip;
  ipip.set_kind(v1::OVERLAY_KIND_IPIP);
  ipip.set_remote(ip("192.0.2.1").bytes());
  v1::Overlay other_node = ipip;
  other_node.set_remote(ip("192.0.2.2").bytes());
  v1::Overlay vxlan = ipip;
  vxlan.set_kind(v1::OVERLAY_KIND_VXLAN);
  vxlan.set_vni(1);
  vxlan.set_port(8472);
  vxlan.set_mac(std::string("\2\0\0\0\0\1", 6));
  v1::Overlay other_mac = vxlan;
  other_mac.set_mac(std::string("\2\0\0\0\0\x1f", 6));
  EXPECT_EQ(by({}), 41u);
  const std::set<std::uint32_t> all{by({}), by(ipip), by(other_node), by(vxlan), by(other_mac)};
  EXPECT_EQ(all.size(), 5u);
  EXPECT_EQ(by(vxlan), by(vxlan));
  // A dataplane's report is taken over with its ways.
  v1::Report report;
  v1::Vip* vip = report.add_vips();
  *vip->mutable_key() = vip_key({ip("192.0.2.9"), v1::PROTOCOL_TCP, 80});
  vip->set_id(1);
  vip->set_service("manual/default/web");
  vip->add_members()->set_backend(90);
  v1::Backend* backend = report.add_backends();
  backend->set_id(90);
  backend->set_address(ip("10.0.0.1").bytes());
  backend->set_port(80);
  *backend->mutable_overlay() = vxlan;
  DataplaneState state;
  state.add(report);
  ids.adopt(state);
  EXPECT_EQ(by(vxlan), 90u);
  EXPECT_EQ(by({}), 41u);
}

TEST(Ids, NoneIsLeft) {
  IdAllocator ids;
  ids.set_limits({.vips = 2, .backends = 3});
  EXPECT_EQ(backend(ids, "10.0.0.1"), 1u);
  EXPECT_EQ(backend(ids, "10.0.0.2"), 2u);
  const auto none = ids.backend("manual", ip("10.0.0.3"), v1::PROTOCOL_TCP, 80);
  ASSERT_FALSE(none);
  EXPECT_THAT(none.error(), HasSubstr("dataplane.tables.backends"));
  EXPECT_TRUE(ids.vip(ip("192.0.2.1"), v1::PROTOCOL_TCP));
  EXPECT_FALSE(ids.vip(ip("192.0.2.2"), v1::PROTOCOL_TCP));
}

// Whatever comes and goes, no two owners have one id at a time, nor one that still waits.
TEST(Ids, NeverCollide) {
  IdAllocator ids;
  std::map<std::uint32_t, std::pair<std::string, std::uint64_t>>
      last;  // Id -> owner, last generation in use.
  std::uint64_t swept = 0;
  std::uint32_t random = 1;
  const auto next = [&random] { return random = random * 1664525u + 1013904223u, random >> 8; };
  for (std::uint64_t generation = 1; generation < 400; ++generation) {
    std::map<std::uint32_t, std::string> now;
    for (int i = 0; i < 30; ++i) {
      const std::string address = "10.0.0." + std::to_string(1 + next() % 100);
      const std::uint32_t id = backend(ids, address);
      const auto [at, is_new] = now.try_emplace(id, address);
      ASSERT_EQ(at->second, address);
      if (const auto old = last.find(id); old != last.end() && old->second.first != address) {
        ASSERT_LE(old->second.second + 1, swept) << "id " << id << " given before its sweep";
      }
      last[id] = {address, generation};
    }
    // One by one, or all that were not asked for.
    const auto wanted = [&](std::uint32_t id) { return now.contains(id); };
    if (generation % 3 == 0) {
      ids.release_others(wanted, wanted, generation);
    } else {
      for (const auto& [id, owner] : last)
        if (!now.contains(id)) ids.release_backend(id, generation);
    }
    if (generation % 7 == 0) {
      swept = generation - 3;
      ids.swept(swept);
    }
    if (generation % 50 == 0) {  // Another process, which has the report.
      const v1::Ids saved = ids.save();
      ids.load(saved);
      v1::Report report;
      v1::Vip* vip = report.add_vips();
      *vip->mutable_key() = vip_key({ip("192.0.2.1"), v1::PROTOCOL_TCP, 80});
      vip->set_id(1);
      vip->set_service("manual/default/web");
      for (const auto& [id, address] : now) {
        vip->add_members()->set_backend(id);
        v1::Backend* made = report.add_backends();
        made->set_id(id);
        made->set_address(ip(address).bytes());
        made->set_port(80);
      }
      DataplaneState state;
      state.add(report);
      ids.adopt(state);
    }
  }
}

}  // namespace
}  // namespace sluice
