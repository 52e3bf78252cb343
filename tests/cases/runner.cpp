// case_runner: the gateway of gateway.h at the end of a pipe, for harness/gateway.py. Reads one
// command a line and answers each with one line: "ok ..." or "error SENTENCE".
//
//   new KEY=VALUE...                 a gateway without VIPs; workers, flows, nat-flows,
//                                    answers-per-second, new-flows-per-burst, macs=MAC,MAC
//   apply JSON                       an ApplyPart
//   hop INDEX KEY=VALUE...           port, state, on-link=0|1, destination=MAC, source=MAC
//   group INDEX HOP...               a multipath group
//   route PREFIX HOP                 "g0" is group 0
//   backend-hop ID HOP               the same
//   mtu PORT BYTES
//   tunnel-source PORT ADDRESS MASK  MASK: the bits that come from the flow's hash
//   nat-ports FIRST LAST
//   nat-source ADDRESS PORT NUMBER   port 65535: any
//   packet HEX KEY=VALUE...          added to the next burst; port, steered=0|1, contiguous,
//   tailroom run WORKER                       the burst; ok and for each packet
//   VERDICT,REASON,PORT,WORKER,HEX pass TICKS, sweep counters                         ok and
//   NAME=VALUE for each that is not 0 names                            ok reasons=NAME,...
//   modes=NAME,... (of the messages)
#include <algorithm>
#include <charconv>
#include <cstdio>
#include <iostream>
#include <map>
#include <optional>
#include <sstream>
#include <string_view>

#include "dataplane.pb.h"
#include "tests/cases/gateway.h"

namespace sluice::cases {
namespace {

// A command's words; keys that nobody asked for are an error, so that a misspelt one is seen.
class Words {
 public:
  explicit Words(const std::string& line) {
    std::istringstream in(line);
    for (std::string word; in >> word;) {
      const std::size_t equals = word.find('=');
      if (equals == std::string::npos) {
        plain_.push_back(std::move(word));
      } else {
        keys_[word.substr(0, equals)] = word.substr(equals + 1);
      }
    }
  }
  std::size_t count() const { return plain_.size(); }
  std::string at(std::size_t i) {
    if (i < plain_.size()) return plain_[i];
    fail("a word is missing");
    return {};
  }
  std::string text(const std::string& key, const std::string& otherwise) {
    const auto found = keys_.find(key);
    if (found == keys_.end()) return otherwise;
    std::string value = std::move(found->second);
    keys_.erase(found);
    return value;
  }
  template <typename T>
  T number(const std::string& key, T otherwise) {
    const std::string word = text(key, "");
    return word.empty() ? otherwise : to_number<T>(word);
  }
  template <typename T>
  T number(std::size_t i) {
    return to_number<T>(at(i));
  }
  IpAddress address(const std::string& word) {
    const auto value = IpAddress::parse(word);
    if (!value) fail(word + " is no address");
    return value.value_or(IpAddress{});
  }
  std::array<std::uint8_t, 6> mac(const std::string& word) {
    std::array<std::uint8_t, 6> mac{};
    unsigned b[6];
    char end;
    if (std::sscanf(word.c_str(), "%2x:%2x:%2x:%2x:%2x:%2x%c", &b[0], &b[1], &b[2], &b[3], &b[4],
                    &b[5], &end) != 6) {
      fail(word + " is no MAC address");
      return mac;
    }
    for (unsigned i = 0; i < 6; ++i) mac[i] = static_cast<std::uint8_t>(b[i]);
    return mac;
  }
  void fail(const std::string& text) {
    if (error_.empty()) error_ = text;
  }
  // To be asked before anything is done.
  Status status() const {
    if (!error_.empty()) return Error{error_};
    if (!keys_.empty()) return Error{"unknown key " + keys_.begin()->first};
    return Ok{};
  }

 private:
  template <typename T>
  T to_number(const std::string& word) {
    T value{};
    const auto [end, code] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (code != std::errc() || end != word.data() + word.size()) fail(word + " is no such number");
    return value;
  }
  std::vector<std::string> plain_;
  std::map<std::string, std::string> keys_;
  std::string error_;
};

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, separator);) parts.push_back(part);
  return parts;
}

std::optional<Bytes> from_hex(std::string_view hex) {
  if (hex.size() % 2 != 0) return std::nullopt;
  Bytes bytes(hex.size() / 2);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const char* digits = hex.data() + 2 * i;
    const auto [end, code] = std::from_chars(digits, digits + 2, bytes[i], 16);
    if (code != std::errc() || end != digits + 2) return std::nullopt;
  }
  return bytes;
}
std::string to_hex(const Bytes& bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  for (const std::uint8_t byte : bytes) hex += {kDigits[byte >> 4], kDigits[byte & 15]};
  return hex;
}

constexpr std::pair<const char*, NextHopState> kStates[] = {
    {"none", NextHopState::none},           {"reachable", NextHopState::reachable},
    {"resolve", NextHopState::resolve},     {"local", NextHopState::local},
    {"blackhole", NextHopState::blackhole},
};
constexpr const char* kVerdicts[] = {"pending",   "transmit", "drop", "punt",
                                     "hand-over", "resolve",  "hold", "split"};

class Runner {
 public:
  Result<std::string> run(const std::string& line) {
    const std::size_t space = line.find(' ');
    const std::string verb = line.substr(0, space);
    rest_ = space == std::string::npos ? "" : line.substr(space + 1);
    static const std::map<std::string, Result<std::string> (Runner::*)()> kCommands = {
        {"new", &Runner::begin},
        {"apply", &Runner::apply},
        {"hop", &Runner::hop},
        {"group", &Runner::group},
        {"route", &Runner::route},
        {"backend-hop", &Runner::backend_hop},
        {"mtu", &Runner::mtu},
        {"tunnel-source", &Runner::tunnel_source},
        {"nat-ports", &Runner::nat_ports},
        {"nat-source", &Runner::nat_source},
        {"packet", &Runner::packet},
        {"run", &Runner::burst},
        {"pass", &Runner::pass},
        {"sweep", &Runner::sweep},
        {"counters", &Runner::counters},
        {"names", &Runner::names}};
    const auto command = kCommands.find(verb);
    if (command == kCommands.end()) return Error{"unknown command " + verb};
    if (gateway_ == nullptr && verb != "new" && verb != "names")
      return Error{"there is no gateway yet"};
    return (this->*command->second)();
  }

 private:
  static Result<std::string> done(const Status& status) {
    if (!status) return Error{status.error()};
    return std::string();
  }

  Result<std::string> begin() {
    Words words(rest_);
    Settings settings;
    settings.workers = words.number("workers", settings.workers);
    settings.flows = words.number("flows", settings.flows);
    settings.nat_flows = words.number("nat-flows", settings.nat_flows);
    settings.answers_per_second = words.number("answers-per-second", settings.answers_per_second);
    settings.waiting_fragments = words.number("waiting-fragments", settings.waiting_fragments);
    settings.new_flows_per_burst =
        words.number("new-flows-per-burst", settings.new_flows_per_burst);
    for (const std::string& mac : split(words.text("macs", ""), ','))
      settings.macs.push_back(words.mac(mac));
    if (Status status = words.status(); !status) return done(status);
    auto gateway = Gateway::create(settings);
    if (!gateway) return Error{gateway.error()};
    gateway_ = std::move(*gateway);
    burst_.clear();
    return std::string();
  }
  Result<std::string> apply() { return done(gateway_->apply(rest_)); }

  Result<std::string> hop() {
    Words words(rest_);
    NextHop hop{};
    const auto index = words.number<NextHopIndex>(0);
    hop.port = words.number("port", hop.port);
    hop.on_link = words.number("on-link", hop.on_link);
    const std::string state = words.text("state", "reachable");
    const auto* known = std::find_if(std::begin(kStates), std::end(kStates),
                                     [&](const auto& s) { return s.first == state; });
    if (known == std::end(kStates)) return Error{"unknown state " + state};
    hop.state = known->second;
    const auto destination = words.mac(words.text("destination", "0:0:0:0:0:0"));
    const auto source = words.mac(words.text("source", "0:0:0:0:0:0"));
    std::copy(destination.begin(), destination.end(), hop.destination_mac);
    std::copy(source.begin(), source.end(), hop.source_mac);
    if (Status status = words.status(); !status) return done(status);
    return done(gateway_->set_hop(index, hop));
  }
  Result<std::string> group() {
    Words words(rest_);
    const auto index = words.number<std::uint32_t>(0);
    std::vector<NextHopIndex> hops;
    for (std::size_t i = 1; i < words.count(); ++i) hops.push_back(words.number<NextHopIndex>(i));
    if (Status status = words.status(); !status) return done(status);
    return done(gateway_->set_group(index, hops));
  }
  // A hop's number, or that of a group behind "g".
  static std::string hop_number(const std::string& word, NextHopIndex& group) {
    group = word.starts_with('g') ? kMultipath : 0;
    return word.substr(group != 0 ? 1 : 0);
  }
  Result<std::string> route() {
    Words words(rest_);
    NextHopIndex group;
    Words hop(hop_number(words.at(1), group));
    const std::vector<std::string> prefix = split(words.at(0), '/');
    if (prefix.size() != 2) return Error{"no prefix"};
    Words length(prefix[1]);
    const IpAddress network = words.address(prefix[0]);
    const auto bits = length.number<unsigned>(0);
    const auto index = hop.number<NextHopIndex>(0) | group;
    for (const Words* part : {&words, &hop, &length})
      if (Status status = part->status(); !status) return done(status);
    return done(gateway_->add_route(network, bits, index));
  }
  Result<std::string> backend_hop() {
    Words words(rest_);
    NextHopIndex group;
    Words hop(hop_number(words.at(1), group));
    const auto id = words.number<std::uint32_t>(0);
    const auto index = hop.number<NextHopIndex>(0) | group;
    for (const Words* part : {&words, &hop})
      if (Status status = part->status(); !status) return done(status);
    return done(gateway_->set_backend_hop(id, index));
  }
  Result<std::string> mtu() {
    Words words(rest_);
    const auto port = words.number<std::uint16_t>(0), bytes = words.number<std::uint16_t>(1);
    if (Status status = words.status(); !status) return done(status);
    return done(gateway_->set_mtu(port, bytes));
  }
  Result<std::string> tunnel_source() {
    Words words(rest_);
    const auto port = words.number<std::uint16_t>(0);
    const IpAddress address = words.address(words.at(1)), mask = words.address(words.at(2));
    if (Status status = words.status(); !status) return done(status);
    return done(gateway_->set_tunnel_source(port, address, mask));
  }
  Result<std::string> nat_ports() {
    Words words(rest_);
    const auto first = words.number<std::uint16_t>(0), last = words.number<std::uint16_t>(1);
    if (Status status = words.status(); !status) return done(status);
    gateway_->set_nat_ports(first, last);
    return std::string();
  }
  Result<std::string> nat_source() {
    Words words(rest_);
    const IpAddress address = words.address(words.at(0));
    const auto port = words.number<std::uint16_t>(1);
    const auto number = words.number<std::uint32_t>(2);
    if (Status status = words.status(); !status) return done(status);
    gateway_->add_nat_source(address, port, number);
    return std::string();
  }

  Result<std::string> packet() {
    Words words(rest_);
    Arrival arrival;
    const auto bytes = from_hex(words.at(0));
    arrival.port = words.number("port", arrival.port);
    arrival.steered = words.number("steered", 0) != 0;
    arrival.contiguous = words.number("contiguous", arrival.contiguous);
    arrival.headroom = words.number("headroom", arrival.headroom);
    arrival.tailroom = words.number("tailroom", arrival.tailroom);
    if (Status status = words.status(); !status) return done(status);
    if (!bytes) return Error{"no hexadecimal bytes"};
    arrival.bytes = *bytes;
    burst_.push_back(std::move(arrival));
    return std::string();
  }
  Result<std::string> burst() {
    Words words(rest_);
    const auto worker = words.number<unsigned>(0);
    if (Status status = words.status(); !status) return done(status);
    const auto departures = gateway_->process(worker, burst_);
    burst_.clear();
    if (!departures) return Error{departures.error()};
    std::string text;
    for (const Departure& d : *departures) {
      text += std::string(" ") + kVerdicts[static_cast<unsigned>(d.verdict)] + "," +
              name(d.reason) + "," + std::to_string(d.port) + "," + std::to_string(d.worker) + "," +
              std::to_string(d.mtu) + "," + to_hex(d.bytes);
    }
    return text;
  }

  Result<std::string> pass() {
    Words words(rest_);
    const auto ticks = words.number<Ticks>(0);
    if (Status status = words.status(); !status) return done(status);
    gateway_->pass(ticks);
    return std::string();
  }
  Result<std::string> sweep() { return done(gateway_->sweep()); }

  Result<std::string> counters() {
    std::string text;
    const auto add = [&text](const std::string& name, std::uint64_t value) {
      if (value != 0) text += " " + name + "=" + std::to_string(value);
    };
    for (unsigned i = 0; i < static_cast<unsigned>(DropReason::count); ++i) {
      const auto reason = static_cast<DropReason>(i);
      add(name(reason), gateway_->drops(reason));
    }
    add("handed_over", gateway_->sum(&WorkerCounters::handed_over));
    add("punted", gateway_->sum(&WorkerCounters::punted));
    add("answers", gateway_->sum(&WorkerCounters::answers));
    add("answers_limited", gateway_->sum(&WorkerCounters::answers_limited));
    add("untracked", gateway_->sum(&WorkerCounters::untracked));
    return text;
  }
  Result<std::string> names() {
    std::string text = " reasons=";
    for (unsigned i = 1; i < static_cast<unsigned>(DropReason::count); ++i)
      text += std::string(i > 1 ? "," : "") + name(static_cast<DropReason>(i));
    text += " modes=";
    const auto& modes = *v1::ForwardingMode_descriptor();
    for (int i = 1; i < modes.value_count(); ++i)  // Without UNSPECIFIED.
      text += (i > 1 ? "," : "") + modes.value(i)->name();
    return text;
  }

  std::unique_ptr<Gateway> gateway_;
  std::vector<Arrival> burst_;
  std::string rest_;
};

}  // namespace
}  // namespace sluice::cases

int main() {
  sluice::cases::Runner runner;
  for (std::string line; std::getline(std::cin, line);) {
    const auto answer = runner.run(line);
    std::cout << (answer ? "ok" + *answer : "error " + answer.error()) << std::endl;
  }
  return 0;
}
