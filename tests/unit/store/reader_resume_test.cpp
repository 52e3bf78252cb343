// A start from disk: what changed since is read, and nothing else, where the stream has it all.
#include <random>
#include <sstream>

#include "tests/unit/store/harness.h"

namespace sluice::store {
namespace {

using testing::HasSubstr;

class ResumeTest : public StoreTest {
 protected:
  static constexpr int kServices = 40;

  void SetUp() override {
    StoreTest::SetUp();
    apply(services(kServices));
    seed();
    start_reader();
    ASSERT_TRUE(until([this] { return observer.manual().state.state() == "synced"; }));
    settle();
  }

  // Stops the reader; what the disk would have.
  v1::DiskState leave() {
    v1::DiskState disk = saved();
    stop_reader();
    observer.sources.clear();
    return disk;
  }
  void come_back(const v1::DiskState& disk, ReaderTiming timing = fast()) {
    observer.objects.clear();
    observer.upserts = observer.deletes = 0;
    server.command({"CONFIG", "RESETSTAT"});
    start_reader(disk, timing);
    ASSERT_TRUE(until([this] { return observer.manual().state.state() == "synced"; }));
  }
  int values_read() {  // Since it came back.
    std::istringstream lines(server.command({"INFO", "commandstats"}));
    for (std::string line; std::getline(lines, line);) {
      const std::string head = "cmdstat_getrange:calls=";
      if (line.starts_with(head)) return std::stoi(line.substr(head.size()));
    }
    return 0;
  }
  const std::string& uid_of(const std::string& name) {
    return observer.objects.at(service_key(name))->service().metadata().uid();
  }
};

TEST_F(ResumeTest, NothingChangedNothingRead) {
  const v1::DiskState disk = leave();
  come_back(disk);
  EXPECT_EQ(values_read(), 0);
  EXPECT_EQ(observer.objects.size(), static_cast<std::size_t>(kServices));
  EXPECT_EQ(observer.upserts, kServices);  // From disk alone.
  EXPECT_EQ(observer.manual().held, 0u);
  EXPECT_EQ(observer.manual().complete.size(), all_kinds().size());
  EXPECT_EQ(observer.manual().objects.at(v1::KIND_SERVICE), kServices);
  apply({service("later")});
  EXPECT_TRUE(until([this] { return observer.has("later"); }));
}

TEST_F(ResumeTest, ChangesSinceAreRead) {
  const v1::DiskState disk = leave();
  apply({service("web-0", "uid-2"), service("new"), service("web-2", "uid-2")});
  remove("web-1");
  remove("web-2");
  apply({service("web-2", "uid-3"), service("gone")});
  remove("gone");
  come_back(disk);
  EXPECT_EQ(values_read(), 3);
  EXPECT_EQ(uid_of("web-0"), "uid-2");
  EXPECT_EQ(uid_of("web-2"), "uid-3");
  EXPECT_EQ(uid_of("web-3"), "uid-1");
  EXPECT_TRUE(observer.has("new"));
  EXPECT_FALSE(observer.has("web-1"));
  EXPECT_FALSE(observer.has("gone"));
  EXPECT_EQ(observer.objects.size(), static_cast<std::size_t>(kServices));
  EXPECT_EQ(observer.manual().held, 0u);
}

// What nobody told: the stream has no entry of it.
TEST_F(ResumeTest, AllValuesAreReadLater) {
  const v1::DiskState disk = leave();
  server.set(keys::object(service_key("web-3")),
             encode_stamped(service("web-3", "by-hand"), "somebody"));
  ReaderTiming timing = fast();
  timing.whole = std::chrono::milliseconds(300);
  come_back(disk, timing);
  EXPECT_EQ(values_read(), 0);
  EXPECT_EQ(uid_of("web-3"), "uid-1");
  EXPECT_TRUE(until([this] { return uid_of("web-3") == "by-hand"; }));
  settle();
  EXPECT_EQ(values_read(), kServices);  // Once.
  EXPECT_EQ(observer.upserts, kServices + 1);
}

TEST_F(ResumeTest, AKeyThatIsGoneWithoutADeleteIsHeld) {
  const v1::DiskState disk = leave();
  server.command({"DEL", keys::object(service_key("web-3"))});
  start_reader(disk);
  EXPECT_TRUE(until([this] { return observer.manual().state.state() == "held"; }));
  EXPECT_THAT(observer.manual().state.message(), HasSubstr("as many objects as it counts"));
  EXPECT_TRUE(observer.has("web-3"));
  EXPECT_EQ(observer.manual().held, 1u);
  settle();
  EXPECT_FALSE(saved().sources(0).exact());
}

TEST_F(ResumeTest, ATrimmedStreamMeansAllIsRead) {
  const v1::DiskState disk = leave();
  apply({service("web-0", "uid-2")});
  server.command({"XTRIM", "sluice:1:stream", "MAXLEN", "0"});
  come_back(disk);
  EXPECT_EQ(values_read(), kServices);
  EXPECT_EQ(uid_of("web-0"), "uid-2");
}

TEST_F(ResumeTest, AGapMeansAllIsRead) {
  const v1::DiskState disk = leave();
  apply({service("web-0", "uid-2")});
  const std::string lost = hash().entry;
  apply({service("web-1", "uid-2")});
  server.command({"XDEL", "sluice:1:stream", lost});
  come_back(disk);
  EXPECT_EQ(values_read(), kServices);
  EXPECT_EQ(uid_of("web-0"), "uid-2");
  EXPECT_EQ(uid_of("web-1"), "uid-2");
}

TEST_F(ResumeTest, ADiskWithValuesThatCannotBeUsedMeansAllIsRead) {
  server.set(keys::object(service_key("web-3")), "\xff\xff\xff");
  server.command({"CLIENT", "KILL", "TYPE", "normal"});
  ASSERT_TRUE(run(redis.connect()));
  ASSERT_TRUE(until([this] { return observer.manual().problems.size() == 1; }));
  settle();
  const v1::DiskState disk = leave();
  EXPECT_FALSE(disk.sources(0).exact());
  come_back(disk);
  EXPECT_EQ(values_read(), kServices);
  EXPECT_EQ(observer.manual().problems.size(), 1u);
  EXPECT_TRUE(observer.has("web-3"));
}

TEST_F(ResumeTest, ADiskOfBeforeMeansAllIsRead) {
  v1::DiskState disk = leave();
  disk.mutable_sources(0)->clear_exact();
  come_back(disk);
  EXPECT_EQ(values_read(), kServices);
}

TEST_F(ResumeTest, EachSourceByItself) {
  ASSERT_TRUE(publish("prod", services(3)));
  ASSERT_TRUE(publish("test", services(5)));
  ASSERT_TRUE(until([this] { return observer.sources["test"].state.state() == "synced"; }));
  settle();
  const v1::DiskState disk = leave();
  // Another incarnation of one, changes in another.
  server.command({"DEL", "sluice:1:source:prod"});
  ASSERT_TRUE(publish("prod", services(2), 2));
  ASSERT_TRUE(publish("test", services(6), 2));
  come_back(disk);
  EXPECT_EQ(values_read(), 2 + 1);
  EXPECT_TRUE(observer.has("web-5", "test"));
  EXPECT_FALSE(observer.has("web-2", "prod"));
  EXPECT_EQ(observer.objects.size(), static_cast<std::size_t>(kServices + 2 + 6));
}

// Objects put and removed at random, while away and while it comes back.
TEST_F(ResumeTest, WhateverHappensMeanwhile) {
  std::minstd_rand random(7);
  std::map<std::string, std::string> expected;
  for (int i = 0; i < kServices; ++i) expected["web-" + std::to_string(i)] = "uid-1";
  Redis writing(io.get_executor(), options());
  ASSERT_TRUE(run(writing.connect()));
  Publisher publisher(writing, kManualSource, std::nullopt, "test");
  const auto change = [&](int number) {
    const std::string name = "web-" + std::to_string(random() % (2 * kServices));
    if (random() % 3 == 0) {
      ASSERT_TRUE(run(publisher.remove({service_key(name)})));
      expected.erase(name);
    } else {
      expected[name] = "uid-" + std::to_string(number);
      ASSERT_TRUE(run(publisher.upsert({service(name, expected[name])})));
    }
  };
  int number = 2;
  for (int round = 0; round < 20; ++round) {
    const v1::DiskState disk = leave();
    EXPECT_TRUE(disk.sources(0).exact());
    for (std::uint32_t i = random() % 20; i-- > 0;) change(++number);
    observer.objects.clear();
    start_reader(disk);
    for (int i = 0; i < 10; ++i) change(++number);
    const auto same = [&] {
      return observer.objects.size() == expected.size() &&
             std::ranges::all_of(expected, [this](const auto& item) {
               return observer.has(item.first) && uid_of(item.first) == item.second;
             });
    };
    ASSERT_TRUE(until(same)) << "round " << round;
    ASSERT_TRUE(until([this] { return observer.manual().state.state() == "synced"; }));
  }
}

}  // namespace
}  // namespace sluice::store
