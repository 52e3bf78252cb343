#include "tests/unit/kernel/wire.h"

#include <algorithm>
#include <cstring>
#include <thread>

namespace sluice::test {
namespace {

constexpr std::size_t kEthernet = 14;

std::uint16_t be16(const std::uint8_t* at) {
  return static_cast<std::uint16_t>(at[0] << 8 | at[1]);
}

void put16(Bytes& bytes, std::size_t at, std::uint32_t value) {
  bytes[at] = static_cast<std::uint8_t>(value >> 8);
  bytes[at + 1] = static_cast<std::uint8_t>(value);
}

void append(Bytes& bytes, const void* data, std::size_t length) {
  const auto* begin = static_cast<const std::uint8_t*>(data);
  bytes.insert(bytes.end(), begin, begin + length);
}

Bytes ethernet(const Mac& to, const Mac& from, std::uint16_t type) {
  Bytes frame;
  append(frame, to.data(), to.size());
  append(frame, from.data(), from.size());
  frame.push_back(static_cast<std::uint8_t>(type >> 8));
  frame.push_back(static_cast<std::uint8_t>(type));
  return frame;
}

// RFC 1071.
std::uint16_t checksum(const Bytes& bytes) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < bytes.size(); i += 2) {
    sum += static_cast<std::uint32_t>(bytes[i] << 8) + (i + 1 < bytes.size() ? bytes[i + 1] : 0u);
  }
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}

Bytes arp(const Mac& to, std::uint16_t operation, const Mac& sender_mac, const IpAddress& sender,
          const Mac& target_mac, const IpAddress& target) {
  Bytes frame = ethernet(to, sender_mac, 0x0806);
  const std::uint8_t fixed[] = {0, 1, 8, 0, 6, 4, 0, static_cast<std::uint8_t>(operation)};
  append(frame, fixed, sizeof fixed);
  append(frame, sender_mac.data(), 6);
  append(frame, sender.data(), 4);
  append(frame, target_mac.data(), 6);
  append(frame, target.data(), 4);
  return frame;
}

// An ICMPv6 message in its IPv6 header, with the hop limit 255 that neighbour discovery asks for.
Bytes icmp6(const Mac& to_mac, const Mac& from_mac, const IpAddress& from, const IpAddress& to,
            Bytes message) {
  Bytes pseudo;
  append(pseudo, from.data(), 16);
  append(pseudo, to.data(), 16);
  const std::uint8_t tail[] = {0, 0, 0, static_cast<std::uint8_t>(message.size()), 0, 0, 0, 58};
  append(pseudo, tail, sizeof tail);
  append(pseudo, message.data(), message.size());
  put16(message, 2, checksum(pseudo));
  Bytes frame = ethernet(to_mac, from_mac, 0x86dd);
  const std::uint8_t header[] = {0x60, 0,  0, 0, 0, static_cast<std::uint8_t>(message.size()),
                                 58,   255};
  append(frame, header, sizeof header);
  append(frame, from.data(), 16);
  append(frame, to.data(), 16);
  append(frame, message.data(), message.size());
  return frame;
}

Bytes neighbour_message(std::uint8_t type, std::uint8_t flags, const IpAddress& target,
                        std::uint8_t option, const Mac& mac) {
  Bytes message = {type, 0, 0, 0, flags, 0, 0, 0};
  append(message, target.data(), 16);
  const std::uint8_t header[] = {option, 1};
  append(message, header, sizeof header);
  append(message, mac.data(), 6);
  return message;
}

bool is_icmp6(const Bytes& frame, std::uint8_t type) {
  return frame.size() >= kEthernet + 40 + 8 && be16(&frame[12]) == 0x86dd &&
         frame[kEthernet + 6] == 58 && frame[kEthernet + 40] == type;
}

bool is_arp(const Bytes& frame, std::uint16_t operation) {
  return frame.size() >= kEthernet + 28 && be16(&frame[12]) == 0x0806 &&
         be16(&frame[kEthernet + 6]) == operation;
}

Mac mac_at(const Bytes& frame, std::size_t at) {
  Mac mac;
  std::memcpy(mac.data(), &frame[at], mac.size());
  return mac;
}

}  // namespace

Bytes arp_request(const Mac& from_mac, const IpAddress& from, const IpAddress& target) {
  return arp({0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, 1, from_mac, from, {}, target);
}

Bytes neighbour_solicitation(const Mac& from_mac, const IpAddress& from, const IpAddress& target) {
  const std::uint8_t* t = target.data();
  const std::uint8_t group[16] = {0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, t[13], t[14], t[15]};
  return icmp6({0x33, 0x33, 0xff, t[13], t[14], t[15]}, from_mac, from, IpAddress::v6(group),
               neighbour_message(135, 0, target, 1, from_mac));
}

Bytes echo_request(const Mac& to_mac, const Mac& from_mac, const IpAddress& from,
                   const IpAddress& to) {
  if (from.is_v6()) return icmp6(to_mac, from_mac, from, to, {128, 0, 0, 0, 0, 1, 0, 1});
  Bytes message = {8, 0, 0, 0, 0, 1, 0, 1};
  put16(message, 2, checksum(message));
  Bytes header = {0x45, 0, 0, 28, 0, 0, 0, 0, 64, 1, 0, 0};
  append(header, from.data(), 4);
  append(header, to.data(), 4);
  put16(header, 10, checksum(header));
  Bytes frame = ethernet(to_mac, from_mac, 0x0800);
  append(frame, header.data(), header.size());
  append(frame, message.data(), message.size());
  return frame;
}

bool is_arp_reply(const Bytes& frame, const IpAddress& of) {
  return is_arp(frame, 2) && IpAddress::v4(&frame[kEthernet + 14]) == of;
}

bool is_neighbour_advertisement(const Bytes& frame, const IpAddress& of) {
  return is_icmp6(frame, 136) && frame.size() >= kEthernet + 64 &&
         IpAddress::v6(&frame[kEthernet + 48]) == of;
}

bool is_echo_reply(const Bytes& frame, const IpAddress& from, const IpAddress& to) {
  if (from.is_v6()) {
    return is_icmp6(frame, 129) && IpAddress::v6(&frame[kEthernet + 8]) == from &&
           IpAddress::v6(&frame[kEthernet + 24]) == to;
  }
  return frame.size() >= kEthernet + 28 && be16(&frame[12]) == 0x0800 &&
         frame[kEthernet + 9] == 1 && frame[kEthernet + 20] == 0 &&
         IpAddress::v4(&frame[kEthernet + 12]) == from &&
         IpAddress::v4(&frame[kEthernet + 16]) == to;
}

void Wire::add_host(const IpAddress& address, const Mac& mac) {
  const std::lock_guard lock(mutex_);
  hosts_[address] = mac;
}

void Wire::remove_host(const IpAddress& address) {
  const std::lock_guard lock(mutex_);
  hosts_.erase(address);
}

void Wire::add(std::uint16_t port, bool resolve, NextHopIndex next_hop, Bytes frame) {
  const std::lock_guard lock(mutex_);
  auto packet = std::make_unique<Packet>();
  packet->frame = std::move(frame);
  packet->punted = {packet.get(),
                    packet->frame.data(),
                    static_cast<std::uint32_t>(packet->frame.size()),
                    port,
                    resolve,
                    next_hop};
  arriving_.push_back(packet.get());
  packets_.emplace(packet.get(), std::move(packet));
}

void Wire::inject(std::uint16_t port, Bytes frame) {
  add(port, false, kNoNextHop, std::move(frame));
}

void Wire::inject_waiting(NextHopIndex next_hop, Bytes frame) {
  add(0, true, next_hop, std::move(frame));
}

std::vector<Bytes> Wire::sent(const std::function<bool(const Bytes&)>& fits) const {
  const std::lock_guard lock(mutex_);
  std::vector<Bytes> found;
  for (const Bytes& frame : sent_) {
    if (!fits || fits(frame)) found.push_back(frame);
  }
  return found;
}

std::size_t Wire::asked_for(const IpAddress& address) const {
  const std::lock_guard lock(mutex_);
  const auto found = asked_.find(address);
  return found == asked_.end() ? 0 : found->second;
}

std::vector<Wire::Transmitted> Wire::transmitted() const {
  const std::lock_guard lock(mutex_);
  return transmitted_;
}

std::size_t Wire::released() const {
  const std::lock_guard lock(mutex_);
  return released_;
}

std::size_t Wire::outstanding() const {
  const std::lock_guard lock(mutex_);
  return given_.size();
}

bool Wire::wait_until(const std::function<bool()>& done, double seconds) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  while (!done()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

bool Wire::receive(PuntedPacket& packet) {
  const std::lock_guard lock(mutex_);
  if (arriving_.empty()) return false;
  void* handle = arriving_.front();
  arriving_.pop_front();
  given_.insert(handle);
  packet = packets_.at(handle)->punted;
  return true;
}

void Wire::release(void* handle) {
  const std::lock_guard lock(mutex_);
  // Twice, or never given: the count then disagrees and the test says so.
  released_ += given_.erase(handle) == 1 ? 1 : 1000000;
}

bool Wire::send(std::uint16_t port, const std::uint8_t* frame, std::uint32_t length) {
  const std::lock_guard lock(mutex_);
  sent_.emplace_back(frame, frame + length);
  const Bytes copy = sent_.back();
  answer(port, copy);
  return true;
}

bool Wire::transmit(void* handle, std::uint16_t port) {
  const std::lock_guard lock(mutex_);
  if (given_.erase(handle) != 1) return false;
  transmitted_.push_back({packets_.at(handle)->frame, port});
  return true;
}

void Wire::answer(std::uint16_t port, const Bytes& frame) {
  if (is_arp(frame, 1)) {
    const IpAddress target = IpAddress::v4(&frame[kEthernet + 24]);
    ++asked_[target];
    const auto host = hosts_.find(target);
    if (host == hosts_.end()) return;
    const Mac to = mac_at(frame, kEthernet + 8);
    inject(port, arp(to, 2, host->second, target, to, IpAddress::v4(&frame[kEthernet + 14])));
  } else if (is_icmp6(frame, 135) && frame.size() >= kEthernet + 64) {
    const IpAddress target = IpAddress::v6(&frame[kEthernet + 48]);
    ++asked_[target];
    const auto host = hosts_.find(target);
    const IpAddress from = IpAddress::v6(&frame[kEthernet + 8]);
    if (host == hosts_.end() || from.is_unspecified()) return;
    inject(port, icmp6(mac_at(frame, 6), host->second, target, from,
                       neighbour_message(136, 0x60, target, 2, host->second)));
  }
}

}  // namespace sluice::test
