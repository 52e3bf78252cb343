// Fuzzes the control socket of the dataplane: framing, requests, transactions, and what requests
// look into. A real Connection over a socket pair, a real RequestHandler, a Host of the unit tests.
//
// Input: one byte; when it is even, the rest is what a client sends, in pieces of 64 times the
// byte; when odd, counted messages (fuzz.h) that the fuzzer frames, so that mutations reach past
// framing.
#include <fcntl.h>
#include <google/protobuf/stubs/logging.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <optional>
#include <string>

#include "dataplane/server/connection.h"
#include "tests/fuzz/fuzz.h"
#include "tests/unit/server/fake_host.h"

namespace sluice::fuzz {
namespace {

// Small, so that limits are met.
const StateLimits kLimits = {
    .vips = 16, .backends = 64, .vip_ids = 64, .maglev_size = 4096, .slots = 16384, .members = 256};

class Exchange {
 public:
  Exchange()
      : host_(kLimits, 2), generations_(host_, kLimits), handler_(host_, generations_, {}, "fuzz") {
    host_.make_pipelines();
    int pair[2];
    FUZZ_CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
    client_ = pair[0];
    connection_ = std::make_unique<Connection>(pair[1], 1, handler_);
  }
  ~Exchange() { ::close(client_); }

  void send(std::string_view bytes) {
    while (!bytes.empty() && connection_ != nullptr) {
      const ssize_t sent = ::send(client_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent > 0) bytes.remove_prefix(static_cast<std::size_t>(sent));
      step(connection_->on_readable());
      while (connection_ != nullptr && connection_->wants_write()) {
        receive();
        step(connection_->on_writable());
      }
      receive();
      generations_.poll();
    }
  }
  // The client has nothing more to say: what it asked for is answered and the connection ends.
  void finish() {
    ::shutdown(client_, SHUT_WR);
    for (unsigned steps = 0; connection_ != nullptr; ++steps) {
      FUZZ_CHECK(steps < 100000);
      step(connection_->on_readable());
      receive();
    }
    receive();
    FUZZ_CHECK(decoder_.pending() == 0);
  }

 private:
  void step(bool goes_on) {
    if (!goes_on) connection_ = nullptr;
  }
  void receive() {
    char buffer[65536];
    for (ssize_t got; (got = ::recv(client_, buffer, sizeof(buffer), 0)) > 0;)
      decoder_.append({buffer, static_cast<std::size_t>(got)});
    for (;;) {
      const auto frame = decoder_.next();
      FUZZ_CHECK(frame.ok());
      if (!frame->has_value()) return;
      v1::Reply reply;
      FUZZ_CHECK(reply.ParseFromArray((*frame)->data(), static_cast<int>((*frame)->size())));
      check(reply);
    }
  }
  // What serves changes by a commit that was granted, and by nothing else.
  void check(const v1::Reply& reply) {
    const ForwardingState& state = *generations_.serving();
    if (!reply.error().empty()) FUZZ_CHECK(!reply.more());
    FUZZ_CHECK(state.vip_count() <= kLimits.vips && state.backend_count() <= kLimits.backends);
    if (state.generation() != 0) FUZZ_CHECK(host_.published() == generations_.serving());
  }

  FakeHost host_;
  Generations generations_;
  RequestHandler handler_;
  int client_ = -1;
  std::unique_ptr<Connection> connection_;
  FrameDecoder decoder_;
};

}  // namespace
}  // namespace sluice::fuzz

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  spdlog::set_level(spdlog::level::off);
  google::protobuf::SetLogHandler(nullptr);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace sluice::fuzz;
  Input input(data, size);
  Exchange exchange;
  const std::uint8_t way = input.byte();
  while (!input.empty()) {
    if (way % 2 == 0) {
      exchange.send(input.take(std::size_t{64} * (way + 1u)));
    } else {
      std::string frame;
      FUZZ_CHECK(sluice::append_frame(frame, input.take(input.word())).ok());
      exchange.send(frame);
    }
  }
  exchange.finish();
  return 0;
}
