#include "control/cli/pool_usage.h"

#include <algorithm>
#include <array>
#include <map>

#include "control/cli/age.h"
#include "control/cli/object_tables.h"
#include "control/cli/table.h"
#include "control/model/label_selector.h"
#include "proto/address_range.h"

namespace sluice {
namespace {

constexpr std::uint64_t kLargestRange = std::uint64_t{1} << 62;
constexpr std::size_t kMostRows = 10'000;
constexpr std::size_t kMostNamed = 5;

std::vector<AddressRange> ranges_of(const v1::AddressPoolSpec& pool) {
  std::vector<AddressRange> ranges;
  for (const std::string& text : pool.addresses()) {
    if (auto range = AddressRange::parse(text)) ranges.push_back(*range);
  }
  return ranges;
}

template <typename Visit>
void each_record(const v1::AddressPoolSpec& pool, const Ledger& ledger, Visit visit) {
  for (const AddressRange& range : ranges_of(pool)) {
    for (auto at = ledger.lower_bound(range.first); at != ledger.end() && range.contains(at->first);
         ++at) {
      visit(at->first, at->second);
    }
  }
}

v1::PoolUsage* usage_for(const IpAddress& address, v1::AddressPoolStatus* status) {
  return address.is_v4() ? status->mutable_ipv4() : status->mutable_ipv6();
}

std::string holder_name(const v1::AddressHolder& holder) {
  return holder.source() + "/" + holder.namespace_() + "/" + holder.name();
}

std::string ports_of(const v1::AddressHolder& holder) {
  std::vector<std::string> ports;
  for (const v1::HeldPort& port : holder.ports()) {
    ports.push_back(std::to_string(port.port()) + "/" + port.protocol());
  }
  return joined(ports);
}

std::string line(const std::string& label, const std::string& value) {
  std::string text = label + ":";
  text.append(text.size() < 22 ? 22 - text.size() : 1, ' ');
  return text + printable(value) + '\n';
}

std::string all_or(const google::protobuf::RepeatedPtrField<std::string>& names) {
  return names.empty() ? "<all>" : joined({names.begin(), names.end()});
}

std::string or_all(const v1::LabelSelector& selector) {
  return is_empty(selector) ? "<all>" : selector_text(selector);
}

std::string or_default(const std::string& text, const char* otherwise) {
  return text.empty() ? otherwise : text;
}

std::string holders_table(const v1::AddressPool& pool, const Ledger& ledger,
                          std::chrono::system_clock::time_point now) {
  Table table({"ADDRESS", "STATE", "SERVICE", "PORTS", "SHARING-KEY"});
  std::size_t rows = 0, left_out = 0;
  const auto add = [&](std::vector<std::string> row) {
    if (++rows <= kMostRows) {
      table.add(std::move(row));
    } else {
      ++left_out;
    }
  };
  each_record(pool.spec(), ledger, [&](const IpAddress& address, const v1::Address& record) {
    for (const v1::AddressHolder& holder : record.holders()) {
      add({address.text(), holder.external_ip() ? "external" : "used", holder_name(holder),
           ports_of(holder), holder.sharing_key()});
    }
    if (!record.holders().empty()) return;
    const std::int64_t now_ms =
        std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count();
    const std::int64_t seconds =
        std::max<std::int64_t>(0, (now_ms - record.released_unix_ms()) / 1000);
    add({address.text(), "released " + std::to_string(seconds) + "s ago",
         record.has_last_holder() ? holder_name(record.last_holder()) : "<none>", "", ""});
  });
  if (table.empty()) return line("Addresses held", "<none>");
  std::string text = "Addresses held:\n";
  const std::string body = table.text();
  for (std::size_t from = 0; from < body.size();) {
    const std::size_t end = std::min(body.find('\n', from), body.size());
    text += "  " + body.substr(from, end - from) + '\n';
    from = end + 1;
  }
  if (left_out > 0) text += "  and " + std::to_string(left_out) + " more\n";
  return text;
}

}  // namespace

v1::AddressPoolStatus usage_of(const v1::AddressPoolSpec& pool, const Ledger& ledger) {
  v1::AddressPoolStatus status;
  for (const AddressRange& range : ranges_of(pool)) {
    v1::PoolUsage& usage = *usage_for(range.first, &status);
    usage.set_total(usage.total() + std::min(range.size(), kLargestRange));
  }
  each_record(pool, ledger, [&](const IpAddress& address, const v1::Address& record) {
    v1::PoolUsage& usage = *usage_for(address, &status);
    if (record.holders().empty()) {
      usage.set_on_hold(usage.on_hold() + 1);
    } else {
      usage.set_used(usage.used() + 1);
    }
  });
  for (v1::PoolUsage* usage : {status.has_ipv4() ? status.mutable_ipv4() : nullptr,
                               status.has_ipv6() ? status.mutable_ipv6() : nullptr}) {
    if (usage == nullptr) continue;
    const std::uint64_t taken = usage->used() + usage->on_hold();
    usage->set_free(usage->total() > taken ? usage->total() - taken : 0);
  }
  return status;
}

std::string usage_text(const v1::AddressPoolStatus& status,
                       std::uint64_t (v1::PoolUsage::*number)() const) {
  const std::string v4 = count_text((status.ipv4().*number)());
  const std::string v6 = count_text((status.ipv6().*number)());
  if (status.has_ipv4() && status.has_ipv6()) return "IPv4:" + v4 + ",IPv6:" + v6;
  return status.has_ipv6() ? v6 : v4;
}

std::vector<std::string> overlapping(const v1::AddressPool& pool,
                                     const std::vector<const v1::AddressPool*>& all) {
  std::vector<std::string> names;
  const std::vector<AddressRange> own = ranges_of(pool.spec());
  for (const v1::AddressPool* other : all) {
    if (other->metadata().name() == pool.metadata().name()) continue;
    const std::vector<AddressRange> theirs = ranges_of(other->spec());
    const bool meets = std::ranges::any_of(own, [&](const AddressRange& a) {
      return std::ranges::any_of(theirs, [&](const AddressRange& b) { return a.overlaps(b); });
    });
    if (meets) names.push_back(other->metadata().name());
  }
  return names;
}

std::string describe_pool(const v1::AddressPool& pool,
                          const std::vector<const v1::AddressPool*>& all, const Ledger& ledger,
                          std::chrono::system_clock::time_point now) {
  const v1::AddressPoolSpec& spec = pool.spec();
  const v1::AddressPoolStatus status = usage_of(spec, ledger);
  const std::vector<std::string> others = overlapping(pool, all);
  std::string text = line("Name", pool.metadata().name());
  text += line("Age", age_since(pool.metadata().creation_timestamp(), now));
  text += line("Addresses", joined({spec.addresses().begin(), spec.addresses().end()}));
  text += line("Auto-assign", spec.has_auto_assign() && !spec.auto_assign() ? "false" : "true");
  text += line("Priority", std::to_string(spec.priority()));
  text += line("Clusters", all_or(spec.clusters()));
  text += line("Namespaces", all_or(spec.namespaces()));
  text += line("Namespace Selector", or_all(spec.namespace_selector()));
  text += line("Service Selector", or_all(spec.service_selector()));
  text += line("External IPs", spec.allow_external_ips() ? "allowed" : "not allowed");
  text += line("Sharing", or_default(spec.sharing(), "namespace"));
  text += line("Forwarding Mode", or_default(spec.forwarding_mode(), "<the gateway's default>"));
  text += line("Overlay", or_default(spec.overlay(), "<the gateway's default>"));
  text += line("Unserved Ports", or_default(spec.unserved_ports(), "reject"));
  text += line("Used", usage_text(status, &v1::PoolUsage::used));
  text += line("On hold", usage_text(status, &v1::PoolUsage::on_hold));
  text += line("Free", usage_text(status, &v1::PoolUsage::free));
  if (!others.empty()) text += line("Warning", "overlaps pools " + joined(others));
  return text + holders_table(pool, ledger, now);
}

std::vector<std::string> pool_warnings(const std::vector<const v1::AddressPool*>& applied,
                                       const std::vector<const v1::AddressPool*>& existing,
                                       const Ledger& ledger) {
  std::map<std::string, const v1::AddressPool*> after;
  for (const v1::AddressPool* pool : existing) after[pool->metadata().name()] = pool;
  for (const v1::AddressPool* pool : applied) after[pool->metadata().name()] = pool;
  std::vector<const v1::AddressPool*> all;
  for (const auto& [name, pool] : after) all.push_back(pool);
  std::vector<std::string> warnings;
  for (const v1::AddressPool* pool : applied) {
    const std::string& name = pool->metadata().name();
    if (const auto others = overlapping(*pool, all); !others.empty()) {
      warnings.push_back("pool " + name + " overlaps " + joined(others) +
                         ": addresses in both are given out once, by the pool of higher priority "
                         "that admits the Service");
    }
    std::vector<std::string> outside;
    std::size_t count = 0;
    const std::vector<AddressRange> ranges = ranges_of(pool->spec());
    for (const auto& [address, record] : ledger) {
      if (record.pool() != name || record.holders().empty()) continue;
      const auto has = [&address = address](const auto& range) { return range.contains(address); };
      if (std::ranges::any_of(ranges, has)) continue;
      if (++count <= kMostNamed) {
        outside.push_back(address.text() + " (" + holder_name(record.holders(0)) + ")");
      }
    }
    if (count == 0) continue;
    warnings.push_back(
        "pool " + name + " no longer has " + joined(outside) +
        (count > kMostNamed ? " and " + std::to_string(count - kMostNamed) + " more" : "") +
        "; who holds them keeps them");
  }
  return warnings;
}

}  // namespace sluice
