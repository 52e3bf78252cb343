#include "control/model/node_path.h"

#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>

#include <array>
#include <charconv>
#include <cmath>

namespace sluice {
namespace {

constexpr std::size_t kLongestBackendData = 4096;
constexpr double kMaxVni = (1 << 24) - 1;

struct Annotations {
  const char* flannel_address;
  const char* calico_address;
  const char* flannel_data;
};
constexpr std::array<Annotations, 2> kAnnotations{{
    {"flannel.alpha.coreos.com/public-ip", "projectcalico.org/IPv4Address",
     "flannel.alpha.coreos.com/backend-data"},
    {"flannel.alpha.coreos.com/public-ipv6", "projectcalico.org/IPv6Address",
     "flannel.alpha.coreos.com/backend-v6-data"},
}};

// nullptr: there is none, or it is empty.
const std::string* annotation(const v1::Node& node, const char* name) {
  const auto at = node.metadata().annotations().find(name);
  return at == node.metadata().annotations().end() || at->second.empty() ? nullptr : &at->second;
}

bool can_be_a_node(const IpAddress& address, IpFamily family) {
  return family_of(address) == family && !address.is_unspecified() && !address.is_loopback() &&
         !address.is_multicast() && !address.is_link_local();
}

Result<IpAddress> annotated_address(const std::string& name, std::string text, IpFamily family) {
  const auto address = IpAddress::parse(text.substr(0, text.find('/')));  // Calico's has a prefix.
  if (address && can_be_a_node(*address, family)) return *address;
  return Error{name + ": \"" + text.substr(0, 100) + "\" is not an " + family_name(family) +
               " address packets can be sent to"};
}

Result<IpAddress> address_of(const v1::Node& node, IpFamily family) {
  const Annotations& names = kAnnotations[static_cast<std::size_t>(family)];
  for (const char* name : {names.flannel_address, names.calico_address}) {
    if (const std::string* text = annotation(node, name))
      return annotated_address(name, *text, family);
  }
  for (const v1::NodeAddress& known : node.status().addresses()) {
    if (known.type() != "InternalIP") continue;
    const auto address = IpAddress::parse(known.address());
    if (address && can_be_a_node(*address, family)) return *address;
  }
  return Error{std::string("has no ") + family_name(family) + " address: neither " +
               names.flannel_address + " nor " + names.calico_address + " nor an InternalIP"};
}

// "aa:bb:cc:dd:ee:ff" of one station to its six bytes.
Result<std::string> mac_of(const std::string& text) {
  const Error wrong{"VtepMAC \"" + text.substr(0, 100) + "\" is not a unicast MAC address"};
  if (text.size() != 17) return wrong;
  std::string bytes;
  for (std::size_t at = 0; at < text.size(); at += 3) {
    std::uint8_t byte = 0;
    const char* end = text.data() + at + 2;
    const auto [stop, code] = std::from_chars(text.data() + at, end, byte, 16);
    if (code != std::errc() || stop != end || (at + 2 < text.size() && text[at + 2] != ':'))
      return wrong;
    bytes += static_cast<char>(byte);
  }
  if ((bytes[0] & 1) != 0 || bytes == std::string(6, '\0')) return wrong;
  return bytes;
}

Status read_flannel_data(const std::string& text, v1::Overlay* overlay) {
  google::protobuf::Struct data;
  if (text.size() > kLongestBackendData ||
      !google::protobuf::util::JsonStringToMessage(text, &data).ok()) {
    return Error{"is not a JSON object such as {\"VNI\":1,\"VtepMAC\":\"...\"}"};
  }
  const auto vni = data.fields().find("VNI");
  if (vni == data.fields().end()) return Error{"has no VNI"};
  const double number = vni->second.kind_case() == google::protobuf::Value::kNumberValue
                            ? vni->second.number_value()
                            : -1;
  if (!(number >= 0 && number <= kMaxVni) || number != std::floor(number))
    return Error{"VNI is not a whole number from 0 to 16777215"};
  const auto mac = data.fields().find("VtepMAC");
  if (mac == data.fields().end()) return Error{"has no VtepMAC"};
  auto bytes = mac_of(mac->second.string_value());
  if (!bytes) return Error{bytes.error()};
  overlay->set_vni(static_cast<std::uint32_t>(number));
  overlay->set_mac(std::move(*bytes));
  overlay->set_port(kFlannelPort);
  return Ok{};
}

}  // namespace

Result<v1::Overlay> overlay_to(const v1::Node& node, v1::OverlayKind kind, IpFamily family) {
  const auto remote = address_of(node, family);
  if (!remote) return Error{remote.error()};
  v1::Overlay overlay;
  overlay.set_kind(kind);
  overlay.set_remote(remote->bytes());
  if (kind != v1::OVERLAY_KIND_VXLAN) return overlay;
  const char* name = kAnnotations[static_cast<std::size_t>(family)].flannel_data;
  const std::string* data = annotation(node, name);
  if (data == nullptr) return Error{std::string("lacks the annotation ") + name};
  if (Status status = read_flannel_data(*data, &overlay); !status)
    return Error{std::string(name) + ": " + status.error()};
  return overlay;
}

bool is_address_of(const v1::Node& node, const IpAddress& address) {
  for (const v1::NodeAddress& known : node.status().addresses()) {
    if (known.type() != "InternalIP" && known.type() != "ExternalIP") continue;
    if (IpAddress::parse(known.address()) == address) return true;
  }
  const auto remote = address_of(node, family_of(address));
  return remote && *remote == address;
}

}  // namespace sluice
