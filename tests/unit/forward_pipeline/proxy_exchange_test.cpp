// A connection behind the PROXY protocol, from SYN to FIN, between a client and a server that do
// what TCP asks for, with the gateway between them: each packet in turn, and each pair of packets,
// is lost, comes twice, or comes late, before the gateway or behind it. It always ends well,
// without any timer but the two ends' own.
#include <deque>
#include <optional>

#include "dataplane/packet/proxy_protocol.h"
#include "gateway.h"

namespace sluice::test {
namespace {

struct Segment {
  std::uint8_t flags = 0;
  std::uint32_t sequence = 0, acknowledgment = 0;
  std::string data;
  std::uint32_t length() const {
    return static_cast<std::uint32_t>(data.size()) + ((flags & (kTcpSyn | kTcpFin)) != 0 ? 1 : 0);
  }
};

Bytes to_packet(Packet p, const Segment& segment) {
  p.flags = segment.flags;
  p.sequence = segment.sequence;
  p.acknowledgment = segment.acknowledgment;
  p.payload = static_cast<unsigned>(segment.data.size());
  Bytes b = build(p);
  // The builder's payload is a pattern: the checksum is made anew, from nothing.
  const Decoded d = decode(b);
  std::copy(segment.data.begin(), segment.data.end(), b.begin() + static_cast<long>(d.l4) + 20);
  b[d.l4 + 16] = b[d.l4 + 17] = 0;
  const std::size_t address_bytes = d.source.find(':') == std::string::npos ? 4 : 16;
  const std::size_t addresses = d.l3 + (address_bytes == 4 ? 12 : 8);
  const std::size_t length = b.size() - d.l4;
  unsigned sum = plain_sum(b.data() + addresses, 2 * address_bytes);
  const std::uint8_t rest[4] = {0, kProtocolTcp, static_cast<std::uint8_t>(length >> 8),
                                static_cast<std::uint8_t>(length)};
  sum = ~plain_sum(b.data() + d.l4, length, plain_sum(rest, 4, sum)) & 0xffff;
  b[d.l4 + 16] = static_cast<std::uint8_t>(sum >> 8);
  b[d.l4 + 17] = static_cast<std::uint8_t>(sum);
  return b;
}

Segment from_packet(const Bytes& b) {
  const Decoded d = decode(b);
  EXPECT_TRUE(d.ip_checksum_right);
  EXPECT_TRUE(d.l4_checksum_right);
  const std::size_t begin = d.l4 + (b.at(d.l4 + 12) >> 4) * 4u;
  return {d.flags, get32(b, d.l4 + 4), get32(b, d.l4 + 8),
          std::string(b.begin() + static_cast<long>(begin),
                      b.begin() + static_cast<long>(d.l3 + d.ip_bytes))};
}

// One end: what RFC 9293 asks of it, with a window that is always large enough. It sends again the
// oldest segment that is not acknowledged, when its timer comes.
class End {
 public:
  explicit End(std::uint32_t isn) : next_(isn), oldest_(isn) {}

  std::deque<Segment> out;
  std::string received;
  bool reset = false;

  void send(std::uint8_t flags, const std::string& data = {}) {
    const Segment segment{flags, next_, expected_, data};
    sent_.push_back(segment);
    next_ += segment.length();
    out.push_back(segment);
  }
  void acknowledge() { out.push_back({kTcpAck, next_, expected_, {}}); }
  void timer() {
    if (sent_.empty()) return;
    Segment again = sent_.front();
    again.acknowledgment = expected_;
    out.push_back(again);
  }
  void receive(const Segment& segment) {
    if ((segment.flags & kTcpRst) != 0) {
      // Only the very next number ends a connection (RFC 5961 3.2); others are asked about.
      if (segment.sequence == expected_) {
        reset = true;
      } else if (static_cast<std::int32_t>(segment.sequence - expected_) > 0) {
        acknowledge();
      }
      return;
    }
    if (reset) {
      if ((segment.flags & kTcpAck) != 0) out.push_back({kTcpRst, segment.acknowledgment, 0, {}});
      return;
    }
    if ((segment.flags & kTcpSyn) != 0) {
      if (synchronized_) return asked_again();
      expected_ = segment.sequence + 1;
      synchronized_ = true;
    }
    if (!synchronized_) return;
    if ((segment.flags & kTcpAck) != 0) take_acknowledgment(segment.acknowledgment);
    take_data(segment);
  }
  bool done() const { return sent_.empty() && finished_; }
  bool finished() const { return finished_; }
  bool synchronized() const { return synchronized_; }
  bool acknowledged(std::uint32_t number) const { return oldest_ == number; }
  std::uint32_t next() const { return next_; }

 private:
  // In a handshake the SYN-ACK comes again, afterwards an ACK (RFC 5961 4).
  void asked_again() {
    if (!sent_.empty() && (sent_.front().flags & kTcpSyn) != 0) return timer();
    acknowledge();
  }
  void take_acknowledgment(std::uint32_t number) {
    // Nobody has acknowledged what was never sent.
    ASSERT_LE(static_cast<std::int32_t>(number - next_), 0);
    if (static_cast<std::int32_t>(number - oldest_) <= 0) return;
    oldest_ = number;
    while (!sent_.empty() && static_cast<std::int32_t>(sent_.front().sequence +
                                                       sent_.front().length() - oldest_) <= 0)
      sent_.pop_front();
  }
  void take_data(const Segment& segment) {
    if (segment.length() == 0 || (segment.flags & kTcpSyn) != 0) return;
    const std::uint32_t known = expected_ - segment.sequence;  // Modulo 2^32: a gap is huge.
    if (known < segment.length() && !finished_) {
      if (known < segment.data.size()) received += segment.data.substr(known);
      finished_ = (segment.flags & kTcpFin) != 0;
      expected_ = segment.sequence + segment.length();
    }
    acknowledge();
  }

  std::uint32_t next_, oldest_, expected_ = 0;
  bool synchronized_ = false, finished_ = false;
  std::deque<Segment> sent_;
};

enum class Mischief { none, lost, twice, late };
enum class Talk { server_first, client_first, client_alone, abort };

// What befalls the numbered packets; each passes two links, and each link counts.
struct Fate {
  Mischief mischief = Mischief::none;
  unsigned first = ~0u, second = ~0u;
  Mischief of(unsigned number) const {
    return number == first || number == second ? mischief : Mischief::none;
  }
};

template <typename Family>
class Exchange {
 public:
  static constexpr std::uint32_t kClientIsn = 0xfffffff8u, kServerIsn = 77000;

  Exchange(Talk talk, Fate fate)
      : talk_(talk), fate_(fate), client_(kClientIsn), server_(kServerIsn) {
    gateway_.headroom = 128;
    gateway_.serve<Family>(1);
    gateway_.change([](StateBuilder& builder) {
      VipSpec spec;
      spec.key = {ip(Net<Family>::vip()), kProtocolTcp, 80};
      spec.id = 1;
      spec.service = "manual/default/web";
      spec.mode = Mode::nat;
      spec.proxy_protocol = true;
      spec.maglev_size = 1009;
      spec.members = {{1, 1, false, false}};
      builder.upsert(spec);
    });
    Endpoint<Family> client, vip;
    std::memcpy(client.address.data(), ip(Net<Family>::client(1)).data(), Family::kAddressBytes);
    std::memcpy(vip.address.data(), ip(Net<Family>::vip()).data(), Family::kAddressBytes);
    client.port = Be16::from_host(1025);
    vip.port = Be16::from_host(80);
    header_.resize(kProxyHeaderBytes<Family>);
    write_proxy_header(reinterpret_cast<std::uint8_t*>(header_.data()), client, vip);
  }

  // Packets that were on a link; 0: it did not end well.
  unsigned run() {
    client_.send(kTcpSyn);
    for (unsigned timers = 0; timers < 12; ++timers) {
      // Until nothing moves.
      do {
        exchange();
        if (testing::Test::HasFailure()) return 0;
      } while (!client_.out.empty() || !server_.out.empty() || release());
      if (over()) return links_;
      gateway_.now += kTicksPerSecond << std::min(timers, 3u);
      client_.timer();
      server_.timer();
    }
    return 0;
  }
  std::string what_came() const {
    return "server: '" + server_.received + "' client: '" + client_.received + "'";
  }

 private:
  void exchange() {
    while (!client_.out.empty() || !server_.out.empty()) {
      if (!client_.out.empty()) {
        const Segment segment = client_.out.front();
        client_.out.pop_front();
        link(true, false, to_packet(from_client<Family>(1), segment));
      }
      client_acts();
      if (!server_.out.empty()) {
        const Segment segment = server_.out.front();
        server_.out.pop_front();
        if (forwarded_) link(false, false, to_packet(from_backend(*forwarded_, 0), segment));
      }
      if (testing::Test::HasFailure()) return;
    }
  }
  // A packet on its way; `behind` the gateway or still before it.
  void link(bool to_server, bool behind, const Bytes& packet) {
    switch (fate_.of(links_++)) {
      case Mischief::lost:
        return;
      case Mischief::late:
        late_.push_back({to_server, behind, packet});
        return;
      case Mischief::twice:
        arrive(to_server, behind, packet);
        break;
      case Mischief::none:
        break;
    }
    arrive(to_server, behind, packet);
  }
  bool release() {
    if (late_.empty()) return false;
    const Late packet = late_.front();
    late_.pop_front();
    arrive(packet.to_server, packet.behind, packet.bytes);
    return true;
  }
  void arrive(bool to_server, bool behind, const Bytes& packet) {
    if (!behind) {
      const Outcome outcome = gateway_.deliver(packet, to_server ? 0 : 1);
      ASSERT_EQ(outcome.verdict, Verdict::transmit) << name(outcome.reason);
      if (to_server) forwarded_ = outcome.decoded();
      return link(to_server, true, outcome.bytes);
    }
    const Segment segment = from_packet(packet);
    if (!to_server) return client_.receive(segment);
    const bool opens = (segment.flags & kTcpSyn) != 0;
    if (opens) {
      ASSERT_EQ(segment.sequence, kClientIsn);
      const bool first = !server_.synchronized();
      server_.receive({kTcpSyn, segment.sequence, 0, {}});
      if (first) server_.send(kTcpSyn | kTcpAck);
    } else {
      server_.receive(segment);
    }
    server_acts();
  }

  void client_acts() {
    if (client_.reset || !client_.synchronized()) return;
    if (step_ == 0) {
      step_ = 1;
      client_.acknowledge();
      if (talk_ == Talk::client_first) {
        client_.send(kTcpAck | kTcpPsh, "hel");
        client_.send(kTcpAck | kTcpPsh, "lo\n");
      }
      if (talk_ == Talk::client_alone) client_.send(kTcpAck | kTcpFin);
      if (talk_ == Talk::abort) {
        client_.out.push_back({kTcpRst | kTcpAck, client_.next(), kServerIsn + 1, {}});
        client_.reset = true;
      }
    }
    if (step_ == 1 && client_.received.find("220\n") == 0) {
      step_ = 2;
      if (talk_ == Talk::server_first) client_.send(kTcpAck | kTcpPsh, "hello\n");
    }
    if (step_ == 2 && client_.received == "220\nhello\n") {
      step_ = 3;
      client_.send(kTcpAck | kTcpFin);
    }
  }
  void server_acts() {
    if (server_.reset || !server_.acknowledged(server_.next())) return;  // One thing at a time.
    const std::string wanted =
        header_ + (talk_ == Talk::client_alone || talk_ == Talk::abort ? "" : "hello\n");
    ASSERT_EQ(server_.received, wanted.substr(0, server_.received.size()));
    if (!greeted_ && server_.received.size() >= header_.size()) {
      greeted_ = true;
      server_.send(kTcpAck | kTcpPsh, "220\n");
    } else if (greeted_ && !echoed_ && server_.received.size() == header_.size() + 6) {
      echoed_ = true;
      server_.send(kTcpAck | kTcpPsh, "hello\n");
    } else if (greeted_ && !ended_ && server_.finished()) {
      ended_ = true;
      server_.send(kTcpAck | kTcpFin);
    }
  }
  bool over() const {
    if (talk_ == Talk::abort) return server_.reset || !server_.synchronized();
    const std::string echo = talk_ == Talk::client_alone ? "" : "hello\n";
    return client_.done() && server_.done() && server_.received == header_ + echo &&
           client_.received == "220\n" + echo;
  }

  struct Late {
    bool to_server, behind;
    Bytes bytes;
  };
  const Talk talk_;
  const Fate fate_;
  Gateway gateway_{1, [](PipelineConfig& config) {
                     config.flows_ipv4 = config.flows_ipv6 = 64;
                     config.nat_flows = 16;
                   }};
  End client_, server_;
  std::string header_;
  std::optional<Decoded> forwarded_;
  std::deque<Late> late_;
  unsigned links_ = 0, step_ = 0;
  bool greeted_ = false, echoed_ = false, ended_ = false;
};

template <typename Family>
class ProxyExchange : public testing::Test {};
using Families = testing::Types<Ipv4, Ipv6>;
TYPED_TEST_SUITE(ProxyExchange, Families);

// The number of packets of the undisturbed exchange, of which each, and each two, are disturbed.
template <typename Family>
void disturb(Talk talk, Mischief mischief, bool pairs) {
  const unsigned packets = Exchange<Family>(talk, {}).run();
  ASSERT_GT(packets, 5u) << "undisturbed";
  for (unsigned first = 0; first < packets; ++first) {
    for (unsigned second = first + 1; second < (pairs ? packets + 4 : first + 2); ++second) {
      Exchange<Family> exchange(talk, {mischief, first, pairs ? second : first});
      ASSERT_NE(exchange.run(), 0u)
          << "packets " << first << " and " << second << ": " << exchange.what_came();
    }
  }
}

TYPED_TEST(ProxyExchange, TheServerSpeaksFirst) {
  for (const Mischief mischief : {Mischief::lost, Mischief::twice, Mischief::late})
    disturb<TypeParam>(Talk::server_first, mischief, true);
}
TYPED_TEST(ProxyExchange, TheClientSpeaksFirst) {
  for (const Mischief mischief : {Mischief::lost, Mischief::twice, Mischief::late})
    disturb<TypeParam>(Talk::client_first, mischief, true);
}
// Its FIN stands where the header belongs.
TYPED_TEST(ProxyExchange, TheClientOnlyListens) {
  for (const Mischief mischief : {Mischief::lost, Mischief::twice, Mischief::late})
    disturb<TypeParam>(Talk::client_alone, mischief, true);
}
// A lost reset is nobody's to repeat, unless the server sends: here it greets.
TYPED_TEST(ProxyExchange, TheClientResets) {
  for (const Mischief mischief : {Mischief::lost, Mischief::twice, Mischief::late})
    disturb<TypeParam>(Talk::abort, mischief, false);
}

}  // namespace
}  // namespace sluice::test
