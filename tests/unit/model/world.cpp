#include "world.h"

#include <gtest/gtest.h>

#include <cstdio>

#include "control/manifest/manifest.h"

namespace sluice {
namespace {

constexpr std::array kAllKinds{v1::KIND_SERVICE,     v1::KIND_ENDPOINT_SLICE, v1::KIND_ENDPOINTS,
                               v1::KIND_POD,         v1::KIND_NODE,           v1::KIND_NAMESPACE,
                               v1::KIND_ADDRESS_POOL};

std::string overlay_text(const v1::Overlay& overlay) {
  if (overlay.kind() == v1::OVERLAY_KIND_UNSPECIFIED) return "";
  std::string text = std::string(" ") + overlay_name(overlay.kind()) + " to " +
                     IpAddress::from_bytes(overlay.remote())->text();
  if (overlay.kind() != v1::OVERLAY_KIND_VXLAN) return text;
  char rest[100];
  const auto mac = [&](std::size_t i) { return static_cast<unsigned char>(overlay.mac().at(i)); };
  (void)std::snprintf(rest, sizeof(rest), " port %u vni %u mac %02x:%02x:%02x:%02x:%02x:%02x",
                      overlay.port(), overlay.vni(), mac(0), mac(1), mac(2), mac(3), mac(4),
                      mac(5));
  return text + rest;
}

void append_vip(const v1::Vip& vip, const DataplaneState& state, std::string* out) {
  const VipName name = vip_name(vip.key());
  *out += "vip " + address_port_text(name.address, name.port) + "/" + protocol_name(name.protocol) +
          " " + forwarding_mode_name(vip.mode()) + (vip.proxy_protocol() ? " proxy-protocol" : "") +
          (vip.quic() ? " quic" : "") + " maglev=" + std::to_string(vip.maglev_size()) +
          " id=" + std::to_string(vip.id()) + " " + vip.service() + "\n";
  for (const v1::Member& member : vip.members()) {
    const v1::Backend backend = state.backends.at(member.backend()).message();
    *out += "  " + backend.name() + " id=" + std::to_string(backend.id()) +
            " weight=" + std::to_string(member.weight()) + (member.draining() ? " draining" : "") +
            (backend.target().empty() ? "" : " " + backend.target()) +
            overlay_text(backend.overlay()) + "\n";
  }
}

}  // namespace

Desired build_desired(const DesiredInputs& inputs, IdAllocator* ids) {
  DesiredState whole;
  whole.touch_ledger(*inputs.ledger, true);
  std::set<ServiceKey> concluded;
  while (!whole.update(inputs, ids, 1000, &concluded)) {
  }
  Desired desired{whole.state(), {}};
  for (const auto& [key, plan] : *inputs.plans)
    if (const ServiceOutcome* outcome = whole.outcome(key)) desired.outcomes[key] = *outcome;
  return desired;
}

World::World(bool complete) {
  set_complete(kManualSource, complete);
}

void World::set_complete(const std::string& source, bool complete) {
  for (const v1::Kind kind : kAllKinds) model.set_complete(source, kind, complete);
}

void World::apply_to(const std::string& source, const std::string& yaml) {
  const auto manifest = parse_manifests(yaml, "test.yaml");
  ASSERT_TRUE(manifest) << manifest.error();
  for (const ManifestObject& object : manifest->objects) {
    model.upsert(key_of(source, object.object), std::make_shared<const v1::Object>(object.object));
  }
}

void World::remove(v1::Kind kind, const std::string& name, const std::string& ns) {
  model.remove({kManualSource, kind, kind_is_namespaced(kind) ? ns : "", name});
}

void World::take_requests() {
  for (const ServiceKey& key : model.take_changed()) {
    const ServiceInputs inputs = model.inputs(key);
    if (inputs.service == nullptr) {
      plans.erase(key);
    } else {
      plans[key] = plan_service(inputs, settings);
    }
  }
}

Allocation World::allocate_only() {
  take_requests();
  std::vector<const AddressRequest*> requests;
  for (const auto& [key, plan] : plans) {
    if (plan.wanted) requests.push_back(&plan.request);
  }
  const auto pools = model.pools();
  AllocationInputs inputs;
  inputs.requests = requests;
  inputs.pools = &pools;
  inputs.ledger = &ledger;
  inputs.now_unix_ms = now_unix_ms;
  inputs.services_known = [this](const std::string& source) {
    return model.complete(source, v1::KIND_SERVICE);
  };
  inputs.find_namespace = [this](const std::string& source, const std::string& name) {
    return model.find({source, v1::KIND_NAMESPACE, "", name});
  };
  inputs.withdrawn_everywhere = [this](const IpAddress&) { return withdrawn; };
  return allocate(inputs);
}

Desired World::build() {
  const auto pools = model.pools();
  DesiredInputs inputs;
  inputs.plans = &plans;
  inputs.ledger = &ledger;
  inputs.pools = &pools;
  inputs.settings = settings;
  inputs.reported = &dataplane;
  inputs.source_held = [this](const std::string& source) {
    return !model.complete(source, v1::KIND_SERVICE);
  };
  inputs.node = [this](const std::string& source, const std::string& name) {
    return model.find({source, v1::KIND_NODE, "", name});
  };
  inputs.nodes_known = [this](const std::string& source) {
    return model.complete(source, v1::KIND_NODE);
  };
  inputs.capacity = capacity;
  inputs.generation = generation;
  return build_desired(inputs, &ids);
}

void World::step() {
  ++generation;
  allocation = allocate_only();
  for (const v1::Address& record : allocation.writes) {
    // The ledger's script: each write is the next revision.
    v1::Address& stored = ledger[*IpAddress::from_bytes(record.address())];
    ASSERT_EQ(record.revision(), stored.revision() + 1);
    stored = record;
  }
  ids.adopt(dataplane);
  desired = build();
  last = difference(desired.state, dataplane);
  dataplane = desired.state;
}

std::string World::text() const {
  std::string out;
  for (const auto& [key, outcome] : desired.outcomes) {
    out += "service " + key.ns + "/" + key.name + " backends=" + std::to_string(outcome.backends) +
           " draining=" + std::to_string(outcome.draining);
    for (const std::string& address : outcome.addresses) out += " " + address;
    out += "\n";
    std::vector<v1::Condition> conditions;
    if (const auto at = allocation.conditions.find(key); at != allocation.conditions.end()) {
      conditions.push_back(at->second);
    }
    if (const auto at = allocation.warnings.find(key); at != allocation.warnings.end()) {
      conditions.insert(conditions.end(), at->second.begin(), at->second.end());
    }
    const auto& plan = plans.at(key).conditions;
    conditions.insert(conditions.end(), plan.begin(), plan.end());
    conditions.insert(conditions.end(), outcome.conditions.begin(), outcome.conditions.end());
    for (const v1::Condition& c : conditions) {
      out += "  " + c.type() + " " + c.status() + " " + c.reason() + ": " + c.message() + "\n";
    }
  }
  for (const auto& [name, vip] : dataplane.vips) append_vip(*vip, dataplane, &out);
  for (const auto& [address, served] : dataplane.addresses) {
    out += "address " + address.text() +
           (served->unserved_ports() == v1::UNSERVED_PORTS_DROP ? " drop" : " reject") + "\n";
  }
  return out;
}

std::string World::condition(const std::string& name) const {
  return condition(kManualSource, name);
}

std::string World::condition(const std::string& source, const std::string& name) const {
  const auto at = allocation.conditions.find({source, "default", name});
  if (at == allocation.conditions.end()) return "none";
  return at->second.status() + " " + at->second.reason() + ": " + at->second.message();
}

std::vector<std::string> World::warnings(const std::string& name) const {
  std::vector<std::string> texts;
  const auto at = allocation.warnings.find({kManualSource, "default", name});
  if (at == allocation.warnings.end()) return texts;
  for (const v1::Condition& c : at->second) texts.push_back(c.reason() + ": " + c.message());
  return texts;
}

const v1::Vip* World::vip(const std::string& address, std::uint32_t port) const {
  const auto at = dataplane.vips.find({*IpAddress::parse(address), v1::PROTOCOL_TCP, port});
  return at == dataplane.vips.end() ? nullptr : at->second.get();
}

}  // namespace sluice
