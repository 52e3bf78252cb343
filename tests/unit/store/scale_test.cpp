// 10,000 Services and 12,000 EndpointSlices, published and read as a whole. The times are printed,
// with the processor time of this process and of Redis, and bounded far above what an idle machine
// needs.
#include <algorithm>
#include <chrono>
#include <ctime>
#include <fstream>
#include <iostream>

#include "tests/unit/store/harness.h"

namespace sluice::store {
namespace {

constexpr int kServices = 10'000;
constexpr int kSlices = 12'000;
constexpr std::chrono::seconds kBound{20};

v1::Object slice(int number) {
  v1::Object object;
  v1::EndpointSlice& s = *object.mutable_endpoint_slice();
  const std::string service = "web-" + std::to_string(number % kServices);
  s.mutable_metadata()->set_namespace_("default");
  s.mutable_metadata()->set_name(service + "-" + std::to_string(number));
  s.mutable_metadata()->set_uid("uid-slice-" + std::to_string(number));
  (*s.mutable_metadata()->mutable_labels())["kubernetes.io/service-name"] = service;
  s.set_address_type("IPv4");
  s.add_ports()->set_port(8080);
  for (int i = 0; i < 9; ++i) {
    v1::Endpoint& endpoint = *s.add_endpoints();
    endpoint.add_addresses("10." + std::to_string(i) + "." + std::to_string(number / 250) + "." +
                           std::to_string(number % 250));
    endpoint.mutable_conditions()->set_ready(true);
    endpoint.mutable_conditions()->set_serving(true);
    endpoint.set_node_name("node-" + std::to_string(i));
    endpoint.mutable_target_ref()->set_kind("Pod");
    endpoint.mutable_target_ref()->set_name(service + "-pod-" + std::to_string(i));
  }
  return object;
}

class ScaleTest : public StoreTest {
 protected:
  ScaleTest() {
    for (v1::Object& object : services(kServices)) {
      objects.push_back(std::make_shared<const v1::Object>(std::move(object)));
    }
    for (int i = 0; i < kSlices; ++i) {
      objects.push_back(std::make_shared<const v1::Object>(slice(i)));
    }
  }
  // Processor time so far.
  static long own_ms() { return std::clock() / (CLOCKS_PER_SEC / 1000); }
  long redis_ms() const {
    std::ifstream file("/proc/" + std::to_string(server.pid()) + "/schedstat");
    long nanoseconds = 0;
    file >> nanoseconds;
    return nanoseconds / 1'000'000;
  }
  // Prints how long `work` took.
  template <typename Work>
  void timed(const char* what, Work work) {
    const auto begun = std::chrono::steady_clock::now();
    const long own = own_ms();
    const long redis_before = redis_ms();
    work();
    const auto took = std::chrono::steady_clock::now() - begun;
    std::cout << what << ": " << std::chrono::duration_cast<std::chrono::milliseconds>(took).count()
              << " ms, processor here " << own_ms() - own << ", Redis " << redis_ms() - redis_before
              << "\n";
    EXPECT_LT(took, kBound) << what;
  }
  PublishReport publish_objects() {
    const auto report = run(prod.publish_all(all_kinds(), objects, "uid-of-prod"));
    EXPECT_TRUE(report) << report.error();
    return *report;
  }

  ObjectList objects;
  Publisher prod{redis, "prod", 1, "test"};
};

TEST_F(ScaleTest, PublishesReadsAndFollows) {
  timed("publish into an empty Redis",
        [&] { EXPECT_EQ(publish_objects().created, objects.size()); });
  timed("publish again, nothing changed", [&] {
    const PublishReport report = publish_objects();
    EXPECT_EQ(report.unchanged, objects.size());
    EXPECT_FALSE(report.marker_written);
  });
  timed("read everything", [&] {
    start_reader();
    EXPECT_TRUE(until([&] { return observer.sources["prod"].state.state() == "synced"; }));
  });
  EXPECT_EQ(observer.objects.size(), objects.size());
  const v1::DiskState disk = saved();
  stop_reader();
  const int upserts = observer.upserts;
  timed("read everything after a start from disk", [&] {
    start_reader(disk);
    EXPECT_TRUE(until([&] { return observer.sources["prod"].state.state() == "synced"; }));
  });
  EXPECT_EQ(observer.upserts, 2 * upserts);  // What the disk had was not delivered again.

  // 2,000 changes of 500 objects, in batches as they come.
  observer.upserts = 0;
  timed("2,000 changes written and read", [&] {
    for (int batch = 0; batch < 20; ++batch) {
      ObjectList changed;
      for (int i = 0; i < 100; ++i) {
        v1::Object one = slice(i * 5);
        one.mutable_endpoint_slice()->mutable_endpoints(0)->mutable_conditions()->set_ready(
            batch % 2 != 0);
        changed.push_back(std::make_shared<const v1::Object>(std::move(one)));
      }
      EXPECT_TRUE(run(prod.upsert(std::move(changed))));
    }
    const std::uint64_t last = hash("prod").sequence;
    EXPECT_TRUE(until([&] {
      const auto views = reader->sources();
      return std::ranges::any_of(views, [&](const SourceView& view) {
        return view.state.source() == "prod" && view.state.sequence() == last;
      });
    }));
  });
  EXPECT_TRUE(run(prod.check())->intact);
}

// A reader that is there already, as the gateways are when an agent publishes for the first time.
TEST_F(ScaleTest, FollowsWhileEverythingIsPublished) {
  start_reader();
  ASSERT_TRUE(until([&] { return observer.synced > 0; }));
  timed("publish all, read at the same time", [&] {
    publish_objects();
    EXPECT_TRUE(until([&] { return observer.sources["prod"].state.state() == "synced"; }));
    EXPECT_TRUE(until([&] { return observer.objects.size() == objects.size(); }));
  });
  EXPECT_EQ(observer.upserts, static_cast<int>(objects.size()));
  EXPECT_EQ(observer.deletes, 0);
  EXPECT_EQ(observer.sources["prod"].complete.size(), all_kinds().size());
}

}  // namespace
}  // namespace sluice::store
