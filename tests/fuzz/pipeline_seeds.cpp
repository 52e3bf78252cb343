// Writes the first inputs of pipeline_fuzz: pipeline_seeds FOLDER.
#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include "dataplane/packet/sctp.h"
#include "tests/fuzz/packet_edit.h"
#include "tests/fuzz/pipeline_input.h"
#include "tests/fuzz/pipeline_world.h"
#include "tests/fuzz/seed_folder.h"

namespace sluice::fuzz {
namespace {

using test::Packet;

constexpr std::uint8_t kHeadroom = 128;

// SCTP is made of UDP, whose header is shorter; checksums are put right later.
test::Bytes bytes_of(Packet packet) {
  if (packet.protocol != kProtocolSctp) return test::build(packet);
  packet.protocol = kProtocolUdp;
  packet.payload += sizeof(SctpHeader) - sizeof(UdpHeader);
  test::Bytes bytes = test::build(packet);
  const bool v4 = test::get16(bytes, 12) == Ipv4::kEtherType;
  bytes[sizeof(EthernetHeader) + (v4 ? 9 : 6)] = kProtocolSctp;
  return bytes;
}

void add(std::string& out, const test::Bytes& bytes, unsigned flags = Step::kRepair,
         std::uint8_t amount = 64, std::uint8_t ticks = 0) {
  Step step;
  step.flags = static_cast<std::uint16_t>(flags);
  step.headroom = kHeadroom;
  step.amount = amount;
  step.ticks = ticks;
  step.bytes = {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  write_step(out, step);
}
void add(std::string& out, const Packet& packet, unsigned flags = Step::kRepair,
         std::uint8_t amount = 64, std::uint8_t ticks = 0) {
  add(out, bytes_of(packet), flags, amount, ticks);
}
void add_reply(std::string& out, std::uint8_t tcp_flags, unsigned flags = Step::kFromBackends) {
  add(out, test::Bytes{}, flags | Step::kReply | Step::kRepair, tcp_flags);
}
// A router between the gateway and the backends; `which` as in error_about().
void add_error(std::string& out, std::uint8_t which, unsigned flags = Step::kFromBackends) {
  constexpr std::uint8_t kMtu[2] = {1300 >> 8, 1300 & 255};
  add(out, test::Bytes(kMtu, kMtu + 2), flags | Step::kError, which);
}

template <typename Family>
void write_pipeline(const Folder& folder, const std::string& family) {
  using test::from_client;
  std::string connection;  // A handshake, an answer, time, an end; then the same for UDP.
  add(connection, from_client<Family>(1));
  add_reply(connection, kTcpSyn | kTcpAck);
  add(connection, from_client<Family>(1, kTcpAck));
  add(connection, from_client<Family>(1, kTcpAck), Step::kTime | Step::kSameBurst, 0, 4);
  add(connection, from_client<Family>(1, kTcpFin | kTcpAck), Step::kSameBurst);
  add_reply(connection, kTcpFin | kTcpAck);
  add(connection, from_client<Family>(2, 0, kProtocolUdp), Step::kOtherWorker);
  add_reply(connection, 0);
  folder.write(family + "-nat", connection);

  std::string flood;  // More flows than ports, records and table have room for.
  for (unsigned n = 0; n < 80; ++n) {
    add(flood, from_client<Family>(n), Step::kRepair | Step::kSameBurst, 0);
    add(flood, from_client<Family>(n, 0, kProtocolUdp), Step::kRepair | Step::kSameBurst, 0);
  }
  add(flood, from_client<Family>(1), Step::kTime, 0, 255);
  folder.write(family + "-flood", flood);

  std::string direct, others;
  Packet packet = from_client<Family>(3);
  packet.destination = direct_vip<Family>();
  add(direct, packet);
  packet.flags = kTcpAck;
  packet.payload = 600;
  add(direct, packet, Step::kTime | Step::kSteered, 0, 3);
  add(direct, packet, Step::kSplit, 128);
  packet.vlans = {7, 9};
  add(direct, packet, Step::kRepair | Step::kSameBurst);
  packet.protocol = kProtocolUdp;
  packet.destination_port = 53;
  add(direct, packet);
  folder.write(family + "-direct", direct);

  // Nobody's port, of an address that answers and one that does not; ping; a stranger; VLANs.
  packet = from_client<Family>(4);
  packet.destination_port = 9999;
  packet.payload = 40;
  add(others, packet);
  packet.protocol = kProtocolUdp;
  packet.vlans = {7};
  add(others, packet, Step::kRepair | Step::kSameBurst, 255);
  packet.destination = direct_vip<Family>();
  add(others, packet);
  packet.protocol = Family::kAddressBytes == 4 ? kProtocolIcmp : kProtocolIcmp6;
  add(others, packet);
  packet.destination = test::Net<Family>::client(5);
  add(others, packet);
  packet = from_client<Family>(6);
  packet.ip_options = {1, 1, 1, 0};
  packet.extensions = {{kIpv6HopByHop, {0, 0, 1, 4, 0, 0, 0, 0}},
                       {kIpv6Fragment, {0, 0, 0, 0, 0, 0, 0, 1}}};
  packet.tcp_options = {2, 4, 5, 180, 1, 1, 1, 0};
  packet.padding = 6;
  add(others, packet);
  for (std::uint16_t port : {81, 82, 83}) {
    packet.destination_port = port;
    add(others, packet, Step::kRepair | Step::kSameBurst);
  }
  folder.write(family + "-others", others);
}

// A whole packet in two fragments, the second from byte `cut` of its transport on.
template <typename Family>
std::vector<test::Bytes> fragments(const Packet& packet, std::uint16_t cut) {
  const test::Bytes whole = bytes_of(packet);
  const bool v4 = Family::kAddressBytes == 4;
  const std::size_t l3 = sizeof(EthernetHeader), l4 = l3 + sizeof(IpHeader<Family>);
  std::vector<test::Bytes> parts;
  for (const bool later : {false, true}) {
    test::Bytes b(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(l4));
    const std::size_t begin = l4 + (later ? cut : 0), end = later ? whole.size() : l4 + cut;
    if (v4) {
      const unsigned field = later ? cut / 8u : kIpv4MoreFragments;
      b[l3 + 6] = static_cast<std::uint8_t>(field >> 8);
      b[l3 + 7] = static_cast<std::uint8_t>(field);
    } else {
      b[l3 + 6] = kIpv6Fragment;
      b.insert(b.end(), {packet.protocol, 0});
      test::put16(b, later ? cut : 1u);
      test::put32(b, 7);
    }
    b.insert(b.end(), whole.begin() + static_cast<std::ptrdiff_t>(begin),
             whole.begin() + static_cast<std::ptrdiff_t>(end));
    const std::size_t length = b.size() - (v4 ? l3 : l4);
    b[v4 ? l3 + 2 : l3 + 4] = static_cast<std::uint8_t>(length >> 8);
    b[v4 ? l3 + 3 : l3 + 5] = static_cast<std::uint8_t>(length);
    parts.push_back(b);
  }
  return parts;
}

// To a port of pipeline_world's, in every way packets of a flow come.
template <typename Family>
void write_flow(const Folder& folder, const std::string& name, const std::string& vip,
                std::uint8_t protocol, unsigned port) {
  Packet packet = test::from_client<Family>(7, kTcpSyn, protocol);
  packet.destination = vip;
  packet.destination_port = port;
  packet.tcp_options = {2, 4, 5, 180, 1, 1, 8, 10, 0, 0, 0, 9, 0, 0, 0, 0};
  std::string out;
  add(out, packet);
  add_reply(out, kTcpSyn | kTcpAck);
  packet.flags = kTcpAck;
  packet.sequence += 1;
  packet.tcp_options = {1, 1, 8, 10, 0, 0, 0,  10, 0, 0, 0,  5,
                        1, 1, 5, 10, 0, 0, 20, 0,  0, 0, 30, 0};
  packet.payload = 0;
  add(out, packet);
  packet.flags = kTcpAck | kTcpPsh;
  packet.payload = 101;
  add(out, packet, Step::kRepair | Step::kTime, 0, 4);
  add_error(out, 0);
  add(out, packet);
  add_error(out, 8 * 31 + 1);
  add(out, packet, Step::kSplit | Step::kRepair, 128);
  add_reply(out, kTcpAck);
  add_error(out, 3, 0);
  // Established by now, and where the NIC steers.
  add(out, packet, Step::kRepair | Step::kSteered);
  add_reply(out, kTcpAck, Step::kFromBackends | Step::kSteered);
  add(out, packet, Step::kRepair | Step::kSteered | Step::kOtherWorker);
  add_reply(out, kTcpAck, Step::kFromBackends | Step::kSteered | Step::kOtherWorker);
  Packet answer = packet;  // Straight to the client.
  std::swap(answer.source, answer.destination);
  std::swap(answer.source_port, answer.destination_port);
  add(out, error_about(bytes_of(answer), 8 * 20, 1300));
  const auto parts = fragments<Family>(packet, 48);
  add(out, parts[0], Step::kRepair);
  add(out, parts[1], Step::kRepair);
  add(out, parts[1], Step::kRepair | Step::kTime, 0, 80);  // Now the other way round.
  add(out, parts[0], Step::kRepair);
  add(out, parts[0], Step::kSplit | Step::kRepair | Step::kOtherWorker, 170);
  packet.payload = 1360;
  add(out, packet);
  packet.fragment = kIpv4DontFragment;
  add(out, packet);
  packet.ttl = 1;
  add(out, packet, Step::kRepair | Step::kSameBurst);
  folder.write(name, out);
}

template <typename Family>
void write_modes(const Folder& folder, const std::string& family) {
  struct Port {
    const char* name;
    bool direct;
    std::uint8_t protocol;
    unsigned port;
  };
  constexpr Port kPorts[] = {
      {"nat-tcp", false, kProtocolTcp, 80},     {"proxy", false, kProtocolTcp, 84},
      {"overlay-tcp", false, kProtocolTcp, 85}, {"overlay-proxy", false, kProtocolTcp, 86},
      {"overlay-udp", false, kProtocolUdp, 85}, {"dnat-tcp", false, kProtocolTcp, 88},
      {"dnat-udp", false, kProtocolUdp, 88},    {"dnat-sctp", false, kProtocolSctp, 88},
      {"sctp", false, kProtocolSctp, 80},       {"quic", false, kProtocolUdp, 443},
      {"ipip-tcp", true, kProtocolTcp, 90},     {"gue-udp", true, kProtocolUdp, 90},
      {"gue-sctp", true, kProtocolSctp, 90},    {"gue-quic", true, kProtocolUdp, 443},
      {"nat64-tcp", false, kProtocolTcp, 87},   {"nat64-udp", false, kProtocolUdp, 87},
  };
  for (const Port& port : kPorts) {
    const std::string vip = port.direct ? direct_vip<Family>() : test::Net<Family>::vip();
    write_flow<Family>(folder, family + "-" + port.name, vip, port.protocol, port.port);
  }
}

}  // namespace
}  // namespace sluice::fuzz

int main(int argc, char** argv) {
  using namespace sluice;
  if (argc != 2) {
    std::cerr << "usage: pipeline_seeds FOLDER\n";
    return 2;
  }
  const fuzz::Folder folder(argv[1]);
  fuzz::write_pipeline<Ipv4>(folder, "ipv4");
  fuzz::write_pipeline<Ipv6>(folder, "ipv6");
  fuzz::write_modes<Ipv4>(folder, "ipv4");
  fuzz::write_modes<Ipv6>(folder, "ipv6");
}
