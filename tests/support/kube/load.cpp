#include "tests/support/kube/load.h"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <random>
#include <vector>

#include "tests/support/kube/json_ops.h"

namespace sluice::test::kube {
namespace {

namespace asio = boost::asio;

std::string address(bool ipv6, std::size_t number) {
  const auto byte = [number](int shift) { return std::to_string(number >> shift & 255); };
  return ipv6 ? "fd00:10:244::" + byte(16) + ":" + byte(8) + ":" + byte(0)
              : "10." + std::to_string(100 + (number >> 16 & 63)) + "." + byte(8) + "." + byte(0);
}

json::object metadata_of(const std::string& ns, const std::string& name) {
  json::object metadata{{"name", name}};
  if (!ns.empty()) metadata["namespace"] = ns;
  return metadata;
}

json::array service_ports(std::size_t count, bool slice) {
  static const char* const kNames[] = {"http", "https", "metrics"};
  static constexpr int kPorts[] = {80, 443, 9090}, kTargets[] = {8080, 8443, 9091};
  json::array ports;
  for (std::size_t i = 0; i < count; ++i) {
    json::object port{{"name", kNames[i]}, {"protocol", "TCP"}};
    port["port"] = slice ? kTargets[i] : kPorts[i];
    if (!slice) port["targetPort"] = kTargets[i];
    ports.push_back(std::move(port));
  }
  return ports;
}

json::object endpoint(bool ipv6, std::size_t number, const GenerateOptions& options) {
  const std::string node = "load-node-" + std::to_string(number % options.nodes);
  return {{"addresses", json::array{json::value(address(ipv6, number))}},
          {"conditions", {{"ready", true}, {"serving", true}, {"terminating", false}}},
          {"nodeName", node},
          {"zone", "zone-" + std::to_string(number % 3)},
          {"targetRef",
           {{"kind", "Pod"}, {"name", "pod-" + std::to_string(number)}, {"namespace", "load"}}}};
}

void add_node(Store& store, std::size_t number) {
  const std::string name = "load-node-" + std::to_string(number);
  json::object node{{"metadata", metadata_of("", name)}, {"spec", json::object()}};
  node["metadata"].get_object()["labels"] = {{"kubernetes.io/hostname", name}};
  node["status"] = {
      {"addresses",
       json::array{json::object{{"type", "InternalIP"},
                                {"address", "192.0.2." + std::to_string(number % 250 + 1)}}}},
      {"conditions", json::array{json::object{
                         {"type", "Ready"}, {"status", "True"}, {"reason", "KubeletReady"}}}}};
  store.put_raw(resource("nodes"), std::move(node));
}

void add_slices(Store& store, const GenerateOptions& options, const json::object& service,
                bool ipv6, std::size_t ports, std::size_t first) {
  const std::string name = text_at(service, {"metadata", "name"});
  const std::string ns = text_at(service, {"metadata", "namespace"});
  std::size_t index = 0;
  for (std::size_t done = 0; done < options.endpoints_per_service || index == 0;) {
    json::array endpoints;
    while (endpoints.size() < options.slice_size && done < options.endpoints_per_service) {
      endpoints.push_back(endpoint(ipv6, first + done++, options));
    }
    json::object slice{
        {"metadata", metadata_of(ns, name + (ipv6 ? "-six-" : "-") + std::to_string(index++))}};
    json::object& metadata = slice["metadata"].get_object();
    metadata["generation"] = 1;
    metadata["labels"] = {
        {"kubernetes.io/service-name", name},
        {"endpointslice.kubernetes.io/managed-by", "endpointslice-controller.k8s.io"}};
    metadata["ownerReferences"] =
        json::array{json::object{{"apiVersion", "v1"},
                                 {"kind", "Service"},
                                 {"name", name},
                                 {"uid", service.at("metadata").at("uid")},
                                 {"controller", true},
                                 {"blockOwnerDeletion", true}}};
    slice["addressType"] = ipv6 ? "IPv6" : "IPv4";
    slice["endpoints"] = std::move(endpoints);
    slice["ports"] = service_ports(ports, true);
    store.put_raw(resource("endpointslices"), std::move(slice));
  }
}

json::object service_of(const GenerateOptions& options, std::size_t number, bool three, bool dual,
                        const std::string& ns) {
  json::object service{
      {"metadata", metadata_of(ns, options.prefix + "-" + std::to_string(number))}};
  const std::string low = std::to_string(number >> 8 & 255) + "." + std::to_string(number & 255);
  json::array addresses{json::value("10." + std::to_string(160 + (number >> 16)) + "." + low)};
  json::array families{"IPv4"};
  if (dual) {
    addresses.push_back(json::value("fd00:10:97::" + std::to_string(number)));
    families.push_back("IPv6");
  }
  service["spec"] = {{"ports", service_ports(three ? 3 : 1, false)},
                     {"selector", {{"app", options.prefix + "-" + std::to_string(number)}}},
                     {"clusterIP", addresses[0]},
                     {"clusterIPs", addresses},
                     {"type", "LoadBalancer"},
                     {"sessionAffinity", "None"},
                     {"externalTrafficPolicy", "Cluster"},
                     {"ipFamilies", families},
                     {"ipFamilyPolicy", dual ? "RequireDualStack" : "SingleStack"},
                     {"allocateLoadBalancerNodePorts", false},
                     {"internalTrafficPolicy", "Cluster"}};
  service["status"] = {{"loadBalancer", json::object()}};
  return service;
}

}  // namespace

void generate(Store& store, const GenerateOptions& options) {
  const auto share = [](std::size_t number, double part) {
    return part > 0 && static_cast<std::size_t>(static_cast<double>(number + 1) * part) !=
                           static_cast<std::size_t>(static_cast<double>(number) * part);
  };
  const std::size_t namespaces = std::max<std::size_t>(1, options.namespaces);
  for (std::size_t i = 0; i < namespaces; ++i) {
    json::object ns{{"kind", "Namespace"},
                    {"apiVersion", "v1"},
                    {"metadata", {{"name", "load-" + std::to_string(i)}}}};
    store.create(json::serialize(ns));
  }
  for (std::size_t i = 0; i < options.nodes; ++i) add_node(store, i);
  std::size_t next = 1;
  for (std::size_t i = 0; i < options.services; ++i) {
    const bool three = share(i, options.three_port_share);
    // Other Services than those with three ports, where the shares allow it.
    const bool dual = share(i + options.services / 2, options.dual_stack_share);
    const std::string ns = "load-" + std::to_string(i % namespaces);
    json::object service = service_of(options, i, three, dual, ns);
    const std::string name = text_at(service, {"metadata", "name"});
    store.put_raw(resource("services"), json::object(service));
    const StoredPtr stored = store.find({&resource("services"), ns, name});
    service["metadata"].get_object()["uid"] = stored->uid;
    add_slices(store, options, service, false, three ? 3 : 1, next);
    if (dual) add_slices(store, options, service, true, three ? 3 : 1, next);
    next += options.endpoints_per_service;
  }
}

struct Load::Parts {
  Parts(asio::any_io_executor executor, Store& with) : timer(executor), store(with) {}
  asio::steady_timer timer;
  Store& store;
  std::vector<Place> slices;
  std::mt19937_64 random;
  Progress progress;
  std::uint64_t run = 0;

  void change_one();
};

void Load::Parts::change_one() {
  const Place& place = slices[random() % slices.size()];
  const StoredPtr before = store.find(place);
  if (before == nullptr) return;
  json::object slice = json::parse(before->json).get_object();
  json::value& list = slice["endpoints"];
  if (!list.is_array() || list.get_array().empty()) return;
  json::object& one = list.get_array()[random() % list.get_array().size()].get_object();
  json::object& conditions = child(one, "conditions");
  const bool ready = conditions["ready"] == true;
  if (ready && random() % 2 == 0) {
    const bool ipv6 = slice["addressType"] == "IPv6";
    one["addresses"] = json::array{json::value(address(ipv6, 1 + random() % 4'000'000))};
  } else {
    conditions["ready"] = !ready;
    conditions["serving"] = !ready;
  }
  json::object& metadata = slice["metadata"].get_object();
  metadata["generation"] = metadata["generation"].to_number<std::int64_t>() + 1;
  child(metadata, "annotations")["load/changed-at"] =
      std::to_string(std::chrono::duration_cast<std::chrono::nanoseconds>(
                         std::chrono::system_clock::now().time_since_epoch())
                         .count());
  store.put_raw(*place.resource, std::move(slice));
  ++progress.changes;
}

Load::Load(asio::any_io_executor executor, Store& store)
    : parts_(std::make_shared<Parts>(std::move(executor), store)) {}

Load::~Load() {
  stop();
}

void Load::stop() {
  ++parts_->run;
  parts_->progress.running = false;
  parts_->timer.cancel();
}

Load::Progress Load::progress() const {
  return parts_->progress;
}

void Load::start(const ChurnOptions& options) {
  stop();
  parts_->random.seed(options.seed);
  parts_->slices.clear();
  const Resource& type = resource("endpointslices");
  for (const auto& [key, slice] : parts_->store.objects(type)) {
    if (slice->ns.starts_with("load-")) parts_->slices.push_back({&type, slice->ns, slice->name});
  }
  if (parts_->slices.empty() || options.rate <= 0) return;
  parts_->progress = {true, 0, 0};
  const auto work = [](std::shared_ptr<Parts> parts, ChurnOptions churn,
                       std::uint64_t run) -> asio::awaitable<void> {
    using Clock = std::chrono::steady_clock;
    const Clock::time_point start = Clock::now();
    const auto total = static_cast<std::uint64_t>(churn.rate * churn.seconds);
    for (std::uint64_t i = 0; i < total; ++i) {
      const auto due =
          start + std::chrono::duration_cast<Clock::duration>(
                      std::chrono::duration<double>(static_cast<double>(i) / churn.rate));
      const Clock::time_point now = Clock::now();
      if (now > due + std::chrono::milliseconds(10)) ++parts->progress.late;
      if (due > now) {
        parts->timer.expires_at(due);
        boost::system::error_code ignored;
        co_await parts->timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
      }
      if (parts->run != run) co_return;
      parts->change_one();
      if (i % 64 == 63) co_await asio::post(parts->timer.get_executor(), asio::use_awaitable);
    }
    parts->progress.running = false;
  };
  asio::co_spawn(parts_->timer.get_executor(), work(parts_, options, parts_->run), asio::detached);
}

}  // namespace sluice::test::kube
