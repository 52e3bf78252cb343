#include "dataplane/forward/state_builder.h"

#include <set>

#include "tests/unit/state/state_fixture.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;
using testing::UnorderedElementsAre;

template <typename Family>
typename Family::Address raw(const std::string& text) {
  typename Family::Address address;
  std::memcpy(address.data(), ip(text).data(), Family::kAddressBytes);
  return address;
}

template <typename Family>
const VipBlock* look_up(const ForwardingState& state, const std::string& address,
                        std::uint8_t protocol, std::uint16_t port) {
  const auto a = raw<Family>(address);
  const std::uint32_t hash = state.vip_hash<Family>(a, protocol, Be16::from_host(port));
  state.prefetch_vip(hash);
  return state.find_vip<Family>(a, protocol, Be16::from_host(port), hash);
}

TEST_F(StateTest, EmptyStateServesNothing) {
  ForwardingState empty;
  EXPECT_EQ(empty.generation(), 0u);
  EXPECT_EQ(look_up<Ipv4>(empty, "192.0.2.1", kProtocolTcp, 80), nullptr);
  EXPECT_FALSE(empty.find_address<Ipv6>(raw<Ipv6>("2001:db8::1")).served);
  EXPECT_EQ(empty.backend(0), nullptr);
  EXPECT_EQ(empty.backend(~0u), nullptr);
  EXPECT_EQ(empty.identity(3), nullptr);
}

TEST_F(StateTest, FindsWhatWasPutInOfBothFamilies) {
  serve_web();
  const VipBlock* v4 = look_up<Ipv4>(*state, "192.0.2.1", kProtocolTcp, 80);
  ASSERT_NE(v4, nullptr);
  EXPECT_EQ(v4->id, 1u);
  EXPECT_EQ(v4->maglev.size(), 1009u);
  const VipBlock* v6 = look_up<Ipv6>(*state, "2001:db8::1", kProtocolTcp, 80);
  ASSERT_NE(v6, nullptr);
  EXPECT_EQ(v6->id, 2u);
  EXPECT_EQ(look_up<Ipv4>(*state, "192.0.2.1", kProtocolUdp, 80), nullptr);
  EXPECT_EQ(look_up<Ipv4>(*state, "192.0.2.1", kProtocolTcp, 81), nullptr);
  EXPECT_EQ(look_up<Ipv4>(*state, "192.0.2.2", kProtocolTcp, 80), nullptr);

  EXPECT_TRUE(state->find_address<Ipv4>(raw<Ipv4>("192.0.2.1")).served);
  EXPECT_EQ(state->find_address<Ipv6>(raw<Ipv6>("2001:db8::1")).unserved, Unserved::drop);
  EXPECT_FALSE(state->find_address<Ipv4>(raw<Ipv4>("192.0.2.9")).served);

  ASSERT_NE(state->backend(4), nullptr);
  EXPECT_EQ(state->backend(4)->as<Ipv6>(), raw<Ipv6>("fd00::4"));
  EXPECT_EQ(state->backend(4)->port.host(), 8080);
  EXPECT_EQ(state->backend_info(4)->name, "[fd00::4]:8080");
  EXPECT_EQ(state->backend(5), nullptr);
  EXPECT_EQ(state->find_vip(1, Be16::from_host(80)), v4);
  EXPECT_EQ(state->find_vip(1, Be16::from_host(81)), nullptr);
  EXPECT_EQ(state->backend_count(), 4u);
}

TEST_F(StateTest, ChoosesEveryBackendAboutEquallyAndTheSameAgain) {
  serve_web();
  const VipBlock& web = *find("192.0.2.1", 80);
  std::map<std::uint32_t, int> chosen;
  for (std::uint64_t i = 0; i < 9000; ++i) {
    const std::uint64_t hash = i * 0x9e3779b97f4a7c15u;
    ++chosen[state->choose(web, hash)->id];
    EXPECT_EQ(state->choose(web, hash), state->choose(web, hash));
  }
  ASSERT_THAT(chosen, SizeIs(3));
  for (const auto& [id, times] : chosen) EXPECT_NEAR(times, 3000, 60) << id;
}

TEST_F(StateTest, OneVipOfTenThousandChangesAlone) {
  Builder fill = change();
  for (std::uint32_t i = 1; i <= 100; ++i) fill.upsert(backend(i, "10.0.0." + std::to_string(i)));
  std::vector<VipId> keys;
  for (std::uint32_t i = 0; i < 10000; ++i) {
    const std::string address =
        "198.18." + std::to_string(i / 250) + "." + std::to_string(i % 250 + 1);
    fill.upsert(AddressSpec{ip(address)});
    fill.upsert(vip(address, 80, i, {{10 + i % 80, 1}, {10 + i % 80 + 1, 1}}, 101));
    keys.push_back({ip(address), kProtocolTcp, 80});
  }
  // Names order as text, not as numbers: 10.0.0.19 stands before 10.0.0.20, but not 99 before 100.
  EXPECT_EQ(take(fill).tables_built, 10000u);
  const auto before = state;
  ASSERT_EQ(before->vip_count(), 10000u);

  Builder one = change();
  one.upsert(vip(keys[1234].address.text(), 80, 1234, {{50, 1}, {51, 1}, {52, 1}}, 101));
  const Builder::Built built = take(one);
  EXPECT_EQ(built.tables_built, 1u);
  EXPECT_THAT(built.new_counters, IsEmpty());
  EXPECT_THAT(built.retired_counters, IsEmpty());
  std::set<std::uint32_t> indexes;
  for (std::uint32_t i = 0; i < keys.size(); ++i) {
    const VipBlock* old = before->find_vip(keys[i].address, keys[i].protocol, Be16::from_host(80));
    const VipBlock* now = state->find_vip(keys[i].address, keys[i].protocol, Be16::from_host(80));
    ASSERT_NE(now, nullptr);
    EXPECT_EQ(old == now, i != 1234) << keys[i].text();
    EXPECT_EQ(old->counter, now->counter);
    indexes.insert(now->counter);
  }
  EXPECT_THAT(indexes, SizeIs(10000));
  EXPECT_EQ(before->find_vip(keys[1234].address, kProtocolTcp, Be16::from_host(80))->members.size(),
            2u);
}

TEST_F(StateTest, TableIsRebuiltForMembersAndSizeAlone) {
  serve_web();
  const auto table = find("192.0.2.1", 80)->table;

  VipSpec spec = vip("192.0.2.1", 80, 1, {{1, 1}, {2, 1}, {3, 1}});
  spec.service = "manual/default/renamed";
  spec.mode = Mode::nat;
  spec.timers.udp = 8;
  Builder service = change();
  service.upsert(spec);
  EXPECT_EQ(take(service).tables_built, 0u);
  EXPECT_EQ(find("192.0.2.1", 80)->table, table);
  EXPECT_EQ(find("192.0.2.1", 80)->service, "manual/default/renamed");

  spec.members[1].weight = 2;
  Builder weight = change();
  weight.upsert(spec);
  EXPECT_EQ(take(weight).tables_built, 1u);

  spec.maglev_size = 2003;
  Builder size = change();
  size.upsert(spec);
  EXPECT_EQ(take(size).tables_built, 1u);
  EXPECT_EQ(find("192.0.2.1", 80)->maglev.size(), 2003u);

  spec.members[2].draining = true;
  Builder drain = change();
  drain.upsert(spec);
  EXPECT_EQ(take(drain).tables_built, 1u);
  EXPECT_THAT(find("192.0.2.1", 80)->maglev, testing::Not(testing::Contains(3u)));

  Builder nothing = change();
  nothing.upsert(spec);
  const VipBlock* same = find("192.0.2.1", 80);
  EXPECT_EQ(take(nothing).tables_built, 0u);
  EXPECT_EQ(find("192.0.2.1", 80), same);
}

TEST_F(StateTest, MaskedMembersAreReplacedSlotBySlotWithoutANewTable) {
  serve_web();
  const std::vector<std::uint32_t> table = *find("192.0.2.1", 80)->table;
  Builder mask = change();
  mask.upsert(vip("192.0.2.1", 80, 1, {{1, 1}, {2, 1, false, true}, {3, 1}}));
  EXPECT_EQ(take(mask).tables_built, 0u);
  const VipBlock& web = *find("192.0.2.1", 80);
  EXPECT_TRUE(web.any_masked);
  EXPECT_EQ(*web.table, table);
  std::map<std::uint32_t, int> heirs;
  for (std::size_t slot = 0; slot < table.size(); ++slot) {
    if (table[slot] != 2) {
      EXPECT_EQ(web.maglev[slot], table[slot]);
    } else {
      ++heirs[web.maglev[slot]];
    }
  }
  ASSERT_THAT(heirs, SizeIs(2));
  EXPECT_EQ(heirs.count(2), 0u);
  for (const auto& [id, slots] : heirs) EXPECT_NEAR(slots, 168, 50) << id;

  Builder all = change();
  all.upsert(
      vip("192.0.2.1", 80, 1, {{1, 1, false, true}, {2, 1, false, true}, {3, 1, false, true}}));
  take(all);
  EXPECT_FALSE(find("192.0.2.1", 80)->any_masked);
  EXPECT_THAT(find("192.0.2.1", 80)->maglev, testing::ElementsAreArray(table))
      << "all masked: all are used";
}

TEST_F(StateTest, VipWithoutUsableBackendsHasNoChoice) {
  serve_web();
  Builder none = change();
  none.upsert(vip("192.0.2.1", 80, 1, {{1, 1, true}}, 0));
  EXPECT_EQ(take(none).tables_built, 0u);
  EXPECT_EQ(state->choose(*find("192.0.2.1", 80), 1), nullptr);
}

TEST_F(StateTest, RemovalGivesBackIdsAndCountersAndLeavesTheBaseAlone) {
  serve_web();
  const auto before = state;
  const std::uint32_t counter = find("192.0.2.1", 80)->counter;
  Builder remove = change();
  remove.remove_vip({ip("192.0.2.1"), kProtocolTcp, 80});
  remove.remove_address(ip("192.0.2.1"));
  for (std::uint32_t id : {1u, 2u, 3u}) remove.remove_backend(id);
  remove.remove_backend(99);
  remove.remove_vip({ip("192.0.2.77"), kProtocolTcp, 80});
  const Builder::Built built = take(remove);
  EXPECT_THAT(built.retired_counters, ElementsAre(counter));
  EXPECT_THAT(built.retired_backends, UnorderedElementsAre(1, 2, 3));
  EXPECT_THAT(built.retired_vip_ids, ElementsAre(1));
  EXPECT_EQ(find("192.0.2.1", 80), nullptr);
  EXPECT_EQ(state->find_address(ip("192.0.2.1")), nullptr);
  EXPECT_EQ(state->backend(1), nullptr);
  EXPECT_EQ(state->identity(1), nullptr);
  EXPECT_EQ(state->backend_count(), 1u);
  EXPECT_NE(before->find_vip(1, Be16::from_host(80)), nullptr);
  EXPECT_NE(before->backend(1), nullptr);
}

TEST_F(StateTest, CounterIndexComesBackOnlyWhenGivenBack) {
  counters = CounterIndexes(2);
  serve_web();
  const std::uint32_t counter = find("192.0.2.1", 80)->counter;
  Builder remove = change();
  remove.remove_vip({ip("192.0.2.1"), kProtocolTcp, 80});
  take(remove);
  Builder early = change();
  early.upsert(vip("192.0.2.1", 81, 1, {{1, 1}}));
  EXPECT_THAT(refusal(early), testing::HasSubstr("try again"));
  counters.give_back(counter);
  Builder later = change();
  later.upsert(vip("192.0.2.1", 81, 1, {{1, 1}}));
  EXPECT_THAT(take(later).new_counters, ElementsAre(counter));

  Builder swap = change();  // None is free, but one becomes so in this very change.
  swap.remove_vip({ip("192.0.2.1"), kProtocolTcp, 81});
  swap.upsert(vip("192.0.2.1", 82, 1, {{1, 1}}));
  const Builder::Built swapped = take(swap);
  EXPECT_THAT(swapped.inherited_counters, ElementsAre(counter));
  EXPECT_THAT(swapped.retired_counters, IsEmpty());
}

TEST_F(StateTest, TheSeedIsTheGenerationsOwnAndStaysUnlessSet) {
  EXPECT_EQ(ForwardingState().maglev_seed(), 0u);
  serve_web();
  const VipBlock* v4 = find("192.0.2.1", 80);
  const auto before = state;
  Builder seeded = change();
  seeded.set_maglev_seed(~std::uint64_t{6});
  EXPECT_EQ(take(seeded).tables_built, 0u);
  EXPECT_EQ(state->maglev_seed(), ~std::uint64_t{6});
  EXPECT_EQ(before->maglev_seed(), 0u);
  EXPECT_EQ(find("192.0.2.1", 80), v4) << "it keys the flows' hash, not the tables";
  Builder other = change(Builder::Scope::whole);
  take(other);
  EXPECT_EQ(state->maglev_seed(), ~std::uint64_t{6});
}

TEST_F(StateTest, WholeScopeRemovesWhatItDoesNotMentionAndSharesTheRest) {
  serve_web();
  const VipBlock* v6 = find("2001:db8::1", 80);
  Builder whole = change(Builder::Scope::whole);
  whole.upsert(AddressSpec{ip("2001:db8::1"), Unserved::drop});
  whole.upsert(backend(4, "fd00::4"));
  whole.upsert(vip("2001:db8::1", 80, 2, {{4, 1}}));
  EXPECT_EQ(take(whole).tables_built, 0u);
  EXPECT_EQ(find("2001:db8::1", 80), v6);
  EXPECT_EQ(state->vip_count(), 1u);
  EXPECT_EQ(state->address_count(), 1u);
  EXPECT_EQ(state->backend_count(), 1u);
}

TEST_F(StateTest, PortsOfOneAddressShareItsIdUntilTheLastGoes) {
  serve_web();
  Builder more = change();
  more.upsert(vip("192.0.2.1", 443, 1, {{1, 1}}));
  EXPECT_THAT(take(more).new_vip_ids, IsEmpty());
  EXPECT_EQ(state->identity(1)->vips, 2u);
  Builder first = change();
  first.remove_vip({ip("192.0.2.1"), kProtocolTcp, 80});
  EXPECT_THAT(take(first).retired_vip_ids, IsEmpty());
  Builder last = change();
  last.remove_vip({ip("192.0.2.1"), kProtocolTcp, 443});
  EXPECT_THAT(take(last).retired_vip_ids, ElementsAre(1));
}

}  // namespace
}  // namespace sluice
