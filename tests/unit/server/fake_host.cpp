#include "tests/unit/server/fake_host.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "dataplane/forward/pipeline.h"

namespace sluice {

FakeHost::FakeHost(const StateLimits& limits, unsigned workers)
    : routing_(16, 16, limits.backends) {
  for (unsigned i = 0; i < workers; ++i) {
    counters_.push_back(std::make_unique<WorkerCounters>(limits.vips, limits.backends));
    rounds_.push_back(std::make_unique<std::atomic<std::uint64_t>>(0));
    views_.push_back({counters_.back().get(), nullptr, i + 1, rounds_.back().get()});
  }
}

void FakeHost::publish(std::shared_ptr<const ForwardingState> state) {
  const std::lock_guard lock(mutex_);
  state_ = std::move(state);
}

std::shared_ptr<const ForwardingState> FakeHost::published() const {
  const std::lock_guard lock(mutex_);
  return state_;
}

std::vector<v1::Port> FakeHost::ports() const {
  std::vector<v1::Port> ports(2);
  ports[0].set_name("wan");
  ports[1].set_name("lan");
  return ports;
}

void FakeHost::make_pipelines() {
  for (unsigned i = 0; i < views_.size(); ++i) {
    PipelineConfig config;
    config.worker = static_cast<std::uint16_t>(i);
    config.workers = static_cast<std::uint16_t>(views_.size());
    config.flows_ipv4 = config.flows_ipv6 = config.nat_flows = 1024;
    config.backend_capacity = 1024;
    const auto steering = std::make_shared<const Steering>(Toeplitz(default_rss_key()),
                                                           std::vector<std::uint16_t>(128));
    config.steering = {steering, steering};
    pipelines_.push_back(Pipeline::create(config, *counters_[i]));
    ASSERT_NE(pipelines_.back(), nullptr);
    views_[i].pipeline = pipelines_.back().get();
  }
}

Client::Client(const std::string& path) {
  fd_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const timeval limit{20, 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
  if (::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) close();
}

Client::~Client() {
  close();
}

void Client::close() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

void Client::finish_sending() {
  ::shutdown(fd_, SHUT_WR);
}

void Client::send_raw(const std::string& bytes) {
  std::size_t sent = 0;
  while (sent < bytes.size()) {
    const ssize_t n = ::send(fd_, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (n <= 0) return;  // The server has closed; the next receive() shows it.
    sent += static_cast<std::size_t>(n);
  }
}

void Client::send(v1::Request request) {
  if (request.id() == 0) request.set_id(next_id_++);
  std::string frame;
  EXPECT_TRUE(append_frame(frame, request.SerializeAsString()).ok());
  send_raw(frame);
}

std::optional<v1::Reply> Client::receive() {
  for (;;) {
    auto frame = decoder_.next();
    EXPECT_TRUE(frame.ok());
    if (frame && frame->has_value()) {
      v1::Reply reply;
      EXPECT_TRUE(reply.ParseFromArray((*frame)->data(), static_cast<int>((*frame)->size())));
      return reply;
    }
    char buffer[65536];
    const ssize_t n = ::recv(fd_, buffer, sizeof(buffer), 0);
    EXPECT_FALSE(n < 0 && errno == EAGAIN) << "no reply in time";
    if (n <= 0) return std::nullopt;
    decoder_.append({buffer, static_cast<std::size_t>(n)});
  }
}

std::vector<v1::Reply> Client::ask_all(v1::Request request) {
  const std::uint64_t id = request.id() != 0 ? request.id() : next_id_++;
  request.set_id(id);
  send(std::move(request));
  std::vector<v1::Reply> replies;
  for (;;) {
    std::optional<v1::Reply> reply = receive();
    EXPECT_TRUE(reply.has_value()) << "the connection was closed";
    if (!reply) return replies;
    EXPECT_EQ(reply->id(), id);
    replies.push_back(*reply);
    if (!reply->more()) return replies;
  }
}

v1::Reply Client::ask(v1::Request request) {
  std::vector<v1::Reply> replies = ask_all(std::move(request));
  EXPECT_EQ(replies.size(), 1u);
  return replies.empty() ? v1::Reply() : replies.front();
}

v1::Reply Client::hello(std::uint32_t major) {
  v1::Request request;
  request.mutable_hello()->set_major(major);
  request.mutable_hello()->set_client("test");
  return ask(request);
}

v1::Reply Client::begin(std::uint64_t generation, std::uint64_t base, std::uint64_t maglev_seed) {
  v1::Request request;
  request.mutable_apply_begin()->set_generation(generation);
  request.mutable_apply_begin()->set_base(base);
  request.mutable_apply_begin()->set_maglev_seed(maglev_seed);
  return ask(request);
}

v1::Reply Client::part(const v1::ApplyPart& changes) {
  v1::Request request;
  *request.mutable_apply_part() = changes;
  return ask(request);
}

v1::Reply Client::commit() {
  v1::Request request;
  request.mutable_apply_commit();
  return ask(request);
}

v1::Reply Client::apply(std::uint64_t generation, std::uint64_t base,
                        const v1::ApplyPart& changes) {
  v1::Reply reply = begin(generation, base);
  if (reply.error().empty()) reply = part(changes);
  return reply.error().empty() ? commit() : reply;
}

v1::Report Client::report(bool full) {
  v1::Request request;
  request.mutable_report()->set_full(full);
  v1::Report all;
  for (const v1::Reply& reply : ask_all(request)) all.MergeFrom(reply.report());
  return all;
}

ServerTest::ServerTest() {
  std::string name = std::filesystem::temp_directory_path() / "sluice-server-XXXXXX";
  directory = ::mkdtemp(name.data());
  path = directory + "/dataplane.sock";
  config.socket = path;
  config.limits = {.vips = 10000, .backends = 10000, .vip_ids = 20000};
  config.version = "test-version";
  host = std::make_unique<FakeHost>(config.limits);
}

void ServerTest::start() {
  Result<std::unique_ptr<Server>> created = Server::create(config, *host);
  ASSERT_TRUE(created.ok()) << created.error();
  server = std::move(*created);
  thread = std::jthread([this] { server->run(); });
}

void ServerTest::stop() {
  if (server != nullptr) server->stop();
  if (thread.joinable()) thread.join();
  server.reset();
}

ServerTest::~ServerTest() {
  stop();
  std::filesystem::remove_all(directory);
}

v1::ServedAddress served(const std::string& address, v1::UnservedPorts ports) {
  v1::ServedAddress message;
  message.set_address(IpAddress::parse(address)->bytes());
  message.set_unserved_ports(ports);
  return message;
}

v1::Backend backend_message(std::uint32_t id, const std::string& address, std::uint32_t port) {
  v1::Backend message;
  message.set_id(id);
  message.set_address(IpAddress::parse(address)->bytes());
  message.set_port(port);
  message.set_name(address_port_text(*IpAddress::parse(address), port));
  message.set_target("default/pod-" + std::to_string(id));
  return message;
}

v1::VipKey key_message(const std::string& address, std::uint32_t port) {
  v1::VipKey key;
  key.set_address(IpAddress::parse(address)->bytes());
  key.set_protocol(v1::PROTOCOL_TCP);
  key.set_port(port);
  return key;
}

v1::Vip vip_message(const std::string& address, std::uint32_t port, std::uint32_t id,
                    const std::vector<std::uint32_t>& backends) {
  v1::Vip message;
  *message.mutable_key() = key_message(address, port);
  message.set_id(id);
  message.set_service("manual/default/web");
  message.set_mode(v1::FORWARDING_MODE_NAT);
  message.set_maglev_size(101);
  for (const std::uint32_t backend : backends) {
    v1::Member& member = *message.add_members();
    member.set_backend(backend);
    member.set_weight(1);
  }
  return message;
}

v1::ApplyPart web() {
  v1::ApplyPart part;
  *part.add_upsert_addresses() = served("192.0.2.1");
  *part.add_upsert_addresses() = served("2001:db8::1", v1::UNSERVED_PORTS_DROP);
  *part.add_upsert_backends() = backend_message(1, "10.0.0.1");
  *part.add_upsert_backends() = backend_message(2, "10.0.0.2");
  *part.add_upsert_backends() = backend_message(3, "fd00::3");
  *part.add_upsert_vips() = vip_message("192.0.2.1", 80, 1, {1, 2});
  *part.add_upsert_vips() = vip_message("2001:db8::1", 80, 2, {3});
  return part;
}

bool eventually(const std::function<bool()>& holds) {
  for (int i = 0; i < 1000; ++i) {
    if (holds()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

}  // namespace sluice
