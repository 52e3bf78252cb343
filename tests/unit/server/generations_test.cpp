// Grace periods, sweeps, and what they set free.
#include "dataplane/server/generations.h"

#include "tests/unit/server/fake_host.h"

namespace sluice {
namespace {

using testing::HasSubstr;

class GenerationsTest : public testing::Test {
 protected:
  GenerationsTest() {
    host.passed = 0;
    StateBuilder builder = next();
    builder.upsert(AddressSpec{ip("192.0.2.1")});
    builder.upsert(AddressSpec{ip("192.0.2.2")});
    builder.upsert(backend(1, "10.0.0.1"));
    builder.upsert(backend(2, "10.0.0.2"));
    builder.upsert(vip(80, {{1, 1}, {2, 1}}));
    commit(builder, 1);
  }
  static IpAddress ip(const std::string& text) { return *IpAddress::parse(text); }
  static BackendSpec backend(std::uint32_t id, const std::string& address) {
    return {id, ip(address), 8080, {address_port_text(ip(address), 8080), ""}};
  }
  static VipSpec vip(std::uint16_t port, std::vector<VipBlock::Member> members,
                     const std::string& address = "192.0.2.1", std::uint32_t id = 1) {
    VipSpec spec;
    spec.key = {ip(address), kProtocolTcp, port};
    spec.id = id;
    spec.maglev_size = 101;
    spec.members = std::move(members);
    return spec;
  }
  StateBuilder next() { return {generations.serving(), limits}; }
  std::string commit(StateBuilder& builder, std::uint64_t generation) {
    Result<Generations::Committed> committed = generations.commit(builder, generation);
    return committed.ok() ? "" : committed.error();
  }
  void pass_grace() {
    host.passed = host.started.load();
    generations.poll();
  }
  void complete_rounds(int count) {
    for (int i = 0; i < count; ++i) {
      host.complete_round(0);
      host.complete_round(1);
    }
    generations.poll();
  }

  StateLimits limits{.vips = 100, .backends = 100, .vip_ids = 100};
  FakeHost host{limits};
  Generations generations{host, limits};
};

TEST_F(GenerationsTest, OldStateLivesUntilItsGracePeriodIsOver) {
  std::weak_ptr<const ForwardingState> old = generations.serving();
  StateBuilder builder = next();
  builder.upsert(vip(81, {{1, 1}}));
  ASSERT_EQ(commit(builder, 2), "");
  builder = next();  // The builder of generation 2 held its base.
  generations.poll();
  EXPECT_FALSE(old.expired());
  EXPECT_EQ(generations.poll_interval_ms(), 1);
  pass_grace();
  EXPECT_TRUE(old.expired());
}

TEST_F(GenerationsTest, SweptNeedsAWholeRoundOfEveryWorkerAfterTheGracePeriod) {
  complete_rounds(5);
  EXPECT_EQ(generations.swept(), 0u) << "rounds before the grace period do not count";
  pass_grace();
  complete_rounds(1);
  EXPECT_EQ(generations.swept(), 0u) << "that round may have begun before";
  host.complete_round(0);
  generations.poll();
  EXPECT_EQ(generations.swept(), 0u) << "one worker is not all";
  host.complete_round(1);
  generations.poll();
  EXPECT_EQ(generations.swept(), 1u);
  EXPECT_EQ(generations.poll_interval_ms(), -1);
}

TEST_F(GenerationsTest, RetiredIdMeansNothingElseUntilSwept) {
  pass_grace();
  complete_rounds(2);
  StateBuilder remove = next();
  remove.upsert(vip(80, {{1, 1}}));
  remove.remove_backend(2);
  ASSERT_EQ(commit(remove, 2), "");
  const auto give_to_another = [&](std::uint64_t generation) {
    StateBuilder builder = next();
    builder.upsert(backend(2, "10.0.0.22"));
    return commit(builder, generation);
  };
  EXPECT_THAT(give_to_another(3),
              testing::AllOf(HasSubstr("backend id 2 was 10.0.0.2:8080"), HasSubstr("swept: 1")));
  EXPECT_EQ(generations.serving()->generation(), 2u);
  pass_grace();
  EXPECT_THAT(give_to_another(3), HasSubstr("backend id 2"));
  complete_rounds(2);
  ASSERT_EQ(generations.swept(), 2u);
  EXPECT_EQ(give_to_another(3), "");
}

TEST_F(GenerationsTest, RetiredIdComesBackAtOnceToWhatItWas) {
  StateBuilder remove = next();
  remove.upsert(vip(80, {{1, 1}}));
  remove.remove_backend(2);
  ASSERT_EQ(commit(remove, 2), "");
  StateBuilder back = next();
  back.upsert(backend(2, "10.0.0.2"));
  EXPECT_EQ(commit(back, 3), "");
}

TEST_F(GenerationsTest, RetiredVipIdMeansNothingElseUntilSwept) {
  StateBuilder remove = next();
  remove.remove_vip({ip("192.0.2.1"), kProtocolTcp, 80});
  ASSERT_EQ(commit(remove, 2), "");
  StateBuilder other = next();
  other.upsert(vip(80, {{1, 1}}, "192.0.2.2", 1));
  EXPECT_THAT(commit(other, 3), HasSubstr("VIP id 1 was 192.0.2.1/TCP"));
  pass_grace();
  complete_rounds(2);
  StateBuilder later = next();
  later.upsert(vip(80, {{1, 1}}, "192.0.2.2", 1));
  EXPECT_EQ(commit(later, 3), "");
}

TEST_F(GenerationsTest, NewVipStartsItsCountersAtZeroThoughTheIndexIsUsed) {
  const std::uint32_t index = generations.serving()->find_vip(1, Be16::from_host(80))->counter;
  host.worker_counters(0).vips[index].packets_in.add(5);
  host.worker_counters(1).vips[index].packets_in.add(6);
  EXPECT_EQ(
      generations.vip_totals(*generations.serving()->find_vip(1, Be16::from_host(80))).packets_in,
      11u);
  StateBuilder remove = next();
  remove.remove_vip({ip("192.0.2.1"), kProtocolTcp, 80});
  ASSERT_EQ(commit(remove, 2), "");
  pass_grace();
  StateBuilder add = next();
  add.upsert(vip(443, {{1, 1}}));
  ASSERT_EQ(commit(add, 3), "");
  const VipBlock& fresh = *generations.serving()->find_vip(1, Be16::from_host(443));
  ASSERT_EQ(fresh.counter, index);
  EXPECT_EQ(generations.vip_totals(fresh).packets_in, 0u);
  host.worker_counters(1).vips[index].packets_in.add(2);
  EXPECT_EQ(generations.vip_totals(fresh).packets_in, 2u);
}

TEST_F(GenerationsTest, WorkerThatStandsStillStopsNewGenerationsNotMemory) {
  std::string why;
  std::uint64_t generation = 2;
  for (; generation < 200 && why.empty(); ++generation) {
    StateBuilder builder = next();
    builder.upsert(vip(static_cast<std::uint16_t>(generation % 2 + 80), {{1, 1}}));
    why = commit(builder, generation);
  }
  EXPECT_THAT(why, HasSubstr("a worker stands still"));
  EXPECT_LT(generation, 100u);
  pass_grace();
  StateBuilder builder = next();
  EXPECT_EQ(commit(builder, 500), "");
}

TEST_F(GenerationsTest, RefusedCommitGivesCountersBack) {
  StateBuilder remove = next();
  remove.upsert(vip(80, {{1, 1}}));
  remove.remove_backend(2);
  ASSERT_EQ(commit(remove, 2), "");
  for (int i = 0; i < 300; ++i) {  // More often than there are counters.
    StateBuilder builder = next();
    builder.upsert(vip(81, {{1, 1}}));
    builder.upsert(backend(2, "10.0.0.22"));
    ASSERT_THAT(commit(builder, 3), HasSubstr("backend id 2")) << i;
  }
}

}  // namespace
}  // namespace sluice
