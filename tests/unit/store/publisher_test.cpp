#include "control/store/stream.h"
#include "tests/unit/store/harness.h"

namespace sluice::store {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class PublisherTest : public StoreTest {
 protected:
  std::vector<StreamEntry> entries() { return *run(read_range(redis, kStreamStart, "+", 100000)); }
  std::string object(const std::string& name) {
    return server.command({"GET", keys::object(service_key(name))});
  }
};

TEST_F(PublisherTest, SequencesAreDensePerSource) {
  apply(services(5));
  ASSERT_TRUE(publish("prod", services(3)));
  remove("web-2");
  std::map<std::string, std::vector<std::uint64_t>> sequences;
  for (const StreamEntry& entry : entries()) sequences[entry.source].push_back(entry.sequence);
  EXPECT_THAT(sequences["manual"], ElementsAre(1, 2, 3, 4, 5, 6));
  EXPECT_THAT(sequences["prod"], ElementsAre(1, 2, 3, 4));  // Three objects and the marker.
  EXPECT_EQ(hash().sequence, 6u);
  EXPECT_EQ(hash().count(v1::KIND_SERVICE), 4u);
  EXPECT_EQ(hash().entry, entries().back().id);
}

TEST_F(PublisherTest, EntriesSayWhatChangedAndCarryNoValue) {
  apply({service("web", "uid-7")});
  const auto found = entries();
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].op, StreamEntry::Op::kPut);
  EXPECT_EQ(found[0].key, service_key("web"));
  EXPECT_EQ(found[0].incarnation, hash().incarnation);
  EXPECT_THAT(server.command({"XRANGE", "sluice:1:stream", "-", "+"}), HasSubstr("uid\nuid-7"));
}

TEST_F(PublisherTest, NothingChangedMeansNothingWritten) {
  Publisher publisher = manual();
  ASSERT_TRUE(run(publisher.upsert({service("web")})));
  const std::uint64_t sequence = hash().sequence;
  // Another order of the same labels is the same object.
  v1::Object again = service("web");
  auto& labels = *again.mutable_service()->mutable_metadata()->mutable_labels();
  labels.clear();
  labels["b"] = "2";
  labels["a"] = "1";
  EXPECT_THAT(*run(publisher.upsert({again})), ElementsAre(Change::kUnchanged));
  EXPECT_EQ(hash().sequence, sequence);
  EXPECT_EQ(entries().size(), 1u);
  const auto first = publish("prod", services(3));
  ASSERT_TRUE(first && first->marker_written);
  const std::uint64_t epoch = hash("prod").marker->epoch();
  const auto second = publish("prod", services(3));
  ASSERT_TRUE(second);
  EXPECT_FALSE(second->marker_written);
  EXPECT_EQ(second->unchanged, 3u);
  EXPECT_EQ(hash("prod").sequence, 4u);
  EXPECT_EQ(hash("prod").marker->epoch(), epoch);
}

TEST_F(PublisherTest, ReportsCreatedConfiguredDeletedAbsent) {
  Publisher publisher = manual();
  EXPECT_THAT(*run(publisher.upsert({service("a"), service("b")})),
              ElementsAre(Change::kCreated, Change::kCreated));
  v1::Object changed = service("b");
  changed.mutable_service()->mutable_spec()->set_load_balancer_ip("192.0.2.1");
  EXPECT_THAT(*run(publisher.upsert({service("a"), changed})),
              ElementsAre(Change::kUnchanged, Change::kConfigured));
  EXPECT_THAT(*run(publisher.remove({service_key("a"), service_key("none")})),
              ElementsAre(Change::kDeleted, Change::kAbsent));
  EXPECT_EQ(hash().count(v1::KIND_SERVICE), 1u);
  EXPECT_EQ(object("a"), "(nil)");
}

TEST_F(PublisherTest, ADifferRunDeletesExplicitlyAndRaisesTheMarkerLast) {
  ASSERT_TRUE(publish("prod", services(3)));
  const auto report = publish("prod", services(2));
  ASSERT_TRUE(report) << report.error();
  EXPECT_EQ(report->deleted, 1u);
  const auto found = entries();
  EXPECT_EQ(found[found.size() - 2].op, StreamEntry::Op::kDelete);
  EXPECT_EQ(found.back().op, StreamEntry::Op::kMarker);
  EXPECT_EQ(hash("prod").marker->epoch(), 2u);
  EXPECT_EQ(hash("prod").marker->cluster_uid(), "uid-of-prod");
  EXPECT_TRUE(hash("prod").complete(v1::KIND_SERVICE));
}

TEST_F(PublisherTest, ACrashMidPublishLeavesTheOldMarkerValid) {
  ASSERT_TRUE(publish("prod", services(3)));
  const SourceHash before = hash("prod");
  // Dies after its objects and before its marker.
  Publisher dying(redis, "prod", 1, "test");
  ASSERT_TRUE(run(dying.upsert({service("new-1"), service("new-2")})));
  const SourceHash after = hash("prod");
  EXPECT_EQ(after.marker_bytes, before.marker_bytes);
  EXPECT_EQ(after.count(v1::KIND_SERVICE), 5u);
  const auto listing = run(list_objects(redis, "prod", v1::KIND_SERVICE));
  ASSERT_TRUE(listing);
  EXPECT_EQ(listing->objects.size(), 5u);  // The count is true all the time.
}

TEST_F(PublisherTest, TheMarkerIsNotRaisedOverAnothersWrites) {
  // Counted at sequence 0; then somebody writes; the script must notice.
  apply({service("a")});
  ScriptCall stale;
  stale.keys = {keys::source("manual"), "sluice:1:stream", "sluice:1:sources"};
  stale.arguments = {"manual", "", "", "inc", hash().incarnation, "0", "marker"};
  const auto reply = run(run_script_once(redis, kMarkerScript, stale));
  ASSERT_FALSE(reply);
  EXPECT_THAT(reply.error(), HasSubstr("CHANGED"));
  EXPECT_EQ(hash().marker_bytes, "");
}

TEST_F(PublisherTest, ASmallerTokenIsFenced) {
  ASSERT_TRUE(publish("prod", services(2), 7));
  const std::uint64_t sequence = hash("prod").sequence;
  Publisher old(redis, "prod", 6, "test");
  const auto put = run(old.upsert({service("late")}));
  ASSERT_FALSE(put);
  EXPECT_THAT(put.error(), HasSubstr("FENCED"));
  EXPECT_FALSE(run(old.remove({service_key("web-0", "prod")})));
  EXPECT_FALSE(publish("prod", {}, 6));
  EXPECT_EQ(hash("prod").sequence, sequence);
  EXPECT_TRUE(publish("prod", services(1), 8));
}

TEST_F(PublisherTest, AnotherClusterUnderTheSameNameIsRefused) {
  ASSERT_TRUE(publish("prod", services(2)));
  Publisher other(redis, "prod", 9, "test");
  const auto report = run(other.publish_all(all_kinds(), ObjectList{}, "uid-of-another"));
  ASSERT_FALSE(report);
  EXPECT_THAT(report.error(), HasSubstr("give this cluster another name"));
  EXPECT_EQ(hash("prod").count(v1::KIND_SERVICE), 2u);
}

TEST_F(PublisherTest, SourcesDoNotMix) {
  apply({service("web")});
  ASSERT_TRUE(publish("prod", {}));
  EXPECT_NE(object("web"), "(nil)");
  Publisher prod(redis, "prod", 1, "test");
  EXPECT_FALSE(run(prod.remove({service_key("web")})));
  EXPECT_NE(object("web"), "(nil)");
}

TEST_F(PublisherTest, ForeignKeysOfAnotherTypeAreReportedAndLeftAlone) {
  server.command({"LPUSH", keys::object(service_key("taken")), "theirs"});
  Publisher publisher = manual();
  const auto changes = run(publisher.upsert({service("taken")}));
  ASSERT_FALSE(changes);
  EXPECT_THAT(changes.error(), HasSubstr("default/taken"));
  EXPECT_THAT(changes.error(), HasSubstr("another program uses a key of ours"));
  EXPECT_EQ(hash().sequence, 0u);
  EXPECT_EQ(server.command({"LRANGE", keys::object(service_key("taken")), "0", "-1"}), "theirs");
}

TEST_F(PublisherTest, AForeignSourceHashOrStreamStopsWritesWithoutAnyEffect) {
  server.set("sluice:1:stream", "theirs");
  Publisher publisher = manual();
  const auto changes = run(publisher.upsert({service("web")}));
  ASSERT_FALSE(changes);
  EXPECT_THAT(changes.error(), HasSubstr("is not ours"));
  EXPECT_EQ(object("web"), "(nil)");
  EXPECT_EQ(server.command({"EXISTS", keys::source("manual")}), "0");
}

TEST_F(PublisherTest, DamagedCountersStopWritesWithoutAnyEffect) {
  apply({service("web")});
  server.command({"HSET", keys::source("manual"), "count:Service", "many"});
  Publisher publisher = manual();
  EXPECT_THAT(run(publisher.upsert({service("new")})).error(), HasSubstr("DAMAGED"));
  EXPECT_EQ(object("new"), "(nil)");
}

TEST_F(PublisherTest, NamesAndSizesAreBounded) {
  Publisher publisher = manual();
  EXPECT_THAT(run(publisher.upsert({service("a/b")})).error(), HasSubstr("not a name"));
  v1::Object huge = service("huge");
  (*huge.mutable_service()->mutable_metadata()->mutable_annotations())["x"] =
      std::string(kMaxObjectBytes, 'x');
  EXPECT_THAT(run(publisher.upsert({huge})).error(), HasSubstr("can be stored"));
  EXPECT_EQ(hash().sequence, 0u);
}

TEST_F(PublisherTest, OneRefusedObjectDoesNotLoseTheOthers) {
  server.command({"LPUSH", keys::object(service_key("b")), "theirs"});
  Publisher publisher = manual();
  EXPECT_FALSE(run(publisher.upsert({service("a"), service("b"), service("c")})));
  EXPECT_NE(object("a"), "(nil)");
  EXPECT_NE(object("c"), "(nil)");
  EXPECT_EQ(hash().count(v1::KIND_SERVICE), 2u);
}

TEST_F(PublisherTest, AFullRedisRefusesWholeWritesAndStillDeletes) {
  apply(services(3));
  const std::uint64_t sequence = hash().sequence;
  server.command({"CONFIG", "SET", "maxmemory", "1"});
  Publisher publisher = manual();
  const auto put = run(publisher.upsert({service("more")}));
  ASSERT_FALSE(put);
  EXPECT_THAT(put.error(), HasSubstr("Redis is at its maxmemory"));
  EXPECT_EQ(hash().sequence, sequence);
  EXPECT_THAT(*run(publisher.remove({service_key("web-0")})), ElementsAre(Change::kDeleted));
  EXPECT_EQ(hash().sequence, sequence + 1);
  EXPECT_EQ(hash().count(v1::KIND_SERVICE), 2u);
  EXPECT_EQ(entries().size(), 4u);
}

TEST_F(PublisherTest, TheStreamIsBounded) {
  apply({service("web")});
  server.command(
      {"EVAL", "for i = 1, 80000 do redis.call('XADD', 'sluice:1:stream', '*', 'i', i) end", "0"});
  apply(services(3));  // One entry trims at most 10,000.
  EXPECT_LT(std::stoul(server.command({"XLEN", "sluice:1:stream"})), 66000u);
  EXPECT_GE(std::stoul(server.command({"XLEN", "sluice:1:stream"})), 65536u);
}

}  // namespace
}  // namespace sluice::store
