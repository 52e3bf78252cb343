// What the tests of the store share: a private Redis, coroutines run to their end, objects to
// write, and an observer that keeps what it was told.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "control/store/keys.h"
#include "control/store/lead.h"
#include "control/store/ledger.h"
#include "control/store/merged_status.h"
#include "control/store/objects.h"
#include "control/store/publisher.h"
#include "control/store/reader.h"
#include "control/store/redis.h"
#include "control/store/reseed.h"
#include "control/store/scripts.h"
#include "control/store/secret.h"
#include "control/store/source_hash.h"
#include "control/store/status.h"
#include "control/store/status_feed.h"
#include "tests/support/redis_server.h"

namespace sluice::store {

inline v1::Object service(const std::string& name, const std::string& uid = "uid-1") {
  v1::Object object;
  v1::Service& s = *object.mutable_service();
  s.mutable_metadata()->set_namespace_("default");
  s.mutable_metadata()->set_name(name);
  s.mutable_metadata()->set_uid(uid);
  s.mutable_spec()->set_type("LoadBalancer");
  (*s.mutable_spec()->mutable_selector())["app"] = name;
  (*s.mutable_metadata()->mutable_labels())["a"] = "1";
  (*s.mutable_metadata()->mutable_labels())["b"] = "2";
  return object;
}

inline std::vector<v1::Object> services(int count) {
  std::vector<v1::Object> all;
  for (int i = 0; i < count; ++i) all.push_back(service("web-" + std::to_string(i)));
  return all;
}

inline ObjectKey service_key(const std::string& name, const std::string& source = kManualSource) {
  return {source, v1::KIND_SERVICE, "default", name};
}

// What the reader said, kept as it stands now.
class Recorder : public StoreObserver {
 public:
  void on_upsert(const ObjectKey& key, std::shared_ptr<const v1::Object> object) override {
    objects[key] = std::move(object);
    ++upserts;
  }
  void on_delete(const ObjectKey& key) override {
    EXPECT_TRUE(objects.contains(key)) << key.text();
    objects.erase(key);
    ++deletes;
  }
  void on_timed(const TimedChange& change) override {
    timed.push_back(change);
    timed_after.push_back(upserts + deletes);
  }
  void on_source(const SourceView& view) override { sources[view.state.source()] = view; }
  void on_ledger() override { ++ledger; }
  void on_synced() override { ++synced; }
  void on_connected(bool now) override { connected = now; }

  bool has(const std::string& name, const std::string& source = kManualSource) const {
    return objects.contains(service_key(name, source));
  }
  const SourceView& manual() { return sources[kManualSource]; }

  std::map<ObjectKey, std::shared_ptr<const v1::Object>> objects;
  std::map<std::string, SourceView> sources;
  std::vector<TimedChange> timed;
  std::vector<int> timed_after;  // So many upserts and deletes.
  int upserts = 0;
  int deletes = 0;
  int synced = 0;
  int ledger = 0;
  bool connected = false;
};

class StoreTest : public testing::Test {
 protected:
  explicit StoreTest(std::vector<std::string> server_options = {})
      : server(std::move(server_options)), redis(io.get_executor(), options()) {}

  void SetUp() override {
    const Status connected = run(redis.connect());
    ASSERT_TRUE(connected) << connected.error();
  }
  void TearDown() override {
    if (reader) {
      reader->stop();
      EXPECT_TRUE(until([this] { return reader_ended; }));
    }
  }

  RedisOptions options() const {
    RedisOptions o;
    o.address = server.address();
    o.timeout = std::chrono::seconds(10);
    return o;
  }

  template <typename T>
  T run(boost::asio::awaitable<T> work) {
    std::optional<T> result;
    boost::asio::co_spawn(io, keep(std::move(work), &result), [](std::exception_ptr thrown) {
      if (thrown) std::rethrow_exception(thrown);
    });
    io.restart();
    while (!result) io.run_one();
    return std::move(*result);
  }
  template <typename T>
  static boost::asio::awaitable<void> keep(boost::asio::awaitable<T> work, std::optional<T>* to) {
    to->emplace(co_await std::move(work));
  }

  // Lets things happen until `done`; false after 20 s.
  bool until(const std::function<bool()>& done) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!done() && std::chrono::steady_clock::now() < end) pass(std::chrono::milliseconds(5));
    return done();
  }
  void pass(std::chrono::milliseconds time) {
    io.restart();
    io.run_for(time);
  }

  static ReaderTiming fast() {
    using std::chrono::milliseconds;
    return {milliseconds(60), milliseconds(20), milliseconds(10), milliseconds(50)};
  }
  void start_reader(const v1::DiskState& disk = {}, ReaderTiming timing = fast()) {
    reader = std::make_unique<StoreReader>(io.get_executor(), options(), observer, timing);
    reader->load(disk);
    reader_ended = false;
    boost::asio::co_spawn(io, reader->run(), [this](std::exception_ptr) { reader_ended = true; });
  }
  void stop_reader() {
    reader->stop();
    ASSERT_TRUE(until([this] { return reader_ended; }));
    reader.reset();
  }
  // Until the reader has compared everything at least twice more.
  void settle() { pass(std::chrono::milliseconds(400)); }
  v1::DiskState saved() {
    v1::DiskState disk;
    reader->save(&disk);
    return disk;
  }

  Publisher manual() { return Publisher(redis, kManualSource, std::nullopt, "test"); }
  // Writes manual objects as the command line does.
  void apply(std::vector<v1::Object> objects) {
    Publisher publisher = manual();
    const auto done = run(publisher.upsert(std::move(objects)));
    ASSERT_TRUE(done) << done.error();
  }
  void remove(const std::string& name) {
    Publisher publisher = manual();
    const auto done = run(publisher.remove({service_key(name)}));
    ASSERT_TRUE(done) << done.error();
  }
  // The leading control's part after a new incarnation.
  void seed(const v1::DiskState& disk = {}, Reseed mode = Reseed::kFill) {
    Lead lead(redis, "gw-test");
    const auto leads = run(lead.hold());
    ASSERT_TRUE(leads) << leads.error();
    ASSERT_TRUE(*leads);
    const auto done = run(reseed(redis, lead.leader(), disk, mode, "test"));
    EXPECT_TRUE(done) << done.error();
    ASSERT_TRUE(run(lead.resign()));
  }
  // A cluster's agent publishing its whole list.
  Result<PublishReport> publish(const std::string& source, std::vector<v1::Object> objects,
                                std::uint64_t token = 1) {
    Publisher publisher(redis, source, token, "test");
    return run(publisher.publish_all(all_kinds(), std::move(objects), "uid-of-" + source));
  }
  SourceHash hash(const std::string& source = kManualSource) {
    return *run(read_source_hash(redis, source));
  }

  test::RedisServer server;
  boost::asio::io_context io;
  Redis redis;
  Recorder observer;
  std::unique_ptr<StoreReader> reader;
  bool reader_ended = true;
};

}  // namespace sluice::store
