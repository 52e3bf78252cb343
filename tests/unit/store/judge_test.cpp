// The rules of reading, one case each, as values.
#include "control/store/judge.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace sluice::store {
namespace {

using testing::HasSubstr;

// Manual, published as a whole, all there.
Evidence good() {
  Evidence e;
  e.source = kManualSource;
  e.base = e.live = {"inc-1", 100, "1-1"};
  e.hash.incarnation = "inc-1";
  e.hash.sequence = 100;
  e.hash.marker.emplace();
  for (const v1::Kind kind : all_kinds()) e.hash.marker->add_complete(kind);
  e.hash.counts[v1::KIND_SERVICE] = 50;
  e.counted[v1::KIND_SERVICE] = 50;
  e.known = e.known_services = 50;
  return e;
}

// One of 51 known Services is not there, and everything agrees on that.
Evidence one_absent() {
  Evidence e = good();
  e.known = e.known_services = 51;
  e.absent[v1::KIND_SERVICE] = 1;
  return e;
}

TEST(Judge, AllThereIsSynced) {
  const Judgement j = judge(good());
  EXPECT_EQ(j.state, "synced");
  EXPECT_EQ(j.message, "");
  EXPECT_EQ(j.complete.size(), all_kinds().size());
  EXPECT_EQ(j.reseed, Reseed::kNo);
}

TEST(Judge, AbsenceIsProvenByACompleteMarkerAndEqualCounts) {
  EXPECT_TRUE(judge(one_absent()).proven.contains(v1::KIND_SERVICE));
}

TEST(Judge, AbsenceNeedsACompleteMarker) {
  Evidence e = one_absent();
  e.hash.marker.reset();
  e.complete_before = {v1::KIND_SERVICE};
  const Judgement j = judge(e);
  EXPECT_TRUE(j.proven.empty());
  EXPECT_EQ(j.state, "held");
  EXPECT_EQ(j.reseed, Reseed::kFill);
  EXPECT_EQ(j.complete, std::set<v1::Kind>{v1::KIND_SERVICE});  // Held, so still known as a whole.
}

TEST(Judge, CompletenessIsPerKind) {
  Evidence e = one_absent();
  e.hash.marker->clear_complete();
  e.hash.marker->add_complete(v1::KIND_POD);
  EXPECT_EQ(judge(e).proven, std::set<v1::Kind>{v1::KIND_POD});
}

TEST(Judge, MiscountedIsHeld) {
  Evidence e = one_absent();
  e.hash.counts[v1::KIND_SERVICE] = 51;
  const Judgement j = judge(e);
  EXPECT_FALSE(j.proven.contains(v1::KIND_SERVICE));
  EXPECT_TRUE(j.proven.contains(v1::KIND_POD));
  EXPECT_THAT(j.message, HasSubstr("counts: Service"));
  EXPECT_EQ(j.reseed, Reseed::kFill);
}

TEST(Judge, AnEmptyRedisHoldsEverything) {
  Evidence e = good();
  e.hash = {};
  e.counted.clear();
  const Judgement j = judge(e);
  EXPECT_TRUE(j.hold_all);
  EXPECT_EQ(j.state, "held");
  EXPECT_EQ(j.reseed, Reseed::kFill);
}

TEST(Judge, AStepBackHoldsEverything) {
  Evidence e = good();
  e.hash.sequence = 99;
  EXPECT_TRUE(judge(e).hold_all);
  EXPECT_EQ(judge(e).reseed, Reseed::kReplace);
  e.accepted = true;
  EXPECT_FALSE(judge(e).hold_all);
}

TEST(Judge, AnotherHistoryOfTheSameLengthHoldsEverything) {
  Evidence e = good();
  e.hash.sequence = 150;
  e.entry_lost = true;
  EXPECT_TRUE(judge(e).hold_all);
}

TEST(Judge, ANewIncarnationOfManualProvesNothingItselfDidNotInherit) {
  Evidence e = one_absent();
  e.hash.incarnation = "inc-2";
  EXPECT_TRUE(judge(e).proven.empty());
  EXPECT_THAT(judge(e).message, HasSubstr("source accept manual"));
  e.hash.marker->set_reseeded_incarnation("inc-1");
  e.hash.marker->set_reseeded_sequence(99);  // The re-seeder had not read change 100.
  EXPECT_TRUE(judge(e).proven.empty());
  e.hash.marker->set_reseeded_sequence(100);
  EXPECT_TRUE(judge(e).proven.contains(v1::KIND_SERVICE));
}

TEST(Judge, ANewIncarnationOfAClusterIsProofOnceComplete) {
  Evidence e = one_absent();
  e.source = "prod";
  e.hash.incarnation = "inc-2";
  EXPECT_TRUE(judge(e).proven.contains(v1::KIND_SERVICE));
  EXPECT_EQ(judge(e).reseed, Reseed::kNo);
}

TEST(Judge, MoreThanAFifthAndMoreThanTenIsHeldUntilAccepted) {
  struct Case {
    std::size_t known, absent;
    bool alarmed;
  };
  for (const Case& c : {Case{50, 10, false}, Case{50, 11, true}, Case{100, 20, false},
                        Case{100, 21, true}, Case{11, 11, true}, Case{10, 10, false}}) {
    Evidence e = good();
    e.known = e.known_services = c.known;
    e.absent[v1::KIND_SERVICE] = c.absent;
    e.hash.counts[v1::KIND_SERVICE] = e.counted[v1::KIND_SERVICE] = c.known - c.absent;
    EXPECT_EQ(judge(e).alarmed, c.alarmed) << c.known << " " << c.absent;
    EXPECT_EQ(judge(e).proven.empty(), c.alarmed);
    e.accepted = true;
    EXPECT_FALSE(judge(e).alarmed);
    EXPECT_TRUE(judge(e).proven.contains(v1::KIND_SERVICE));
  }
}

TEST(Judge, ADamagedHashIsHeldAndReported) {
  Evidence e = good();
  e.hash.problem = "it is not a hash";
  const Judgement j = judge(e);
  EXPECT_TRUE(j.hold_all);
  EXPECT_THAT(j.message, HasSubstr("it is not a hash"));
}

TEST(Judge, NothingYetIsUnknownNotEmpty) {
  Evidence e;
  e.source = "prod";
  e.hash.incarnation = "inc-1";
  const Judgement j = judge(e);
  EXPECT_EQ(j.state, "unknown");
  EXPECT_TRUE(j.complete.empty());
}

}  // namespace
}  // namespace sluice::store
