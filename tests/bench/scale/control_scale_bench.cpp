// What control's own work costs at 10,000 Services with 100,000 endpoints, in process: from objects
// to what would be sent to the dataplane. A tenth of the Services has three ports and two families.
//   control_scale_bench [SERVICES [ENDPOINTS_EACH [CHANGES]]]
// Prints minimum, median, 99th and maximum of each step's CPU time, the counters of one change, and
// peak memory.
#include <sys/resource.h>
#include <time.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "control/daemon/reconciler.h"

namespace sluice {
namespace {

// The process' own time, which a busy machine changes least.
struct Clock {
  using time_point = std::chrono::nanoseconds;
  static time_point now() {
    timespec time{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
  }
};
constexpr const char* kSource = "cluster-1";

double ms_since(Clock::time_point begin) {
  return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}

void print(const char* what, std::vector<double> ms) {
  std::sort(ms.begin(), ms.end());
  const auto at = [&](double share) {
    return ms[static_cast<std::size_t>(share * static_cast<double>(ms.size() - 1))];
  };
  std::printf("%-44s n %5zu  min %9.3f  median %9.3f  p99 %9.3f  max %9.3f ms\n", what, ms.size(),
              ms.front(), at(0.5), at(0.99), ms.back());
}

double peak_mib() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

class Cluster {
 public:
  Cluster(int services, int endpoints) : services_(services), endpoints_(endpoints) {
    reconciler_.set_ledger(&ledger_);
  }

  void load() {
    for (const char* source : {kManualSource, kSource})
      for (const v1::Kind kind : {v1::KIND_SERVICE, v1::KIND_ENDPOINT_SLICE, v1::KIND_ENDPOINTS,
                                  v1::KIND_POD, v1::KIND_NODE, v1::KIND_ADDRESS_POOL})
        reconciler_.model().set_complete(source, kind, true);
    pool("nat");
    for (int i = 0; i < services_; ++i) {
      service(i);
      slice(i, IpFamily::ipv4, 0);
      if (rich(i)) slice(i, IpFamily::ipv6, 0);
    }
  }

  void plan() { reconciler_.refresh(); }
  void allocate() {
    for (v1::Address& record :
         reconciler_.allocate({&ledger_, {}, 0, 0, [](const IpAddress&) { return true; }}).writes) {
      const IpAddress address = *IpAddress::from_bytes(record.address());
      ledger_[address] = std::move(record);
    }
    reconciler_.ledger_changed(false);
  }
  void update() {
    const Reconciler::Serving serving{&reported_, {}, ++generation_};
    for (bool done = false; !done;) {
      const auto begin = Clock::now();
      done = reconciler_.update(serving, &ids_);
      longest_ = std::max(longest_, ms_since(begin));
    }
  }
  double take_longest() { return std::exchange(longest_, 0); }
  Difference send() {
    Difference change = reconciler_.desired().difference(&reported_);
    reconciler_.desired().accept(&reported_);
    return change;
  }
  // The dataplane reports what it serves, in messages of its own.
  void read_report() {
    DataplaneState state;
    v1::Report report;
    auto one_more = [&, listed = 0](bool last) mutable {
      if (++listed % 5000 != 0 && !last) return;
      state.add(report);
      report.Clear();
    };
    for (const auto& [name, vip] : reported_.vips) *report.add_vips() = *vip, one_more(false);
    for (const auto& [id, backend] : reported_.backends)
      backend.read(report.add_backends()), one_more(false);
    for (const auto& [address, served] : reported_.addresses) *report.add_addresses() = *served;
    one_more(true);
    reported_ = std::move(state);
  }
  void reconnect() {
    ids_.adopt(reported_);
    reconciler_.dataplane_changed();
  }

  void pool(const std::string& mode) {
    v1::Object object;
    v1::AddressPool& made = *object.mutable_address_pool();
    made.mutable_metadata()->set_name("p");
    made.mutable_spec()->add_addresses("10.200.0.0/16");
    made.mutable_spec()->add_addresses("2001:db8:1::/112");
    made.mutable_spec()->set_forwarding_mode(mode);
    put(kManualSource, std::move(object));
  }
  // One endpoint of the Service is ready, or, in another round, not.
  void change(int i, int round) { slice(i, IpFamily::ipv4, round); }

  Reconciler& reconciler() { return reconciler_; }
  const DataplaneState& reported() const { return reported_; }

 private:
  static bool rich(int i) { return i % 10 == 0; }

  void put(const std::string& source, v1::Object object) {
    const ObjectKey key = key_of(source, object);
    reconciler_.model().upsert(key, std::make_shared<const v1::Object>(std::move(object)));
  }
  static std::string name(int i) { return "service-" + std::to_string(i); }

  void service(int i) {
    v1::Object object;
    v1::Service& made = *object.mutable_service();
    v1::ObjectMeta& meta = *made.mutable_metadata();
    meta.set_namespace_("namespace-" + std::to_string(i % 50));
    meta.set_name(name(i));
    meta.set_uid("0b1c2d3e-4f50-6172-8394-" + std::to_string(100'000'000'000 + i));
    meta.set_creation_timestamp("2026-01-01T00:00:00Z");
    (*meta.mutable_labels())["app.kubernetes.io/name"] = name(i);
    made.mutable_spec()->set_type("LoadBalancer");
    made.mutable_spec()->set_ip_family_policy(rich(i) ? "RequireDualStack" : "SingleStack");
    for (int port = 0; port < (rich(i) ? 3 : 1); ++port) {
      v1::ServicePort& p = *made.mutable_spec()->add_ports();
      p.set_name("port-" + std::to_string(port));
      p.set_port(80 + port);
    }
    put(kSource, std::move(object));
  }

  void slice(int i, IpFamily family, int round) {
    const bool six = family == IpFamily::ipv6;
    v1::Object object;
    v1::EndpointSlice& made = *object.mutable_endpoint_slice();
    v1::ObjectMeta& meta = *made.mutable_metadata();
    meta.set_namespace_("namespace-" + std::to_string(i % 50));
    meta.set_name(name(i) + (six ? "-ipv6" : "-ipv4"));
    (*meta.mutable_labels())["kubernetes.io/service-name"] = name(i);
    made.set_address_type(six ? "IPv6" : "IPv4");
    for (int port = 0; port < (rich(i) ? 3 : 1); ++port) {
      v1::EndpointPort& p = *made.add_ports();
      p.set_name("port-" + std::to_string(port));
      p.set_port(8080 + port);
    }
    for (int e = 0; e < endpoints_; ++e) {
      const unsigned n = static_cast<unsigned>(i * endpoints_ + e);
      v1::Endpoint& endpoint = *made.add_endpoints();
      char text[64];
      if (six) {
        std::snprintf(text, sizeof text, "fd00::%x:%x", n >> 16, n & 0xffff);
      } else {
        std::snprintf(text, sizeof text, "10.%u.%u.%u", n >> 16 & 0x7f, n >> 8 & 255, n & 255);
      }
      endpoint.add_addresses(text);
      endpoint.mutable_conditions()->set_ready(e != 0 || round % 2 == 0);
      endpoint.set_node_name("node-" + std::to_string(n % 200));
      endpoint.mutable_target_ref()->set_kind("Pod");
      endpoint.mutable_target_ref()->set_name(name(i) + "-7d9c5b7f4c-" + std::to_string(e));
    }
    put(kSource, std::move(object));
  }

  const int services_, endpoints_;
  Reconciler reconciler_{PlanSettings{}};
  Ledger ledger_;
  IdAllocator ids_;
  DataplaneState reported_;
  std::uint64_t generation_ = 0;
  double longest_ = 0;
};

double timed(const std::function<void()>& step) {
  const auto begin = Clock::now();
  step();
  return ms_since(begin);
}

void step(const char* what, const std::function<void()>& work) {
  const double ms = timed(work);
  std::printf("%-36s  %9.1f ms, peak %.0f MiB\n", what, ms, peak_mib());
}

void run(int services, int endpoints, int changes) {
  Cluster cluster(services, endpoints);
  step("objects to model", [&] { cluster.load(); });
  step("plans", [&] { cluster.plan(); });
  step("allocation, all new", [&] { cluster.allocate(); });
  step("allocation, nothing new", [&] { cluster.allocate(); });
  step("wanted state", [&] { cluster.update(); });
  std::printf("  its longest piece                   %9.1f ms\n", cluster.take_longest());
  Difference change;
  step("difference, all new", [&] { change = cluster.send(); });
  std::printf("  VIPs %zu, upserts %zu, backends %zu\n", change.vips, change.upserts,
              cluster.reported().backends.size());
  change = {};

  std::vector<double> model, plan, update, send, all;
  const std::uint64_t planned = cluster.reconciler().planned();
  const DesiredState::Counters before = cluster.reconciler().desired().counters();
  std::size_t upserts = 0;
  for (int n = 0; n < changes; ++n) {
    const int i = static_cast<int>((static_cast<long>(n) * 7919) % services);
    model.push_back(timed([&] { cluster.change(i, n / services + 1); }));
    plan.push_back(timed([&] { cluster.plan(); }));
    update.push_back(timed([&] { cluster.update(); }));
    send.push_back(timed([&] { upserts += cluster.send().upserts; }));
    all.push_back(model.back() + plan.back() + update.back() + send.back());
  }
  print("one endpoint changes: slice to model", model);
  print("  plan", plan);
  print("  wanted state", update);
  print("  difference", send);
  print("  together", all);
  const DesiredState::Counters& after = cluster.reconciler().desired().counters();
  std::printf(
      "  of %d changes: planned %llu, worked out %llu, VIPs %llu, all anew %llu, sent %zu\n",
      changes, static_cast<unsigned long long>(cluster.reconciler().planned() - planned),
      static_cast<unsigned long long>(after.services - before.services),
      static_cast<unsigned long long>(after.vips - before.vips),
      static_cast<unsigned long long>(after.full - before.full), upserts);

  std::vector<double> pools, reconnects, pieces;
  for (int n = 0; n < 5; ++n) {
    pools.push_back(timed([&] {
      cluster.pool(n % 2 == 0 ? "dnat" : "nat");
      cluster.plan();
      cluster.update();
      (void)cluster.send();
    }));
    pieces.push_back(cluster.take_longest());
    if (n > 0) cluster.read_report();
    reconnects.push_back(timed([&] {
      cluster.reconnect();
      cluster.update();
      (void)cluster.send();
    }));
    pieces.push_back(cluster.take_longest());
  }
  print("the pool of all Services changes", pools);
  print("a new connection, nothing changed", reconnects);
  print("  longest piece of either's wanted state", pieces);
  std::printf("peak memory %.0f MiB\n", peak_mib());
}

}  // namespace
}  // namespace sluice

int main(int argc, char** argv) {
  const auto number = [&](int i, int otherwise) {
    const int given = i < argc ? std::atoi(argv[i]) : otherwise;
    return given > 0 ? given : otherwise;
  };
  sluice::run(number(1, 10'000), number(2, 10), number(3, 2000));
}
